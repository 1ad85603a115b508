"""Writes Tests/Fixtures/families: vision encoder-decoders as transformers saves them, and what they give.

Run it with transformers 4.x, then with 5.x, then with 4.x again: each writes the folders that are its own and not there, and checks
that it gives what the others hold; a folder that is named is written anew. `names-4.json` and `names-5.json` hold the names and
shapes of the weights that each version saves. Of each case the first seed is taken whose searches do not hang on rounding."""

import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import VisionEncoderDecoderConfig, VisionEncoderDecoderModel
from transformers import BertConfig, DeiTConfig, GPT2Config, RobertaConfig, TrOCRConfig, ViTConfig

from family_cases import CASES, MANGA, SMALL, VOCABULARY, Case, bert, vit
from family_expected import MARGIN, NEW_TOKENS, Unsteady, differences, expected, load, name_4, search, write_facts

OUT = Path(__file__).parent.parent / "Fixtures" / "families"
VERSION = int(transformers.__version__.split(".")[0])
CONFIGURATIONS = {"vit": ViTConfig, "deit": DeiTConfig, "trocr": TrOCRConfig, "gpt2": GPT2Config, "bert": BertConfig,
                  "roberta": RobertaConfig}
NAMED = ["vit-trocr-base", "vit-trocr-stage1", "deit-trocr-small", "vit-gpt2-untied", "vit-bert", "vit-bert-untied",
         "vit-roberta-untied"] + (["vit-trocr-names-5"] if VERSION == 5 else [])
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def configuration(part: dict):
    keys = SMALL[part["kind"]] | part
    return CONFIGURATIONS[keys.pop("kind")](**keys)


def end_of_text(case):
    settings = [case.generation or {}, case.top, case.decoder, {"eos_token_id": 2}]
    return next(keys["eos_token_id"] for keys in settings if "eos_token_id" in keys)


def make(case, seed: int) -> VisionEncoderDecoderModel:
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(configuration(case.encoder), configuration(case.decoder))
    model = VisionEncoderDecoderModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator) * case.deviation
            is_norm = "norm" in name.lower() or ".ln_" in name
            parameter.copy_(1 + values if is_norm and name.endswith("weight") else values)
        model.decoder.get_output_embeddings().weight[end_of_text(case)] *= 1.6  # so that texts end
    return model.to(getattr(torch, case.dtype))


def legacy(state: dict, positions: int) -> dict:
    """Names and buffers as transformers wrote them in 2021."""
    old = {}
    for name, value in state.items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old[name] = value
        if name.endswith("attn.c_attn.weight") or name.endswith("crossattention.c_attn.weight"):
            layer = name.removesuffix("c_attn.weight")
            old[layer + "bias"] = torch.tril(torch.ones(positions, positions, dtype=torch.uint8)).view(1, 1, positions, positions)
            old[layer + "masked_bias"] = torch.tensor(-1e4)
        if name.endswith("word_embeddings.weight"):
            old[name.replace("word_embeddings.weight", "position_ids")] = torch.arange(positions).expand(1, -1).clone()
    return old


def save(model, case, folder: Path):
    if case.file == "names-5":
        model.save_pretrained(folder, save_original_format=False)
    elif case.file in ("bin", "legacy", "sharded-bin"):
        size = {"max_shard_size": "60KB"} if case.file == "sharded-bin" else {}
        model.save_pretrained(folder, safe_serialization=False, **size)
        if case.file == "legacy":
            torch.save(legacy(model.state_dict(), 28), folder / "pytorch_model.bin")
    else:
        model.save_pretrained(folder, **({"max_shard_size": "60KB"} if case.file == "sharded" else {}))
    if "no-pooler" in case.extras:
        weights = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in weights.items() if ".pooler." not in name}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | case.top, indent=2, sort_keys=True) + "\n")
    if case.generation is not None:
        (folder / "generation_config.json").unlink()
    if case.generation:
        (folder / "generation_config.json").write_text(json.dumps(case.generation, indent=2) + "\n")


def inputs(case, start: int, padding: int) -> dict:
    """Two pictures, and texts of tokens that mean nothing."""
    encoder = SMALL["vit"] | {"num_channels": 3} | case.encoder
    size = encoder["image_size"] if isinstance(encoder["image_size"], list) else [encoder["image_size"]] * 2
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(2, encoder["num_channels"], *size, generator=generator)
    prompt = torch.randint(24, VOCABULARY - 1, (2, 5), generator=generator)
    labels = torch.randint(24, VOCABULARY - 1, (2, 6), generator=generator)
    prompt[:, 0] = start
    given = {"pixel_values": pixels, "decoder_input_ids": prompt, "labels": labels}
    if "padded" in case.extras:
        given["padded.decoder_input_ids"] = prompt.clone()
        given["padded.decoder_input_ids"][0, 3:] = padding
        given["padded.decoder_input_ids"][1, 2] = padding
    if "interpolated" in case.extras:
        given["interpolated.pixel_values"] = torch.randn(1, encoder["num_channels"], 20, 28, generator=generator)
    return given


def is_interesting(folder, case, pixels) -> bool:
    """The texts differ between the pictures, and one ends after a few words."""
    with torch.no_grad():
        greedy = search(load(folder, eager="eager" in case.extras), pixels, {"num_beams": 1, "max_new_tokens": NEW_TOKENS})
    texts = greedy["ids"]
    return greedy["margin"] > MARGIN and texts[0] != texts[1] and 4 <= min(map(len, texts)) < NEW_TOKENS


def write(case):
    folder = OUT / case.name
    for seed in range(2000):
        shutil.rmtree(folder, ignore_errors=True)
        save(make(case, seed), case, folder)
        given = inputs(case, *start_and_padding(folder))
        try:
            if is_interesting(folder, case, given["pixel_values"]):
                tensors, facts = expected(folder, case, given)
                break
        except Unsteady as reason:
            print(f"{case.name}: seed {seed} is unsteady by {reason}", flush=True)
    else:
        sys.exit(f"{case.name}: no seed gives steady searches")
    save_file(given | tensors, folder / "expected.safetensors")
    write_facts(folder / "expected.json", {"transformers": transformers.__version__, "seed": seed} | facts)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{case.name}: seed {seed}, {size // 1024} KB, margin {facts['searches']['greedy']['margin']:.3f}", flush=True)


def start_and_padding(folder) -> tuple[int, int]:
    settings = load(folder).generation_config
    start = settings.decoder_start_token_id if settings.decoder_start_token_id is not None else settings.bos_token_id
    return start, settings.pad_token_id


def check(case) -> float:
    folder = OUT / case.name
    written = load_file(folder / "expected.safetensors")
    facts = json.loads((folder / "expected.json").read_text())
    if case.file == "names-5" and VERSION == 4:
        return check_renamed(case, written, facts)
    tensors, found = expected(folder, case, written, facts["resolved"])
    if case.same_resolution:
        assert found["resolved"] == facts["resolved"], f"{case.name}: {found['resolved']} and {facts['resolved']}"
    return differences(tensors, found, written, facts)


def check_renamed(case, written: dict, facts: dict) -> float:
    """4.x does not know the names of 5.x: it would make up the encoder's layers."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(OUT / case.name, folder, dirs_exist_ok=True)
        weights = load_file(OUT / case.name / "model.safetensors")
        save_file({name_4(name): tensor for name, tensor in weights.items()}, Path(folder) / "model.safetensors", {"format": "pt"})
        tensors, found = expected(folder, case, written, facts["resolved"])
    return differences(tensors, found, written, facts)


def write_names():
    names = {}
    for case in CASES:
        if case.name in NAMED:
            with tempfile.TemporaryDirectory() as folder:
                own = {"save_original_format": False} if case.file == "names-5" else {}
                make(case, 0).save_pretrained(folder, **own)
                weights = load_file(Path(folder) / "model.safetensors")
                names[case.name] = {name: list(weights[name].shape) for name in sorted(weights)}
    write_facts(OUT / f"names-{VERSION}.json", names)


def write_refused():
    """The configuration states more decoder layers than the weights have, as a manga-ocr once did: transformers makes up the rest."""
    folder = OUT.parent / "families-refused" / "more-decoder-layers"
    shutil.rmtree(folder, ignore_errors=True)
    tiny = {"image_size": 8, "patch_size": 8, "num_channels": 1, "intermediate_size": 8}
    case = Case("", vit(**tiny), bert(vocab_size=32, intermediate_size=8, max_position_embeddings=8), top=MANGA, generation={})
    save(make(case, 0), case, folder)
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    if not sys.argv[1:]:
        write_names()
        if VERSION == 4:
            write_refused()
    chosen = [case for case in CASES if not sys.argv[1:] or case.name in sys.argv[1:]]
    for case in chosen:
        if case.writer == VERSION and not (case.name not in sys.argv[1:] and (OUT / case.name / "expected.json").exists()):
            write(case)
        elif (OUT / case.name / "expected.json").exists():
            print(f"{case.name}: written by {case.writer}.x, {VERSION}.x differs by {check(case):.1e}", flush=True)
