"""The worker's side of the protocol that bench.py drives its contenders by, over standard input and output.

After set-up and warm-up a worker prints {"ready": true, ...}. For each line that it reads, a number N, it does N timed
runs and prints {"seconds": [...]}. At the end of its input it prints {"peak_memory_bytes": ...} and ends.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any


class Worker:
    """Speaks the protocol on what was standard output; whatever else prints goes to standard error."""

    def __init__(self) -> None:
        self._out = sys.stdout
        sys.stdout = sys.stderr

    def serve(self, run: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> None:
        """`before` is what each run needs but does not count."""
        self._say(ready=True)
        for line in sys.stdin:
            self._say(seconds=[_seconds(run, before) for _ in range(int(line))])
        self._say(peak_memory_bytes=peak_memory_bytes())

    def _say(self, **message: Any) -> None:
        print(json.dumps(message), file=self._out, flush=True)


def _seconds(run: Callable[[], Any], before: Callable[[], Any]) -> float:
    before()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_memory_bytes() -> int:
    """The most memory that this process has held at once."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status says no VmHWM")
