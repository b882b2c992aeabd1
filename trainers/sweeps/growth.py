"""How a sweep grows: a frozen grid, and another one that has all of it and more.

A sweep never changes or shrinks. What may be added are settings, methods, budgets and seeds, and,
for a rate that is tuned, learning rates and tuning seeds. A measurement whose rate was chosen from
fewer candidates than now is *superseded*: its result is kept, and is that of the new one, too, if
the choice is the same.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainers.loop.records import Record
from trainers.sweeps.choice import chosen_rate
from trainers.sweeps.grid import GROWING, MEASUREMENT, TUNING, Grid, Trial

__all__ = [
    "added",
    "difference",
    "edges",
    "extended",
    "has_all_of",
    "is_same",
    "with_rates",
    "with_rates_of",
    "within",
]

# A rate that is a multiple of another one is written with as many digits.
_DIGITS = 10


def is_same(one: Grid, other: Grid) -> bool:
    """Return whether two grids have the same trials, in whatever order."""
    return has_all_of(one, other) and has_all_of(other, one)


def has_all_of(given: Grid, frozen: Grid) -> bool:
    """Return whether a grid is another one, or that one grown."""
    if _changed(given, frozen):
        return False
    ids = {trial.id for trial in given.trials}
    place = {_place(trial): trial for trial in given.trials if trial.phase == MEASUREMENT}
    return all(
        trial.id in ids or (_place(trial) in place and _supersedes(place[_place(trial)], trial))
        for trial in frozen.trials
    )


def _changed(given: Grid, frozen: Grid) -> list[str]:
    """Return the names of what a grid says otherwise than another one, not only of more."""
    return [
        name
        for name in Grid.facts()
        if (mine := getattr(given, name)) != (there := getattr(frozen, name))
        and not (name in GROWING and _has(mine, there))
    ]


def _has(mine: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Return whether one says all that another one does; of rates there may be more."""
    return all(
        list(mine.get(key, ()))[: len(value)] == list(value)
        if isinstance(value, list | tuple)
        else mine.get(key) == value
        for key, value in there.items()
    )


def _place(trial: Trial) -> tuple[str, int]:
    return trial.cell, trial.coordinates["seed"]


def _supersedes(new: Trial, old: Trial) -> bool:
    """Return whether a measurement chooses its rate from all that another one does, and more."""
    return bool(old.candidates) and all(
        set(ids) <= set(new.candidates.get(rate, ())) for rate, ids in old.candidates.items()
    )


def added(given: Grid, frozen: Grid) -> list[Trial]:
    """Return the trials that a grid has and another one has not."""
    before = {trial.id for trial in frozen.trials}
    return [trial for trial in given.trials if trial.id not in before]


def edges(grid: Grid, records: Mapping[str, Record]) -> dict[str, float]:
    """Return the learning rates that lie at an edge of what they were chosen from, by cell.

    Args:
        grid: A grid.
        records: The records of its trials that are done, by id.
    """
    found = {}
    for trial in grid.trials:
        ids = {each for ids in trial.candidates.values() for each in ids}
        if len(trial.candidates) > 1 and ids <= records.keys() and trial.cell not in found:
            rate = chosen_rate(trial, records, grid)
            rates = sorted(map(float, trial.candidates))
            if rate in (rates[0], rates[-1]):
                found[trial.cell] = rate
    return found


def extended(grid: Grid, records: Mapping[str, Record], most: int) -> Grid:
    """Return a grid with a rate more for each cell whose best rate lies at an edge.

    The new rate is as many times the old one as that is its neighbour. It is a function of the
    results alone: whoever extends a sweep, and when, comes to the same grid.

    Args:
        grid: A grid.
        records: The records of its trials that are done, by id. Cells whose candidates are not all
            among them stay as they are.
        most: How many rates may be added beyond the edges of a cell in all.
    """
    more: dict[str, list[float]] = {}
    tuned = _tuned(grid)
    for cell, rate in edges(grid, records).items():
        given = grid.extended.get(cell, ())
        between = within(tuned[cell], given)
        if len(given) - len(between) < most:
            rates = sorted(tuned[cell].keys() - between)
            near = rates[1] if rate == rates[0] else rates[-2]
            more[cell] = [float(f"{rate * rate / near:.{_DIGITS}g}")]
    return with_rates(grid, more)


def within(rates: Iterable[float], added: Sequence[float]) -> list[float]:
    """Return the rates that were added to a cell between those that it had, in their order.

    Args:
        rates: All rates of the cell.
        added: Those of them that were added, in their order.
    """
    had = sorted(set(rates) - set(added))
    found = []
    for rate in added:
        if had and had[0] < rate < had[-1]:
            found.append(rate)
        else:
            had = sorted([*had, rate])
    return found


def with_rates_of(given: Grid, frozen: Grid) -> Grid:
    """Return a grid with the rates that the cells of another one were extended by."""
    tuned = _tuned(given)
    more = {}
    for cell, rates in frozen.extended.items():
        known = tuned.get(cell, {})
        if known and (new := [rate for rate in rates if rate not in known]):
            more[cell] = new
    return with_rates(given, more)


def _tuned(grid: Grid) -> Mapping[str, Mapping[float, Sequence[Trial]]]:
    """Return the trials that tune, by cell and learning rate."""
    found: dict[str, dict[float, list[Trial]]] = collections.defaultdict(dict)
    for trial in grid.trials:
        rate = trial.coordinates["learning_rate"]
        if trial.phase == TUNING and rate is not None:
            found[trial.cell].setdefault(float(rate), []).append(trial)
    return found


def with_rates(grid: Grid, more: Mapping[str, Sequence[float]]) -> Grid:
    """Return a grid with more rates for some cells."""
    tuned = _tuned(grid) if more else {}
    made: dict[str, dict[float, list[Trial]]] = {}
    for cell, rates in more.items():
        alike = tuned[cell][min(tuned[cell])]
        made[cell] = {rate: [_at(trial, rate) for trial in alike] for rate in rates}
    trials: list[Trial] = []
    done: set[str] = set()
    for trial in grid.trials:
        new = made.get(trial.cell, {})
        if trial.phase == TUNING and trial.cell not in done:
            done.add(trial.cell)  # Before its neighbours, with which they share a trace.
            trials += [each for tuned in new.values() for each in tuned]
        if trial.phase == MEASUREMENT and new:
            added_ids = {repr(rate): tuple(t.id for t in tuned) for rate, tuned in new.items()}
            candidates = {**trial.candidates, **added_ids}
            trials.append(dataclasses.replace(trial, candidates=candidates).named())
        else:
            trials.append(trial)
    before = {cell: [*grid.extended.get(cell, ()), *rates] for cell, rates in more.items()}
    return dataclasses.replace(grid, trials=tuple(trials), extended={**grid.extended, **before})


def _at(trial: Trial, rate: float) -> Trial:
    """Return a trial with another learning rate."""
    return dataclasses.replace(
        trial,
        coordinates={**trial.coordinates, "learning_rate": rate},
        config={**trial.config, "learning_rate": rate},
    ).named()


def difference(frozen: Grid, given: Grid) -> str:
    """Say in a line why a grid is not one grown from another."""
    said = [
        f"{name} is {getattr(frozen, name)!r} there, not {getattr(given, name)!r}"
        for name in _changed(given, frozen)
    ]
    there, here = ({trial.name: trial.config for trial in grid.trials} for grid in (frozen, given))
    keys = sorted(
        {
            key
            for name in there.keys() & here.keys()
            for key in there[name].keys() | here[name].keys()
            if _plain(there[name].get(key)) != _plain(here[name].get(key))
        }
    )
    if keys:
        said.append(f"its trials differ in {', '.join(keys)}")
    if names := there.keys() - here:
        said.append(f"{len(names)} trials are only there, as {min(names)!r}")
    if not said and given.protocol == "halving":
        said.append("under 'halving' neither learning rates nor tuning seeds can be added")
    return "; ".join(said) or "its trials choose their rates from others"


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
