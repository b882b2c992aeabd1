"""Random schedules, valid and not: the valid ones obey the laws, the others are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_sched as ks

many = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
value = st.floats(0.0, 1e3, width=32, allow_subnormal=False)
share = st.floats(0.0, 0.99)
lengths = st.integers(1, 10**6)
power = st.floats(0.1, 8.0)

decays = st.one_of(
    st.builds(ks.Linear, value, end=value, steps=lengths),
    st.builds(ks.Cosine, value, end=value, steps=lengths),
    st.builds(ks.Cosine, value, end=value, k=power, power=power, steps=lengths),
    st.builds(ks.REX, value, end=value, d=share, steps=lengths),
    st.builds(ks.DelayedLinear, value, end=value, delay=share, steps=lengths),
    st.builds(ks.Polynomial, value, end=value, power=power, k=power, steps=lengths),
    st.builds(ks.Exponential, value, end=value, rate=st.floats(0.1, 20.0), steps=lengths),
    st.builds(ks.InverseTime, value, end=value, rate=st.floats(0.1, 20.0), steps=lengths),
)
short = st.integers(1, 1000)
nested = st.recursive(
    decays,
    lambda inner: st.one_of(
        st.builds(lambda s, w: s.warmup(w), inner, st.integers(0, 1000)),
        st.builds(lambda s, by: s.shift(by), inner, st.integers(0, 1000)),
        st.builds(lambda s, k: s.sampled(every=k), inner, short),
        st.builds(lambda s, k: s * k, inner, st.floats(0.0, 1.0)),
        st.builds(lambda a, b: a.then(b), inner, inner),
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda s, k: s.at_least(k), inner, value),
        st.builds(lambda s, k: s.at_most(k), inner, value),
        st.builds(lambda s, n: s.until(n), inner, short),
        st.builds(lambda s, by: s.shift(by).skip(by), inner, short),
        st.builds(
            lambda s, n: s.cycles(n, triangular=True).until(900), decays, st.floats(0.01, 50)
        ),
        st.builds(
            lambda s, k: s.repeat(scale=k, anchor="high").until(900), decays, st.floats(0.1, 1.0)
        ),
        st.builds(
            lambda s, k: s.repeat(scale=k, anchor="floor").until(900), decays, st.floats(0.1, 1.0)
        ),
    ),
    max_leaves=4,
)


def steps_of(schedule):
    span = schedule.span or 1000
    return np.unique(np.linspace(0, 2 * span + 3, 200).astype(np.int64))


@many
@given(decays)
def test_a_decay_stays_between_its_ends_and_goes_one_way(schedule):
    values = schedule(steps_of(schedule)).astype(np.float64)
    low, high = sorted((np.float32(schedule.start), np.float32(schedule.end)))
    # What is below the smallest normal float32 is 0.
    unit = max(np.spacing(np.float32(high)), np.finfo(np.float32).tiny) if high else 0.0
    assert low - unit <= values.min() <= values.max() <= high + unit
    assert values[0] == np.float32(schedule.start)
    sign = 1 if schedule.end >= schedule.start else -1
    assert (sign * np.diff(values) >= -unit).all()


@many
@given(nested)
def test_any_nesting_is_finite_saved_and_stretched(schedule):
    steps = steps_of(schedule)
    values = schedule(steps)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert type(schedule).from_config(schedule.get_config()) == schedule
    assert schedule.stretched(1.0) == schedule


@many
@given(decays, decays, value)
def test_what_is_combined_step_by_step_is_what_its_parts_are(a, b, k):
    steps = steps_of(a)
    one, two = a(steps).astype(np.float64), b(steps).astype(np.float64)
    for combined, expected in (
        (a + b, one + two),
        (a * b, one * two),
        (a.at_least(b), np.maximum(one, two)),
        (a.at_most(b), np.minimum(one, two)),
        (a.at_least(k), np.maximum(one, np.float32(k))),
        (a.skip(1) if a.span > 1 else a, a(steps + (a.span > 1))),
        (a.until(7), a(np.minimum(steps, 7))),
    ):
        np.testing.assert_allclose(combined(steps), expected, rtol=3e-7, atol=2e-38)


@many
@given(decays, decays, decays)
def test_sequences_nest_in_any_way(a, b, c):
    assert a.then(b).then(c) == a.then(b.then(c)) == ks.join(a, b, c)
    assert ks.join(a) == a


@many
@given(decays, st.integers(0, 500))
def test_a_warm_up_lands_on_the_first_value(schedule, warm):
    warmed = schedule.warmup(warm)
    if warm == 0:
        assert warmed is schedule
        return
    assert float(warmed(warm - 1)) == pytest.approx(float(schedule(0)), rel=1e-6)
    assert warmed(warm) == schedule(0)
    np.testing.assert_array_equal(warmed(np.arange(50) + warm), schedule(np.arange(50)))


@many
@given(st.floats(0.01, 1.0), st.integers(2, 10**5))
def test_demon_lets_the_future_weight_of_a_gradient_fall_evenly(share_left, steps):
    beta = ks.Demon(0.9, steps=steps)
    t = int(steps * (1 - share_left))
    now = float(np.float64(beta._value(np.int64(t), np_namespace())))
    assert now / (1 - now) == pytest.approx(9.0 * (steps - t) / steps, rel=1e-9)


def np_namespace():
    from keras_sched._arrays import namespace

    return namespace(0)


@many
@given(st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0, 10.0]), st.integers(20, 400))
def test_t12_every_phase_stretches_with_the_budget(budget, epochs):
    """Warmup and cooldown in shares of the run: no jump at any ratio of budgets."""
    plan = ks.REX(1.0).warmup("5%").cooldown("10%")
    steps = max(40, int(epochs * budget * 10))
    values = plan.resolve(steps)(np.arange(steps + 1)).astype(np.float64)
    warm, cool = math.floor(0.05 * steps + 0.5), math.floor(0.1 * steps + 0.5)
    changes = np.abs(np.diff(values))
    assert changes[:warm].max() <= 1.0 / warm + 1e-6
    # REX falls by at most 1.7 of its length per step until a tenth is left, which falls evenly.
    assert changes[warm:].max() <= max(1.7 / (steps - warm), 0.25 / cool) + 1e-6
    assert values[-1] == 0.0


broken = st.one_of(
    st.floats(max_value=-1e-9, allow_nan=False),
    st.sampled_from([math.nan, math.inf, -math.inf, "0.1", None, True, [0.1]]),
)


@many
@given(broken)
def test_a_wrong_value_is_refused_by_every_decay(wrong):
    for kind in (ks.Linear, ks.Cosine, ks.REX, ks.Polynomial, ks.Constant, ks.Demon):
        with pytest.raises((ValueError, TypeError), match="Received"):
            kind(wrong, steps=10)


@many
@given(
    st.one_of(
        st.integers(max_value=0),
        st.floats(0.01, 0.99),
        st.sampled_from([math.nan, math.inf, "", "10", "ep", "-3ep", "5 weeks", "1e999st", True]),
        st.text(max_size=5).filter(lambda text: not text.strip()[:1].isdigit()),
    )
)
def test_a_wrong_length_is_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        ks.Linear(0.1, length=wrong)


@many
@given(st.lists(st.integers(-5, 20), min_size=2, max_size=4))
def test_unordered_boundaries_are_refused(boundaries):
    is_good = boundaries[0] >= 0 and all(np.diff(boundaries) > 0)
    values = [0.1] * (len(boundaries) + 1)
    if is_good:
        ks.PiecewiseConstant(values, boundaries=boundaries)
    else:
        with pytest.raises(ValueError, match="Received"):
            ks.PiecewiseConstant(values, boundaries=boundaries)


@many
@given(st.one_of(st.floats(1.0, 5.0), st.floats(-5.0, -0.001), st.just(math.nan)))
def test_a_momentum_outside_its_range_is_refused(wrong):
    for kind in (ks.Demon, ks.CosineMomentum, ks.LinearMomentum, ks.ExponentialMomentum):
        with pytest.raises(ValueError, match=r"in \[0, 1\)"):
            kind(wrong, steps=10)
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        ks.OneCycleMomentum(start=wrong)
