"""What a trial is judged by, and which learning rate that chooses."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tensorboard_plugins.schedules.columns import resolution
from tensorboard_plugins.schedules.summary import Summary
from trainers.loop.records import Record
from trainers.sweeps.grid import MEASUREMENT, TUNING, Grid, Trial

__all__ = ["best_of", "chosen_rate", "means", "value_of"]


def best_of(record: Record, metric: str, mode: str) -> float:
    """Return the best value that a metric had at the end of an epoch.

    It is NaN if there was none, or if the last one is not finite.
    """
    found = [row[metric] for row in record.epochs if metric in row]
    values = [math.nan if value is None else float(value) for value in found]
    return Summary(values).value("best", mode)


def value_of(record: Record, grid: Grid, phase: str) -> float:
    """Return what a trial of a phase is judged by; NaN if it did not finish."""
    metric = grid.metric(phase)
    at_end = record.value(metric)
    # Of a training that is not a number at its end no earlier epoch speaks.
    if grid.judged == "final" or not math.isfinite(at_end):
        return at_end
    return best_of(record, metric, grid.goal_mode)


def means(trial: Trial, records: Mapping[str, Record], grid: Grid) -> dict[float, float]:
    """Return how good the candidates of a trial are, by rate: the higher, the better.

    It is the mean of the goal over the seeds, its negative if the goal is to be low, and minus
    infinity for a rate with a diverged training.

    Raises:
        KeyError: If the record of a candidate is missing.
    """
    sign = 1.0 if grid.goal_mode == "max" else -1.0
    found: dict[float, float] = {}
    are_ranks = grid.protocol == "halving" and trial.phase == MEASUREMENT
    for key, ids in trial.candidates.items():
        values = [sign * value_of(records[each], grid, TUNING) for each in ids]
        mean = math.fsum(values) / len(values)
        rate = float(records[ids[0]].config["learning_rate"] if are_ranks else key)
        found[rate] = -math.inf if math.isnan(mean) else mean
    return found


def chosen_rate(trial: Trial, records: Mapping[str, Record], grid: Grid) -> float:
    """Return the learning rate of a trial: its own, or that of one of its candidates.

    The best has the best mean of the goal over its seeds. A rate with a diverged training is worse
    than any other. Of equal ones the lower is taken: means are equal that are no further apart than
    they are known, exactly for a goal that is a count, to six digits for a mean in float32. The
    second is the best without the best one.

    Args:
        trial: The trial.
        records: Records by trial id, with those of all candidates.
        grid: The grid.

    Raises:
        KeyError: If the record of a candidate is missing.
    """
    if not trial.candidates:
        return float(trial.coordinates["learning_rate"])
    found = means(trial, records, grid)
    metric = grid.metric(TUNING)
    is_count = all(metric in records[i].counted for ids in trial.candidates.values() for i in ids)
    for _ in range(trial.coordinates.get("rank", 1)):
        best = max(found.values())
        near = 0.0 if math.isinf(best) else resolution(is_count) * abs(best)
        rate = min(rate for rate, mean in found.items() if mean >= best - near)
        del found[rate]
    return rate
