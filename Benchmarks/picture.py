"""The rows as one picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from report import duration  # noqa: E402

OURS, OTHER, INK, PALE = "#d9480f", "#adb5bd", "#212529", "#868e96"
COLUMNS = 2
plt.rcParams.update({"font.size": 9, "text.color": INK})


def _panel(axes: plt.Axes, row: dict[str, Any], most: int) -> None:
    measured = [c for c in row["contenders"] if c["seconds"] and not c["name"].startswith("reading")]
    times = [contender["median_seconds"] for contender in measured]
    reference = next((c["median_seconds"] for c in measured if c["is_ours"]), times[0])
    colors = [OURS if contender["is_ours"] else OTHER for contender in measured]
    axes.barh(range(len(measured)), [time / reference for time in times], color=colors, height=0.68)
    widest = max(times) / reference
    for place, (contender, time) in enumerate(zip(measured, times)):
        label = duration(time)
        end = max(time, contender["limit_seconds"] or 0) / reference
        if not contender["is_ours"]:
            label += f"  ({time / reference:.2f}x)"
        axes.text(end + widest * 0.015, place, label, va="center")
        if contender["limit_seconds"]:
            limit = contender["limit_seconds"] / reference
            axes.plot([limit, limit], [place - 0.34, place + 0.34], color=INK, linewidth=1.2, linestyle=(0, (2, 1)))
    axes.set_yticks(range(len(measured)), [contender["name"] for contender in measured])
    axes.set_xlim(0, widest * 1.45)
    axes.set_ylim(most - 0.4, -0.6)  # bars of one thickness in panels side by side
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(PALE)
    axes.set_title(row["name"], loc="left", fontweight="bold", fontsize=10, pad=18)
    axes.text(0, 1.0, row["title"], transform=axes.transAxes, color=PALE, fontsize=8, va="bottom")


def draw(report: dict[str, Any], file: Path) -> None:
    """Median times; gpt4mm is 1 in every row, a dashed mark is what the machine's limits would allow."""
    rows = [row for row in report["rows"] if any(contender["seconds"] for contender in row["contenders"])]
    if not rows:
        return
    lines = [rows[at : at + COLUMNS] for at in range(0, len(rows), COLUMNS)]
    most = [max(len(row["contenders"]) for row in line) for line in lines]
    height = sum(0.26 * bars + 0.55 for bars in most) + 0.4
    figure, panels = plt.subplots(
        len(lines), COLUMNS, figsize=(10, height), squeeze=False, layout="constrained",
        gridspec_kw={"height_ratios": most})
    for at, (axes, row) in enumerate(zip(panels.flat, rows)):
        _panel(axes, row, most[at // COLUMNS])
    for axes in panels.flat[len(rows) :]:
        axes.set_visible(False)
    machine = report["machine"]
    held = "" if machine["instruction_set"] == "native" else ", held to AVX2"
    figure.suptitle(
        f"{machine['cpu']}, {machine['class']}{held}, {machine['threads']} threads. Median times; less is better; "
        "dashed: the machine's limit.", fontsize=8, color=PALE, x=0.01, ha="left")
    figure.savefig(file, dpi=150, facecolor="white")
    plt.close(figure)
