"""What a person sees of a training: a live line on a terminal, plain lines elsewhere, a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Self

import rich.console
import rich.progress
import rich.table

__all__ = ["Progress", "clock", "counted", "screen"]

_SHORT = {
    "learning_rate": "lr",
    "weight_bits": "w",
    "activation_bits": "a",
    "gradient_bits": "g",
    "relative_to_fp32": "cost",
}
# Logged, not shown.
_HIDDEN = frozenset({"bitops", "effective_bits"})


# Tables are as wide in a file, where nothing says how wide it is shown.
_WIDTH_OF_FILES = 200


def screen() -> rich.console.Console:
    """Return the console of standard output."""
    return rich.console.Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)


class Progress:
    """Shows the data steps done, the latest values, and the time left.

    Args:
        total_steps: Data steps of the whole run.
        done_steps: Data steps done before this start.
        console: Where to write; standard output if None.
    """

    def __init__(
        self, total_steps: int, done_steps: int = 0, console: rich.console.Console | None = None
    ) -> None:
        self._console = console or screen()
        # Where the clock began: the first call after a start is traced, and tells nothing.
        self._began: tuple[float, int] | None = None
        self._total = total_steps
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=24),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("{task.fields[values]}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("train", total=total_steps, completed=done_steps, values="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._bar.stop()

    @property
    def is_live(self) -> bool:
        """Whether anyone sees what `update` shows."""
        return not self._bar.disable

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Show where training stands."""
        self._bar.update(self._task, completed=step, values=_line(values))

    def called(self, step: int) -> None:
        """Take note that the steps up to `step` are done: from the first call on it is foretold."""
        self._began = self._began or (time.monotonic(), step)

    def epoch(self, number: int, total: int, step: int, values: Mapping[str, float]) -> None:
        """Write the line of an epoch that is over."""
        self.say(f"epoch {number}/{total}  {_line(values)}{self._left(step)}")

    def _left(self, step: int) -> str:
        """Say what time is left, where enough is known to foretell it."""
        began, before = self._began or (0.0, step)
        if step <= before:
            return ""
        left = (time.monotonic() - began) / (step - before) * (self._total - step)
        return f"  {clock(left)} left"

    def say(self, text: str) -> None:
        """Write a line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def table(self, title: str, rows: Mapping[str, Any]) -> None:
        """Write the result."""
        table = rich.table.Table(title=title, show_header=False, title_justify="left")
        for name, value in rows.items():
            table.add_row(name, _figure(value) if isinstance(value, float) else str(value))
        self._console.print(table)


def _line(values: Mapping[str, float]) -> str:
    return "  ".join(
        f"{_SHORT.get(name, name)} {value:.4g}"
        for name, value in values.items()
        if name not in _HIDDEN
    )


def _figure(value: float) -> str:
    """Return a result for people: four places, and no long row of digits after a divergence."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def clock(seconds: float) -> str:
    """Return a length of time, as "2:05:00" or "3 days 2:05:00".

    It is 0 for one that a clock that was set made negative.
    """
    minutes, seconds = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    ahead = f"{counted(days, 'day')} " if days else ""
    if days or hours:
        return f"{ahead}{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}"


def counted(number: int, noun: str) -> str:
    """Return how many there are of something, as "1 worker" or "2 workers"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
