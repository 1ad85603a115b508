"""Writes Tests/Fixtures/tensors: what PyTorch's operators, printing and SGD make of a few tensors."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUT = Path(__file__).parent.parent / "Fixtures" / "tensors"

torch.manual_seed(3)
x, y = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
n = torch.randint(-5, 6, (3, 4))
v, w = torch.randn(4), torch.randn(3)
image, kernel, bias = torch.randn(2, 4, 6, 5), torch.randn(6, 2, 3, 3), torch.randn(6)
picked = torch.tensor([[[1, 0, 2, 0]], [[2, 2, 1, 0]]])
INPUTS = {"x": x, "y": y, "n": n, "v": v, "w": w, "image": image, "kernel": kernel, "bias": bias, "picked": picked}

EXPECTED = {
    "add": x + y, "scalars": 2 - 3 * x / 4 + 1 / (x * x + 1), "integers": n * 2 - 1, "kinds": n + 1.5, "halves": n / 2,
    "remainder": n % 3, "mixed": 1 - n, "pow": y.abs().pow(0.3), "square": x.square(), "reciprocal": x.reciprocal(),
    "sign": x.sign(), "floor": (x * 3).floor(), "ceil": (x * 3).ceil(), "trunc": (x * 3).trunc(), "round": (x * 3).round(),
    "log2": x.abs().log2(), "log10": x.abs().log10(), "log1p": x.abs().log1p(), "tan": x.tan(), "erf": x.erf(),
    "lerp": x.lerp(y, 0.3), "outer": v.outer(w), "einsum": torch.einsum("bij,bkj->bik", x, y),
    "std": x.std(), "std1": x.std([1]), "var": x.var([0, 2], correction=0), "prod": x.prod(), "prod1": x.prod(1), "max": x.max(),
    "min": x.min(), "min1": x.min(1).values, "argmin": x.argmin(1), "median": x.median(), "quantile": x.quantile(0.3, 2),
    "all": (x > -1).all(1), "cumprod": x.cumprod(2), "norm1": x.norm(1, 2), "argsort": x.argsort(2), "unique": n.unique(),
    "unique counts": n.unique(return_counts=True)[1], "mean": x.mean(-1), "sum": x.sum(0),
    "less": x < y, "equal": n == 1, "unequal": n != n.flip(0), "at least": x >= 0.5, "mask": (x > 0) & ~(y > 0) | (x < -1),
    "xor": (x > 0) ^ (y > 0), "isnan": (x.log()).isnan(), "isinf": (x.floor().reciprocal()).isinf(), "isclose": x.isclose(x + 1e-6),
    "where": torch.where(x > 0, x, y), "where scalar": torch.where(x > 0, x, 7.0),
    "eye": torch.eye(3), "linspace": torch.linspace(-1, 2, 7), "arange": torch.arange(0, 1, 0.3), "onehot": F.one_hot(picked, 4),
    "flatten": x.flatten(1), "squeeze": x[:1, :, :1].squeeze(), "roll": x.roll(1, 2), "repeat": w.repeat(2, 2), "diagonal": n.diagonal(1),
    "diag": v.diag(), "split": n.split(2, 1)[1], "chunk": n.chunk(3, 1)[1], "stack": torch.stack([x, y], 1),
    "gather": x.gather(1, picked), "scatter": x.scatter(1, picked, y), "scatter scalar": x.scatter(1, picked, 9.0),
    "scatter add": x.scatter_add(1, picked, y), "nonzero": n.nonzero(),
    "leaky": F.leaky_relu(x, 0.2), "silu": F.silu(x), "softplus": F.softplus(x),
    "conv2d": F.conv2d(image, kernel, bias, stride=2, padding=1, groups=2), "max pool": F.max_pool2d(image, 2),
    "avg pool": F.avg_pool2d(image, 3, stride=1), "adaptive": F.adaptive_avg_pool2d(image, (2, 3)), "group norm": F.group_norm(image, 2),
    "pad": F.pad(x, (1, 2, 0, 1), value=3), "normalize": F.normalize(x, dim=2), "cosine": F.cosine_similarity(x, y, dim=2),
    "mse": F.mse_loss(x, y), "l1": F.l1_loss(x, y), "bce": F.binary_cross_entropy_with_logits(x, y.sigmoid()),
    # Subscripts.
    "integer": x[1], "negative": x[-1, -2], "range": x[0, 1:3], "from the end": x[..., -2:], "stride": x[:, ::2, 1:-1], "column": n[:, 2],
    "new axis": n[:, None, 1:], "ellipsis": x[0, ..., 1], "mask read": x[x > 0], "rows": n[torch.tensor([2, 0])], "row mask": n[w > 0, 1:],
    "mask of two": x[x[..., 0] > 0], "mask behind": image[0, (x[0] > 0)[:, :4].new_ones(4, 6).bool(), 2],
    "pairs": n[torch.tensor([2, 0]), torch.tensor([1, 3])], "behind a slice": x[:, torch.tensor([2, 0]), 1],
}


def written(base, write):
    """A copy of the tensor that was written into."""
    copy = base.clone()
    write(copy)
    return copy


EXPECTED |= {
    "put scalar": written(x, lambda t: t.__setitem__((0, slice(1, 3)), 5.0)),
    "put row": written(x, lambda t: t.__setitem__((slice(None), 1), v)),
    "put mask": written(x, lambda t: t.__setitem__(x > 0, 0)),
    "put masked rows": written(n, lambda t: t.__setitem__((w > 0, slice(1, None)), -1)),
    "put indices": written(n, lambda t: t.__setitem__(torch.tensor([2, 0]), torch.arange(4))),
    "put stride": written(n, lambda t: t.__setitem__((slice(None), slice(0, None, 2)), 9)),
}

PRINTED = {
    "scalar": torch.tensor(3.5), "integer": torch.tensor(7), "vector": torch.tensor([1.0, 2.5, -3.0]), "whole": torch.tensor([1.0, 20.0, -3.0]),
    "ints": torch.tensor([[1, -20], [300, 4]]), "large ints": torch.tensor([2**53 + 1, -1]), "cube": x, "long": torch.arange(30.0) / 7,
    "special": torch.tensor([1.0, float("nan"), -float("inf"), 0.25]), "whole special": torch.tensor([1.0, float("nan"), float("inf")]),
    "zeros": torch.zeros(2, 3), "small": torch.tensor([1e-5, 1.0]), "large": torch.tensor([1e9, 3.0]), "bytes": torch.arange(5, dtype=torch.uint8),
    "half": torch.tensor([0.1, 2.0], dtype=torch.bfloat16), "double": torch.tensor([[0.1], [12.0]], dtype=torch.float64), "empty": torch.zeros(0, 2),
    "many": torch.arange(2000.0), "matrix": torch.arange(10000.0).reshape(100, 100), "wide": torch.arange(4000).reshape(2, 2000),
    "deep": torch.arange(2400.0).reshape(2, 3, 20, 20), "mixed": torch.tensor([1e-3, 0.5, 0.0]), "one": torch.tensor([[[4]]]),
}


def sgd(momentum, nesterov, decay):
    """Parameters after some steps of PyTorch's SGD."""
    torch.manual_seed(5)
    parameter = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=decay, foreach=False)
    for step in range(4):
        optimizer.zero_grad()
        (parameter * parameter * (step + 1)).sum().backward()
        optimizer.step()
    return parameter.detach()


for name, arguments in {"plain": (0, False, 0), "decay": (0, False, 0.2), "momentum": (0.9, False, 0.1), "nesterov": (0.9, True, 0.1)}.items():
    EXPECTED[f"sgd {name}"] = sgd(*arguments)

if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    tensors = {f"input {k}": t for k, t in INPUTS.items()} | EXPECTED | {f"printed {k}": t for k, t in PRINTED.items() if t.numel() <= 1000}
    save_file({k: t.contiguous().clone() for k, t in tensors.items()}, OUT / "tensors.safetensors")
    # Without what follows the values: PyTorch names a dtype in some cases only.
    texts = {k: torch._tensor_str._tensor_str(t, 7) for k, t in PRINTED.items()}
    (OUT / "printed.json").write_text(json.dumps(texts, indent=1) + "\n")
