"""The folder that all contenders of a run read from: models with the same weights, inputs, and ONNX files."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import processes
from rows import Contender

HERE = Path(__file__).parent
SEED = 1
NUM_TOKENS = 20000
# model folder: its config.json; whatever is missing has its documented default
CONFIGS = {
    "zetascale": {"compatibility": "zetascale"},
    "documented": {"compatibility": "documented"},
    "no-rotary": {"compatibility": "zetascale", "rotary_xpos": False},
}
# input file: (pictures and texts, tokens per text)
INPUTS = {"one": (1, 50), "prompt": (1, 1), "batch8": (8, 50), "unequal8": (8, 8)}
# how many of each text's tokens generation begins with; one where nothing is said
LENGTHS = {"unequal8": np.arange(1, 9)}


@dataclass(frozen=True)
class WorkFolder:
    path: Path

    def model(self, name: str) -> Path:
        return self.path / "models" / name

    def input(self, name: str) -> Path:
        return self.path / f"{name}.safetensors"

    def output(self, name: str) -> Path:
        return self.path / "outputs" / f"{name}.safetensors"

    def log(self, name: str) -> Path:
        return self.path / "outputs" / f"{name}.log"

    @property
    def onnx(self) -> Path:
        return self.path / "onnx"


def make_model(gpt4mm: Path, folder: Path, config: dict, seed: int = SEED) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    given = folder.with_suffix(".json")
    given.write_text(json.dumps(config))
    processes.run(
        [gpt4mm, "init", "--config", given, "--seed", str(seed), "--out", folder],
        stdout=subprocess.DEVNULL).check_returncode()


def draw_inputs(generator: np.random.Generator, batch: int, length: int) -> dict[str, np.ndarray]:
    img = generator.standard_normal((batch, 3, 256, 256), dtype=np.float32)
    return {"img": img, "text": generator.integers(0, NUM_TOKENS, (batch, length))}


def prepare(gpt4mm: Path, path: Path) -> WorkFolder:
    """Everything anew except the ONNX files: a few seconds."""
    work = WorkFolder(path)
    for part in ("models", "outputs"):
        shutil.rmtree(path / part, ignore_errors=True)
        (path / part).mkdir(parents=True)
    for name, config in CONFIGS.items():
        make_model(gpt4mm, work.model(name), config)
    generator = np.random.default_rng(SEED)
    for name, (batch, length) in INPUTS.items():
        drawn = draw_inputs(generator, batch, length)
        save_file(drawn | ({"lengths": LENGTHS[name]} if name in LENGTHS else {}), work.input(name))
    return work


def _digest(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        with open(file, "rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()


def missing_exports(work: WorkFolder, contenders: Iterable[Contender]) -> dict[str, list]:
    """What has to be made for ONNX Runtime and OpenVINO, with its command: nothing that was already made of the same
    weights by the same scripts."""
    model, one = work.model("zetascale"), work.input("one")
    sources = (HERE / name for name in ("zetascale.py", "quantized.py", "workload.py", "requirements.txt"))
    digest = _digest((model / "config.json", model / "model.safetensors", one, *sources))
    made_of = work.onnx / "made-of"
    if not made_of.exists() or made_of.read_text() != digest:
        shutil.rmtree(work.onnx, ignore_errors=True)
        work.onnx.mkdir()
        made_of.write_text(digest)
    exports: dict[str, list] = {}
    for contender in contenders:
        if contender.maker in ("onnxruntime", "openvino"):
            exports["float32"] = [HERE / "zetascale.py", model, one, work.onnx]
            if contender.precision == "int8":
                exports[f"{contender.maker}-int8"] = [HERE / "quantized.py", contender.maker, work.onnx]
    missing = {name: command for name, command in exports.items() if not (work.onnx / f"{name}.done").exists()}
    return {name: missing[name] for name in sorted(missing, key=lambda name: name != "float32")}


def export(work: WorkFolder, exports: dict[str, list]) -> None:
    """On failure those who need the files report it; the logs are outputs/export-*.log."""
    for name, command in exports.items():
        print(f"exporting: {name}...", file=sys.stderr)
        log_file = work.log(f"export-{name}")
        with open(log_file, "w") as log:
            failed = processes.run([sys.executable, *command], stdout=log, stderr=log).returncode
        if failed:
            print(f"The export failed, see {log_file}", file=sys.stderr)
        else:
            (work.onnx / f"{name}.done").touch()
