"""What a person sees of a running sweep: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

import rich.console
import rich.progress

from trainers.loop.progress import clock, counted
from trainers.sweeps.grid import Trial

__all__ = ["View"]

_SECONDS_PER_LINE = 10.0


class View:
    """Shows how much of a sweep is done, by how many, and about how long the rest takes.

    The time left is judged by epochs, of which trials differ in number, from the first trial on
    that is recorded: before that, workers import and trace.

    Args:
        trials: The trials that are shown.
        done: Ids of those done before.
        unit: What works, as "worker".
        console: Where to write; standard output if None.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        done: set[str],
        unit: str = "worker",
        console: rich.console.Console | None = None,
    ) -> None:
        self.console = console or rich.console.Console()
        self._epochs = {trial.id: trial.epochs for trial in trials}
        self._unit = unit
        self._before = self._weight(done)
        self._began: float | None = None
        self._next_line = time.monotonic() + _SECONDS_PER_LINE
        self._shown = -1
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=32),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("trials  {task.fields[said]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            refresh_per_second=4,
            transient=True,
        )
        self._task = self._bar.add_task("sweep", total=len(trials), said="")
        self._bar.update(self._task, completed=len(done & self._epochs.keys()))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._bar.stop()

    def update(self, recorded: set[str], workers: int) -> None:
        """Show where the sweep stands."""
        done = recorded & self._epochs.keys()
        said = f"{counted(workers, self._unit)}  {self._left(done)}"
        self._bar.update(self._task, completed=len(done), said=said)
        if self.console.is_terminal:
            return
        is_due = time.monotonic() >= self._next_line and len(done) != self._shown
        if is_due or (len(done) == len(self._epochs) != self._shown):
            self._next_line = time.monotonic() + _SECONDS_PER_LINE
            self._shown = len(done)
            self.console.print(
                f"{len(done)}/{counted(len(self._epochs), 'trial')}  {said}",
                highlight=False,
                soft_wrap=True,
            )

    def _left(self, done: set[str]) -> str:
        weight, total = self._weight(done), sum(self._epochs.values())
        if len(done) == len(self._epochs):
            return "done"
        if self._began is None and weight > self._before:
            self._before, self._began = weight, time.monotonic()
        if self._began is None or weight <= self._before:
            return "time left unknown"
        spent = time.monotonic() - self._began
        return f"about {clock(spent * (total - weight) / (weight - self._before))} left"

    def _weight(self, ids: set[str]) -> float:
        return sum(self._epochs[each] for each in ids & self._epochs.keys())
