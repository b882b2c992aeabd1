"""Other processes that train while a trial is measured: workers share caches, memory and cores.

A trial beside others takes longer than alone, by half or more on some machines, and a sweep is
nothing but trials beside others. These trace again and again, where a worker traces once: they keep
cores and memory as busy, if not with the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trainers.sweeps.processes import tied
from trainers.sweeps.programs import load

__all__ = ["others"]

_BUSY = "busy"
# So many trials are enough to keep a process busy, and fit on a command line.
_MOST = 8


@contextlib.contextmanager
def others(
    count: int,
    program: str,
    configs: Sequence[Mapping[str, Any]],
    data_dir: str | None,
    threads: int,
    import_program: bool,
) -> Iterator[Callable[[], None]]:
    """Start processes that measure trials over and over, until the end of the context.

    Args:
        count: How many processes.
        program: The grid's `program`.
        configs: Configurations of the trials; the first few are enough.
        data_dir: For the program.
        threads: Threads of each.
        import_program: Whether a program may be imported that is of no installed package.

    Yields:
        A function that waits until all of them train, and raises a ValueError if one cannot.
    """
    told = {
        "made": [program, data_dir, threads, import_program],
        "configs": [dict(config) for config in configs[:_MOST]],
    }
    command = tied([sys.executable, "-m", "trainers.sweeps.contention", json.dumps(told)])
    with contextlib.ExitStack() as stack:
        running = []
        for _ in range(count):
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            running.append((process, errors))

        def wait() -> None:
            for process, errors in running:
                if process.stdout is None or process.stdout.readline().strip() != _BUSY:
                    process.wait()
                    errors.seek(0)
                    raise ValueError(f"A trial cannot be measured:\n{errors.read().strip()}")

        yield wait


def _main() -> None:
    told = json.loads(sys.argv[1])
    with os.fdopen(os.dup(1), "w") as parent:
        os.dup2(2, 1)  # What a program prints is no message.
        program = load(*told["made"])
        program.measure(told["configs"][0])
        parent.write(f"{_BUSY}\n")
    while True:
        for config in told["configs"]:
            program.measure(config)


if __name__ == "__main__":
    _main()
