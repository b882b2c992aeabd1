"""What tables and pictures call the methods that a sweep compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard_plugins.schedules.columns import LEFT_ALONE
from trainers.sweeps.grid import Trial

__all__ = ["AXES", "methods"]

AXES = ("schedule", "momentum", "precision")


def methods(trials: Sequence[Trial]) -> dict[str, str]:
    """Return what the method of each cell is called, by the cell.

    That is the names on the axes that differ, less those of what is left alone.
    """
    shown = _shown(trials)
    return {trial.cell: _method(trial.coordinates, shown) for trial in trials}


def _method(place: Mapping[str, Any], shown: Mapping[str, frozenset[str]]) -> str:
    names = [str(place[axis]) for axis in shown if place[axis] not in shown[axis]]
    return " + ".join(names or [str(place[axis]) for axis in shown])


def _shown(trials: Sequence[Trial]) -> dict[str, frozenset[str]]:
    """Return the axes that differ, each with the name that need not be said beside others."""
    values = {axis: {str(trial.coordinates[axis]) for trial in trials} for axis in AXES}
    varied = [axis for axis in AXES if len(values[axis]) > 1] or ["schedule"]
    shown = {}
    for axis in varied:
        silent = {name for name in values[axis] if name.casefold() in LEFT_ALONE.get(axis, ())}
        shown[axis] = frozenset(silent) if len(silent) == 1 and len(varied) > 1 else frozenset()
    return shown
