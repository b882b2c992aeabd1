"""The request that a process end, SIGTERM or Ctrl-C, which the loop fulfils when it has saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["EndRequest"]


class EndRequest:
    """Whether the process was asked to end.

    Attributes:
        number: The signal that asked; None while none has.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note SIGTERM and Ctrl-C instead of ending; the second one ends the process at once.

        Outside the main thread of a process, which alone may handle signals, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def note(number: int, frame: object) -> None:
            self.number = number
            restore()

        before.update({n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT)})
        try:
            yield
        finally:
            restore()
