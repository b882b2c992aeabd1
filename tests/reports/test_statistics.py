"""Tests and intervals: by hand, beside SciPy and statsmodels, as published, and simulated."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.weightstats import ttost_paired

from trainers.reports.statistics import (
    critical_difference,
    difference,
    friedman,
    holm,
    least_p_value,
    nemenyi,
)

# Demsar (JMLR 2006), table 6: ranks of C4.5, with m, with cf, and with both on 14 data sets.
DEMSAR = [
    *((4, 3, 2, 1), (1, 2, 3, 4), (4, 1, 2, 3), (4, 1, 3, 2), (4, 2, 3, 1), (1, 2.5, 4, 2.5)),
    *((3, 2, 4, 1), (2.5, 2.5, 4, 1), (4, 3, 2, 1), (2.5, 2.5, 2.5, 2.5), (4, 2.5, 1, 2.5)),
    *((3, 2, 4, 1), (4, 1, 2, 3), (3, 1, 4, 2)),
]


def blocks_of(table):
    return [dict(zip("abcdefgh", row, strict=False)) for row in table]


# --- several methods ------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 7), st.integers(2, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_friedman_and_nemenyi_equal_their_formulas_with_ties_and_without(k, n, seed, has_ties):
    """Conover's ratio of the variance of average ranks to that of ranks, and Demsar's error."""
    generator = np.random.default_rng(seed)
    table = generator.integers(0, 4, (n, k)) if has_ties else generator.normal(size=(n, k))
    blocks = blocks_of(table)
    found = friedman(blocks)
    ranks = scipy.stats.rankdata(table, axis=1)
    means = ranks.mean(axis=0)
    within = np.sum((ranks - (k + 1) / 2) ** 2) / (n * (k - 1))
    expected = n * np.sum((means - (k + 1) / 2) ** 2) / within if within else 0.0
    assert math.isclose(found.statistic, expected, rel_tol=1e-9, abs_tol=1e-9)
    assert found.statistic >= 0.0
    assert list(found.ranks.values()) == pytest.approx(means)
    p = nemenyi(blocks)
    error = math.sqrt(k * (k + 1) / (12 * n))
    assert list(p) == list(itertools.combinations("abcdefgh"[:k], 2))
    for (a, b), value in p.items():
        apart = abs(found.ranks[a] - found.ranks[b]) / error
        assert value == pytest.approx(scipy.stats.studentized_range.sf(apart, k, np.inf))


def every_order(table):
    """The p-value from all orders, in whole numbers."""
    doubled = np.rint(2 * scipy.stats.rankdata(table, axis=1)).astype(int)

    def squares(rows):
        return sum(sum(column) ** 2 for column in zip(*rows, strict=True))

    given_ = squares(doubled.tolist())
    orders = list(itertools.product(*(itertools.permutations(row) for row in doubled.tolist())))
    return sum(squares(rows) >= given_ for rows in orders) / len(orders)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(2, 3), (3, 3), (4, 3), (2, 4), (3, 4)]),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_the_p_value_is_the_share_of_all_orders(shape, seed, has_ties):
    generator = np.random.default_rng(seed)
    table = generator.integers(0, 3, shape) if has_ties else generator.normal(size=shape)
    found = friedman(blocks_of(table))
    assert found.is_exact
    assert found.p_value == pytest.approx(every_order(table), rel=1e-12)


@pytest.mark.parametrize(
    ("table", "p_value"),
    [
        # Two blocks of four methods that agree: 4! of (4!)^2 orders. Of an F without end p is 0.
        ([(1, 2, 3, 4)] * 2, 1 / 24),
        # Tables of the exact distribution, as in Hollander and Wolfe: 6.0 for n = k = 3, 6.5 for
        # n = 4 and k = 3, 7.4 for n = 3 and k = 4.
        ([(1, 2, 3)] * 3, 0.028),
        ([(1, 2, 3)] * 3 + [(1, 3, 2)], 0.042),
        ([(1, 2, 3, 4), (1, 2, 4, 3), (2, 1, 3, 4)], 0.033),
    ],
    ids=["24", "6.0", "6.5", "7.4"],
)
def test_p_values_of_few_blocks_are_those_of_published_tables(table, p_value):
    found = friedman(blocks_of(table))
    assert found.is_exact
    assert found.p_value == pytest.approx(p_value, abs=5.1e-4)


@pytest.mark.parametrize(("methods", "blocks"), [(3, 2), (3, 4), (4, 2), (4, 3), (5, 2)])
def test_no_p_value_is_less_than_the_least(methods, blocks):
    agreed = friedman(blocks_of([range(methods)] * blocks))
    assert agreed.p_value == pytest.approx(least_p_value(methods, blocks))


def test_many_orders_are_drawn_and_come_near_chi_squared():
    """R's example, `friedman.test` of `RoundingTimes`: chi-squared 11.143, p-value 0.003805."""
    found = friedman(blocks_of(BASEBALL))
    assert f"{found.statistic:.3f}" == "11.143"
    assert not found.is_exact
    assert found.p_value == pytest.approx(0.0038, abs=0.0020)
    assert friedman(blocks_of(BASEBALL)) == found
    assert friedman(blocks_of(BASEBALL), seed=1).p_value != found.p_value


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


def test_friedman_and_nemenyi_give_demsars_example():
    """Average ranks 3.143, 2.000, 2.893, 1.964; chi-squared 9.28 uncorrected for ties."""
    blocks = blocks_of(DEMSAR)
    found = friedman(blocks)
    assert [round(found.ranks[m], 3) for m in "abcd"] == [3.143, 2.0, 2.893, 1.964]
    # Four equal ones, and three pairs: 60 + 3 x 6 of n k (k^2 - 1) = 840.
    assert round(found.statistic * (1 - 78 / 840), 2) == 9.28
    p = nemenyi(blocks)
    # At 0.10 C4.5+m differs from C4.5, and so does C4.5+m+cf; at 0.05 nothing does.
    assert {pair for pair, value in p.items() if value < 0.10} == {("a", "b"), ("a", "d")}
    assert min(p.values()) > 0.05


def test_nemenyi_gives_what_r_prints_with_ties():
    """The example of rstatix' `friedman_nemenyi_test`: 0.0545, 0.0109 and 0.832."""
    scores = zip((4, 6, 3, 5, 4, 5), (7, 8, 6, 7, 9, 6), (6, 9, 7, 8, 8, 9), strict=True)
    found = nemenyi(blocks_of(list(scores)))
    shown = {pair: f"{value:.3g}" for pair, value in found.items()}
    assert shown == {("a", "b"): "0.0545", ("a", "c"): "0.0109", ("b", "c"): "0.832"}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)), st.permutations(range(3)))
def test_names_and_orders_do_not_matter(seed, methods, rows):
    table = np.random.default_rng(seed).integers(0, 4, (3, 4)).astype(float)
    found, p = friedman(blocks_of(table)), nemenyi(blocks_of(table))
    again = [{f"x{m}": table[row, m] for m in methods} for row in rows]
    other = friedman(again)
    assert (other.statistic, other.p_value) == pytest.approx((found.statistic, found.p_value))
    assert other.ranks == {f"x{m}": found.ranks["abcd"[m]] for m in methods}
    values = {frozenset(pair): value for pair, value in nemenyi(again).items()}
    for (a, b), value in p.items():
        pair = frozenset({f"x{'abcd'.index(a)}", f"x{'abcd'.index(b)}"})
        assert values[pair] == pytest.approx(value)


def test_methods_that_are_equal_everywhere_do_not_differ():
    blocks = blocks_of([(1.0, 1.0, 1.0), (2.0, 2.0, 2.0)])
    found = friedman(blocks)
    assert (found.statistic, found.p_value, found.is_exact) == (0.0, 1.0, True)
    assert set(nemenyi(blocks).values()) == {1.0}


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
    two = blocks_of([(1, 2), (2, 1)])
    for blocks in ([], two, blocks_of([(1, 2, 3)])):
        with pytest.raises(ValueError, match="at least 2 blocks and 3 methods"):
            test(blocks)
    with pytest.raises(ValueError, match="same methods"):
        test([*blocks_of([(1, 2, 3)]), {"a": 1, "b": 2, "x": 3}])


def test_the_test_of_equal_methods_is_wrong_as_often_as_it_says():
    """For two blocks as for more; the F of Iman and Davenport is wrong more often for two."""
    generator = np.random.default_rng(5)
    trials = 500
    for n, k in ((2, 4), (3, 3), (6, 4)):
        wrong = by_f = 0
        for _ in range(trials):
            table = generator.normal(size=(n, k))
            found = friedman(blocks_of(table))
            wrong += found.p_value <= 0.05
            left = n * (k - 1) - found.statistic
            f = (n - 1) * found.statistic / left if left > 1e-9 else math.inf
            by_f += scipy.stats.f.sf(f, k - 1, (k - 1) * (n - 1)) <= 0.01
        # Three standard errors of the share.
        assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials), (n, k)
        if n == 2:
            assert by_f / trials > 0.01 + 3 * math.sqrt(0.01 * 0.99 / trials)


# --- two methods ----------------------------------------------------------------------------------

# Student's sleep data, as R has them: extra hours of sleep with two drugs.
SLEEP = (
    (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0),
    (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4),
)


def test_a_difference_is_what_r_prints_of_the_paired_t_test():
    """`t.test(extra ~ group, data = sleep, paired = TRUE)`: p 0.002833, -2.4598858 -0.7001142."""
    found = difference([np.subtract(*SLEEP)])
    assert f"{found.p_value:.4g}" == "0.002833"
    assert (f"{found.low:.7f}", f"{found.high:.7f}") == ("-2.4598858", "-0.7001142")
    assert (f"{found.mean:.2f}", found.blocks, found.groups) == ("-1.58", 10, 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32 - 1), st.floats(0.1, 3.0))
def test_one_group_is_the_paired_t_test_of_scipy_and_the_tost_of_statsmodels(n, seed, margin):
    one, other = np.random.default_rng(seed).normal(size=(2, n))
    found = difference([one - other], margin=margin)
    theirs = scipy.stats.ttest_rel(one, other)
    interval = theirs.confidence_interval(0.95)
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_apart == pytest.approx(ttost_paired(one, other, -margin, margin)[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_groups_of_one_spread_have_the_error_of_a_linear_model(groups, n, seed):
    """With equal variances Welch's error is that of least squares, with as many degrees."""
    generator = np.random.default_rng(seed)
    shape = generator.normal(size=n)
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    means = generator.normal(size=groups)
    data = [mean + shape for mean in means]
    # Effects that add up to none: the constant is the mean of the groups.
    effects = np.kron(np.vstack([np.eye(groups - 1), -np.ones(groups - 1)]), np.ones((n, 1)))
    model = OLS(np.concatenate(data), np.column_stack([np.ones(groups * n), effects])).fit()
    found = difference(data)
    assert found.mean == pytest.approx(model.params[0])
    assert found.p_value == pytest.approx(model.pvalues[0])
    assert (found.low, found.high) == pytest.approx(tuple(model.conf_int()[0]))
    assert (found.blocks, found.groups) == (groups * n, groups)


def test_two_groups_have_welchs_degrees_of_freedom():
    """The mean of two groups is half of a difference of which one is turned round."""
    one, other = [0.3, 1.1, 0.2], [2.0, -1.0, 4.0]
    theirs = scipy.stats.ttest_ind(one, np.negative(other), equal_var=False)
    found = difference([one, other])
    assert found.p_value == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low / 2, interval.high / 2))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(2, 5), st.floats(0.1, 10.0))
def test_order_scale_and_sign_do_what_they_should(seed, groups, n, scale):
    generator = np.random.default_rng(seed)
    data = generator.normal(size=(groups, n))
    found = difference(data)
    shuffled = [generator.permutation(row) for row in generator.permutation(data)]
    turned = difference([-scale * np.asarray(row) for row in shuffled])
    assert turned.p_value == pytest.approx(found.p_value)
    assert turned.mean == pytest.approx(-scale * found.mean)
    assert (turned.low, turned.high) == pytest.approx((-scale * found.high, -scale * found.low))
    assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_one_block_has_a_mean_and_no_interval():
    found = difference([[0.5]])
    assert (found.mean, found.blocks) == (0.5, 1)
    assert all(map(math.isnan, (found.low, found.high, found.p_value, found.p_apart)))


def test_groups_with_one_block_do_not_count_beside_groups_with_more():
    found = difference([[100.0], [1.0, 2.0, 3.0]])
    assert (found.mean, found.blocks, found.groups) == (2.0, 3, 1)


def test_equal_differences_have_no_interval_and_no_star():
    """Not -3.06 [-3.06, -3.06]: equal is what is known no better. The control is known better."""
    noisy = [[-3.0555555, -3.0555557]]
    for groups, resolution in (([[0.25] * 3, [0.25] * 3], 0.0), (noisy, 1e-6)):
        found = difference(groups, resolution=resolution, margin=1.0)
        assert all(map(math.isnan, (found.low, found.high, found.p_value, found.p_apart)))
    assert difference(noisy).p_value < 0.001
    assert not math.isnan(difference([[0.25, 0.25], [0.1, 0.4]]).low)


def test_what_makes_no_difference_is_refused():
    for groups in ([], [[1.0], []]):
        with pytest.raises(ValueError, match="a block in each"):
            difference(groups)
    for margin in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="`margin`"):
            difference([[1.0, 2.0]], margin=margin)


def test_holm_gives_what_r_prints():
    """`p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")`: 0.05 0.08 0.09 0.09 0.09."""
    found = holm(dict(enumerate((0.01, 0.02, 0.03, 0.04, 0.05))))
    assert list(found.values()) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    with_nan = holm({"a": 0.01, "b": math.nan, "c": 0.03})
    assert (with_nan["a"], with_nan["c"]) == pytest.approx((0.02, 0.03))
    assert math.isnan(with_nan["b"])
    assert holm({}) == {}


def nested(generator, groups, seeds, columns, shared):
    """Differences by group and seed, averaged over columns which share what a seed gave."""
    of_seed = generator.normal(0.0, shared, (groups, seeds, 1))
    noise = generator.normal(0.0, 1.0, (groups, seeds, columns))
    return (of_seed + noise).mean(axis=2)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("groups", "columns"), [(1, 1), (1, 4), (3, 4)])
def test_intervals_hold_the_true_mean_and_tests_err_as_often_as_they_say(groups, columns, seeds):
    """Of the paired and of the blocked design. The control takes columns for independent."""
    generator = np.random.default_rng([groups, columns, seeds])
    trials = 1500
    held = wrong = naive = 0
    for _ in range(trials):
        found = difference(nested(generator, groups, seeds, columns, shared=2.0))
        held += found.low <= 0.0 <= found.high
        wrong += found.p_value < 0.05
    error = 3 * math.sqrt(0.05 * 0.95 / trials)
    assert held / trials == 1 - wrong / trials
    if groups == 1:
        assert abs(wrong / trials - 0.05) <= error
    else:  # Wide rather than wrong.
        assert 0.01 <= wrong / trials <= 0.05 + error
    if (groups, columns) == (1, 4):
        for _ in range(trials):
            of_seed = generator.normal(0.0, 2.0, (seeds, 1))
            each = of_seed + generator.normal(0.0, 1.0, (seeds, columns))
            naive += difference([each.ravel()]).p_value < 0.05
        assert naive / trials > 0.15


@pytest.mark.parametrize(
    ("sizes", "spreads"),
    [((2, 20), (1, 1)), ((2, 5), (2, 1)), ((2, 3, 5), (3, 1, 1)), ((3, 5), (2, 1))],
)
def test_groups_of_unlike_sizes_are_held_as_often_as_is_said(sizes, spreads):
    """The control: Welch and Satterthwaite's degrees of freedom, which 2 and 20 blocks deceive."""
    generator = np.random.default_rng(sizes)
    held = deceived = 0
    for _ in range(2000):
        groups = [generator.normal(0.0, s, n) for n, s in zip(sizes, spreads, strict=True)]
        found = difference(groups)
        held += found.low <= 0.0 <= found.high
        parts = np.array([g.var(ddof=1) / len(g) for g in groups]) / len(groups) ** 2
        freedom = parts.sum() ** 2 / sum(p**2 / (n - 1) for p, n in zip(parts, sizes, strict=True))
        deceived += abs(found.mean) > scipy.stats.t.ppf(0.975, freedom) * math.sqrt(parts.sum())
    assert held / 2000 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 2000)
    if sizes == (2, 20):
        assert deceived / 2000 > 0.08


@pytest.mark.parametrize("seeds", [3, 5])
def test_equivalence_is_claimed_wrongly_as_rarely_as_it_says(seeds):
    """The true difference is the margin: the worst there is. Inside it, it is found."""
    generator = np.random.default_rng(seeds)
    claims = {1.0: 0, 0.0: 0}
    for truth in claims:
        for _ in range(1500):
            found = difference([generator.normal(truth, 0.3, seeds)], margin=1.0)
            claims[truth] += found.p_apart < 0.05
    assert claims[1.0] / 1500 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)
    assert claims[0.0] / 1500 > 0.8
