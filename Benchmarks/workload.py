"""The folder that all contenders of a run read from: models with the same weights, inputs, and ONNX files.

Each checkpoint of Hugging Face has such a folder of its own within it: see checkpoints.py."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

    def of(self, contender: Contender) -> "WorkFolder":
        """Where the contender's model and inputs are."""
        return WorkFolder(self.path / "checkpoints" / contender.checkpoint) if contender.checkpoint else self


@dataclass(frozen=True)
class Export:
    """Something that a script makes once, kept in `folder` until what it is made of changes."""

    folder: Path
    name: str
    command: tuple[Any, ...]

    @property
    def done(self) -> Path:
        return self.folder / f"{self.name}.done"


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


def _renew(folder: Path, *made_of: Path) -> None:
    """Empties the folder unless it was made of these files as they are."""
    digest, known = _digest((*made_of, HERE / "workload.py", HERE / "requirements.txt")), folder / "made-of"
    if not known.exists() or known.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        known.write_text(digest)


def _house_exports(work: WorkFolder, contenders: list[Contender]) -> list[Export]:
    model, one = work.model("zetascale"), work.input("one")
    scripts = HERE / "zetascale.py", HERE / "quantized.py"
    _renew(work.onnx, model / "config.json", model / "model.safetensors", one, *scripts)
    exports = [Export(work.onnx, "float32", (scripts[0], model, one, work.onnx))]
    for maker in sorted({contender.maker for contender in contenders if contender.precision == "int8"}):
        exports.append(Export(work.onnx, f"{maker}-int8", (scripts[1], maker, work.onnx)))
    return exports if contenders else []


def _checkpoint_exports(work: WorkFolder, shape: str, contenders: list[Contender]) -> list[Export]:
    script, reference = HERE / "checkpoints.py", HERE.parent / "Tests" / "Reference"
    _renew(work.path, script, reference / "family_full_size.py", reference / "family_expected.py")
    exports = [Export(work.path, f"{shape}-model", (script, "model", shape, work.path))]
    names = ["float32"] if contenders else []
    names += sorted({f"{contender.maker}-int8" for contender in contenders if contender.precision == "int8"})
    return exports + [Export(work.path, f"{shape}-{name}", (script, name, work.path)) for name in names]


def missing_exports(work: WorkFolder, contenders: Iterable[Contender]) -> list[Export]:
    """What has to be made for these contenders, in this order: nothing that was already made of the same weights by the
    same scripts."""
    exports: list[Export] = []
    by_checkpoint: dict[str, list[Contender]] = {}
    for contender in contenders:
        by_checkpoint.setdefault(contender.checkpoint, []).append(contender)
    for shape, all_of_it in by_checkpoint.items():
        readers = [contender for contender in all_of_it if contender.maker in ("onnxruntime", "openvino")]
        own = work.of(all_of_it[0])
        exports += _checkpoint_exports(own, shape, readers) if shape else _house_exports(own, readers)
    return [export for export in exports if not export.done.exists()]


def export(work: WorkFolder, exports: list[Export]) -> None:
    """On failure those who need the files report it; the logs are outputs/export-*.log."""
    for wanted in exports:
        print(f"exporting: {wanted.name}...", file=sys.stderr)
        log_file = work.log(f"export-{wanted.name}")
        with open(log_file, "w") as log:
            failed = processes.run([sys.executable, *wanted.command], stdout=log, stderr=log).returncode
        if failed:
            print(f"The export failed, see {log_file}", file=sys.stderr)
        else:
            wanted.done.touch()
