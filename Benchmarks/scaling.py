"""Curves of gpt4mm's forward pass against image size, text length, batch and threads. See README.md."""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

import machine  # noqa: E402
import ours  # noqa: E402
from workload import HERE, make_model  # noqa: E402

CONFIG = {"image_size": 512}
COLORS = {"float32": "#d9480f", "bfloat16": "#1971c2", "int8": "#2f9e44"}
PALE = "#868e96"


@dataclass(frozen=True)
class Curve:
    name: str
    option: str
    label: str
    values: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"Forward pass against {self.label}"


def threads_up_to(most: int) -> tuple[int, ...]:
    doublings = {1 << power for power in range(most.bit_length()) if 1 << power <= most}
    return tuple(sorted(doublings | {most}))


def curves(quick: bool) -> list[Curve]:
    cores = len(os.sched_getaffinity(0))
    every = [
        Curve("image-size", "--image-size", "image size, px", (64, 128, 192, 256, 320, 384, 448, 512)),
        Curve("text-length", "--text-length", "text length, tokens", (1, 16, 32, 64, 128, 256, 512, 1024)),
        Curve("batch", "--batch", "batch", (1, 2, 4, 8, 16, 32)),
        Curve("threads", "--threads", "threads", threads_up_to(cores)),
    ]
    if not quick:
        return every
    return [Curve(curve.name, curve.option, curve.label, curve.values[:3]) for curve in every]


def measure(curve: Curve, gpt4mm: Path, model: Path, threads: int, runs: int) -> list[dict[str, Any]]:
    """Every point is a process of its own for every precision, so that its peak memory is its own."""
    points = []
    for value in curve.values:
        options = {"--text-length": 50, "--image-size": 256, "--batch": 1, "--threads": threads} | {curve.option: value}
        flat = [part for pair in options.items() for part in pair]
        for precision in ours.PRECISIONS:
            print(f"{curve.label} {value}, {precision}", file=sys.stderr)
            found = ours.call(
                gpt4mm, "forward", "--model", model, "--precision", precision, *flat, "--runs", runs)
            points += [{"value": value} | result for result in found["results"]]
    return points


def _axes(title: str, x_label: str, y_label: str, values: tuple[int, ...]) -> tuple[plt.Figure, plt.Axes]:
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [str(value) for value in values])
    axes.minorticks_off()
    axes.grid(color="#e9ecef")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: plt.Figure, axes: plt.Axes, file: Path) -> None:
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150, facecolor="white")
    plt.close(figure)


def draw_times(curve: Curve, points: list[dict[str, Any]], limits: dict[int, dict[str, Any]], threads: int, file: Path):
    """Median times; dashed the arithmetic alone at the matrix multiplication rate for as many threads."""
    figure, axes = _axes(curve.title, curve.label, "ms", curve.values)
    for precision, color in COLORS.items():
        mine = [point for point in points if point["precision"] == precision]
        values = [point["value"] for point in mine]
        axes.plot(values, [point["median_seconds"] * 1e3 for point in mine], color=color, marker="o", label=precision)
        used = [value if curve.option == "--threads" else threads for value in values]
        rates = [limits[count]["matmul_gigaflops"][precision] * 1e9 for count in used]
        axes.plot(
            values, [point["flops"] / rate * 1e3 for point, rate in zip(mine, rates)], color=color, linestyle="--",
            linewidth=1)
    axes.plot([], [], color=PALE, linestyle="--", linewidth=1, label="arithmetic alone")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    _save(figure, axes, file)


def draw_memory(curve: Curve, points: list[dict[str, Any]], file: Path) -> None:
    figure, axes = _axes(f"Peak memory against {curve.label}", curve.label, "MB", curve.values)
    for precision, color in COLORS.items():
        mine = [point for point in points if point["precision"] == precision]
        axes.plot(
            [point["value"] for point in mine], [point["peak_memory_bytes"] / 1e6 for point in mine], color=color,
            marker="o", label=precision)
    axes.set_ylim(bottom=0)
    _save(figure, axes, file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpt4mm", required=True, type=Path, help="the command line, built with -c release")
    parser.add_argument("--threads", type=int, default=2, help="where they are not what varies (default: 2)")
    parser.add_argument("--out", required=True, type=Path, help="folder for the pictures and scaling.json")
    parser.add_argument("--quick", action="store_true", help="few points and runs: to see that it works")
    options = parser.parse_args()
    gpt4mm = options.gpt4mm.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    model = HERE / "results" / "scaling-model"
    make_model(gpt4mm, model, CONFIG)

    report: dict[str, Any] = {"machine": machine.describe(options.threads), "curves": {}}
    wanted = curves(options.quick)
    counts = {options.threads, *next(curve.values for curve in wanted if curve.name == "threads")}
    limits = {count: ours.limits(gpt4mm, model, count) for count in sorted(counts)}
    for curve in wanted:
        points = measure(curve, gpt4mm, model, options.threads, 3 if options.quick else 10)
        draw_times(curve, points, limits, options.threads, options.out / f"time-against-{curve.name}.png")
        if curve.name == "text-length":
            draw_memory(curve, points, options.out / f"memory-against-{curve.name}.png")
        report["curves"][curve.name] = points
    report["limits"] = {str(count): value for count, value in limits.items()}
    (options.out / "scaling.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ours.BenchError as error:
        sys.exit(f"scaling.py: {error}")
