"""Bars: what must be reached, and whether it was. A bar on times is reached when both the minimums and the medians
reach it."""

import statistics
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass
class Result:
    """What one contender did in one row."""

    name: str
    is_ours: bool
    ready: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    peak_memory_bytes: int | None = None
    limit_seconds: float | None = None
    difference: dict[str, Any] | None = None
    idle_seconds: float = 0.0  # while others ran
    idle_cpu_seconds: float = 0.0  # the processor time that it used in them, which should be none
    error: str | None = None

    @property
    def minimum(self) -> float | None:
        return min(self.seconds) if self.seconds else None

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def share_of_limit(self) -> float | None:
        """1 is as fast as the machine allows."""
        return self.limit_seconds / self.minimum if self.limit_seconds and self.seconds else None


@dataclass(frozen=True)
class Verdict:
    bar: str
    measured: str
    reached: bool | None  # None: could not be said


class Bar(Protocol):
    def judge(self, results: dict[str, Result]) -> Verdict: ...


def ratios(ours: Result, other: Result) -> tuple[float, float] | None:
    """Of the minimums and of the medians."""
    if not ours.seconds or not other.seconds:
        return None
    return ours.minimum / other.minimum, ours.median / other.median


@dataclass(frozen=True)
class RatioBar:
    """At most so much of the time of the fastest of the others."""

    ours: str
    others: tuple[str, ...]
    at_most: float

    def judge(self, results: dict[str, Result]) -> Verdict:
        bar = f"{self.ours} at most {self.at_most:.3g} x {' and '.join(self.others)}"
        found = [ratios(results[self.ours], results[other]) for other in self.others]
        if None in found:
            return Verdict(bar, "not measured", None)
        by_minimum, by_median = (max(values) for values in zip(*found))
        reached = by_minimum <= self.at_most and by_median <= self.at_most
        return Verdict(bar, f"{by_minimum:.3f} by minimums, {by_median:.3f} by medians", reached)


@dataclass(frozen=True)
class ReadingBar:
    """At most so many times as long as reading its weights once, at the rate of a contender that only reads memory."""

    ours: str
    reader: str
    at_most: float

    def judge(self, results: dict[str, Result]) -> Verdict:
        bar = f"{self.ours} at most {self.at_most:g} x reading its weights once"
        ours, reader = results[self.ours], results[self.reader]
        found = ratios(ours, reader)
        if found is None or not ours.ready.get("weight_bytes"):
            return Verdict(bar, "not measured", None)
        share = reader.ready["weight_bytes"] / ours.ready["weight_bytes"]
        by_minimum, by_median = (ratio * share for ratio in found)
        reached = by_minimum <= self.at_most and by_median <= self.at_most
        return Verdict(bar, f"{by_minimum:.2f} by minimums, {by_median:.2f} by medians", reached)


@dataclass(frozen=True)
class ThroughputBar:
    """`many` does `gain` times as much in a run as `one`: at least so many times its throughput."""

    many: str
    one: str
    gain: int
    at_least: float

    def judge(self, results: dict[str, Result]) -> Verdict:
        bar = f"{self.many} at least {self.at_least:g} x the tokens per second of {self.one}"
        found = ratios(results[self.one], results[self.many])
        if found is None:
            return Verdict(bar, "not measured", None)
        by_minimum, by_median = (self.gain * ratio for ratio in found)
        reached = by_minimum >= self.at_least and by_median >= self.at_least
        return Verdict(bar, f"{by_minimum:.2f} by minimums, {by_median:.2f} by medians", reached)


@dataclass(frozen=True)
class MemoryBar:
    """The process's peak memory is at most so many times its weights and a constant."""

    ours: str
    factor: float
    plus: int

    def judge(self, results: dict[str, Result]) -> Verdict:
        bar = f"{self.ours} peak memory at most {self.factor:g} x weights + {self.plus / 1e6:.0f} MB"
        ours = results[self.ours]
        weights = ours.ready.get("weight_bytes_total")
        if weights is None or ours.peak_memory_bytes is None:
            return Verdict(bar, "not measured", None)
        allowed = self.factor * weights + self.plus
        measured = f"{ours.peak_memory_bytes / 1e6:.0f} MB of {allowed / 1e6:.0f} MB"
        return Verdict(bar, measured, ours.peak_memory_bytes <= allowed)
