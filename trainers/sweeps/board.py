"""What TensorBoard is told of a sweep: which trials there will be, and how they are judged."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from tensorboard_plugins.schedules import events, layout
from trainers.sweeps.grid import MEASUREMENT, Grid, Trial, frozen
from trainers.sweeps.methods import methods

__all__ = ["describe", "place_of", "take_over"]


def describe(directory: pathlib.Path, grid: Grid) -> None:
    """Write the plan of a sweep for TensorBoard, once for each grid that is frozen.

    Whoever made the grid may have been killed before: it is written where it is missing.

    Args:
        directory: The directory of the sweep.
        grid: Its last grid.

    Raises:
        OSError: If the disk does not take it.
    """
    number = len(frozen(directory))
    place = directory / "board"
    done = place / f"grid-{number}"
    if done.exists():
        return
    file = events.EventFile(place)
    file.add([events.words(layout.SWEEP, layout.dumped(_plan(grid)))], number)
    file.close()
    done.touch()


def place_of(grid: Grid, trial: Trial, rate: float) -> dict[str, Any]:
    """Return what a trial is compared by.

    Args:
        grid: The grid.
        trial: The trial.
        rate: The learning rate that it has.
    """
    return {
        "sweep": grid.name,
        "id": trial.id,
        "cell": trial.cell,
        "phase": trial.phase,
        **trial.coordinates,
        "learning_rate": rate,
        "full_epochs": trial.config.get("epochs"),
    }


def take_over(directory: pathlib.Path, place: Mapping[str, Any], other: str) -> None:
    """Say that the result of a trial is that of another one, which is not run again.

    Args:
        directory: Where the trial would have logged.
        place: What it is compared by.
        other: Id of the other trial.

    Raises:
        OSError: If the disk does not take it.
    """
    file = events.EventFile(directory)
    file.add([events.words(layout.TRIAL, layout.dumped({**place, "same_as": other}))], 0)
    file.close()


def _plan(grid: Grid) -> dict[str, Any]:
    measured = [trial for trial in grid.trials if trial.phase == MEASUREMENT]
    called = methods(measured)
    cells: dict[str, dict[str, Any]] = {}
    for trial in measured:
        where = trial.coordinates
        cell = cells.setdefault(
            trial.cell,
            {
                "cell": trial.cell,
                "setting": where["setting"],
                "method": called[trial.cell],
                "budget": where["budget"],
                "full_epochs": trial.config.get("epochs"),
                "trials": [],
            },
        )
        cell["trials"].append(trial.id)
    return {
        "name": grid.name,
        "goal": grid.metric(MEASUREMENT),
        "mode": grid.goal_mode,
        "judged": grid.judged,
        "protocol": grid.protocol,
        "source": grid.source,
        "cells": list(cells.values()),
        "tuning": [trial.id for trial in grid.trials if trial.phase != MEASUREMENT],
    }
