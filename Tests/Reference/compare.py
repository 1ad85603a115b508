"""python compare.py a.safetensors b.safetensors: the largest difference of their logits."""

import sys

from safetensors.torch import load_file

a, b = (load_file(path)["logits"].float() for path in sys.argv[1:3])
print(f"shape {list(a.shape)}, largest absolute difference {(a - b).abs().max().item():.3g}")
