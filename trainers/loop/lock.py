"""One process at a time in a run directory, and always in the same one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Callable, Iterator

from trainers.loop.files import clear

__all__ = ["BusyError", "locked"]


class BusyError(RuntimeError):
    """Another process is training in the run directory."""


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[Callable[[], None]]:
    """Hold a run directory, made if it is not there; the kernel frees it when the process ends.

    What killed processes were writing is removed.

    Args:
        directory: The run directory.

    Yields:
        A function that raises `FileNotFoundError` if the directory is not there any more, or is
        another one that has its name: that may be held by another process.

    Raises:
        BusyError: If another process holds it.
        OSError: If the disk does not take it, or has no locks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"Another process is training in {directory}. Wait for it, or give another "
                f"`--logdir` or `--seed`."
            ) from error

        def check() -> None:
            held = os.fstat(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(held, os.stat(directory / ".lock")):
                    return
            raise FileNotFoundError(
                errno.ENOENT, "It was removed while this process trained in it", str(directory)
            )

        check()
        clear(directory)
        yield check
