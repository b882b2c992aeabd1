"""Places, rates, tests and intervals: worked by hand, beside SciPy, and as published."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.reports.statistics import (
    Column,
    average_ranks,
    critical_difference,
    friedman,
    is_low,
    merged,
    nemenyi,
    paired_interval,
    top_rates,
)

# Demsar (JMLR 2006), table 6: ranks of C4.5, with m, with cf, and with both on 14 data sets.
DEMSAR = [
    *((4, 3, 2, 1), (1, 2, 3, 4), (4, 1, 2, 3), (4, 1, 3, 2), (4, 2, 3, 1), (1, 2.5, 4, 2.5)),
    *((3, 2, 4, 1), (2.5, 2.5, 4, 1), (4, 3, 2, 1), (2.5, 2.5, 2.5, 2.5), (4, 2.5, 1, 2.5)),
    *((3, 2, 4, 1), (4, 1, 2, 3), (3, 1, 4, 2)),
]


def column(scores, mode="min", budget=1.0):
    return Column("A", budget, mode, scores)


def columns_of(table, mode="max"):
    return [column(dict(zip("abcdefgh", row, strict=False)), mode) for row in table]


def test_low_budgets_are_those_that_rex_counts_as_low():
    assert [b for b in (0.01, 0.05, 0.1, 0.25, 0.5, 1.0) if is_low(b)] == [0.01, 0.05, 0.1]


def test_ties_count_for_all_and_take_the_places_behind_them():
    found = column({"a": 7.0, "b": 7.0, "c": 8.0, "d": 9.0})
    assert found.places() == {"a": 1, "b": 1, "c": 3, "d": 4}
    assert found.ranks() == {"a": 1.5, "b": 1.5, "c": 3.0, "d": 4.0}
    top = {k: top_rates([found], "abcd", k) for k in (1, 3)}
    assert [top[1][m].times for m in "abcd"] == [1, 1, 0, 0]
    assert [top[3][m].times for m in "abcd"] == [1, 1, 1, 0]


def test_four_equal_third_ones_are_all_among_the_best_three():
    scores = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 3.0, "e": 3.0, "f": 3.0, "g": 4.0}
    found = top_rates([column(scores)], scores, 3)
    assert [m for m in scores if found[m].times] == list("abcdef")


def test_the_mean_of_the_same_numbers_in_another_order_is_a_tie():
    a, b = (0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3
    assert a != b
    assert column({"a": a, "b": b}).places() == {"a": 1, "b": 1}
    assert column({"a": 0.9231, "b": 0.9232}, "max").places() == {"a": 2, "b": 1}


def test_the_direction_decides_which_end_is_good():
    scores = {"a": 90.0, "b": 91.0, "c": 92.0}
    assert column(scores, "max").places() == {"a": 3, "b": 2, "c": 1}
    assert column(scores, "min").places() == {"a": 1, "b": 2, "c": 3}


def test_failed_methods_are_last_and_never_among_the_best():
    nan = math.nan
    found = column({"a": 5.0, "b": nan, "c": nan, "d": nan})
    assert found.places() == {"a": 1}
    assert found.ranks() == {"a": 1.0, "b": 3.0, "c": 3.0, "d": 3.0}
    assert top_rates([found], "abcd", 3)["b"].times == 0
    assert column({"a": nan, "b": nan}).places() == {}


def test_a_method_that_was_not_run_is_not_among_the_best_of_any_column():
    found = top_rates([column({"a": 1.0, "b": 2.0}), column({"b": 1.0})], "ab", 1)
    assert (found["a"].times, found["a"].columns, found["b"].percent) == (1, 2, 50.0)


def test_merged_methods_have_the_better_score_of_the_two():
    groups = {"Plateau": "Step"}
    assert merged(column({"Step": 9.0, "Plateau": 8.0, "REX": 7.0}), groups).scores == {
        "Step": 8.0,
        "REX": 7.0,
    }
    assert merged(column({"Plateau": 8.0, "Step": 9.0}, "max"), groups).scores == {"Step": 9.0}
    assert merged(column({"Step": math.nan, "Plateau": 8.0}), groups).scores == {"Step": 8.0}
    assert merged(column({"Plateau": 8.0, "Step": math.nan}), groups).scores == {"Step": 8.0}


def test_average_ranks_are_over_the_columns_that_a_method_is_in():
    found = average_ranks([column({"a": 1.0, "b": 2.0}), column({"b": 1.0, "c": 2.0})])
    assert found == {"a": 1.0, "b": 1.5, "c": 2.0}


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_ranks_of_a_column_add_up_and_turn_round_with_the_direction(values):
    scores = {f"m{index}": float(value) for index, value in enumerate(values)}
    ranks = column(scores).ranks()
    k = len(scores)
    assert math.isclose(sum(ranks.values()), k * (k + 1) / 2)
    turned = column({m: -s for m, s in scores.items()}, "max")
    assert turned.ranks() == ranks
    assert turned.places() == column(scores).places()


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 7), st.integers(2, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_friedman_and_nemenyi_equal_their_formulas_with_ties_and_without(k, n, seed, has_ties):
    """Conover's ratio of the variance of average ranks to that of ranks, and Demsar's error."""
    generator = np.random.default_rng(seed)
    table = generator.integers(0, 4, (n, k)) if has_ties else generator.normal(size=(n, k))
    columns = columns_of(table, "min")
    found = friedman(columns)
    ranks = scipy.stats.rankdata(table, axis=1)
    means = ranks.mean(axis=0)
    within = np.sum((ranks - (k + 1) / 2) ** 2) / (n * (k - 1))
    expected = n * np.sum((means - (k + 1) / 2) ** 2) / within if within else 0.0
    assert math.isclose(found.statistic, expected, rel_tol=1e-9, abs_tol=1e-9)
    assert found.statistic >= 0.0
    assert math.isclose(found.p_value, scipy.stats.chi2.sf(expected, k - 1), rel_tol=1e-7)
    assert list(found.ranks.values()) == pytest.approx(means)
    p = nemenyi(columns)
    error = math.sqrt(k * (k + 1) / (12 * n))
    assert list(p) == list(itertools.combinations("abcdefgh"[:k], 2))
    for (a, b), value in p.items():
        apart = abs(found.ranks[a] - found.ranks[b]) / error
        assert value == pytest.approx(scipy.stats.studentized_range.sf(apart, k, np.inf))


def test_friedman_and_nemenyi_give_demsars_example():
    """Average ranks 3.143, 2.000, 2.893, 1.964; chi-squared 9.28 uncorrected for ties."""
    columns = columns_of(DEMSAR, "min")
    found = friedman(columns)
    assert [round(found.ranks[m], 3) for m in "abcd"] == [3.143, 2.0, 2.893, 1.964]
    # Four equal ones, and three pairs: 60 + 3 x 6 of n k (k^2 - 1) = 840.
    assert round(found.statistic * (1 - 78 / 840), 2) == 9.28
    p = nemenyi(columns)
    # At 0.10 C4.5+m differs from C4.5, and so does C4.5+m+cf; at 0.05 nothing does.
    assert {pair for pair, value in p.items() if value < 0.10} == {("a", "b"), ("a", "d")}
    assert min(p.values()) > 0.05


# Hollander and Wolfe (1973), p. 140: seconds round first base, round out, at a narrow and at a wide
# angle. R's `friedman.test` has them as its example.
BASEBALL = [
    *((5.40, 5.50, 5.55), (5.85, 5.70, 5.75), (5.20, 5.60, 5.50), (5.55, 5.50, 5.40)),
    *((5.90, 5.85, 5.70), (5.45, 5.55, 5.60), (5.40, 5.40, 5.35), (5.45, 5.50, 5.35)),
    *((5.25, 5.15, 5.00), (5.85, 5.80, 5.70), (5.25, 5.20, 5.10), (5.65, 5.55, 5.45)),
    *((5.60, 5.35, 5.45), (5.05, 5.00, 4.95), (5.50, 5.50, 5.40), (5.45, 5.55, 5.50)),
    *((5.55, 5.55, 5.35), (5.45, 5.50, 5.55), (5.50, 5.45, 5.25), (5.65, 5.60, 5.40)),
    *((5.70, 5.65, 5.55), (6.30, 6.30, 6.25)),
]


def test_friedman_gives_what_r_prints_with_ties():
    """Friedman chi-squared = 11.143, df = 2, p-value = 0.003805."""
    found = friedman(columns_of(BASEBALL, "min"))
    assert (f"{found.statistic:.3f}", f"{found.p_value:.4g}") == ("11.143", "0.003805")
    # Iman and Davenport's F by hand, from R's number: 21 x 11.143 / (22 x 2 - 11.143).
    assert found.f_statistic == pytest.approx(7.1218, abs=1e-3)
    assert friedman(columns_of(BASEBALL[:-1], "min")).p_value > 0.0039  # Others give another.


def test_nemenyi_gives_what_r_prints_with_ties():
    """The example of rstatix' `friedman_nemenyi_test`: 0.0545, 0.0109 and 0.832."""
    scores = zip((4, 6, 3, 5, 4, 5), (7, 8, 6, 7, 9, 6), (6, 9, 7, 8, 8, 9), strict=True)
    found = nemenyi(columns_of(list(scores)))
    shown = {pair: f"{value:.3g}" for pair, value in found.items()}
    assert shown == {("a", "b"): "0.0545", ("a", "c"): "0.0109", ("b", "c"): "0.832"}


def test_failed_methods_are_tested_as_the_last_ones():
    table = [(1.0, 2.0, 3.0), (2.0, 3.0, 9.0), (3.0, 2.0, 9.0), (1.0, 9.0, 9.0)]
    failed = [[math.nan if value == 9.0 else value for value in row] for row in table]
    assert friedman(columns_of(failed, "min")) == friedman(columns_of(table, "min"))
    assert nemenyi(columns_of(failed, "min")) == nemenyi(columns_of(table, "min"))
    assert friedman(columns_of(failed, "min")) != friedman(columns_of(table, "max"))


def test_methods_that_are_equal_everywhere_do_not_differ():
    columns = columns_of([(1.0, 1.0, 1.0), (2.0, 2.0, 2.0)])
    found = friedman(columns)
    assert (found.statistic, found.p_value) == (0.0, 1.0)
    assert (found.f_statistic, found.f_p_value) == (0.0, 1.0)
    assert set(nemenyi(columns).values()) == {1.0}


# Demsar, table 5(a): q divided by the root of 2.
@pytest.mark.parametrize(
    ("alpha", "quantiles"),
    [
        (0.05, (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)),
        (0.10, (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920)),
    ],
)
def test_critical_differences_have_the_published_quantiles(alpha, quantiles):
    for k, quantile in enumerate(quantiles, start=2):
        unit = math.sqrt(k * (k + 1) / (6 * 14))
        assert math.isclose(critical_difference(k, 14, alpha) / unit, quantile, abs_tol=1.1e-3)


@pytest.mark.parametrize("test", [friedman, nemenyi])
def test_what_cannot_be_tested_is_refused(test):
    two = columns_of([(1, 2), (2, 1)])
    for columns in ([], two, columns_of([(1, 2, 3)])):
        with pytest.raises(ValueError, match="at least 2 columns and 3 methods"):
            test(columns)
    with pytest.raises(ValueError, match="same methods"):
        test([*columns_of([(1, 2, 3)]), column({"a": 1, "b": 2, "x": 3})])


def test_columns_that_agree_on_all_ranks_have_an_infinite_f_and_the_least_p():
    found = friedman(columns_of([(1, 2, 3)] * 5))
    assert math.isclose(found.statistic, 10.0)
    assert found.f_statistic == math.inf
    assert found.f_p_value == 0.0


def test_an_interval_is_worked_by_hand_for_two_pairs():
    """Means of resamples are 0, 1 or 2: the interval is 1 -+ sqrt(2) t / z, whatever is drawn."""
    found = paired_interval([[0.0, 2.0]])
    half = math.sqrt(2) * scipy.stats.t.ppf(0.975, 1) / scipy.stats.norm.ppf(0.975)
    assert (found.mean, found.pairs, found.columns) == (1.0, 2, 1)
    assert math.isclose(found.low, 1 - half)
    assert math.isclose(found.high, 1 + half)


@pytest.mark.parametrize("sizes", [(3,), (3, 3), (2, 5, 8)])
def test_an_interval_is_that_of_scipys_samples_widened(sizes):
    """SciPy draws them; its own interval, beside them, is narrower."""
    generator = np.random.default_rng(3)
    blocks = [generator.normal(0.3, 1.0, size) for size in sizes]

    def widened(*drawn, axis):
        return sum(
            math.sqrt(len(block) / (len(block) - 1)) * (sample.mean(axis=axis) - block.mean())
            for sample, block in zip(drawn, blocks, strict=True)
        ) / len(blocks)

    drawn = scipy.stats.bootstrap(
        blocks, widened, n_resamples=10_000, random_state=np.random.default_rng(0), method="basic"
    )
    freedom = sum(sizes) - len(sizes)
    factor = scipy.stats.t.ppf(0.975, freedom) / scipy.stats.norm.ppf(0.975)
    quantiles = np.quantile(drawn.bootstrap_distribution, [1 - 0.975, 0.975], method="inverted_cdf")
    found = paired_interval(blocks)
    assert [found.low, found.high] == pytest.approx(list(found.mean + factor * quantiles))
    theirs = np.ptp(drawn.confidence_interval)
    assert found.high - found.low > 1.05 * theirs


def test_one_pair_has_a_mean_and_no_interval():
    found = paired_interval([[0.5]])
    assert (found.mean, found.pairs) == (0.5, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_columns_with_one_pair_do_not_count_beside_columns_with_more():
    found = paired_interval([[100.0], [1.0, 2.0, 3.0]])
    assert (found.mean, found.pairs, found.columns) == (2.0, 3, 1)


def test_equal_differences_have_no_interval_and_others_repeat_to_the_bit():
    found = paired_interval([[0.25] * 3, [0.25] * 3])
    assert found.mean == 0.25 and math.isnan(found.low) and math.isnan(found.high)
    data = [[0.1, 0.4, -0.2], [0.0, 0.3, 0.2]]
    assert paired_interval(data) == paired_interval(data)
    with pytest.raises(ValueError, match="a pair in each"):
        paired_interval([[1.0], []])


@pytest.mark.parametrize(("columns", "pairs"), [(1, 3), (1, 10), (6, 3)])
def test_intervals_hold_the_true_mean_as_often_as_they_say(columns, pairs):
    """Beside them plain bootstrap percentiles of three pairs, which do not."""
    generator = np.random.default_rng(7)
    held = plainly = 0
    trials = 400
    for index in range(trials):
        data = generator.normal(0.3, 1.0, (columns, pairs))
        found = paired_interval(data, resamples=1000, seed=index)
        held += found.low <= 0.3 <= found.high
        drawn = data[0][generator.integers(0, pairs, (1000, pairs))].mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        plainly += low <= 0.3 <= high
    assert 0.92 <= held / trials <= 0.98
    if pairs == 3:
        assert plainly / trials < 0.85
