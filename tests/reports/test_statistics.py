"""Places, rates, tests and intervals: worked by hand, beside SciPy, and as published."""

import math
import warnings

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
def test_friedman_equals_scipy_with_ties_and_without(k, n, seed, has_ties):
    generator = np.random.default_rng(seed)
    table = generator.integers(0, 4, (n, k)) if has_ties else generator.normal(size=(n, k))
    found = friedman(columns_of(table))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy divides by zero if all scores are equal.
        expected = scipy.stats.friedmanchisquare(*table.T)
    if math.isnan(expected.statistic):
        assert (found.statistic, found.p_value) == (0.0, 1.0)
    else:
        assert math.isclose(found.statistic, expected.statistic, rel_tol=1e-9, abs_tol=1e-9)
        assert math.isclose(found.p_value, expected.pvalue, rel_tol=1e-7)


def test_friedman_and_nemenyi_give_demsars_example():
    """Average ranks 3.143, 2.000, 2.893, 1.964; chi-squared 9.28 uncorrected for ties."""
    found = friedman(columns_of(DEMSAR, "min"))
    assert [round(found.ranks[m], 3) for m in "abcd"] == [3.143, 2.0, 2.893, 1.964]
    # Four equal ones, and three pairs: 60 + 3 x 6 of n k (k^2 - 1) = 840.
    assert round(found.statistic * (1 - 78 / 840), 2) == 9.28
    p = nemenyi(found)
    # At 0.10 C4.5+m differs from C4.5, and so does C4.5+m+cf; at 0.05 nothing does.
    assert {pair for pair, value in p.items() if value < 0.10} == {("a", "b"), ("a", "d")}
    assert min(p.values()) > 0.05


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


def test_friedman_refuses_what_it_cannot_test():
    two = columns_of([(1, 2), (2, 1)])
    for columns in ([], two, columns_of([(1, 2, 3)])):
        with pytest.raises(ValueError, match="at least 2 columns and 3 methods"):
            friedman(columns)
    with pytest.raises(ValueError, match="same methods"):
        friedman([*columns_of([(1, 2, 3)]), column({"a": 1, "b": 2, "x": 3})])


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
