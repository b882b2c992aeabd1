"""Tests of whether methods differ by more than chance, and intervals of their differences.

Results of one setting are not independent: its budgets are trained with the same seeds. What is
independent is called a *block*: a seed in a setting, where other seeds are asked about, or a
setting, where other settings are. Whatever a block has several numbers of is averaged first, and
blocks are all that is counted.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Hashable, Mapping, Sequence, Sized
from typing import TypeVar

import numpy as np
import scipy.stats

__all__ = [
    "PERMUTATIONS",
    "Difference",
    "Friedman",
    "critical_difference",
    "difference",
    "friedman",
    "holm",
    "least_p_value",
    "nemenyi",
    "telling",
]

_K = TypeVar("_K", bound=Hashable)
# As many permutations are tried at most: all of them, where there are fewer.
PERMUTATIONS = 20_000


# --- several methods ------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Friedman:
    """The Friedman test of "all methods are equally good".

    Attributes:
        statistic: Friedman's chi-squared, corrected for ties.
        p_value: The share of orders of the methods within blocks whose statistic is as large.
        is_exact: Whether all orders were tried.
        ranks: Average rank by method.
        blocks: Number of blocks.
    """

    statistic: float
    p_value: float
    is_exact: bool
    ranks: Mapping[str, float]
    blocks: int


def friedman(blocks: Sequence[Mapping[str, float]], seed: int = 0) -> Friedman:
    """Test whether methods differ over blocks, by permutations.

    If all methods are equally good, each order of them within a block is as likely. The p-value is
    the share of orders that give a statistic as large: it is right for two blocks as for twenty,
    where those of chi-squared, and of Iman and Davenport's F, need about ten.

    Args:
        blocks: For each block a number by method that is low if the method is good. At least two,
            with the same methods in each: three or more.
        seed: Of the orders, where there are more than 20,000: then so many are drawn.

    Raises:
        ValueError: If there are fewer blocks or methods, or the methods differ.

    References:
        Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006),
        section 3.2.2. Difference: he takes p-values from chi-squared or F.
    """
    methods, table = _ranked(blocks)
    n, k = table.shape
    # Only orders beside that of the first block matter, but SciPy takes no fewer than two blocks.
    first, others = (table[0], table[1:]) if n > 2 else (np.zeros(k), table)
    statistic, p_value = 0.0, 1.0
    if np.ptp(table) > 0.0:  # If all are equal everywhere, SciPy divides by zero.

        def squares(*ranks: np.ndarray, axis: int = -1) -> np.ndarray:
            # It grows with the statistic. Ranks are halves: sums and squares are exact.
            sums = [one + np.sum(each, axis=axis) for one, each in zip(first, ranks, strict=True)]
            return np.sum(np.square(sums), axis=0)

        # It subtracts large numbers: equal average ranks may come to a little less than none.
        statistic = max(0.0, float(scipy.stats.friedmanchisquare(*table.T).statistic))
        found = scipy.stats.permutation_test(
            tuple(others.T),
            squares,
            permutation_type="samples",
            alternative="greater",
            n_resamples=PERMUTATIONS,
            rng=np.random.default_rng(seed),
        )
        p_value = float(found.pvalue)
    return Friedman(
        statistic=statistic,
        p_value=p_value,
        is_exact=math.factorial(k) ** len(others) <= PERMUTATIONS,
        ranks=dict(zip(methods, map(float, table.mean(axis=0)), strict=True)),
        blocks=n,
    )


def least_p_value(methods: int, blocks: int) -> float:
    """Return the least p-value that `friedman` can have: that of blocks that agree on all ranks.

    Example:
        >>> least_p_value(methods=4, blocks=2) == 1 / 24
        True
    """
    return 1.0 / float(math.factorial(methods)) ** (blocks - 1)


def nemenyi(blocks: Sequence[Mapping[str, float]]) -> dict[tuple[str, str], float]:
    """Return the p-value of each pair of methods, corrected for all pairs, by Nemenyi's test.

    Args:
        blocks: As for `friedman`, whose test comes before this one.

    Raises:
        ValueError: As `friedman` does.
    """
    # It loads statsmodels and seaborn, which most reports have no need of.
    import scikit_posthocs

    methods, table = _ranked(blocks)
    found = scikit_posthocs.posthoc_nemenyi_friedman(table).to_numpy()
    return {
        (methods[a], methods[b]): float(found[a, b])
        for a, b in itertools.combinations(range(len(methods)), 2)
    }


def critical_difference(methods: int, blocks: int, alpha: float = 0.05) -> float:
    """Return how far average ranks must be apart to differ at level `alpha` by Nemenyi's test.

    Args:
        methods: Number of methods, at least 2.
        blocks: Number of blocks.
        alpha: Level, in (0, 1).

    Example:
        >>> round(critical_difference(4, 14), 2)  # Demsar's example.
        1.25
    """
    quantile = float(scipy.stats.studentized_range.ppf(1 - alpha, methods, np.inf))
    return quantile * math.sqrt(methods * (methods + 1) / (12 * blocks))


def _ranked(blocks: Sequence[Mapping[str, float]]) -> tuple[list[str], np.ndarray]:
    """Return methods, and their ranks: a row for each block."""
    methods = list(blocks[0]) if blocks else []
    if len(blocks) < 2 or len(methods) < 3:
        raise ValueError(
            f"A Friedman test needs at least 2 blocks and 3 methods. "
            f"Received: {len(blocks)} blocks, {len(methods)} methods"
        )
    for block in blocks:
        if set(block) != set(methods):
            raise ValueError(
                f"All blocks must have the same methods. Received: {sorted(methods)} and "
                f"{sorted(block)}"
            )
    table = np.array([[block[method] for method in methods] for block in blocks])
    return methods, scipy.stats.rankdata(table, axis=1)


# --- two methods ----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean difference of two methods, and what blocks say about it.

    Attributes:
        mean: Mean over groups of the mean over their blocks.
        low: Lower end of the interval; NaN where nothing is known of how blocks vary.
        high: Upper end.
        p_value: Of "the mean is 0", two-sided; NaN where there is no interval.
        blocks: Number of blocks.
        groups: Number of groups.
        p_apart: Of "the mean is as far from 0 as the margin, or farther", by two one-sided tests;
            NaN without a margin.
    """

    mean: float
    low: float
    high: float
    p_value: float
    blocks: int
    groups: int
    p_apart: float = math.nan


def telling(groups: Mapping[_K, Sized]) -> list[_K]:
    """Return the groups that tell how blocks vary: those with several, or all if none has.

    Beside them a group with one block says nothing of others, and is left out.
    """
    several = [name for name, blocks in groups.items() if len(blocks) > 1]
    return several or list(groups)


def difference(
    groups: Sequence[Sequence[float]],
    level: float = 0.95,
    resolution: float = 0.0,
    margin: float | None = None,
) -> Difference:
    """Return a mean difference with Student's interval and test.

    With one group it is the paired t-test. With several, as the seeds of several settings, the mean
    is over groups, each of the same weight, with the standard error
    ``sqrt(sum(s_g^2 / n_g)) / G``, as the spread differs between groups. Its degrees of freedom are
    Welch and Satterthwaite's where all groups have as many blocks, and else those of the smallest
    group, ``min(n_g) - 1``: of sizes like 2 and 20 the former would hold the mean in 88 % of cases.
    Measured on normal differences, 95 % intervals hold the true mean in 95 % of cases with one
    group, and in 95 to 99 % with several: they are wide rather than wrong.

    Args:
        groups: For each group the difference of each of its blocks, at least one.
        level: Level of the interval, in (0, 1).
        resolution: Differences that are no further apart are equal.
        margin: Methods are equivalent if they differ by less; above 0, given before the results.

    Returns:
        The difference, of the groups that are `telling`. Where the
        blocks of no group differ, as those of a metric in coarse steps may, nothing is known of how
        others would vary, and it has neither interval nor p-values.

    Raises:
        ValueError: If there is no group, or one without a block, or `margin` is not above 0.

    References:
        Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", Biometrics
        Bulletin 2 (1946). Schuirmann, "A Comparison of the Two One-Sided Tests Procedure ...",
        Journal of Pharmacokinetics and Biopharmaceutics 15 (1987).
    """
    samples = [np.asarray(group, np.float64) for group in groups]
    if not samples or min(map(len, samples)) < 1:
        raise ValueError(
            f"`groups` must have a group, and a block in each. Received: groups="
            f"{[list(group) for group in groups]}"
        )
    if margin is not None and not 0.0 < margin < math.inf:
        raise ValueError(f"`margin` must be finite and above 0. Received: margin={margin}")
    used = [samples[index] for index in telling(dict(enumerate(samples)))]
    mean = math.fsum(float(sample.mean()) for sample in used) / len(used)
    count = sum(map(len, used))
    varied = [sample for sample in used if len(sample) > 1 and np.ptp(sample) > resolution]
    if not varied:
        return Difference(mean, math.nan, math.nan, math.nan, count, len(used))
    sizes = np.array([len(sample) for sample in varied])
    parts = np.array([sample.var(ddof=1) for sample in varied]) / sizes / len(used) ** 2
    error = math.sqrt(float(parts.sum()))
    freedom = float(sizes.min() - 1)
    if sizes.min() == sizes.max():
        freedom = float(parts.sum() ** 2 / np.sum(parts**2 / (sizes - 1)))
    half = error * float(scipy.stats.t.ppf((1 + level) / 2, freedom))
    p_value = 2.0 * float(scipy.stats.t.sf(abs(mean) / error, freedom))
    p_apart = math.nan
    if margin is not None:
        p_apart = float(scipy.stats.t.sf((margin - abs(mean)) / error, freedom))
    return Difference(mean, mean - half, mean + half, p_value, count, len(used), p_apart)


def holm(p_values: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Return p-values of a family of comparisons, corrected by Holm's method.

    What has no p-value, NaN, is no comparison, and keeps it.

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
        {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    from statsmodels.stats.multitest import multipletests  # Slow to load, and rarely needed.

    known = [name for name, value in p_values.items() if not math.isnan(value)]
    corrected = dict(p_values)
    if known:
        found = multipletests([p_values[name] for name in known], method="holm")[1]
        corrected.update(zip(known, map(float, found), strict=True))
    return corrected
