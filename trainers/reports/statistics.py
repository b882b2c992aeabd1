"""Places, rates, ranks, and tests of whether schedules differ by more than their seeds.

A *column* is what the papers' tables have one of: the scores of all methods in one setting at one
budget. All that is counted here is counted over columns.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import scipy.stats

__all__ = [
    "LOW",
    "Column",
    "Friedman",
    "Interval",
    "Rate",
    "average_ranks",
    "critical_difference",
    "friedman",
    "is_low",
    "merged",
    "nemenyi",
    "paired_interval",
    "top_rates",
]

# REX, table 1: budgets below 25 % are low, which leaves 1, 5 and 10 %.
LOW = 0.25
# Means that differ by less are equal: the sum of the same numbers in another order.
_DIGITS = 12


def is_low(budget: float) -> bool:
    """Return whether the REX paper counts a budget as low."""
    return budget < LOW


@dataclasses.dataclass(frozen=True)
class Column:
    """The scores of methods in one setting at one budget.

    Attributes:
        setting: The setting.
        budget: Share of the setting's epochs.
        mode: "max" if a high score is good, "min" if a low one is.
        scores: Score by method; NaN for one of which a training failed. A method that was not run
            is not in it.
    """

    setting: str
    budget: float
    mode: str
    scores: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise ValueError(f"`mode` must be 'max' or 'min'. Received: mode={self.mode!r}")

    def losses(self) -> dict[str, float]:
        """Return a number by method that is low if the method is good; infinite if it failed."""
        sign = -1.0 if self.mode == "max" else 1.0
        return {
            method: math.inf if math.isnan(score) else _rounded(sign * score)
            for method, score in self.scores.items()
        }

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
        found = scipy.stats.rankdata(list(losses.values()))
        return dict(zip(losses, map(float, found), strict=True))


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


@dataclasses.dataclass(frozen=True)
class Friedman:
    """The Friedman test of "all methods are equally good".

    Attributes:
        statistic: Friedman's chi-squared, corrected for ties.
        p_value: Its p-value, of the chi-squared distribution.
        f_statistic: Iman and Davenport's F, which is less timid with few columns; infinite if all
            columns agree on all ranks.
        f_p_value: Its p-value.
        ranks: Average rank by method.
        columns: Number of columns.
    """

    statistic: float
    p_value: float
    f_statistic: float
    f_p_value: float
    ranks: Mapping[str, float]
    columns: int


def friedman(columns: Sequence[Column]) -> Friedman:
    """Test whether methods differ over columns.

    The statistic and its p-value are SciPy's; Iman and Davenport's F it does not have.

    Args:
        columns: At least two columns, with the same methods in each: three or more.

    Raises:
        ValueError: If there are fewer columns or methods, or the methods differ.

    References:
        Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006),
        section 3.2.2.
    """
    methods, table = _ranks(columns)
    n, k = table.shape
    statistic, p_value = 0.0, 1.0
    if np.ptp(table) > 0.0:  # If all are equal everywhere, SciPy divides by zero.
        found = scipy.stats.friedmanchisquare(*table.T)
        # It subtracts large numbers: equal average ranks may come to a little less than none.
        statistic, p_value = max(0.0, float(found.statistic)), float(found.pvalue)
    left = n * (k - 1) - statistic
    f_statistic = (n - 1) * statistic / left if left > 1e-9 else math.inf
    return Friedman(
        statistic=statistic,
        p_value=p_value,
        f_statistic=f_statistic,
        f_p_value=float(scipy.stats.f.sf(f_statistic, k - 1, (k - 1) * (n - 1))),
        ranks=dict(zip(methods, map(float, table.mean(axis=0)), strict=True)),
        columns=n,
    )


def nemenyi(columns: Sequence[Column]) -> dict[tuple[str, str], float]:
    """Return the p-value of each pair of methods, corrected for all pairs, by Nemenyi's test.

    Args:
        columns: As for `friedman`, whose test comes before this one.

    Raises:
        ValueError: As `friedman` does.
    """
    # It loads statsmodels and seaborn, which most reports have no need of.
    import scikit_posthocs

    methods, table = _ranks(columns)
    found = scikit_posthocs.posthoc_nemenyi_friedman(table).to_numpy()
    return {
        (methods[a], methods[b]): float(found[a, b])
        for a, b in itertools.combinations(range(len(methods)), 2)
    }


def _ranks(columns: Sequence[Column]) -> tuple[list[str], np.ndarray]:
    """Return methods, and their ranks: a row for each column."""
    methods = list(columns[0].scores) if columns else []
    if len(columns) < 2 or len(methods) < 3:
        raise ValueError(
            f"A Friedman test needs at least 2 columns and 3 methods. "
            f"Received: {len(columns)} columns, {len(methods)} methods"
        )
    for column in columns:
        if set(column.scores) != set(methods):
            raise ValueError(
                f"All columns must have the same methods. Received: {sorted(methods)} and, in "
                f"{column.setting} at {column.budget:g}, {sorted(column.scores)}"
            )
    ranks = [column.ranks() for column in columns]
    return methods, np.array([[rank[method] for method in methods] for rank in ranks])


def critical_difference(methods: int, columns: int, alpha: float = 0.05) -> float:
    """Return how far average ranks must be apart to differ at level `alpha` by Nemenyi's test.

    Args:
        methods: Number of methods, at least 2.
        columns: Number of columns.
        alpha: Level, in (0, 1).

    Example:
        >>> round(critical_difference(4, 14), 2)  # Demsar's example.
        1.25
    """
    quantile = float(scipy.stats.studentized_range.ppf(1 - alpha, methods, np.inf))
    return quantile * math.sqrt(methods * (methods + 1) / (12 * columns))


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean difference and what its seeds say about it.

    Attributes:
        mean: Mean over columns of the mean over pairs.
        low: Lower end of the interval; NaN where no column has two pairs.
        high: Upper end.
        pairs: Number of pairs.
        columns: Number of columns.
    """

    mean: float
    low: float
    high: float
    pairs: int
    columns: int


def paired_interval(
    differences: Sequence[Sequence[float]],
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return a bootstrap interval of a mean difference, over seeds that two methods share.

    Pairs are drawn with replacement within each column. The percentiles of plain bootstrap means
    are far too narrow with the three seeds that are usual: they are widened by
    ``sqrt(n / (n - 1))``, for the variance, and by the quantile of Student's t over the normal one.
    Measured on normal differences, 95 % intervals then hold the true mean in 93 % of cases at 2
    pairs and in 94 to 96 % at 3 to 20; skewed ones are held less often. An interval speaks of
    other seeds in these columns, not of other settings, and is not corrected for how many are
    looked at.

    `scipy.stats.bootstrap` draws the same samples, but has no such interval: none of its three
    (percentile, basic and BCa) is widened for how few pairs there are.

    Args:
        differences: For each column the differences by seed, at least one.
        level: Level, in (0, 1).
        resamples: Number of bootstrap samples.
        seed: Seed of the bootstrap: the same input has the same interval.

    Returns:
        The interval. Columns with one pair count in the mean only if no column has more. Without
        two different pairs in a column its ends are NaN.

    Raises:
        ValueError: If there is no column, or one without a pair.
    """
    blocks = [np.asarray(block, np.float64) for block in differences]
    if not blocks or min(map(len, blocks)) < 1:
        raise ValueError(
            f"`differences` must have a column, and a pair in each. Received: differences="
            f"{[list(block) for block in differences]}"
        )
    spread = [block for block in blocks if len(block) > 1]
    used = spread or blocks
    # Equal differences, as of a metric in coarse steps, say nothing of how much others would vary.
    varies = any(block.min() < block.max() for block in spread)
    mean = math.fsum(float(block.mean()) for block in used) / len(used)
    pairs, low, high = sum(map(len, used)), math.nan, math.nan
    if varies:
        generator = np.random.default_rng(seed)
        deviations = np.zeros(resamples)
        for block in spread:
            n = len(block)
            drawn = block[generator.integers(0, n, (resamples, n))].mean(axis=1)
            deviations += math.sqrt(n / (n - 1)) * (drawn - block.mean()) / len(spread)
        freedom = sum(len(block) - 1 for block in spread)
        tail = (1 + level) / 2
        deviations *= scipy.stats.t.ppf(tail, freedom) / scipy.stats.norm.ppf(tail)
        low, high = np.quantile(deviations, [1 - tail, tail], method="inverted_cdf") + mean
    return Interval(mean, float(low), float(high), pairs, len(used))


def _rounded(value: float) -> float:
    return value if value == 0.0 else round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))
