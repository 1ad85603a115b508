"""Processes that do not outlive this one: each has a group of its own, which is killed with all that it started."""

import ctypes
import os
import signal
import subprocess
from contextlib import suppress
from typing import Any

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_running: list[subprocess.Popen] = []


def take_interrupts() -> None:
    """From now on Ctrl-C and SIGTERM raise KeyboardInterrupt, also where a shell had Ctrl-C ignored."""
    for number in INTERRUPTS:
        signal.signal(number, signal.default_int_handler)


def ignore_interrupts() -> None:
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)


def _begin() -> None:
    """In the new process: it is killed when this one ends, even if by SIGKILL."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)


def start(command: list[Any], **options: Any) -> subprocess.Popen:
    """As `subprocess.Popen`; to be ended with `end`."""
    # an interrupt waits until the process is in the list
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        process = subprocess.Popen(command, start_new_session=True, preexec_fn=_begin, **options)
        _running.append(process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def end(process: subprocess.Popen) -> None:
    """Kills what is left of it and of what it started."""
    if process not in _running:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _running.remove(process)


def end_all() -> None:
    for process in list(_running):
        end(process)


def run(command: list[Any], **options: Any) -> subprocess.CompletedProcess:
    """As `subprocess.run`."""
    process = start(command, **options)
    try:
        output, errors = process.communicate()
    finally:
        end(process)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)
