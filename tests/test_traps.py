"""The traps that schedulers of other libraries fell into, one test each, in the order of a survey.

Traps of optimizers (T8, T9, T15, T16, T24, T26 to T28) are in tests/optimizers, of callbacks
(T10, T13, T14, T20 to T22, T29) in tests/callbacks, of budgets (T12), of serialisation (T17) and of
XLA (T31) in tests/laws.
T23 and T25 are in code of Keras that this library does not use.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks


def test_t01_whole_numbers_are_as_good_as_floats():
    for one in (1, 1.0, np.float32(1), np.float64(1), np.int64(1)):
        schedule = ks.Exponential(one, steps=10)
        assert schedule == ks.Exponential(1.0, steps=10)
        assert schedule(tf.constant(5)).dtype == tf.float32
        assert 0.2 < float(schedule(tf.constant(5))) < 0.3
    assert float(ks.Cosine(0, end=1, steps=1000)(1000)) == 1.0
    assert float(ks.PiecewiseConstant([1, 0.5, 0], boundaries=[10, 20])(tf.constant(15))) == 0.5


def test_t02_no_step_is_lost_past_two_to_the_24():
    late = ks.Linear(1.0, steps=16).shift(2**25)
    steps = 2**25 + np.arange(17)
    np.testing.assert_array_equal(late(steps), 1 - np.arange(17) / 16)
    np.testing.assert_array_equal(late(tf.constant(steps)).numpy(), 1 - np.arange(17) / 16)
    period = ks.CosineRestarts(1.0, period=100)
    assert period(2**24 + 5) == period((2**24 + 5) % 100)
    assert period(2**31 + 1) == period((2**31 + 1) % 100)


@pytest.mark.parametrize("stretch", [1.0, 1.1, 1.5, 2.0, 3.0, 10.0])
def test_t03_every_restart_is_in_its_own_cycle(stretch):
    restarts = ks.CosineRestarts(1.0, period=7, stretch=stretch)
    begin, i = 0, 0
    while begin < 10**6 and i < 60:
        assert float(restarts(begin)) == 1.0
        assert begin == 0 or float(restarts(begin - 1)) < 0.1
        begin, i = begin + int(np.floor(7 * stretch**i + 0.5)), i + 1


def test_t04_the_side_of_a_boundary_is_pinned():
    ours = ks.PiecewiseConstant([1.0, 0.1], boundaries=[10])
    assert [float(ours(t)) for t in (9, 10)] == [1.0, pytest.approx(0.1)]
    keras_own = keras.optimizers.schedules.PiecewiseConstantDecay([10], [1.0, 0.1])
    as_keras = ks.PiecewiseConstant([1.0, 0.1], boundaries=[11])
    for t in range(9, 13):
        assert float(keras_own(t)) == float(as_keras(t))


def test_t05_the_end_is_reached_at_the_length_and_held():
    schedule = ks.Linear(1.0, end=0.5, steps=10)
    assert [float(schedule(t)) for t in (0, 9, 10, 11, 10**6)] == pytest.approx(
        [1.0, 0.55, 0.5, 0.5, 0.5]
    )


def test_t06_the_first_step_of_a_warm_up_moves():
    assert float(ks.Constant(1.0).warmup(4)(0)) == 0.25
    assert float(ks.Warmup(ks.Constant(1.0), length=4, offset=0)(0)) == 0.0


def test_t07_degenerate_lengths_work_or_are_refused():
    assert float(ks.OneCycle(1.0, rise=0.1, steps=1)(0)) == pytest.approx(0.04)
    assert np.isfinite(ks.simulate(ks.OneCycle(1.0, rise=0.0), n=10)).all()
    assert np.isfinite(ks.simulate(ks.OneCycle(1.0, rise=1.0), n=10)).all()
    assert ks.Linear(1.0, steps=5).warmup(0) == ks.Linear(1.0, steps=5)
    for n in (6, 7, 9, 10, 11):
        ks.WSD(1.0, warmup_length=f"{100 / n}%", cooldown_length=f"{100 - 100 / n}%").resolve(n)
    with pytest.raises(ValueError, match="must leave room"):
        ks.Linear(1.0).warmup(10).resolve(10)
    with pytest.raises(ValueError, match="`steps` must be positive"):
        ks.Linear(1.0, steps=0)
    with pytest.raises(ValueError, match="must fit in the whole"):
        ks.WSD(1.0, warmup_length="60%", cooldown_length="60%").resolve(10)


def test_t11_joins_have_no_seams():
    part = ks.Cosine(1.0, steps=10)
    assert ks.join(part) is part
    whole = ks.join(part, ks.join(part, part))
    np.testing.assert_array_equal(whole(np.arange(30)), np.tile(part(np.arange(10)), 3))


def test_t18_unknown_options_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'timescale'"):
        ks.get("inverse_sqrt", 0.1, timescales=10)
    with pytest.raises(ValueError, match="Did you mean 'rex'"):
        ks.get("rexx", 0.1)
    with pytest.raises(TypeError):
        ks.REX(0.1, stepz=10)


def test_t19_rex_is_the_papers_and_the_ports_is_an_option():
    assert float(ks.REX(1.0, steps=100)(50)) == pytest.approx(2 / 3)
    assert float(ks.REX(1.0, d=0.9, steps=100)(50)) == pytest.approx(0.909, abs=5e-4)
    wsd = ks.WSD(1.0, warmup_length=0, cooldown_length=50, end=0.1, steps=100)
    fall = wsd(np.arange(50, 102))
    assert (np.diff(fall) <= 0).all()
    assert float(fall[-1]) == pytest.approx(0.1)
    late = ks.Polynomial(1.0, steps=10)(np.array([10, 100, 1000]))
    assert (late == 0.0).all()


def test_t30_a_momentum_is_below_one_at_every_step():
    growing = ks.Linear(0.5, end=1.0, steps=1000)
    with pytest.raises(ValueError, match=r"`momentum` must be .* at step 1000"):
        ks.optimizers.SGD(0.1, momentum=growing)
    with pytest.raises(ValueError, match=r"`beta_2` must be"):
        ks.optimizers.Adam(0.1, beta_2=growing)
    ks.optimizers.SGD(0.1, momentum=ks.Linear(0.5, end=0.999, steps=1000))


@pytest.mark.parametrize("half", [2.5, 3.5])
def test_a_value_in_the_last_place_below_or_above_a_half_is_rounded_as_the_half(half):
    """Arithmetics differ there: bits must not, from one backend to the next."""
    for near in (np.nextafter(np.float32(half), 0), half, np.nextafter(np.float32(half), 9)):
        assert float(ks.Constant(float(near)).rounded()(0)) == round(half)
    assert float(ks.Constant(half - 1e-5).rounded()(0)) == half - 0.5
    assert float(ks.Constant(half + 1e-5).rounded()(0)) == half + 0.5
