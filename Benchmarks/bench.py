"""Compares gpt4mm with zetascale, transformers, torch.compile, ONNX Runtime and OpenVINO here. See README.md."""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import machine
import ours
import processes
from bars import Result, Verdict
from checks import compare
from expected import EXPORT, LIMITS, PREPARATION, START_UP, Clock, in_words, row_seconds
from report import RowResult, as_json, print_head, print_limits, print_moved, print_row, print_start
from rows import BEFORE, CHECKPOINTS, DEFAULTS, NAMES, START, Row, beside_before, named, rows
from workers import WorkerProcess, output_name, running, take_turns
from workload import HERE, WorkFolder, export, missing_exports, prepare

START_BAR = 0.5  # seconds
EMOJI = HERE.parent / "Models" / "emoji"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpt4mm", required=True, type=Path, help="the command line, built with -c release")
    parser.add_argument(
        "--before", type=Path, metavar="GPT4MM", help="an older build of the command line, which takes part in every row")
    parser.add_argument("--threads", type=int, default=2, help="for everybody (default: 2)")
    parser.add_argument("--rounds", type=int, default=10, help="turns of every contender (default: 10)")
    parser.add_argument(
        "--instruction-set", choices=list(machine.HELD_TO), default="native",
        help="what everybody is held to; native is what each chooses on this machine (default: native)")
    parser.add_argument(
        "--only", help="some of the rows, separated by commas, or what their names begin with, such as "
        f"{CHECKPOINTS[1]}-line (default: {', '.join(DEFAULTS)}); the other checkpoints: {', '.join(CHECKPOINTS[1:])}")
    parser.add_argument("--quick", action="store_true", help="2 short rounds: to see that it works, not for figures")
    parser.add_argument("--json", type=Path, help="file to write everything to")
    parser.add_argument("--picture", type=Path, help="PNG file to draw")
    options = parser.parse_args()
    given = options.only.split(",") if options.only else DEFAULTS
    options.names = [row for name in given for row in named(name)]
    if unknown := [name for name in given if not named(name)]:
        parser.error(f"no such row: {', '.join(unknown)}; the rows are {', '.join(NAMES)}")
    for program in filter(None, (options.gpt4mm, options.before)):
        if not program.is_file():
            parser.error(f"{program} is not there: make build")
    if options.instruction_set == "avx2" and not machine.has_avx2():
        parser.error("this machine has no AVX2")
    options.gpt4mm = options.gpt4mm.resolve()
    options.before = options.before and options.before.resolve()
    options.programs = {"gpt4mm": options.gpt4mm, BEFORE: options.before}
    if options.quick:
        options.rounds = 2
    options.turn_seconds = 0.1 if options.quick else 0.5
    return options


def set_differences(row: Row, workers: list[WorkerProcess], work: WorkFolder, options: argparse.Namespace) -> None:
    """What the reference, zetascale or transformers in float32, computes is right; where it is no contender it runs
    apart."""
    if row.reference is None:
        return
    right = work.output(output_name(row.name, row.reference))
    if not any(worker.contender == row.reference and worker.is_alive for worker in workers):
        with running((row.reference,), row.name, work, options.programs, options.threads) as [reference]:
            pass
        if reference.result.error:
            print(f"{row.name}: nothing to check with: {row.reference.name} {reference.result.error}", file=sys.stderr)
            return
    for worker in workers:
        if worker.is_alive and worker.contender.work == row.reference.work and worker.contender != row.reference:
            output = work.output(output_name(row.name, worker.contender))
            worker.result.difference = compare(output, right, worker.contender.precision)


def set_limits(done: RowResult, limits: dict[str, Any]) -> None:
    """The shortest time that the machine allows for what gpt4mm counts as necessary."""
    results = done.results
    flops = next((result.ready["flops"] for result in results if "flops" in result.ready), None)
    works = zip(done.row.contenders, results)
    reader = next((result for contender, result in works if contender.work == "limits"), None)
    for contender, result in zip(done.row.contenders, results):
        weight_bytes = result.ready.get("weight_bytes")
        if done.row.limit == "compute" and flops:
            result.limit_seconds = flops / (limits["matmul_gigaflops"][contender.precision] * 1e9)
        elif reader and reader.seconds and weight_bytes:
            result.limit_seconds = reader.minimum * weight_bytes / reader.ready["weight_bytes"]


def run_row(row: Row, work: WorkFolder, options: argparse.Namespace) -> RowResult:
    with running(row.contenders, row.name, work, options.programs, options.threads) as workers:
        take_turns(workers, row.rounds(options.rounds), options.turn_seconds)
    set_differences(row, workers, work, options)
    results: dict[str, Result] = {worker.contender.name: worker.result for worker in workers}
    return RowResult(row, list(results.values()), [bar.judge(results) for bar in row.bars])


def run_start(options: argparse.Namespace) -> tuple[dict[str, Any], Verdict]:
    """The median of several starts."""
    starts = [
        ours.call(options.gpt4mm, START, "--model", EMOJI, "--threads", options.threads)["start"]
        for _ in range(options.rounds)
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


class Run:
    """A run and what it found so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.report: dict[str, Any] = {"machine": machine.describe(options.threads, options.instruction_set)}
        self.done: list[RowResult] = []
        self.errors: list[str] = []

    @property
    def failures(self) -> list[str]:
        return self.errors + [failure for done in self.done for failure in done.failures]

    def measure(self) -> None:
        options = self.options
        print_head(self.report["machine"])
        avx512 = machine.has_avx512() and options.instruction_set == "native"
        wanted = [row for row in rows(avx512) if row.name in options.names]
        if options.before:
            wanted = [beside_before(row) for row in wanted]
        expected = {row.name: row_seconds(row, options.rounds, options.turn_seconds) for row in wanted}
        if START in options.names:
            expected[START] = START_UP * options.rounds
        clock = Clock(expected, after=LIMITS)
        print("preparing models and inputs...", file=sys.stderr)
        work = prepare(options.gpt4mm, HERE / "results" / "work")
        exports = missing_exports(work, [contender for row in wanted for contender in row.contenders])
        seconds = clock.seconds_left() + PREPARATION + LIMITS + EXPORT * len(exports)
        print(f"This takes about {in_words(seconds)}, depending on the machine.", flush=True)
        export(work, exports)

        print("limits...", file=sys.stderr)
        before = measured_limits(work, options)
        if before:
            self.report["limits"] = before
            print_limits(before)
        for row in wanted:
            print(clock.begin(row.name), file=sys.stderr)
            done = run_row(row, work, options)
            if before:
                set_limits(done, before)
            print_row(done)
            clock.end(row.name)
            self.done.append(done)
            self.write()
        if START in options.names:
            print(clock.begin(START), file=sys.stderr)
            self.measure_start()
        if before and (after := measured_limits(work, options)):
            print_moved(before, after)
            best = ours.best_limits(before, after)
            self.report["limits"] = best | {"before": before, "after": after}
            for done in self.done:
                set_limits(done, best)

    def measure_start(self) -> None:
        try:
            start, verdict = run_start(self.options)
        except ours.BenchError as error:
            self.errors.append(str(error))
            return
        print_start(start, verdict)
        self.report["start"] = start | {"bar": vars(verdict)}

    def write(self) -> None:
        if self.options.json:
            report = self.report | {"rows": [as_json(done) for done in self.done], "failures": self.failures}
            self.options.json.write_text(json.dumps(report, indent=2) + "\n")

    def draw(self) -> None:
        if self.options.picture and self.done:
            from picture import draw

            draw(self.report | {"rows": [as_json(done) for done in self.done]}, self.options.picture)


def main() -> int:
    options = arguments()
    sys.stdout.reconfigure(line_buffering=True)  # every row is seen when it is done
    os.environ.update(machine.HELD_TO[options.instruction_set])
    processes.take_interrupts()
    run = Run(options)
    try:
        run.measure()
    except KeyboardInterrupt:
        run.report["interrupted"] = True
    finally:
        processes.ignore_interrupts()  # what was measured is written in any case
        processes.end_all()
    run.write()
    run.draw()
    for failure in run.failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    if run.report.get("interrupted"):
        print(f"Interrupted: the {len(run.done)} rows above were measured.", file=sys.stderr)
        return 130
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
