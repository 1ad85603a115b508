"""Loads the adapters that a run left beside its base model with PEFT, and compares with the model that the run left.

    python load_adapter.py BASE RUN
"""

import sys
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file

from module_tree import module_tree

if __name__ == "__main__":
    base, run = map(Path, sys.argv[1:])
    names = load_file(run / "adapter" / "adapter_model.safetensors")
    model = PeftModel.from_pretrained(module_tree(load_file(base / "model.safetensors")), run / "adapter")
    loaded = {name.replace(".default.", "."): tensor for name, tensor in model.state_dict().items() if "lora_" in name}
    assert loaded.keys() == names.keys(), loaded.keys() ^ names.keys()
    assert all(torch.equal(tensor, names[name]) for name, tensor in loaded.items())
    expected = module_tree(load_file(run / "model.safetensors"))
    worst = 0.0
    layers = dict(expected.named_modules())
    with torch.no_grad():
        for name, layer in model.get_base_model().named_modules():
            if not hasattr(layer, "lora_A"):
                continue
            x = torch.randn(8, layer.in_features)
            wanted = layers[name](x)
            worst = max(worst, ((layer(x) - wanted).abs().max() / wanted.abs().max()).item())
    print(f"{len(names) // 2} adapters are loaded; outputs differ by at most {worst:.1e} of the largest")
    sys.exit(worst > 1e-5)
