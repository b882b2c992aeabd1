"""Where a sweep stands: read from its directory, whoever works on it."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import rich.console
import rich.markup
import rich.table

from trainers.sweeps.grid import MEASUREMENT, TUNING, Trial
from trainers.sweeps.results import ENDS
from trainers.sweeps.store import Store, UnreadableError

__all__ = ["Status", "show"]

_SHOWN = 20
_COUNTS = ("done", "running", "missing", "blocked", "quarantined", "unreadable")


@dataclasses.dataclass(frozen=True)
class Status:
    """Where each trial stands: in one of `done` to `missing`.

    Attributes:
        trials: The trials that this is about.
        done: How each trial that has a result ended.
        running: Who runs a trial: the entry of its attempt.
        quarantined: Why a trial is in quarantine.
        unreadable: What is in the way of a trial that cannot be run or read for it.
        blocked: Candidates in quarantine, or unreadable, that a trial waits for.
        missing: Trials still to be run.
        torn: What is wrong with result files that are none.
        foreign: What else is in the directory of results.
    """

    trials: Sequence[Trial]
    done: Mapping[str, str]
    running: Mapping[str, Mapping[str, Any]]
    quarantined: Mapping[str, Mapping[str, Any]]
    unreadable: Mapping[str, str]
    blocked: Mapping[str, Sequence[str]]
    missing: Sequence[str]
    torn: Sequence[str]
    foreign: Sequence[str]

    @property
    def complete(self) -> bool:
        """Whether every trial has a result."""
        return len(self.done) == len(self.trials)

    @classmethod
    def of(cls, store: Store, shard: tuple[int, int] = (0, 1)) -> Status:
        """Read the status of a sweep, or of a shard of it."""
        trials = store.grid.shard(*shard)
        # Who is held is asked first: what ends after that is done, and is found done.
        held, in_the_way = _held(store, trials)
        found, torn, unreadable = store.sound(trials)
        unreadable |= {each: said for each, said in in_the_way.items() if each not in found}
        left = [trial for trial in trials if trial.id not in found.keys() | unreadable.keys()]
        running = {
            trial.id: (store.attempts(trial.id).all() or [{"status": "begun"}])[-1]
            for trial in left
            if trial.id in held
        }
        quarantined = {}
        for trial in left:
            why = None if trial.id in held else store.attempts(trial.id).quarantine()
            if why:
                quarantined[trial.id] = why
        stuck = quarantined.keys() | unreadable.keys()
        blocked = {
            trial.id: wanted
            for trial in left
            if (wanted := [i for ids in trial.candidates.values() for i in ids if i in stuck])
        }
        apart = running.keys() | quarantined.keys() | blocked.keys()
        return cls(
            trials=trials,
            done={each: read.status for each, read in found.items()},
            running=running,
            quarantined=quarantined,
            unreadable=unreadable,
            blocked=blocked,
            missing=[trial.id for trial in left if trial.id not in apart],
            torn=torn,
            foreign=store.foreign(),
        )


def _held(store: Store, trials: Sequence[Trial]) -> tuple[set[str], dict[str, str]]:
    """Return which trials are held, and what is in the way of others."""
    held, in_the_way = set(), {}
    for trial in trials:
        try:
            if store.is_held(trial.id):
                held.add(trial.id)
        except UnreadableError as error:
            in_the_way[trial.id] = str(error)
    return held, in_the_way


def show(status: Status, store: Store, console: rich.console.Console) -> None:
    """Write a status for people."""
    console.print(_counts(status, store))
    names = {trial.id: trial.name for trial in status.trials}
    ends = collections.Counter(status.done.values())
    if set(ends) - {"finished"}:
        said = ", ".join(f"{ends[end]} {end}" for end in ENDS if ends[end])
        _say(console, f"Of those done: {said}")
    _list(
        console,
        "running",
        [f"{names[i]}  {_who(entry)}" for i, entry in status.running.items()],
    )
    lines = []
    for trial, why in status.quarantined.items():
        counts = ", ".join(
            f"{why[what]} attempts {what}" for what in ("erred", "vanished") if why[what]
        )
        place = store.directory / "trials" / trial / "attempts"
        lines.append(f"{names[trial]}\n    {_last_line(why['error'])}\n    {counts}: {place}")
    _list(console, "quarantined", lines)
    if lines:
        _say(console, "To try these again: --retry_quarantined")
    _list(
        console,
        "blocked",
        [f"{names[i]}  waits for {_places(status, ids)}" for i, ids in status.blocked.items()],
    )
    _list(
        console,
        "unreadable",
        [f"{names[i]}  {said}; remove what is there" for i, said in status.unreadable.items()],
    )
    _list(console, "torn", [f"{said} (run again when a worker gets to it)" for said in status.torn])
    _list(console, "in results/ besides", status.foreign)


def _counts(status: Status, store: Store) -> rich.table.Table:
    grid = store.grid
    shard = "" if len(status.trials) == len(grid.trials) else ", one shard"
    table = rich.table.Table(
        title=f"{grid.name} ({grid.protocol}{shard}) in {store.directory}", title_justify="left"
    )
    table.add_column("phase")
    for name in (*_shown(status), "trials"):
        table.add_column(name, justify="right")
    of = {
        phase: {trial.id for trial in status.trials if trial.phase == phase}
        for phase in (TUNING, MEASUREMENT)
    }
    for phase, ids in of.items():
        if ids:
            table.add_row(phase, *_numbers(status, ids))
    if all(of.values()):
        table.add_section()
        table.add_row("all", *_numbers(status, of[TUNING] | of[MEASUREMENT]))
    return table


def _numbers(status: Status, ids: set[str]) -> list[str]:
    return [str(len(ids & set(getattr(status, name)))) for name in _shown(status)] + [str(len(ids))]


def _shown(status: Status) -> tuple[str, ...]:
    """Return the counts that have a column: what is rare, and a sign of damage, only if it is."""
    return _COUNTS if status.unreadable else _COUNTS[:-1]


def _list(console: rich.console.Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"[bold]{len(lines)} {title}[/bold]", highlight=False)
    for line in lines[:_SHOWN]:
        _say(console, f"  {line}")
    if len(lines) > _SHOWN:
        _say(console, f"  and {len(lines) - _SHOWN} more")


def _say(console: rich.console.Console, text: str) -> None:
    console.print(rich.markup.escape(text), highlight=False, soft_wrap=True)


def _who(entry: Mapping[str, Any]) -> str:
    if "pid" not in entry:
        return "about to begin"
    begun, host = entry.get("begun", "an unknown time"), entry.get("host", "an unknown host")
    return f"since {begun} by process {entry['pid']} on {host}"


def _places(status: Status, ids: Sequence[str]) -> str:
    """Say how many of the trials that one waits for are where."""
    unreadable = len(status.unreadable.keys() & set(ids))
    counts = {"in quarantine": len(ids) - unreadable, "unreadable": unreadable}
    return " and ".join(f"{count} {what}" for what, count in counts.items() if count)


def _last_line(text: str) -> str:
    return (text.splitlines() or [""])[-1]
