"""The linear layers of a model as PyTorch modules, from its tensors' names."""

import torch


def module_tree(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    root = torch.nn.Module()
    for name, weight in weights.items():
        *path, kind = name.split(".")
        if kind != "weight" or weight.ndim != 2 or path[-1] == "emb":
            continue
        module = root
        for part in path[:-1]:
            if not hasattr(module, part):
                module.add_module(part, torch.nn.Module())
            module = getattr(module, part)
        bias = weights.get(".".join([*path, "bias"]))
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        with torch.no_grad():
            layer.weight.copy_(weight)
            if bias is not None:
                layer.bias.copy_(bias)
        module.add_module(path[-1], layer)
    return root
