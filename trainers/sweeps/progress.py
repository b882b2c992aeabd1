"""What a person sees of a running sweep: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Self

import rich.console
import rich.progress

from trainers.loop.progress import clock, counted, screen
from trainers.sweeps.grid import Trial

__all__ = ["View"]

_SECONDS_PER_LINE = 10.0


class View:
    """Shows how much of a sweep is done, by how many, and about how long the rest takes.

    The time left is judged by epochs, of which trials differ in number, and by what an epoch has
    taken in the trials of the same setting, precision and phase that are recorded, or in all. Of
    workers that other commands started on the same directory it knows nothing.

    Args:
        trials: The trials that are shown.
        done: Ids of those done before.
        unit: What works, as "worker".
        console: Where to write; standard output if None.
        taken: Returns the seconds that a worker spent on a recorded trial; None if nobody knows.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        done: set[str],
        unit: str = "worker",
        console: rich.console.Console | None = None,
        taken: Callable[[str], float | None] = lambda name: None,
    ) -> None:
        self.console = console or screen()
        self._epochs = {trial.id: trial.epochs for trial in trials}
        self._kinds = {trial.id: _kind(trial) for trial in trials}
        self._unit = unit
        self._taken = taken
        self._seen: set[str] = set()
        # Seconds and epochs of what is recorded, by kind.
        self._spent: dict[tuple[str, ...], tuple[float, float]] = {}
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

    def say(self, text: str) -> None:
        """Write a line."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def update(self, recorded: set[str], workers: int) -> None:
        """Show where the sweep stands."""
        done = recorded & self._epochs.keys()
        said = f"{counted(workers, self._unit)}  {self._left(done, workers)}"
        self._bar.update(self._task, completed=len(done), said=said)
        if self.console.is_terminal:
            return
        is_due = time.monotonic() >= self._next_line and len(done) != self._shown
        if is_due or (len(done) == len(self._epochs) != self._shown):
            self._next_line = time.monotonic() + _SECONDS_PER_LINE
            self._shown = len(done)
            self.say(f"{len(done)}/{counted(len(self._epochs), 'trial')}  {said}")

    def _left(self, done: set[str], workers: int) -> str:
        if len(done) == len(self._epochs):
            return "done"
        self._learn(done)
        epochs = math.fsum(epochs for _, epochs in self._spent.values())
        if not epochs:
            return "time left unknown"
        each = math.fsum(seconds for seconds, _ in self._spent.values()) / epochs
        left = 0.0
        for name in self._epochs.keys() - done:
            seconds, count = self._spent.get(self._kinds[name], (each, 1.0))
            left += self._epochs[name] * seconds / count
        busy = min(workers, len(self._epochs) - len(done))
        return f"about {clock(left / busy)} left" if busy else "time left unknown"

    def _learn(self, done: set[str]) -> None:
        """Take note of what the trials have taken that are newly recorded."""
        for name in done - self._seen:
            taken = self._taken(name)
            if taken is not None:
                seconds, epochs = self._spent.get(self._kinds[name], (0.0, 0.0))
                found = seconds + taken, epochs + self._epochs[name]
                self._spent[self._kinds[name]] = found
        self._seen |= done


def _kind(trial: Trial) -> tuple[str, ...]:
    """Return what trials have in common of which an epoch takes about as long."""
    return str(trial.coordinates["setting"]), str(trial.coordinates["precision"]), trial.phase
