"""Compares gpt4mm with zetascale, torch.compile, ONNX Runtime and OpenVINO on this machine. See README.md."""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import machine
import ours
from bars import Result, Verdict
from checks import compare
from report import RowResult, as_json, print_limits, print_row, print_start
from rows import NAMES, ROWS, START, Row
from workers import WorkerProcess, output_name, running, take_turns
from workload import HERE, WorkFolder, export_onnx, prepare

START_BAR = 0.5  # seconds
EMOJI = HERE.parent / "Models" / "emoji"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpt4mm", required=True, type=Path, help="the command line, built with -c release")
    parser.add_argument("--threads", type=int, default=2, help="for everybody (default: 2)")
    parser.add_argument("--rounds", type=int, default=10, help="turns of every contender (default: 10)")
    parser.add_argument("--only", help=f"some of the rows, separated by commas: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="2 short rounds: to see that it works, not for figures")
    parser.add_argument("--json", type=Path, help="file to write everything to")
    parser.add_argument("--picture", type=Path, help="PNG file to draw")
    options = parser.parse_args()
    options.names = options.only.split(",") if options.only else list(NAMES)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no such row: {', '.join(unknown)}; the rows are {', '.join(NAMES)}")
    if not options.gpt4mm.is_file():
        parser.error(f"{options.gpt4mm} is not there: make build")
    options.gpt4mm = options.gpt4mm.resolve()
    return options


def set_differences(row: Row, workers: list[WorkerProcess], work: WorkFolder, options: argparse.Namespace) -> None:
    """What zetascale computes in float32 is right; where it is no contender it runs apart."""
    if row.reference is None:
        return
    right = work.output(output_name(row.name, row.reference))
    if not any(worker.contender == row.reference and worker.is_alive for worker in workers):
        with running((row.reference,), row.name, work, options.gpt4mm, options.threads) as [reference]:
            pass
        if reference.result.error:
            print(f"{row.name}: nothing to check with: zetascale {reference.result.error}", file=sys.stderr)
            return
    for worker in workers:
        if worker.is_alive and worker.contender != row.reference:
            output = work.output(output_name(row.name, worker.contender))
            worker.result.difference = compare(output, right, worker.contender.precision)


def set_limits(row: Row, workers: list[WorkerProcess], limits: dict[str, Any]) -> None:
    """The shortest time that the machine allows for what gpt4mm counts as necessary."""
    flops = next((worker.result.ready["flops"] for worker in workers if "flops" in worker.result.ready), None)
    reader = next((worker.result for worker in workers if worker.contender.work == "limits"), None)
    for worker in workers:
        weight_bytes = worker.result.ready.get("weight_bytes")
        if row.limit == "compute" and flops:
            worker.result.limit_seconds = flops / (limits["matmul_gigaflops"][worker.contender.precision] * 1e9)
        elif reader and reader.seconds and weight_bytes:
            worker.result.limit_seconds = reader.minimum * weight_bytes / reader.ready["weight_bytes"]


def run_row(row: Row, work: WorkFolder, options: argparse.Namespace) -> list[WorkerProcess]:
    print(f"{row.name}...", file=sys.stderr)
    rounds, turn_seconds = (2, 0.1) if options.quick else (options.rounds, 0.5)
    with running(row.contenders, row.name, work, options.gpt4mm, options.threads) as workers:
        take_turns(workers, rounds, turn_seconds)
    set_differences(row, workers, work, options)
    return workers


def run_start(options: argparse.Namespace) -> tuple[dict[str, Any], Verdict]:
    """The median of several starts."""
    print("start...", file=sys.stderr)
    starts = [
        ours.call(options.gpt4mm, START, "--model", EMOJI, "--threads", options.threads)["start"]
        for _ in range(2 if options.quick else options.rounds)
    ]
    totals = [start["total_seconds"] for start in starts]
    median = min(starts, key=lambda start: abs(start["total_seconds"] - statistics.median(totals)))
    measured = f"{min(totals):.3f} s at best, {statistics.median(totals):.3f} s by median"
    bar = f"at most {START_BAR:g} s"
    return median, Verdict(bar, measured, statistics.median(totals) <= START_BAR)


def measured_limits(work: WorkFolder, options: argparse.Namespace) -> dict[str, Any] | None:
    try:
        return ours.limits(options.gpt4mm, work.model("zetascale"), options.threads)
    except ours.BenchError as error:
        print(error, file=sys.stderr)
        return None


def main() -> int:
    options = arguments()
    report: dict[str, Any] = {"machine": machine.describe(options.threads), "rows": []}
    failures: list[str] = []
    rows = [row for row in ROWS if row.name in options.names]
    work = prepare(options.gpt4mm, HERE / "results" / "work")
    if any(contender.maker in ("onnxruntime", "openvino") for row in rows for contender in row.contenders):
        print("exporting to ONNX...", file=sys.stderr)
        export_onnx(work)

    before = measured_limits(work, options)
    measured = [(row, run_row(row, work, options)) for row in rows]
    start = None
    if START in options.names:
        try:
            start = run_start(options)
        except ours.BenchError as error:
            failures.append(str(error))
    after = measured_limits(work, options)

    if before and after:
        report["limits"] = ours.mean_limits(before, after) | {"before": before, "after": after}
        print_limits(report["limits"])
    for row, workers in measured:
        if before and after:
            set_limits(row, workers, report["limits"])
        results: dict[str, Result] = {worker.contender.name: worker.result for worker in workers}
        done = RowResult(row, list(results.values()), [bar.judge(results) for bar in row.bars])
        print_row(done)
        failures += done.failures
        report["rows"].append(as_json(done))
    if start:
        print_start(*start)
        report["start"] = start[0] | {"bar": vars(start[1])}
    report["failures"] = failures
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.picture:
        from picture import draw

        draw(report, options.picture)
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
