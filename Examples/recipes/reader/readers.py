"""The readers that are compared: the model through gpt4mm, and Debian's tesseract, each on one core."""

import json
import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from support import Failure

HEIGHT, BORDER = 40, 12  # of an enlarged picture, in pixels
MODES = (7, 8, 13)  # of tesseract's page segmentation: a line, a word, a line as it is
BATCH = 32


@dataclass(frozen=True)
class PictureSet:
    """Pictures in a folder with a metadata.jsonl, and larger ones with a border beside them."""
    name: str
    folder: Path
    enlarged: Path
    records: list[dict]  # with file_name

    @property
    def texts(self) -> list[str]:
        return [record["text"] for record in self.records]


def on_one_core(command: list[str], **more) -> tuple[str, float]:
    """Standard output, and the seconds that it took."""
    core = max(os.sched_getaffinity(0))
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMP_THREAD_LIMIT="1", VIPS_CONCURRENCY="1")
    began = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, env=environment,
                            preexec_fn=lambda: os.sched_setaffinity(0, {core}), **more)
    seconds = time.monotonic() - began
    if result.returncode != 0:
        said = result.stderr.strip().splitlines()
        raise Failure(f"{' '.join(command[:2])} failed: {said[-1] if said else 'no message'}")
    return result.stdout, seconds


# MARK: The model


def read(gpt4mm: Path, model: Path, of: PictureSet, precision: str, output: Path) -> tuple[list[dict], dict]:
    """Each picture's text and confidence in the set's order, and the figures that `evaluate` gives."""
    said, _ = on_one_core([str(gpt4mm), "evaluate", "--model", str(model), "--data", str(of.folder), "--precision", precision,
                           "--batch-size", str(BATCH), "--threads", "1", "--json", "--output", str(output)])
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    by_name = {line["picture"]: line for line in lines}
    return [by_name[record["file_name"]] for record in of.records], json.loads(said)


# MARK: tesseract


def enlarge(picture):
    """As high as tesseract likes it, with a border of the edge's colour."""
    from PIL import Image, ImageOps

    picture = picture.convert("RGB")
    edge = [picture.getpixel((x, y)) for x in range(picture.width) for y in (0, picture.height - 1)]
    colour = tuple(round(statistics.median(part)) for part in zip(*edge))
    size = max(1, round(picture.width * HEIGHT / picture.height)), HEIGHT
    return ImageOps.expand(picture.resize(size, Image.Resampling.BICUBIC), BORDER, colour)


def tesseract(of: PictureSet, mode: int, is_enlarged: bool, count: int | None = None) -> tuple[list[str], float]:
    """Each picture's text, and the seconds; one process for all."""
    folder = of.enlarged if is_enlarged else of.folder
    names = [Path(record["file_name"]).with_suffix(".png") if is_enlarged else record["file_name"] for record in of.records[:count]]
    listed = of.folder.parent / "list.txt"
    listed.write_text("".join(f"{folder / name}\n" for name in names), encoding="utf-8")
    said, seconds = on_one_core(["tesseract", str(listed), "stdout", "-l", "eng", "--psm", str(mode)])
    texts = [" ".join(page.split()) for page in said.split("\f")]
    if len(texts) != len(names):
        raise Failure(f"tesseract gave {len(texts)} texts for {len(names)} pictures: use Debian 12's tesseract-ocr")
    return texts, seconds
