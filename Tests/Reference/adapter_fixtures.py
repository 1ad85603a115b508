"""Writes Tests/Fixtures/adapters: adapters by Hugging Face's PEFT beside a few layers, and what they add up to."""

import json
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from module_tree import module_tree

OUT = Path(__file__).parent.parent / "Fixtures" / "adapters"
BLOCK = "decoder.attn_layers.layers.0"
ADAPTED = [f"{BLOCK}.1.to_q", f"{BLOCK}.2.ff.2", "decoder.to_logits"]


def write(name: str, weights: dict[str, torch.Tensor], layers: list[str]) -> dict[str, torch.Tensor]:
    """Gives the weights with the adapters added."""
    torch.manual_seed(8)
    model = get_peft_model(module_tree(weights), LoraConfig(r=2, lora_alpha=6, target_modules=layers))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                parameter.normal_()
    model.save_pretrained(OUT / name)
    (OUT / name / "README.md").unlink()
    return {key: tensor.contiguous() for key, tensor in model.merge_and_unload().state_dict().items()}


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    torch.manual_seed(7)
    shapes = {f"{BLOCK}.1.to_q": (6, 4), f"{BLOCK}.1.to_k": (6, 4), f"{BLOCK}.2.ff.2": (4, 6), "decoder.to_logits": (5, 4)}
    weights = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": torch.randn(shapes[name][0]) for name in ADAPTED[1:]}
    OUT.mkdir(parents=True)
    save_file(weights, OUT / "base.safetensors")
    merged = write("peft", weights, ADAPTED)
    save_file(merged, OUT / "merged.safetensors")
    short = write("peft-short-names", weights, ["to_q", "2.ff.2", "to_logits"])
    assert all(torch.equal(short[name], tensor) for name, tensor in merged.items())

    # As this library wrote them before it wrote what PEFT reads.
    before = OUT / "before"
    before.mkdir()
    adapters = load_file(OUT / "peft" / "adapter_model.safetensors")
    save_file({name.removeprefix("base_model.model."): tensor for name, tensor in adapters.items()},
              before / "adapter_model.safetensors")
    settings = {"lora_alpha": 6, "r": 2, "target_modules": ["to_q", "ff", "to_logits"]}
    (before / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n")
