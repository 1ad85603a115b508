"""Curves and picture grids of a report."""

from pathlib import Path

INK, GRID, OURS, THEIRS = "#1b1f24", "#d9dde2", "#0b5fc0", "#c2410c"
CELL, COLUMNS, LABEL = (232, 78), 6, 15


def axes(title: str, x: str, y: str):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, plot = pyplot.subplots(figsize=(6.4, 4.2), dpi=110)
    plot.set(title=title, xlabel=x, ylabel=y)
    plot.grid(color=GRID)
    plot.spines[["top", "right"]].set_visible(False)
    return figure, plot


def save(figure, path: Path) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def reliability(bins: list[dict], calibrated: list[dict], path: Path) -> None:
    figure, plot = axes("How often texts of a confidence are right", "confidence (mean token probability)", "texts that are right")
    plot.plot([0, 1], [0, 1], color=GRID, linewidth=2, label="as often as it says")
    for some, colour, label in ((bins, OURS, "as the model gives it"), (calibrated, THEIRS, "calibrated on the validation set")):
        plot.plot([one["confidence"] for one in some], [one["right"] for one in some], "o-", color=colour, label=label)
    plot.legend(frameon=False)
    save(figure, path)


def rejection(curves: dict[str, list[dict]], path: Path) -> None:
    figure, plot = axes("Errors among what is left", "share rejected, the least sure first", "texts that are wrong")
    for name, lines in curves.items():
        plot.plot([line["rejected"] for line in lines], [line["wrong"] for line in lines], "o-", label=name)
    plot.set_ylim(bottom=0)
    plot.legend(frameon=False)
    save(figure, path)


def grid(cases: list[tuple[Path, str, str]], path: Path) -> None:
    """Pictures with the text that is expected and, below it, the one that was read."""
    from PIL import Image, ImageDraw, ImageFont
    import matplotlib

    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 12)
    rows = -(-len(cases) // COLUMNS)
    sheet = Image.new("RGB", (CELL[0] * COLUMNS, CELL[1] * max(1, rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (file, expected, read) in enumerate(cases):
        x, y = place % COLUMNS * CELL[0] + 4, place // COLUMNS * CELL[1] + 3
        picture = Image.open(file).convert("RGB")
        picture.thumbnail((CELL[0] - 10, CELL[1] - 2 * LABEL - 8))
        sheet.paste(picture, (x, y))
        pen.text((x, y + CELL[1] - 2 * LABEL - 6), expected, fill=INK, font=font)
        pen.text((x, y + CELL[1] - LABEL - 6), read, fill=THEIRS, font=font)
    sheet.save(path, optimize=True)
