"""Checkpoints of Hugging Face's vision encoder-decoders at full size, and what ONNX Runtime and OpenVINO run of them.

python checkpoints.py model SHAPE FOLDER: FOLDER/models/checkpoint as transformers saves it, with random weights, and
inputs FOLDER/one.safetensors and FOLDER/sixteen.safetensors.
python checkpoints.py float32 FOLDER: FOLDER/onnx/float32/{encoder,cross,decoder}.onnx of that model, and encoder.xml, which
OpenVINO makes of PyTorch's module itself: of the ONNX file it would not see what is attention.
python checkpoints.py onnxruntime-int8|openvino-int8 FOLDER: the same in int8.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, VisionEncoderDecoderModel

from workload import SEED, WorkFolder

sys.path.append(str(Path(__file__).parent.parent / "Tests" / "Reference"))
from family_expected import load  # noqa: E402
from family_full_size import SHAPES, make  # noqa: E402

from rows import LINE_TOKENS as NEW_TOKENS
INPUTS = {"one": 1, "sixteen": 16}  # pictures
# Between the best and the second logit, all along a text: more than float32 rounds.
MARGIN = 2e-3
TRIED_AT_ONCE = 8
PARTS = ("encoder", "cross", "decoder")
OPSET = 20


def greedy(model: VisionEncoderDecoderModel) -> GenerationConfig:
    """So many tokens, without an early end and without the rules of the checkpoint's own settings."""
    settings = model.generation_config
    return GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=NEW_TOKENS, eos_token_id=None, pad_token_id=settings.pad_token_id,
        decoder_start_token_id=settings.decoder_start_token_id, bos_token_id=settings.bos_token_id)


def clear_pictures(model: VisionEncoderDecoderModel, generator: torch.Generator) -> Iterator[Tensor]:
    """Those whose text does not hang on rounding."""
    size = model.config.encoder.image_size
    model.generation_config = greedy(model)
    while True:
        img = torch.randn(TRIED_AT_ONCE, 3, size, size, generator=generator)
        with torch.inference_mode():
            scores = model.generate(img, output_scores=True, return_dict_in_generate=True).scores
        best = torch.stack(scores).topk(2).values
        clear = (best[..., 0] - best[..., 1]).amin(0) > MARGIN
        yield from img[clear].split(1)


def liven(model: VisionEncoderDecoderModel, generator: torch.Generator) -> None:
    """Takes from the head what is the same after every token: with random weights that alone would choose, and a text
    would be one token over and over, in which no error shows."""
    seen: list[Tensor] = []
    head, decoder = model.decoder.get_output_embeddings(), model.config.decoder
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    size = model.config.encoder.image_size
    with torch.no_grad():
        model(
            pixel_values=torch.randn(4, 3, size, size, generator=generator),
            decoder_input_ids=torch.randint(decoder.vocab_size, (4, NEW_TOKENS), generator=generator))
        hook.remove()
        mean = torch.nn.functional.normalize(seen[0].mean((0, 1)), dim=0)
        head.weight -= torch.outer(head.weight @ mean, mean)


def make_model(shape: str, work: WorkFolder) -> None:
    model = make(shape, SEED)
    generator = torch.Generator().manual_seed(SEED)
    liven(model, generator)
    model.save_pretrained(work.model("checkpoint"))
    pictures = clear_pictures(model, generator)
    img = torch.cat(list(itertools.islice(pictures, max(INPUTS.values()))))
    for name, batch in INPUTS.items():
        text = torch.full((batch, 1), model.generation_config.decoder_start_token_id)
        save_file({"img": img[:batch].clone(), "text": text}, work.input(name))


class Encoder(nn.Module):
    def __init__(self, model: VisionEncoderDecoderModel) -> None:
        super().__init__()
        self.encoder = model.encoder

    def forward(self, img: Tensor) -> Tensor:
        return self.encoder(img).last_hidden_state


class Cross(nn.Module):
    """Every layer's keys and values of the picture, which are computed once."""

    def __init__(self, model: VisionEncoderDecoderModel) -> None:
        super().__init__()
        self.decoder = model.decoder

    def forward(self, hidden: Tensor) -> list[Tensor]:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        tokens = torch.zeros(hidden.shape[0], 1, dtype=torch.int64)
        self.decoder(input_ids=tokens, encoder_hidden_states=hidden, past_key_values=cache, use_cache=True)
        return keys_and_values(cache.cross_attention_cache)


class Decoder(nn.Module):
    """One token more: its logits, and every layer's keys and values with it."""

    def __init__(self, model: VisionEncoderDecoderModel) -> None:
        super().__init__()
        self.decoder = model.decoder
        self.width = model.config.encoder.hidden_size

    def forward(self, tokens: Tensor, past: list[Tensor], cross: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        cache = EncoderDecoderCache(cache_of(past), cache_of(cross))
        hidden = torch.zeros(tokens.shape[0], 1, self.width)  # it is looked whether there is one, and no more
        logits = self.decoder(
            input_ids=tokens, encoder_hidden_states=hidden, past_key_values=cache, use_cache=True).logits
        return logits[:, -1], keys_and_values(cache.self_attention_cache)


def cache_of(tensors: list[Tensor]) -> DynamicCache:
    return DynamicCache(list(zip(tensors[::2], tensors[1::2])))


def keys_and_values(cache: DynamicCache) -> list[Tensor]:
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def export(work: WorkFolder) -> None:
    """With every batch and every length of the past; a batch of two and a past of three are examples."""
    model = load(work.model("checkpoint"))
    # a new token sees all that was before: there is nothing to mask
    sys.modules[type(model.decoder).__module__].create_causal_mask = lambda **_: None
    # transformers cannot export the other implementation here; in ONNX both are the same products
    model.decoder.set_attn_implementation("eager")
    size = model.config.encoder.image_size
    img = torch.randn(2, 3, size, size)
    tokens = torch.zeros(2, 1, dtype=torch.int64)
    with torch.no_grad():
        hidden = Encoder(model)(img)
        cross = Cross(model)(hidden)
    past = [tensor[:, :, :3].clone() for tensor in cross]
    names = [f"{layer}.{kind}" for layer in range(len(cross) // 2) for kind in ("key", "value")]
    past_names, cross_names, present_names = ([f"{of}.{name}" for name in names] for of in ("past", "cross", "present"))
    batch, length = torch.export.Dim("batch", min=1, max=512), torch.export.Dim("length", min=1, max=512)
    rows = {0: batch}

    def write(part: str, module: nn.Module, arguments: tuple, inputs: list[str], outputs: list[str], shapes: tuple):
        file = work.onnx / "float32" / f"{part}.onnx"
        file.parent.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            torch.onnx.export(
                module.eval(), arguments, str(file), input_names=inputs, output_names=outputs, dynamic_shapes=shapes,
                opset_version=OPSET, dynamo=True, verbose=False)

    write("encoder", Encoder(model), (img,), ["img"], ["hidden"], (rows,))
    import openvino as ov

    ov.save_model(
        ov.convert_model(Encoder(model).eval(), example_input=img), work.onnx / "float32" / "encoder.xml",
        compress_to_fp16=False)
    write("cross", Cross(model), (hidden,), ["hidden"], cross_names, (rows,))
    write(
        "decoder", Decoder(model), (tokens, past, cross), ["tokens", *past_names, *cross_names],
        ["logits", *present_names], (rows, [{0: batch, 2: length}] * len(past), [rows] * len(cross)))


def openvino_int8(work: WorkFolder) -> None:
    """Weights in int8, as Optimum compresses them; what it multiplies them by is quantised by OpenVINO as it comes."""
    import nncf
    import openvino as ov

    for part in PARTS:
        file = work.onnx / "float32" / ("encoder.xml" if part == "encoder" else f"{part}.onnx")
        model = nncf.compress_weights(ov.Core().read_model(file))
        ov.save_model(model, work.onnx / "openvino-int8" / f"{part}.xml", compress_to_fp16=False)


def onnxruntime_int8(work: WorkFolder) -> None:
    """int8 weights; activations are quantised to uint8 as they come. Weights have 7 bits: see quantized.py."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    (work.onnx / "onnxruntime-int8").mkdir(exist_ok=True)
    for part in PARTS:
        quantize_dynamic(
            work.onnx / "float32" / f"{part}.onnx", work.onnx / "onnxruntime-int8" / f"{part}.onnx",
            op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8, reduce_range=True)


def main() -> None:
    what, *shape, folder = sys.argv[1:]
    work = WorkFolder(Path(folder))
    if what == "model":
        make_model(*shape, work)
    else:
        {"float32": export, "openvino-int8": openvino_int8, "onnxruntime-int8": onnxruntime_int8}[what](work)


if __name__ == "__main__":
    main()
