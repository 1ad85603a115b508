"""What the figures were measured on."""

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "zetascale", "onnxruntime", "openvino", "nncf", "onnx", "transformers", "einops", "numpy")
# What holds the contenders to an instruction set: LibTorch and gpt4mm, the MKL in PyTorch, oneDNN in PyTorch and OpenVINO.
HELD_TO = {
    "native": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}
MLAS = "MLAS (all of ONNX Runtime's products, OpenVINO's in float32)"


def _has(*flags: str) -> bool:
    return any(flag in (_field("/proc/cpuinfo", "flags") or "").split() for flag in flags)


def has_avx2() -> bool:
    return _has("avx2")


def has_avx512() -> bool:
    return _has("avx512f")


def cache_bytes() -> int:
    """The largest cache of a core, which may be shared; 0 where the system does not say."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    sizes = [file.read_text().strip() for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(size.rstrip("KMG")) * units.get(size[-1:], 1) for size in sizes), default=0)


def machine_class() -> str:
    widest = "AVX-512" if has_avx512() else "AVX2" if has_avx2() else platform.machine()
    kinds = [name for name, flags in (
        ("bfloat16", ("avx512_bf16",)), ("int8", ("avx512_vnni", "avx_vnni"))) if _has(*flags)]
    return f"{widest} with {' and '.join(kinds)} dot products" if kinds else widest


def instructions(instruction_set: str) -> str:
    """What the contenders may use, in words."""
    here = machine_class()
    if here == "AVX2":
        return "AVX2 alone: this machine has no AVX-512 and no int8 dot products"
    if instruction_set == "native":
        return f"{here}, of which everybody uses what it can"
    return f"{here}, of which everybody is held to AVX2; but {MLAS} has no switch and uses what the machine has"


def describe(threads: int, instruction_set: str = "native") -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "class": machine_class(),
        "instruction_set": instruction_set,
        "instructions": instructions(instruction_set),
        "cores": os.cpu_count(),
        "threads": threads,
        "cache_bytes": cache_bytes(),
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": _commit(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _field(file: str, name: str) -> str | None:
    for line in Path(file).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit that the checkout is at."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None
    except OSError:
        return None
