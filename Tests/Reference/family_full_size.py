"""python family_full_size.py NAME FOLDER: a checkpoint of full size with random weights, as transformers saves it, and what it gives.

NAME is trocr-base, trocr-small, vit-gpt2 or manga-ocr. `expected.safetensors` and `expected.json` lie beside the weights."""

import sys
import time
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import BertConfig, DeiTConfig, GPT2Config, TrOCRConfig, VisionEncoderDecoderConfig
from transformers import VisionEncoderDecoderModel, ViTConfig

from family_expected import MARGIN, load, resolved, search, write_facts

NEW_TOKENS = 20
TROCR = {"decoder_start_token_id": 2, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
SHAPES = {
    "trocr-base": (lambda: ViTConfig(image_size=384, qkv_bias=False), lambda: TrOCRConfig(cross_attention_hidden_size=768), TROCR),
    "trocr-small": (
        lambda: DeiTConfig(image_size=384, hidden_size=384, num_attention_heads=6, intermediate_size=1536),
        lambda: TrOCRConfig(
            vocab_size=64044, d_model=256, decoder_layers=6, decoder_attention_heads=8, decoder_ffn_dim=1024,
            activation_function="relu", scale_embedding=True, cross_attention_hidden_size=384, tie_word_embeddings=False),
        TROCR),
    "vit-gpt2": (ViTConfig, GPT2Config, {
        "decoder_start_token_id": 50256, "bos_token_id": 50256, "eos_token_id": 50256, "pad_token_id": 50256}),
    "manga-ocr": (ViTConfig, lambda: BertConfig(vocab_size=6144, num_hidden_layers=2), {
        "decoder_start_token_id": 2, "eos_token_id": 3, "pad_token_id": 0, "max_length": 300, "num_beams": 4,
        "no_repeat_ngram_size": 3, "length_penalty": 2.0, "early_stopping": True}),
}


def make(name: str, seed: int) -> VisionEncoderDecoderModel:
    """Weights that neither die out nor blow up through the layers, and logits of a few units."""
    encoder, decoder, settings = SHAPES[name]
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder(), decoder())
    model = VisionEncoderDecoderModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    width = model.decoder.config.hidden_size
    scale = width**0.5 if getattr(model.decoder.config, "scale_embedding", False) else 1
    head, embedding = model.decoder.get_output_embeddings().weight, model.decoder.get_input_embeddings().weight
    with torch.no_grad():
        for key, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator)
            if "norm" in key.lower() or ".ln_" in key:
                parameter.copy_(0.1 * values + (1 if key.endswith("weight") else 0))
            elif parameter is head:
                parameter.copy_(4 / width**0.5 * values)
            elif parameter is embedding:
                parameter.copy_(0.2 / scale * values)
            elif "position" in key or ".wpe" in key:
                parameter.copy_(0.3 * values)
            elif parameter.dim() < 2 or parameter.shape[0] == 1:
                parameter.copy_(0.1 * values)
            else:
                parameter.copy_(1.5 / parameter[0].numel() ** 0.5 * values)
    for key, value in settings.items():
        setattr(model.generation_config, key, value)
    return model


def expected(folder: Path, pixels, prompt) -> tuple[dict, dict]:
    began = time.perf_counter()
    model = load(folder)
    facts = {"resolved": resolved(model), "load_seconds": time.perf_counter() - began}
    with torch.no_grad():
        out = model(pixel_values=pixels, decoder_input_ids=prompt, use_cache=False)
        tensors = {"last_hidden_state": out.encoder_last_hidden_state, "logits": out.logits}
        facts["searches"] = {}
        for name, beams in {"greedy": 1, "beam-4": 4}.items():
            options = {"num_beams": beams, "max_new_tokens": NEW_TOKENS}
            facts["searches"][name] = {"options": options, **search(model, pixels, options)}
    return tensors, facts


def main(name: str, folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    encoder, decoder, settings = SHAPES[name]
    pixels = torch.randn(2, 3, encoder().image_size, encoder().image_size, generator=generator)
    prompt = torch.randint(100, decoder().vocab_size - 100, (2, 8), generator=generator)
    prompt[:, 0] = settings["decoder_start_token_id"]
    for seed in range(50):
        model = make(name, seed)
        with torch.no_grad():
            greedy = search(model, pixels, {"num_beams": 1, "max_new_tokens": NEW_TOKENS})
        if greedy["margin"] > MARGIN and greedy["ids"][0] != greedy["ids"][1]:
            break
    else:
        sys.exit(f"{name}: every seed gives texts that hang on rounding")
    model.save_pretrained(folder)
    del model
    tensors, facts = expected(folder, pixels, prompt)
    given = {"pixel_values": pixels, "decoder_input_ids": prompt}
    save_file(given | {key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "expected.safetensors")
    write_facts(folder / "expected.json", {"transformers": transformers.__version__, "seed": seed} | facts)
    print(f"{name}: seed {seed}, margin {greedy['margin']:.3f}, texts {greedy['ids']}")


if __name__ == "__main__":
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
