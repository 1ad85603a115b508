"""Runs the contenders of a row as processes, in turns."""

import json
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import processes
from bars import Result
from rows import Contender
from workload import HERE, WorkFolder

Programs = dict[str, Path | None]  # the builds of gpt4mm, by their contenders' maker
PATIENCE = 900  # seconds until a contender that says nothing is given up
MOST_RUNS_PER_TURN = 200
SETTLE = 0.05  # seconds after a turn in which threads that wait for more work stop to spin


class WorkerError(Exception):
    pass


def command_line(contender: Contender, work: WorkFolder, programs: Programs, threads: int, output: Path) -> list[str]:
    shared = {
        "--model": work.model(contender.model), "--input": work.input(contender.input), "--work": contender.work,
        "--precision": contender.precision, "--threads": threads, "--output": output,
    }
    if contender.speaks_bench:
        start: list[Any] = [programs[contender.maker], "bench", "--paced"]
        if contender.batch is not None:
            shared["--batch"] = contender.batch
    else:
        start = [sys.executable, HERE / "peers.py", "--peer", contender.maker, "--onnx", work.onnx]
    return [str(part) for part in (*start, *(part for pair in shared.items() for part in pair))]


class WorkerProcess:
    """One contender: see protocol.py. Errors are kept in `result` and end its part in the row."""

    def __init__(self, contender: Contender, command: list[str], log: Path) -> None:
        self.contender = contender
        self.result = Result(contender.name, contender.is_ours)
        self.runs_per_turn = 1
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        try:
            with open(log, "w") as errors:
                self._process = processes.start(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
            self.result.ready = self._receive()
        except (WorkerError, OSError) as error:
            self._fail(error)

    @property
    def is_alive(self) -> bool:
        return self.result.error is None

    def run(self, count: int) -> list[float]:
        """Seconds of every run; nothing after an error."""
        if not self.is_alive:
            return []
        try:
            self._process.stdin.write(f"{count}\n")
            self._process.stdin.flush()
            return self._receive()["seconds"]
        except (WorkerError, OSError, KeyError) as error:
            self._fail(error)
            return []

    def set_pace(self, turn_seconds: float) -> None:
        """A first run, not counted, says how many make a turn."""
        for seconds in self.run(1):
            self.runs_per_turn = min(max(round(turn_seconds / seconds), 1), MOST_RUNS_PER_TURN)

    def finish(self) -> None:
        if self.is_alive:
            try:
                self._process.stdin.close()
                self.result.peak_memory_bytes = self._receive()["peak_memory_bytes"]
            except (WorkerError, OSError, KeyError) as error:
                self._fail(error)
        self.end()

    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far, in all threads."""
        if not self.is_alive:
            return 0.0
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def _receive(self) -> dict[str, Any]:
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise WorkerError(f"said nothing for {PATIENCE} s")
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise WorkerError(f"ended with exit code {code}: {self._last_words()}")
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            raise WorkerError(f"said something that is not JSON: {line.strip()[:200]}") from None

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "without a message"

    def _fail(self, error: Exception) -> None:
        self.result.error = str(error) or type(error).__name__
        self.end()

    def end(self) -> None:
        if self._process is not None:
            processes.end(self._process)


@contextmanager
def running(
    contenders: tuple[Contender, ...], row: str, work: WorkFolder, programs: Programs, threads: int
) -> Iterator[list[WorkerProcess]]:
    """Started one after the other, so that none is warmed up while another one loads."""
    workers: list[WorkerProcess] = []
    try:
        for contender in contenders:
            name = output_name(row, contender)
            command = command_line(contender, work, programs, threads, work.output(name))
            workers.append(WorkerProcess(contender, command, work.log(name)))
        yield workers
        for worker in workers:
            worker.finish()
    finally:
        for worker in workers:
            worker.end()


def output_name(row: str, contender: Contender) -> str:
    return f"{row}-{contender.name.replace(' ', '-').lower()}"


def take_turns(workers: list[WorkerProcess], rounds: int, turn_seconds: float) -> None:
    """In every round each worker has one turn; the one that began comes last in the next round."""
    for worker in workers:
        worker.set_pace(turn_seconds)
    order = deque(workers)
    for _ in range(rounds):
        for worker in order:
            others = [other for other in workers if other is not worker]
            before = [other.cpu_seconds() for other in others]
            start = time.perf_counter()
            worker.run(1)  # not counted: the processor's caches and its sleeping threads come back to this contender
            worker.result.seconds += worker.run(worker.runs_per_turn)
            turn = time.perf_counter() - start
            for other, used in zip(others, before):
                other.result.idle_seconds += turn
                other.result.idle_cpu_seconds += max(other.cpu_seconds() - used, 0.0)
            time.sleep(SETTLE)
        order.rotate(-1)
