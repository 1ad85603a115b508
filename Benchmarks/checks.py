"""Whether contenders computed the right thing."""

from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401, teaches numpy bfloat16
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

# The most that float32 may differ from zetascale in float32, in any value.
FLOAT32_TOLERANCE = 1e-3
# For the others the largest and the mean difference, as a share of the standard deviation of what zetascale computes
# in float32. Random weights make logits of a standard deviation of 0.58; OpenVINO and PyTorch in bfloat16 differ by
# 0.03 and 0.02 at most (0.05 and 0.03 of it), 0.004 and 0.003 on average.
TOLERANCES = {"bfloat16": (0.2, 0.02), "int8": (0.6, 0.06)}
# In five training steps the loss falls from 10.1 to 8.1.
LOSS_TOLERANCES = {"float32": 1e-3, "bfloat16": 0.02}
# A mean difference of this share of the standard deviation is no matter of precision any more: results that have
# nothing to do with each other differ by 1.1 of it.
BROKEN = 0.5


def compare(output: Path, reference: Path, precision: str) -> dict[str, Any]:
    """`max` and `mean` of the absolute differences, what was `allowed`, whether it `passed`, and whether it is `broken`:
    wrong by more than a reduced precision explains."""
    (name, right), = load_file(reference).items()
    nothing = {"max": None, "mean": None, "passed": False, "broken": True}
    try:
        computed = load_file(output).get(name)
    except (OSError, SafetensorError, TypeError) as error:
        return {**nothing, "allowed": f"{name}, but the output is unreadable: {error}"}
    if computed is None or computed.shape != right.shape:
        found = "nothing" if computed is None else f"shape {list(computed.shape)}"
        return {**nothing, "allowed": f"{name} {list(right.shape)}, but found {found}"}
    if name == "tokens":
        different = computed != right
        return {
            "max": float(different.max()), "mean": float(different.mean()), "passed": not different.any(),
            "broken": bool(different.any()), "allowed": "equal tokens",
        }
    difference = np.abs(computed.astype(np.float64) - right)
    largest, mean = float(difference.max()), float(difference.mean())
    if name == "losses":
        most, most_on_average = LOSS_TOLERANCES[precision], np.inf
        allowed = f"losses within {most:g}"
    elif precision == "float32":
        most, most_on_average = FLOAT32_TOLERANCE, np.inf
        allowed = f"within {most:g}"
    else:
        most, most_on_average = (share * float(right.std()) for share in TOLERANCES[precision])
        allowed = f"within {most:.3g}, {most_on_average:.2g} on average"
    passed = largest <= most and mean <= most_on_average  # not for NaN
    broken = not passed and (precision == "float32" or not mean <= BROKEN * float(right.std()))
    return {"max": largest, "mean": mean, "passed": passed, "broken": broken, "allowed": allowed}
