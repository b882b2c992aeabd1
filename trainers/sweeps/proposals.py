"""Learning rates that Optuna proposes, between those that a cell of a sweep has tried.

Optuna proposes only: it is told what is recorded, asked for a rate, and forgotten. What it said is
frozen in the grid of the sweep, as all rates are, so nothing is lost that a database would keep.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

from trainers.loop.records import Record
from trainers.sweeps import growth
from trainers.sweeps.choice import means
from trainers.sweeps.grid import Grid

__all__ = ["check", "proposed"]

# People write a rate with so many digits.
_DIGITS = 3


def check() -> None:
    """Refuse to go on without Optuna.

    Raises:
        ValueError: If it is not installed.
    """
    _optuna()


def proposed(grid: Grid, records: Mapping[str, Record], most: int) -> Grid:
    """Return a grid with a rate more for each cell, between its lowest and its highest.

    The rate is where a Gaussian process on the logarithm of rates expects to improve the most on
    all rates of the cell; if that is one of them, between it and its better neighbour. A rate that
    diverged counts as the worst one that did not. With one version of Optuna the rate is a function
    of the results alone.

    Args:
        grid: A grid whose rates are tuned.
        records: The records of its trials that are done, by id. Cells whose candidates are not all
            among them, or that have one rate, stay as they are.
        most: How many rates may be added between those of a cell in all.

    Raises:
        ValueError: If Optuna is not installed.
    """
    more: dict[str, list[float]] = {}
    seen = set()
    for trial in grid.trials:
        ids = {each for ids in trial.candidates.values() for each in ids}
        if trial.cell in seen or len(trial.candidates) < 2 or not ids <= records.keys():
            continue
        seen.add(trial.cell)
        known = means(trial, records, grid)
        if len(growth.within(known, grid.extended.get(trial.cell, ()))) < most:
            rate = _asked(known)
            if rate is not None:
                more[trial.cell] = [rate]
    return growth.with_rates(grid, more)


def _asked(known: Mapping[float, float]) -> float | None:
    """Return a rate that is not known yet; None if none is proposed.

    Args:
        known: How good a rate is, by rate: the higher, the better, minus infinity for one that
            diverged.
    """
    optuna = _optuna()
    finite = [value for value in known.values() if math.isfinite(value)]
    if not finite:
        return None
    low, high = min(known), max(known)
    space = {"rate": optuna.distributions.FloatDistribution(low, high, log=True)}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # It tells of each study.
    try:
        sampler = optuna.samplers.GPSampler(n_startup_trials=0, seed=0)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for rate, value in sorted(known.items()):
            study.add_trial(
                optuna.trial.create_trial(
                    params={"rate": rate}, distributions=space, value=max(value, min(finite))
                )
            )
        rate = _written(study.ask(space).params["rate"])
    finally:
        optuna.logging.set_verbosity(verbosity)
    written = {_written(each): each for each in known}
    if rate in written:
        rate = _beside(written[rate], known)
    return rate if low < rate < high and rate not in written else None


def _written(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}")


def _beside(rate: float, known: Mapping[float, float]) -> float:
    """Return the geometric mean of a rate and the better one of its neighbours."""
    rates = sorted(known)
    at = rates.index(rate)
    near = max(rates[max(0, at - 1) : at] + rates[at + 1 : at + 2], key=known.__getitem__)
    return _written(math.sqrt(rate * near))


def _optuna() -> Any:
    try:
        importlib.import_module("torch")  # Of Optuna's Gaussian process.
        return importlib.import_module("optuna")
    except ImportError as error:
        raise ValueError(
            "`propose_rates` needs optuna and torch, which are not both installed. Install them: "
            "pip install -e '.[tune]'"
        ) from error
