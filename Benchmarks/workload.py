"""The folder that all contenders of a run read from: models with the same weights, inputs, and ONNX files."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
SEED = 1
NUM_TOKENS = 20000
# model folder: its config.json; whatever is missing has its documented default
CONFIGS = {
    "zetascale": {"compatibility": "zetascale"},
    "documented": {"compatibility": "documented"},
    "no-rotary": {"compatibility": "zetascale", "rotary_xpos": False},
}
# input file: (images, texts, tokens per text)
INPUTS = {"one": (1, 50), "prompt": (1, 1), "batch8": (8, 50)}


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
    subprocess.run(
        [gpt4mm, "init", "--config", given, "--seed", str(seed), "--out", folder], check=True,
        stdout=subprocess.DEVNULL)


def prepare(gpt4mm: Path, path: Path) -> WorkFolder:
    """Everything anew except the ONNX files: a few seconds."""
    shutil.rmtree(path, ignore_errors=True)
    work = WorkFolder(path)
    (path / "outputs").mkdir(parents=True)
    work.onnx.mkdir()
    for name, config in CONFIGS.items():
        make_model(gpt4mm, work.model(name), config)
    generator = np.random.default_rng(SEED)
    for name, (batch, length) in INPUTS.items():
        img = generator.standard_normal((batch, 3, 256, 256), dtype=np.float32)
        text = generator.integers(0, NUM_TOKENS, (batch, length))
        save_file({"img": img, "text": text}, work.input(name))
    return work


def export_onnx(work: WorkFolder) -> None:
    """On failure those who need the files report it; the log is outputs/export.log."""
    command = [sys.executable, HERE / "zetascale.py", work.model("zetascale"), work.input("one"), work.onnx]
    with open(work.log("export"), "w") as log:
        if subprocess.run(command, stdout=log, stderr=log).returncode:
            print(f"The export to ONNX failed, see {work.log('export')}", file=sys.stderr)
