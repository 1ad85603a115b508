"""What readers' texts are worth: errors with intervals, by group, by class of character and of failure, and by confidence."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy

DRAWS = 1000  # of the bootstrap
BINS = 10  # of confidence
LENGTHS = ((1, 2), (3, 5), (6, 9), (10, 14), (15, 24))
FOLDED = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."})


@dataclass(frozen=True)
class Reading:
    """What one reader makes of one picture."""
    expected: str
    text: str
    confidence: float | None = None


def edits(text: str, expected: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(expected) + 1))
    for i, a in enumerate(text, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(expected, 1):
            diagonal, row[j] = row[j], min(diagonal + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def folded(text: str) -> str:
    """With quotes, dashes and dots as a typewriter has them."""
    return text.translate(FOLDED)


class Table:
    """Errors of one reader on many pictures, as arrays."""

    def __init__(self, readings: list[Reading], change=lambda text: text):
        pairs = [(change(one.text), change(one.expected)) for one in readings]
        self.edits = numpy.array([edits(text, expected) for text, expected in pairs], float)
        self.lengths = numpy.array([len(expected) for _, expected in pairs], float)
        self.exact = numpy.array([text == expected for text, expected in pairs], float)

    def figures(self, which=slice(None)) -> dict:
        """Character error rate and exact match, each with the ends of its 95 % interval."""
        errors, lengths, exact = self.edits[which], self.lengths[which], self.exact[which]
        if not len(errors):
            return {"pictures": 0}
        weights = draws(len(errors))
        return {"pictures": len(errors),
                "cer": interval(errors.sum() / max(lengths.sum(), 1), weights @ errors / numpy.maximum(weights @ lengths, 1)),
                "exact": interval(exact.mean(), weights @ exact / len(errors))}

    def difference(self, other: "Table") -> list[float]:
        """How much greater this one's character error rate is, on the same pictures."""
        weights, total = draws(len(self.edits)), max(self.lengths.sum(), 1)
        each = weights @ (self.edits - other.edits) / numpy.maximum(weights @ self.lengths, 1)
        return interval((self.edits - other.edits).sum() / total, each)


def draws(count: int) -> numpy.ndarray:
    """How often each of so many pictures is drawn, in each draw."""
    return numpy.random.default_rng(0).multinomial(count, numpy.full(count, 1 / count), size=DRAWS).astype(float)


def interval(value: float, drawn: numpy.ndarray) -> list[float]:
    return [float(value), *(float(end) for end in numpy.percentile(drawn, (2.5, 97.5)))]


# MARK: Groups


def groups(records: list[dict]) -> dict[str, dict[str, list[int]]]:
    """Which pictures are of which kind, by kind of grouping."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, record in enumerate(records):
        for kind in record["kinds"] or ["none"]:
            found["kind"][kind].append(place)
        found["source"][record["source"]].append(place)
        if record["profile"] == "screen":
            found["font"][record.get("font", "a PDF file's")].append(place)
        for low, high in LENGTHS:
            if low <= len(record["text"]) <= high:
                found["length"][f"{low} to {high}"].append(place)
    return found


def character_class(character: str) -> str:
    if character in FOLDED_SIGNS:
        return "set type"
    if character == " ":
        return "space"
    if not character.isascii():
        return "accented" if character.isalpha() else "sign"
    return "digit" if character.isdigit() else "capital" if character.isupper() else "small" if character.isalpha() else "punctuation"


FOLDED_SIGNS = {chr(code) for code in FOLDED} | {"•"}


def alignment(text: str, expected: str) -> list[tuple[str, str]]:
    """Pairs of read and expected characters, "" for none, with the fewest edits."""
    rows = [list(range(len(expected) + 1))]
    for i, a in enumerate(text, 1):
        above = rows[-1]
        row = [i]
        for j, b in enumerate(expected, 1):
            row.append(min(above[j - 1] + (a != b), above[j] + 1, row[j - 1] + 1))
        rows.append(row)
    i, j, pairs = len(text), len(expected), []
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (text[i - 1] != expected[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((text[i], expected[j]))
        elif j and rows[i][j] == rows[i][j - 1] + 1:
            j -= 1
            pairs.append(("", expected[j]))
        else:
            i -= 1
            pairs.append((text[i], ""))
    return pairs[::-1]


def by_class(readings: Iterable[Reading]) -> dict[str, dict]:
    """Per class of the expected characters how many there are, and the share that is read wrongly or not at all."""
    counts, wrong = Counter(), Counter()
    for reading in readings:
        for read, expected in alignment(reading.text, reading.expected):
            name = character_class(expected) if expected else "not there"
            counts[name] += 1
            wrong[name] += read != expected
    return {name: {"characters": counts[name], "wrong": wrong[name] / counts[name]} for name in sorted(counts)}


def confusions(readings: Iterable[Reading], most: int = 30) -> list[dict]:
    pairs = Counter(pair for reading in readings for pair in alignment(reading.text, reading.expected) if pair[0] != pair[1])
    return [{"read": read, "expected": expected, "count": count} for (read, expected), count in pairs.most_common(most)]


def without_accents(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))


def failure(reading: Reading) -> str | None:
    """The kind of a wrong reading; nil for a right one."""
    text, expected = reading.text, reading.expected
    if text == expected:
        return None
    if not text:
        return "nothing read"
    tests = {"quotes and dashes": folded, "spaces": lambda one: one.replace(" ", ""), "case": str.lower, "accents": without_accents,
             "punctuation": lambda one: "".join(part for part in one if part.isalnum() or part == " ")}
    for name, change in tests.items():
        if change(text) == change(expected) and change(expected):
            return f"{name} alone"
    errors = edits(text, expected)
    return "one character" if errors == 1 else "another text" if errors > len(expected) / 2 else "several characters"


def failures(readings: list[Reading]) -> dict[str, int]:
    return dict(Counter(kind for kind in map(failure, readings) if kind).most_common())


# MARK: Confidence


def reliability(confidences: numpy.ndarray, right: numpy.ndarray) -> tuple[list[dict], float]:
    """Bins of equal width with the mean confidence and the share that is right, and the expected calibration error."""
    places = numpy.minimum((confidences * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for place in range(BINS):
        inside = places == place
        if inside.any():
            mean, share = float(confidences[inside].mean()), float(right[inside].mean())
            bins.append({"from": place / BINS, "pictures": int(inside.sum()), "confidence": mean, "right": share})
            error += inside.mean() * abs(mean - share)
    return bins, float(error)


def isotonic(confidences: numpy.ndarray, right: numpy.ndarray):
    """A rising function from confidence to the share that is right, by pooling neighbours that fall."""
    order = numpy.argsort(confidences, kind="stable")
    pools: list[list[float]] = []  # sum, count, least confidence
    for confidence, value in zip(confidences[order], right[order]):
        pools.append([float(value), 1.0, float(confidence)])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, count, _ = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    starts, levels = numpy.array([pool[2] for pool in pools]), numpy.array([pool[0] / pool[1] for pool in pools])
    return lambda given: levels[numpy.maximum(numpy.searchsorted(starts, given, side="right") - 1, 0)]


def rejection(table: Table, confidences: numpy.ndarray, shares=(0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)) -> list[dict]:
    """What is wrong among those that are left when the least sure share is rejected."""
    order = numpy.argsort(-confidences, kind="stable")
    lines = []
    for share in shares:
        kept = order[:max(1, round(len(order) * (1 - share)))]
        lines.append({"rejected": share, "min_confidence": float(confidences[kept[-1]]), "wrong": float(1 - table.exact[kept].mean()),
                      "cer": float(table.edits[kept].sum() / max(table.lengths[kept].sum(), 1))})
    return lines
