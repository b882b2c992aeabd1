"""What the schedules of other libraries refuse here, how they take their room, what they equal."""

from __future__ import annotations

import math

import numpy as np
import pytest

import keras_sched as ks

STEPS = np.arange(300)
EPOCHS = ks.Run(steps=100, steps_per_epoch=10)


@pytest.mark.parametrize(
    ("make", "field", "received"),
    [
        (lambda: ks.Cosine(1.0, k=0.0, steps=9), "k", "0.0"),
        (lambda: ks.Cosine(1.0, power=0.0, steps=9), "power", "0.0"),
        (lambda: ks.Polynomial(1.0, k=-1.0, steps=9), "k", "-1.0"),
        (lambda: ks.PolynomialRestarts(1.0, period=0), "period", "'0"),
        (lambda: ks.PolynomialRestarts(1.0, period=9, power=0.0), "power", "0.0"),
        (lambda: ks.Tanh(1.0, lower=3.0, steps=9), "lower", "3.0"),
        (lambda: ks.Tanh(1.0, lower=-100.5, steps=9), "lower", "-100.5"),
        (lambda: ks.Tanh(1.0, upper=100.5, steps=9), "upper", "100.5"),
        (lambda: ks.InversePower(1.0, timescale=0), "timescale", "'0"),
        (lambda: ks.InversePower(1.0, timescale=9, power=0.0), "power", "0.0"),
        (lambda: ks.Power(-1.0, batch_size=1, tokens_per_step=1), "peak", "-1.0"),
        (lambda: ks.Power(1.0, batch_size=0, tokens_per_step=1), "batch_size", "0"),
        (lambda: ks.Power(1.0, batch_size=1, tokens_per_step=0), "tokens_per_step", "0"),
        (lambda: ks.Power(1.0, batch_size=1, tokens_per_step=1, factor=0), "factor", "0"),
        (lambda: ks.Power(1.0, batch_size=1, tokens_per_step=1, exponent=0), "exponent", "0"),
        (lambda: ks.OneCycle(1.0, last=0.5), "last", "0.5"),
        (lambda: ks.OneCycle(1.0, rise=0.3, last=0.75, three_phase=True), "last", "0.75"),
        (lambda: ks.OneCycleMomentum(last=-0.1, three_phase=True), "last", "-0.1"),
        (lambda: ks.Linear(1.0, steps=9).repeat(anchor="peak"), "anchor", "'peak'"),
        (lambda: ks.Linear(1.0, steps=9).repeat(anchor="high", scale=1.5), "scale", "1.5"),
        (lambda: ks.Linear(1.0, steps=9).repeat(anchor="high", scale=0.0), "scale", "0.0"),
        (lambda: ks.ExpRange(0.1, peak=1.0, half_period=5, gamma=0.0), "gamma", "0.0"),
        (lambda: ks.ExpRange(0.1, peak=1.0, half_period=5, gamma=1.5), "gamma", "1.5"),
        (lambda: ks.Linear(1.0, steps=9).cycles(0.0), "times", "0.0"),
        (lambda: ks.Linear(1.0, steps=10**15).cycles(math.pi), "times", "3.14"),
        (lambda: ks.Linear(1.0, steps=9).skip(9), "by", "'9"),
        (lambda: ks.Linear(1.0, steps=9).until(0), "length", "'0"),
        (lambda: ks.Minimum(()), "schedules", r"\(\)"),
    ],
)
def test_what_is_out_of_range_is_refused(make, field, received):
    with pytest.raises(ValueError, match=f"`{field}` .*Received: {field}={received}"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ks.Maximum((ks.Constant(1.0), 0.5)),
        lambda: ks.Linear(1.0, steps=9) + "1",
        lambda: ks.Linear(1.0, steps=9).at_most(None),
        lambda: ks.MultiStep(1.0, steps=9).cycles(2),
        lambda: ks.Linear(1.0, steps=9).cycles(2, triangular=1),
    ],
)
def test_what_is_of_another_type_is_refused(make):
    with pytest.raises(TypeError, match="Received: "):
        make()


def test_a_skipped_schedule_ends_with_its_room():
    rest = ks.Linear(1.0).skip("2ep").resolve(EPOCHS)
    assert rest.span == 100
    np.testing.assert_array_equal(rest(STEPS), ks.Linear(1.0, steps=120)(STEPS + 20))


def test_a_fit_in_two_halves_follows_one_schedule():
    """What a second `fit` goes on with is the end of what one `fit` would have had."""
    whole = ks.REX(0.1).warmup("1ep").resolve(ks.Run(steps=200, steps_per_epoch=10))
    second = ks.REX(0.1).warmup("1ep").skip("10ep").resolve(EPOCHS)
    np.testing.assert_array_equal(second(STEPS[:101]), whole(STEPS[:101] + 100))


def test_a_cut_schedule_is_of_the_whole_run():
    half = ks.Linear(1.0).until("0.5dur")
    np.testing.assert_array_equal(half.resolve(100)([0, 25, 50, 75]), [1.0, 0.75, 0.5, 0.5])
    both = half.then(ks.Linear(0.5)).resolve(100)
    assert both.span == 100
    np.testing.assert_array_equal(both([25, 50, 75, 100]), [0.75, 0.5, 0.25, 0.0])


@pytest.mark.parametrize("make", [lambda s: s.at_least(0.5), lambda s: s + 1, lambda s: 1 + s])
def test_a_number_is_a_constant_of_any_length(make):
    combined = make(ks.Linear(1.0))
    assert combined.fills_room
    assert combined.resolve(10).span == 10
    assert make(ks.InverseSqrt(1.0, timescale=5)).span is None


def test_special_cases_are_what_they_are_special_cases_of():
    same = [
        (ks.InversePower(0.3, timescale=7), ks.InverseSqrt(0.3, timescale=7)),
        (ks.Polynomial(0.3, power=1.0, k=1.0, steps=200), ks.Linear(0.3, steps=200)),
        (
            ks.Cosine(1.0, power=2.0, steps=200),
            ks.Cosine(1.0, steps=200) * ks.Cosine(1.0, steps=200),
        ),
        (
            ks.ExpRange(0.1, peak=1.0, half_period=5, gamma=1.0),
            ks.Triangular(0.1, peak=1.0, half_period=5),
        ),
        (ks.Linear(0.3, steps=200).cycles(1), ks.Linear(0.3, steps=200).repeat()),
        (ks.Linear(0.3).repeat(1).resolve(200), ks.Linear(0.3, steps=200).repeat()),
        (ks.REX(0.3, steps=60).cycles(4), ks.REX(0.3, steps=15).repeat()),
        (
            ks.REX(0.3, steps=60).cycles(4, triangular=True),
            ks.REX(0.3, steps=15).repeat(triangular=True),
        ),
        (
            ks.OneCycle(1.0, rise=0.25, last=0.5, three_phase=True, steps=200),
            ks.OneCycle(1.0, rise=0.25, three_phase=True, steps=200),
        ),
        (
            ks.Cosine(0.3, steps=60).repeat(scale=0.5, anchor="floor"),
            ks.Cosine(0.3, steps=60).repeat(scale=0.5),
        ),
        (ks.Constant(0.3, steps=9).repeat(scale=0.5, anchor="floor"), ks.Constant(0.3)),
    ]
    for special, general in same:
        np.testing.assert_allclose(special(STEPS), general(STEPS), rtol=3e-7, atol=1e-12)


def test_the_power_scheduler_is_agnostic_of_the_batch():
    """Twice the batch, at the same number of tokens: twice the rate (arXiv 2408.13359)."""
    one = ks.Power(1e9, batch_size=128, tokens_per_step=128 * 4096)
    two = ks.Power(1e9, batch_size=256, tokens_per_step=256 * 4096)
    np.testing.assert_allclose(two(STEPS[1:]), 2.0 * one(2 * STEPS[1:]), rtol=1e-6)


def test_the_momentum_of_a_cycle_with_a_third_phase_has_its_shares():
    cycle = ks.OneCycle(1.0, rise=0.4, last=0.1, three_phase=True, profile="linear", steps=200)
    values = cycle.momentum()(STEPS)
    assert values.argmin() == cycle(STEPS).argmax() == 80
    assert values[179] < values[180] == values[200]


@pytest.mark.parametrize("exponent", [0.01, 0.12, 0.13, 0.24, 0.25, 0.5, 4.0])
@pytest.mark.parametrize("field", ["k", "power"])
@pytest.mark.parametrize("kind", [ks.Cosine, ks.Polynomial])
def test_steep_ends_are_no_false_alarm(kind, field, exponent):
    """`check` looks for jumps; a curve as steep as one does not promise to have none."""
    schedule = kind(1.0, steps=200, **{field: exponent})
    assert schedule.check(low=0.0, high=1.0).steps == 201
    assert schedule.continuous == (exponent >= (0.125 if kind is ks.Cosine else 0.25))


def test_phases_without_a_length_are_jumps():
    """With no time to climb, or to fall at the end, the value is there at once."""
    climbed = ks.OneCycle(1.0, rise=0.0, profile="linear", steps=100)
    assert float(climbed(0)) == 1.0
    held = {"three_phase": True, "profile": "linear", "steps": 100}
    np.testing.assert_allclose(
        ks.OneCycle(1.0, rise=0.5, last=0.0, **held)([49, 50, 75, 99, 100, 101]),
        [0.9808, 1.0, 0.52, 0.0592, 0.04, 0.04],
        rtol=1e-6,
    )


def test_only_waves_that_meet_promise_no_jumps():
    linear = ks.Linear(1.0, steps=9)
    assert linear.repeat(triangular=True).continuous
    assert linear.cycles(2, triangular=True).continuous
    for jumps in (
        linear.repeat(),
        linear.repeat(triangular=True, mirror="value"),
        linear.repeat(triangular=True, scale=0.5),
        ks.Step(1.0, every=3).until(9).repeat(triangular=True),
        linear.cycles(2),
    ):
        assert not jumps.continuous


def test_a_cycle_that_is_no_profile_grows_by_interpolation():
    """The second cycle, twice as long, reads the first at half steps."""
    cycle = ks.PiecewiseLinear([(0, 1.0), (3, 0.25), (4, 0.0)])
    grown = cycle.repeat(stretch=2.0)(np.arange(4, 12))
    np.testing.assert_allclose(grown, [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_cycles_grow_beyond_what_a_step_counts_in(monkeypatch):
    """With JAX that is 32 bits."""
    wide = ks.CosineRestarts(1.0, period=8, stretch=2.0)(STEPS)
    monkeypatch.setattr("keras_sched.schedules.repeating.INT", "int32")
    np.testing.assert_array_equal(ks.CosineRestarts(1.0, period=8, stretch=2.0)(STEPS), wide)
    monkeypatch.undo()
    for stretch in (1e10, 1e308):
        huge = ks.Linear(1.0, steps=8).repeat(stretch=stretch)
        np.testing.assert_array_equal(huge([0, 4, 8, 9]), [1.0, 0.5, 1.0, 1.0])


def test_defaults_are_those_of_the_papers():
    assert ks.ExpRange(0.1, peak=1.0, half_period=5).gamma == 0.99994
    assert (ks.Tanh(1.0).lower, ks.Tanh(1.0).upper) == (-6.0, 3.0)
    power = ks.Power(0.02, batch_size=1, tokens_per_step=1)
    assert (power.factor, power.exponent) == (4.6, -0.51)
    assert ks.InversePower(1.0, timescale=5).power == 0.5
    assert ks.PolynomialRestarts(1.0, period=5).power == ks.Polynomial(1.0).power
