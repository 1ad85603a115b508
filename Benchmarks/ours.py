"""One-shot calls of `gpt4mm bench --json`."""

import json
import subprocess
from pathlib import Path
from typing import Any

import processes

PRECISIONS = ("float32", "bfloat16", "int8")
RATE = "memory_read_gigabytes_per_second"


class BenchError(Exception):
    pass


def call(gpt4mm: Path, work: str, *options: Any) -> dict[str, Any]:
    command = [str(part) for part in (gpt4mm, "bench", "--work", work, *options, "--json")]
    finished = processes.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        said = (finished.stderr.strip().splitlines() or ["without a message"])[-1]
        raise BenchError(f"gpt4mm bench --work {work} ended with exit code {finished.returncode}: {said}")
    try:
        return json.loads(finished.stdout)
    except json.JSONDecodeError:
        raise BenchError(f"gpt4mm bench --work {work} printed no JSON: {finished.stdout[:200]}") from None


def limits(gpt4mm: Path, model: Path, threads: int) -> dict[str, Any]:
    """What the machine can do: memory_read_gigabytes_per_second and matmul_gigaflops by precision."""
    return call(gpt4mm, "limits", "--model", model, "--threads", threads)["limits"]


def best_limits(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What the machine can do is the best that it was seen to do."""
    flops = {
        precision: max(value, after["matmul_gigaflops"][precision])
        for precision, value in before["matmul_gigaflops"].items()
    }
    return before | {RATE: max(before[RATE], after[RATE]), "matmul_gigaflops": flops}
