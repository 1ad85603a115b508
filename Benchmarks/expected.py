"""How long the rows take: guessed for two cores, then corrected by how long those before took."""

import time

from rows import Contender, Row
from workers import SETTLE

# Seconds until a contender computes in turns, and of one run: rough, for two cores with AVX2 alone.
READY = {"gpt4mm": 3, "before": 3, "onnxruntime": 5, "openvino": 5, "zetascale": 10, "zetascale-fused": 15, "compile": 60}
RUN = {"forward": 0.1, "encode": 0.05, "generate": 6, "decode": 0.01, "limits": 0.05, "train": 2}
OUR_GENERATE = 0.3
PREPARATION = 10
EXPORT = 60
LIMITS = 10
START_UP = 2


def _contender_seconds(contender: Contender, rounds: int, turn: float) -> float:
    run = OUR_GENERATE if contender.speaks_bench and contender.work == "generate" else RUN[contender.work]
    warm_up = 6 * run if contender.work == "train" else 2 * run
    return READY[contender.maker] + warm_up + rounds * (run + max(turn, run) + SETTLE)


def row_seconds(row: Row, rounds: int, turn: float) -> float:
    seconds = sum(_contender_seconds(contender, rounds, turn) for contender in row.contenders)
    if row.reference and row.reference not in row.contenders:
        seconds += READY[row.reference.maker]
    return seconds


class Clock:
    """Counts the steps of a run and says how long the rest takes."""

    def __init__(self, expected: dict[str, float], after: float) -> None:
        self._left = dict(expected)
        self._after = after
        self._number, self._count = 0, len(expected)
        self._expected_so_far = self._took = 0.0

    def seconds_left(self) -> float:
        pace = self._took / self._expected_so_far if self._expected_so_far else 1
        return pace * (sum(self._left.values()) + self._after)

    def begin(self, name: str) -> str:
        self._number += 1
        self._began = time.monotonic()
        return f"row {self._number} of {self._count}, {name}: about {in_words(self.seconds_left())} left"

    def end(self, name: str) -> None:
        self._took += time.monotonic() - self._began
        self._expected_so_far += self._left.pop(name)


def in_words(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} minute" + ("" if minutes == 1 else "s")
