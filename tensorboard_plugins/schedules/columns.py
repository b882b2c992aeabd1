"""Columns of results: means, places, rates and ranks, as the papers count them.

A *column* is what the papers' tables have one of: the scores of all methods in one setting at one
budget.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any

__all__ = [
    "LEFT_ALONE",
    "LOW",
    "Column",
    "Rate",
    "Seeds",
    "average_ranks",
    "is_low",
    "merged",
    "resolution",
    "top_rates",
]

# What the order of a sum changes, and what float32 keeps of one.
_EXACT, _FLOAT32 = 1e-12, 1e-6
# REX, table 1: budgets below 25 % are low, which leaves 1, 5 and 10 %.
LOW = 0.25
# What a method has on an axis that it leaves alone: it need not be said beside others.
LEFT_ALONE = {"momentum": ("constant", "none"), "precision": ("float32", "none")}


def is_low(budget: float) -> bool:
    """Return whether the REX paper counts a budget as low."""
    return budget < LOW


def resolution(is_count: bool) -> float:
    """Return by which share of them two means must differ to be told apart.

    What is a count is known exactly; other metrics are means in float32.
    """
    return _EXACT if is_count else _FLOAT32


@dataclasses.dataclass(frozen=True)
class Seeds:
    """What came out of the seeds of a cell.

    Attributes:
        seeds: Seeds planned.
        values: What is judged, by the seeds that finished.
        failed: How it ended, as "diverged", by the seeds that did not.
    """

    seeds: tuple[Any, ...]
    values: Mapping[Any, float]
    failed: Mapping[Any, str]

    @property
    def n(self) -> int:
        """Number of seeds that finished."""
        return len(self.values)

    @property
    def missing(self) -> int:
        """Number of seeds without a result."""
        return len(self.seeds) - self.n - len(self.failed)

    @property
    def mean(self) -> float:
        """Mean of the seeds that finished; NaN without any."""
        return math.fsum(self.values.values()) / self.n if self.n else math.nan

    @property
    def std(self) -> float:
        """Their standard deviation, over n - 1; NaN for fewer than two."""
        return statistics.stdev(self.values.values()) if self.n > 1 else math.nan

    @property
    def score(self) -> float:
        """What is compared: the mean, or NaN if a training failed: no other makes that good."""
        return math.nan if self.failed else self.mean


@dataclasses.dataclass(frozen=True)
class Column:
    """The scores of methods in one setting at one budget.

    Attributes:
        setting: The setting.
        budget: Share of the setting's epochs.
        mode: "max" if a high score is good, "min" if a low one is.
        scores: Score by method; NaN for one of which a training failed. A method that was not run
            is not in it.
        resolution: Scores that are no further apart are equal; see `Measure.resolution`.
    """

    setting: str
    budget: float
    mode: str
    scores: Mapping[str, float]
    resolution: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise ValueError(f"`mode` must be 'max' or 'min'. Received: mode={self.mode!r}")

    def losses(self) -> dict[str, float]:
        """Return a number by method that is low if the method is good; infinite if it failed.

        Equal methods have the same number.
        """
        sign = -1.0 if self.mode == "max" else 1.0
        losses = {
            method: math.inf if math.isnan(score) else sign * score
            for method, score in self.scores.items()
        }
        levels: dict[float, float] = {}
        last = level = -math.inf
        for loss in sorted(losses.values()):
            # Not rounded: of two that are near each other a rounding may part some.
            level = level if loss - last <= self.resolution else loss
            last = loss
            levels[loss] = level
        return {method: levels[loss] for method, loss in losses.items()}

    def places(self) -> dict[str, int]:
        """Return the place of each method that did not fail: 1 + how many are better.

        Equal methods have equal places: with two first ones the next is third.

        Example:
            >>> Column("A", 1.0, "min", {"a": 7.0, "b": 7.0, "c": 8.0, "d": math.nan}).places()
            {'a': 1, 'b': 1, 'c': 3}
        """
        losses = self.losses()
        return {
            method: 1 + sum(other < loss for other in losses.values())
            for method, loss in losses.items()
            if loss < math.inf
        }

    def ranks(self) -> dict[str, float]:
        """Return the rank of each method, 1 for the best; equal ones share the mean of theirs.

        Methods that failed are equal, and last.

        Example:
            >>> Column("A", 1.0, "min", {"a": 7.0, "b": 7.0, "c": 8.0, "d": math.nan}).ranks()
            {'a': 1.5, 'b': 1.5, 'c': 3.0, 'd': 4.0}
        """
        losses = self.losses()
        every = list(losses.values())
        return {
            method: sum(other < loss for other in every) + (every.count(loss) + 1) / 2
            for method, loss in losses.items()
        }


@dataclasses.dataclass(frozen=True)
class Rate:
    """How many columns of how many."""

    times: int
    columns: int

    @property
    def percent(self) -> float:
        """The share in per cent; NaN without columns."""
        return 100.0 * self.times / self.columns if self.columns else math.nan


def top_rates(columns: Sequence[Column], methods: Collection[str], top: int) -> dict[str, Rate]:
    """Return in how many columns each method is among the best `top`, as REX and Demon count.

    Every column counts for every method, also where the method was not run, and equal methods
    count all: in a column with two best ones both are Top-1, and the rates of all methods can add
    up to more than 100 %. A method that failed is never among the best.

    Args:
        columns: The columns.
        methods: The methods.
        top: 1 or 3 in the papers.

    References:
        REX (arXiv 2107.04197), table 1; Demon (arXiv 1910.04952), table 1.
    """
    places = [column.places() for column in columns]
    return {
        method: Rate(sum(place.get(method, math.inf) <= top for place in places), len(columns))
        for method in methods
    }


def merged(column: Column, groups: Mapping[str, str]) -> Column:
    """Return a column in which some methods count as another one, with the better score.

    Args:
        column: The column.
        groups: Method by the method that it counts as; REX counts Plateau as Step.
    """
    sign = 1.0 if column.mode == "max" else -1.0
    scores: dict[str, float] = {}
    for method, score in column.scores.items():
        name = groups.get(method, method)
        known = scores.get(name, math.nan)
        is_better = math.isnan(known) or sign * score > sign * known
        scores[name] = score if is_better else known
    return dataclasses.replace(column, scores=scores)


def average_ranks(columns: Sequence[Column]) -> dict[str, float]:
    """Return the mean rank of each method over the columns that it is in, as in REX's figure 1."""
    found: dict[str, list[float]] = {}
    for column in columns:
        for method, rank in column.ranks().items():
            found.setdefault(method, []).append(rank)
    return {method: math.fsum(ranks) / len(ranks) for method, ranks in found.items()}
