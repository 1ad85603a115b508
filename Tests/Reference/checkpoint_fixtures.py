"""Writes Tests/Fixtures/checkpoints: the same weights as PyTorch saves them in every way, and files that must be refused."""

import os
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).parent.parent / "Fixtures" / "checkpoints"


class Command:
    def __reduce__(self):
        return os.system, ("touch pwned",)


class Unknown:
    pass


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    weights = OrderedDict(
        float32=torch.randn(3, 4), float64=torch.randn(2), float16=torch.randn(3).half(), bfloat16=torch.randn(3).bfloat16(),
        int64=torch.tensor([-5, 2**40]), int32=torch.tensor([[1], [-2]], dtype=torch.int32),
        int16=torch.tensor([-300, 7], dtype=torch.int16), int8=torch.tensor([-3, 4], dtype=torch.int8),
        uint8=torch.tensor([200, 1, 0], dtype=torch.uint8), bool=torch.tensor([True, False, True]),
        scalar=torch.tensor(2.5), empty=torch.zeros(0, 3), parameter=torch.nn.Parameter(torch.randn(2, 2)),
        transposed=base.t(), column=base[:, 2], shared=base[1:3],
    )
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.randn(4, 2)).sum().backward()
    optimizer.step()

    torch.save(weights, OUT / "plain.pt")
    torch.save(weights, OUT / "legacy.pt", _use_new_zipfile_serialization=False)
    save_file({k: v.detach().clone().contiguous() for k, v in weights.items()}, OUT / "plain.safetensors")
    nested = {"epoch": 3, "loss": 0.25, "name": "run", "model": module.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(nested, OUT / "nested.pt")
    torch.save(nested, OUT / "nested-legacy.bin", _use_new_zipfile_serialization=False)
    save_file({k: v.clone() for k, v in module.state_dict().items()}, OUT / "nested.safetensors")
    torch.save({"weight": torch.ones(2), "run": Command()}, OUT / "command.pt")
    torch.save({"weight": torch.ones(2), "run": Command()}, OUT / "command-legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"weight": torch.ones(2), "extra": Unknown()}, OUT / "unknown.pt")
    torch.save({"epoch": 3, "history": [1, 2]}, OUT / "no-weights.pt")
