"""A report's figures as Markdown tables, and the tables of a page that are filled with them."""

import re
from pathlib import Path

from support import Failure

FLOAT, BFLOAT, INT8, THEIRS = "float32", "bfloat16", "int8", "tesseract"
PRECISIONS = FLOAT, BFLOAT, INT8
LEAST_GROUP = 30  # pictures, below which a group has no line


def table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---" if place == 0 else "---:" for place in range(len(head))], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def with_interval(figure: list[float], digits: int = 1) -> str:
    value, low, high = (percent(one, digits) for one in figure)
    return f"{value} ({low} to {high})"


def shown(text: str) -> str:
    return "`" + text.replace("|", "\\|").replace("`", "'") + "`" if text else "nothing"


# MARK: Parts


def bars(report: dict, wanted: dict, faster: float, int8_points: float) -> list[dict]:
    """Each bar with what was measured and whether it is met."""
    lines = []
    for name, (bar, is_met) in wanted.items():
        ours, theirs = (100 * report["sets"][name]["readers"][reader]["cer"][0] for reader in (FLOAT, THEIRS))
        lines.append({"what": f"{name}: character errors {bar}", "ours": f"{ours:.2f} %", "theirs": f"{theirs:.2f} %",
                      "met": bool(is_met(ours, theirs))})
    for name, speed in report["speed"].items():
        ours, theirs = max(speed[precision][0] for precision in PRECISIONS), speed[THEIRS][0]
        lines.append({"what": f"{name}: at least {faster} times the pictures per second", "ours": f"{ours:.0f}", "theirs": f"{theirs:.0f}",
                      "met": ours >= faster * theirs})
    more = max(100 * part["int8_more"][0] for part in report["sets"].values())
    lines.append({"what": f"int8: at most {int8_points} points more character errors", "ours": f"{more:+.2f}", "theirs": "",
                  "met": more <= int8_points})
    return lines


def bar_table(report: dict) -> str:
    return table(["bar", "this model", "tesseract", "met"],
                 [[line["what"], line["ours"], line["theirs"], "yes" if line["met"] else "**no**"] for line in report["bars"]])


def summary(report: dict) -> str:
    lines = []
    for name, part in report["sets"].items():
        ours, theirs = part["readers"][FLOAT], part["readers"][THEIRS]
        lines.append([f"`{name}`", str(part["pictures"]), with_interval(ours["cer"]), with_interval(theirs["cer"]),
                      with_interval(ours["exact"]), with_interval(theirs["exact"]), part["tesseract_mode"]])
    head = ["set", "pictures", "character errors, %", "tesseract's, %", "exactly right, %", "tesseract's, %", "tesseract's best mode"]
    return table(head, lines)


def folded(report: dict) -> str:
    lines = [[f"`{name}`", *(with_interval(part["readers"][reader]["folded"]) for reader in (FLOAT, THEIRS))]
             for name, part in report["sets"].items()]
    return table(["quotes, dashes and dots taken as typed ones", "character errors, %", "tesseract's, %"], lines)


def speed(report: dict) -> str:
    lines = []
    for name, rates in report["speed"].items():
        each = {reader: "{:.0f} ({:.0f} to {:.0f})".format(*rate) for reader, rate in rates.items()}
        times = (f"{rates[precision][0] / rates[THEIRS][0]:.1f}" for precision in PRECISIONS)
        lines.append([f"`{name}`", *each.values(), " / ".join(times)])
    return table(["pictures per second", *PRECISIONS, "tesseract", "times tesseract's"], lines)


def precisions(report: dict) -> str:
    lines = [[f"`{name}`", *(percent(part["readers"][reader]["cer"][0], 2) for reader in PRECISIONS),
              "{:+.2f} ({:+.2f} to {:+.2f})".format(*(100 * end for end in part["int8_more"]))]
             for name, part in report["sets"].items()]
    return table(["character errors, %", *PRECISIONS, "int8 more, points"], lines)


def grouped(report: dict, kind: str) -> str:
    lines = []
    for name, part in report["sets"].items():
        for group, figures in sorted(part["groups"].get(kind, {}).items(), key=lambda item: group_order(item[0])):
            if figures[FLOAT]["pictures"] >= LEAST_GROUP:
                lines.append([f"`{name}`", group, str(figures[FLOAT]["pictures"]), with_interval(figures[FLOAT]["cer"]),
                              with_interval(figures[THEIRS]["cer"]), percent(figures[FLOAT]["exact"][0]),
                              percent(figures[THEIRS]["exact"][0])])
    return table(["set", kind, "pictures", "character errors, %", "tesseract's, %", "exact, %", "tesseract's, %"], lines)


def group_order(name: str) -> tuple[int, str]:
    number = re.match(r"\d+", name)
    return (int(number.group()) if number else 0, name)


def classes(report: dict) -> str:
    lines = []
    for name, part in report["sets"].items():
        for kind, ours in part["classes"][FLOAT].items():
            theirs = part["classes"][THEIRS].get(kind)
            if kind != "not there":
                lines.append([f"`{name}`", kind, str(ours["characters"]), percent(ours["wrong"]), percent(theirs["wrong"]) if theirs else ""])
    return table(["set", "characters", "how many", "read wrongly, %", "by tesseract, %"], lines)


def failures(report: dict) -> str:
    names = list(report["sets"])
    kinds = sorted({kind for part in report["sets"].values() for some in part["failures"].values() for kind in some})
    lines = [[kind, *("{} / {}".format(*(report["sets"][name]["failures"][reader].get(kind, 0) for reader in (FLOAT, THEIRS)))
                      for name in names)] for kind in kinds]
    return table(["wrong texts, this model / tesseract", *(f"`{name}`" for name in names)], lines)


def confusions(report: dict) -> str:
    lines = []
    for name, part in report["sets"].items():
        pairs = (f"{shown(one['expected'])} as {shown(one['read'])} {one['count']}" for one in part["confusions"][:12])
        lines.append([f"`{name}`", ", ".join(pairs)])
    return table(["set", "most frequent mistakes"], lines)


def confidence(report: dict) -> str:
    part = report["confidence"]
    lines = [[f"{percent(line['rejected'], 0)}", f"{line['min_confidence']:.3f}", percent(line["wrong"]), percent(line["cer"])]
             for line in part["validation"]]
    said = (f"Expected calibration error over all test sets, {len(part['bins'])} bins: {percent(part['expected_calibration_error'])} points as "
            f"it is, {percent(part['calibrated_expected_calibration_error'])} when mapped by what the validation set says; as the share of "
            f"right characters in a text {percent(part['of_characters_expected_calibration_error'])}.")
    return table(["rejected of the validation set, %", "`--min-confidence`", "wrong texts among the others, %", "character errors, %"],
                 lines) + "\n\n" + said


def blank(report: dict) -> str:
    part = report["blank"]
    texts = ", ".join(f"{shown(text)} {count}" for text, count in part["most_frequent"])
    medians = ", ".join(f"{source} {value:.2f}" for source, value in part["median_confidence_by_source"].items())
    rejected = table(["`--min-confidence`", "pictures without text that are rejected, %"],
                     [[f"{line['min_confidence']:.3f}", percent(line["share"])] for line in part["rejected"][1:]])
    return (f"For {percent(part['nothing_written'])} % of {part['pictures']} pictures without text it writes nothing, for the others texts of "
            f"{part['mean_length']:.1f} characters in the mean over all; the most frequent: {texts}. Median confidence {part['median_confidence']:.2f} "
            f"({medians}).\n\n{rejected}")


def conditions(report: dict) -> str:
    return (f"Machine: {report['machine']}; one core for each reader, in turns. tesseract {report['tesseract']}, `eng`. Weights: "
            f"{report['model_bytes'] / 1e6:.1f} MB.")


# MARK: Pages


def blocks(report: dict) -> dict[str, str]:
    """By the names that pages have for them."""
    whole = {"bars": bar_table, "summary": summary, "folded": folded, "speed": speed, "precisions": precisions, "classes": classes,
             "failures": failures, "confusions": confusions, "confidence": confidence, "blank": blank, "conditions": conditions}
    return {name: part(report) for name, part in whole.items()} | {kind: grouped(report, kind) for kind in ("kind", "length", "source", "font")}


def report(figures: dict) -> str:
    part = blocks(figures)
    titles = {"bars": "Bars", "summary": "Sets", "folded": "Typed and typeset signs as one", "speed": "Speed", "precisions": "Precisions",
              "kind": "By kind of degradation", "length": "By length", "source": "By source", "font": "By font of a screen", "classes": "By class of character",
              "failures": "Failures by class", "confusions": "Mistakes", "confidence": "Confidence", "blank": "Pictures without text"}
    pictures = {"confidence": "\n\n![reliability](reliability.png) ![rejection](rejection.png)",
                "failures": "\n\n![worst cases](worst.png)\n\n![sure and wrong](sure-and-wrong.png)"}
    sections = [f"## {title}\n\n{part[name]}{pictures.get(name, '')}\n" for name, title in titles.items()]
    return f"# What the reader reads\n\nFigures with 95 % intervals (bootstrap over pictures). {part['conditions']}\n\n" + "\n".join(sections)


def fill(page: Path, parts: dict[str, str]) -> None:
    """Replaces what stands between <!-- NAME --> and <!-- /NAME -->."""
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"<!-- /([a-z-]+) -->", text):
        if name in parts:
            pattern = f"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
            text, count = re.subn(pattern, lambda match: match[1] + parts[name] + "\n" + match[2], text, flags=re.DOTALL)
            if count != 1:
                raise Failure(f"{page} has no place <!-- {name} --> or several: give it one, before <!-- /{name} -->")
    page.write_text(text, encoding="utf-8")
