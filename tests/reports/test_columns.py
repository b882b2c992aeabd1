"""Places, rates and ranks of columns: worked by hand, and what holds for any."""

import dataclasses
import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tensorboard_plugins.schedules.columns import Column, average_ranks, is_low, merged, top_rates
from trainers.reports.results import Measure


def column(scores, mode="min", budget=1.0, resolution=0.0):
    return Column("A", budget, mode, scores, resolution)


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


def test_scores_that_are_known_no_better_are_equal():
    """Counts are known but for the order of a sum, float32 means to six digits."""
    a, b = (0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3
    assert a != b
    count = Measure("accuracy", "max", is_share=True, is_count=True)
    mean = dataclasses.replace(count, is_count=False)
    cases = [
        (count, a, b, True),
        (count, 97.59036144578313, 97.59036144578314, True),
        (count, 97.5903614, 97.5903616, False),  # One image of 10^9.
        (mean, 97.5903614, 97.5903616, True),  # The eighth digit is float32's.
        (mean, 97.5903, 97.5906, False),
    ]
    for measure, one, other, is_tie in cases:
        found = column({"a": one, "b": other}, "max", resolution=measure.resolution([one, other]))
        assert (found.places() == {"a": 1, "b": 1}) == is_tie, (one, other)
        assert (found.ranks() == {"a": 1.5, "b": 1.5}) == is_tie


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=8), st.integers(0, 2**32 - 1))
def test_noise_below_the_resolution_changes_no_rank_and_above_it_does(values, seed):
    """A rounding would part some that lie about its edges."""
    generator = random.Random(seed)
    # Places between which there is much, anywhere beside the edges of decimals.
    base = generator.random()
    noisy = {f"m{i}": base + v + 1e-9 * generator.random() for i, v in enumerate(values)}
    plain = column({f"m{i}": float(v) for i, v in enumerate(values)})
    assert column(noisy, resolution=1e-8).ranks() == plain.ranks()
    assert column(noisy, resolution=1e-8).places() == plain.places()
    if len(set(values)) < len(values):
        assert column(noisy).ranks() != plain.ranks()


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 4), st.just(math.nan)), min_size=2, max_size=7),
    st.permutations(range(7)),
)
def test_names_and_order_of_methods_do_not_matter(values, order):
    scores = {f"m{i}": float(v) for i, v in enumerate(values)}
    found = column(scores)
    shuffled = sorted(scores, key=lambda name: order[int(name[1:])])
    again = column({f"x{name}": scores[name] for name in shuffled})
    assert again.ranks() == {f"x{name}": rank for name, rank in found.ranks().items()}
    assert again.places() == {f"x{name}": place for name, place in found.places().items()}
    # A column that is there twice changes no average and no rate.
    assert average_ranks([found, found]) == average_ranks([found])
    once, twice = (top_rates(columns, scores, 1) for columns in ([found], [found, found]))
    assert {m: r.percent for m, r in once.items()} == {m: r.percent for m, r in twice.items()}


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
