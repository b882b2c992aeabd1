"""Processes of a sweep: tied to the one that started them, and asked to end rather than killed."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

__all__ = ["ASKED", "ASKED_TO_END", "asks", "die_with", "tied"]

ASKED = (signal.SIGINT, signal.SIGTERM)
ASKED_TO_END = 128 + signal.SIGTERM
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def asks(handle: Callable[[int], None]) -> Iterator[None]:
    """Call `handle` with the number of each signal that asks this process to end."""
    before = {n: signal.signal(n, lambda number, frame: handle(number)) for n in ASKED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_with(parent: int) -> None:
    """End this process when the process `parent`, which started it, ends in whatever way.

    Where the system has no such service, it goes on until its work is done.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It ended before it was asked for.
        sys.exit(f"The process {parent} that started this one is gone.")


def tied(command: Sequence[str]) -> list[str]:
    """Return a command line that runs `command`, tied to this process by `die_with`."""
    return [sys.executable, "-m", "trainers.sweeps.processes", str(os.getpid()), *command]


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
