"""The table that is printed, and the JSON with everything."""

from dataclasses import asdict, dataclass
from typing import Any

from bars import Result, Verdict, ratios
from machine import cache_bytes
from ours import RATE
from rows import Row

HEADINGS = ("", "min", "median", "ours/this", "by median", "of limit", "memory", "max diff", "mean diff")
# More than this share of a processor while others run would disturb them.
IDLE_CPU_SHARE = 0.05
# By Row.limit: what may stand above 100 %, because measuring is noisy.
MOST_OF_LIMIT = {"compute": 1.02, "memory": 1.1}
TOO_LOW = {
    "compute": "the limit was measured too low",
    "memory": "the rate of reading memory was measured too low",
}
MOVED = 0.05


@dataclass
class RowResult:
    row: Row
    results: list[Result]
    verdicts: list[Verdict]

    @property
    def failures(self) -> list[str]:
        """Wrong results of ours, broken ones of others, whatever of ours does not run, and limits that are none."""
        found = []
        for result in self.results:
            difference = result.difference
            if difference and not difference["passed"] and (result.is_ours or difference["broken"]):
                found.append(f"{self.row.name}: {result.name} differs from {self.row.reference.name}: {difference}")
            if result.is_ours and result.error:
                found.append(f"{self.row.name}: {result.name}: {result.error}")
            if self.beats_limit(result):
                found.append(
                    f"{self.row.name}: {result.name} is at {result.share_of_limit:.0%} of the limit: "
                    f"{TOO_LOW[self.row.limit]}")
        return found

    def beats_limit(self, result: Result) -> bool:
        share = result.share_of_limit or 0
        if self.row.limit == "memory" and share:
            # What stays in the cache from one step to the next need not be read.
            share *= max(0, 1 - cache_bytes() / result.ready["weight_bytes"])
        return share > MOST_OF_LIMIT.get(self.row.limit, 1)


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.3f} s"


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)


def _cells(result: Result, ours: Result) -> tuple[str, ...]:
    by_minimum, by_median = (None, None) if result.is_ours else ratios(ours, result) or (None, None)
    memory = "-" if result.peak_memory_bytes is None else f"{result.peak_memory_bytes / 1e6:.0f} MB"
    difference = result.difference or {}
    return (
        result.name, duration(result.minimum), duration(result.median), _number(by_minimum), _number(by_median),
        _number(result.share_of_limit, ".0%"), memory, _number(difference.get("max"), ".1e"),
        _number(difference.get("mean"), ".1e"))


def _aligned(cells: tuple[str, ...]) -> str:
    return f"  {cells[0]:<26}" + "".join(f"{cell:>12}" for cell in cells[1:])


def print_row(done: RowResult) -> None:
    print(f"\n{done.row.name}: {done.row.title}")
    if done.row.note:
        print(f"  {done.row.note}")
    print(_aligned(HEADINGS))
    ours = next(result for result in done.results if result.is_ours)
    for result in done.results:
        print(_aligned(_cells(result, ours)))
        if result.error:
            print(f"    {result.error}")
        if result.difference and not result.difference["passed"]:
            wrong = "WRONG" if result.is_ours or result.difference["broken"] else "less accurate than ours may be"
            print(f"    {wrong}: allowed is {result.difference['allowed']}")
        if done.beats_limit(result):
            print(f"    above 100 % of the limit: {TOO_LOW[done.row.limit]}")
        if result.idle_cpu_seconds > IDLE_CPU_SHARE * result.idle_seconds:
            used = result.idle_cpu_seconds / result.idle_seconds
            print(f"    used {used:.0%} of a processor while others ran, which disturbs them")
    print_verdicts(done.verdicts)


def print_verdicts(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        reached = {True: "reached", False: "NOT reached", None: "unknown"}[verdict.reached]
        print(f"  bar: {verdict.bar}: {verdict.measured}: {reached}")


def print_start(start: dict[str, Any], verdict: Verdict) -> None:
    print("\nstart: from the start of the process to the first token, with Models/emoji")
    for stage in start["stages"]:
        print(f"  {stage['name']:<40}{duration(stage['seconds']):>12}")
    print(f"  {'total':<40}{duration(start['total_seconds']):>12}")
    print_verdicts([verdict])


def print_head(machine: dict[str, Any]) -> None:
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads for everybody")
    print(f"Instructions: {machine['instructions']}")


def print_limits(limits: dict[str, Any]) -> None:
    flops = ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in limits["matmul_gigaflops"].items())
    used = f" ({limits['instruction_set']})" if "instruction_set" in limits else ""
    print(f"Limits{used}: {flops}, memory {limits[RATE]:.1f} GB/s")


def print_moved(before: dict[str, Any], after: dict[str, Any]) -> None:
    pairs = {name: (rate, after["matmul_gigaflops"][name]) for name, rate in before["matmul_gigaflops"].items()}
    pairs["memory"] = before[RATE], after[RATE]
    moved = [f"{name} by {new / old - 1:+.0%}" for name, (old, new) in pairs.items() if abs(new / old - 1) > MOVED]
    if moved:
        print(f"\nThe limits moved meanwhile: {', '.join(moved)}. What is above is as a share of those before; in the JSON,")
        print("and for failures, the higher of the two count.")
    else:
        print(f"\nMeasured again, the limits moved by less than {MOVED:.0%}.")


def as_json(done: RowResult) -> dict[str, Any]:
    ours = next(result for result in done.results if result.is_ours)
    contenders = []
    for result in done.results:
        found = None if result.is_ours else ratios(ours, result)
        contenders.append(asdict(result) | {
            "min_seconds": result.minimum, "median_seconds": result.median, "share_of_limit": result.share_of_limit,
            "ours_to_this": found and {"min": found[0], "median": found[1]},
        })
    return {
        "name": done.row.name, "title": done.row.title, "note": done.row.note, "contenders": contenders,
        "bars": [asdict(verdict) for verdict in done.verdicts],
    }
