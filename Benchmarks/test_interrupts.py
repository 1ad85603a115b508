"""Stops bench.py in the middle, in four ways, and looks whether it keeps what it has and leaves no process behind.

python test_interrupts.py --gpt4mm FILE: a few minutes. Afterwards bench.py exports to ONNX anew.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 600  # seconds
MARK = "GPT4MM_BENCH_TEST"


def marked(mark: str) -> dict[int, str]:
    """The command lines of all processes that were started, at whatever remove, with this mark."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return {number: command for number, command in found.items() if command}  # what has ended has none


def stop(gpt4mm: Path, only: str, when: Callable[[str, str], bool], number: signal.Signals) -> tuple[int, dict, str]:
    """Sends the signal as soon as `when` holds for what was said and for what is running."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() as folder:
        said, report = Path(folder) / "said", Path(folder) / "bench.json"
        command = [sys.executable, HERE / "bench.py", "--gpt4mm", gpt4mm, "--quick", "--only", only, "--json", report]
        environment = os.environ | {MARK: mark, "TORCHINDUCTOR_CACHE_DIR": folder}
        with open(said, "w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        end = time.monotonic() + PATIENCE
        while not when(said.read_text(), " ".join(marked(mark).values())):
            assert process.poll() is None, f"bench.py ended before it was stopped: {said.read_text()}"
            assert time.monotonic() < end, f"nothing to stop: {said.read_text()}"
            time.sleep(0.05)
        process.send_signal(number)
        code = process.wait(timeout=60)
        time.sleep(0 if number != signal.SIGKILL else 5)  # what was not killed with it has to notice
        left = marked(mark)
        assert not left, f"left behind: {left}"
        return code, json.loads(report.read_text()) if report.exists() else {}, said.read_text()


def compiling(said: str, running: str) -> bool:
    return "--peer compile" in running and "cc1plus" in running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpt4mm", required=True, type=Path)
    gpt4mm = parser.parse_args().gpt4mm.resolve()

    code, report, said = stop(
        gpt4mm, "encode,decode", lambda said, running: "row 2" in said and "--work decode" in running, signal.SIGINT)
    assert code == 130 and report["interrupted"], said
    assert [row["name"] for row in report["rows"]] == ["encode"] and "\nencode: " in said, said
    print("Ctrl-C in the second row: the first is kept, nothing is left behind")

    code, report, said = stop(gpt4mm, "forward-fp32", compiling, signal.SIGTERM)
    assert code == 130 and report["interrupted"] and report["rows"] == [], said
    print("SIGTERM while torch.compile compiles: nothing is left behind")

    code, report, said = stop(gpt4mm, "forward-fp32", compiling, signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    print("SIGKILL while torch.compile compiles: nothing is left behind")

    (HERE / "results" / "work" / "onnx" / "float32.done").unlink(missing_ok=True)
    code, report, said = stop(gpt4mm, "encode", lambda said, running: "zetascale.py" in running, signal.SIGINT)
    assert code == 130 and report["interrupted"], said
    print("Ctrl-C while exporting: nothing is left behind")


if __name__ == "__main__":
    main()
