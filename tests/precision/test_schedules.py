"""Bit-width schedules beside the formulas of the papers' code, and the savings computed from them.

The savings and shares are those of the authors' released cost script (arXiv 2403.02243), run at
T = 64,000 steps and 8 cycles.
"""

import json
import math
from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_sched as ks
from keras_sched import precision
from keras_sched.precision.checks import check_schedule, highest_of

REPEATED = ("lr", "cr", "rr", "er")
TRIANGULAR = ("lt", "ct", "rtv", "rth", "etv", "eth")
TEN = (*REPEATED, *TRIANGULAR)

# --- the formulas, as the authors' code has them -------------------------------------------------


def grown(profile, u, low, high):
    d = high - low
    if profile == "l":
        return low + d * u
    if profile == "c":
        return low + d / 2 * (1 - np.cos(np.pi * u))
    if profile == "r":
        return high - d * (1 - u) / (0.1 + 0.9 * (1 - u))
    return high - d * np.exp(-4 * u)


def fallen(profile, flip, u, low, high):
    d = high - low
    if profile == "l":
        return high - d * u
    if profile == "c":
        return high - d / 2 * (1 - np.cos(np.pi * u))
    if profile == "r":
        if flip == "v":
            return low + d * (1 - u) / (0.1 + 0.9 * (1 - u))
        return high - d * u / (0.1 + 0.9 * u)
    return low + d * np.exp(-4 * u) if flip == "v" else high - d * np.exp(-4 * (1 - u))


def curve(name, t, steps, cycles, low, high, rounding):
    """The value before it is rounded, at every step of the array t."""
    period = steps // cycles + (rounding == "up")
    u = (t % period) / period
    growth = grown(name[0], u, low, high)
    if name[1] == "r":
        return growth
    fall = fallen(name[0], name[2:], u, low, high)
    return np.where((t // period) % 2 == 0, fall, growth)


def assert_rounds(values, exact):
    """Values are the roundings of `exact`, with either side allowed where it is all but a half."""
    near_half = np.abs(exact - np.floor(exact) - 0.5) < 1e-9
    np.testing.assert_array_equal(values[~near_half], np.rint(exact)[~near_half])
    assert (np.abs(values - exact)[near_half] < 0.5 + 1e-6).all()


@pytest.mark.parametrize("rounding", ["up", "floor"])
@pytest.mark.parametrize(
    ("steps", "cycles"), [(64_000, 8), (1000, 8), (997, 8), (450, 32), (10, 1)]
)
@pytest.mark.parametrize("name", TEN)
def test_each_is_the_formula_of_the_released_code(name, steps, cycles, rounding):
    t = np.arange(steps)
    schedule = precision.get(name, 3, bits_max=8, cycles=cycles, rounding=rounding, steps=steps)
    assert_rounds(schedule(t), curve(name, t, steps, cycles, 3, 8, rounding))


@pytest.mark.parametrize("period", [10, 125, 8001])
def test_halves_go_to_the_even_number(period):
    """Exactly, in rational numbers: the line passes through 3.5, 4.5, 5.5, 6.5 and 7.5."""
    schedule = precision.lr(3, bits_max=8, cycles=1, rounding="floor", steps=period)
    expected = [float(round(3 + Fraction(5 * t, period))) for t in range(period)]
    assert schedule(np.arange(period)).tolist() == expected


def test_original_cpt_with_its_remainder():
    """ImageNet in the CPT paper: 90 epochs of 5005 steps, 32 cycles; 18 steps are left over."""
    steps, cycles = 450_450, 32
    period = int(steps / cycles)
    t = np.arange(steps)
    exact = 4 + 0.5 * 4 * (1 + np.cos(np.pi * ((t % period) / period) + np.pi))
    values = precision.cpt(4, bits_max=8, steps=steps)(t)
    assert_rounds(values, exact)
    assert (values[-18:] == 4).all() and values[-19] == 8
    assert precision.cr(4, bits_max=8, cycles=32, rounding="up", steps=steps)(steps - 1) == 8


@pytest.mark.parametrize("name", TRIANGULAR)
def test_triangles_begin_high_and_an_even_number_ends_high(name):
    values = precision.get(name, 3, bits_max=8, cycles=8, rounding="floor", steps=800)(
        np.arange(800)
    )
    assert values[0] == 8 and values[-1] == 8
    odd = precision.get(name, 3, bits_max=8, cycles=7, rounding="floor", steps=700)(np.arange(700))
    assert odd[0] == 8 and odd[-1] == 3


# --- shares and savings --------------------------------------------------------------------------

SHARES = {
    "lr": (0.10, 0.20, 0.20, 0.20, 0.20, 0.10),
    "cr": (0.205, 0.165, 0.130, 0.131, 0.165, 0.204),
    "rr": (0.527, 0.284, 0.099, 0.049, 0.031, 0.010),
    "er": (0.027, 0.063, 0.084, 0.127, 0.275, 0.424),
}


def _shares(values):
    return [float(np.mean(values == bits)) for bits in range(3, 9)]


@pytest.mark.parametrize("name", SHARES)
def test_share_of_time_at_each_width(name):
    values = precision.get(name, 3, bits_max=8, cycles=8, steps=64_000)(np.arange(64_000))
    assert _shares(values) == pytest.approx(SHARES[name], abs=1.5e-3)


@pytest.mark.parametrize(
    ("name", "growth", "reverse"),
    [("rth", "rr", False), ("eth", "er", False), ("rtv", "rr", True), ("etv", "er", True)],
)
def test_share_of_time_in_the_falls(name, growth, reverse):
    """H spends its time as the growth does; V as the growth turned upside down."""
    period = 64_000 // 8
    values = precision.get(name, 3, bits_max=8, cycles=8, rounding="floor", steps=64_000)(
        np.arange(period)
    )
    expected = SHARES[growth][::-1] if reverse else SHARES[growth]
    assert _shares(values) == pytest.approx(expected, abs=1.5e-3)


# (q_min, q_max, q_g): savings in % of rr = rth, lr = lt, cr = ct, rtv, etv, er = eth.
SAVINGS = {
    (3, 8, 8): (60.1, 37.2, 36.7, 36.3, 36.5, 17.8),
    (3, 6, 6): (50.3, 30.4, 30.0, 29.7, 29.9, 13.7),
    (4, 8, 8): (49.9, 30.5, 30.1, 29.8, 30.0, 14.2),
    (4, 6, 6): (35.6, 20.8, 20.7, 20.6, 20.6, 8.8),
    (5, 8, 8): (38.9, 23.4, 23.1, 23.0, 23.1, 10.5),
    (5, 6, 6): (19.4, 10.6, 10.6, 10.6, 10.6, 3.7),
}
COLUMNS = (("rr", "rth"), ("lr", "lt"), ("cr", "ct"), ("rtv",), ("etv",), ("er", "eth"))


@pytest.mark.parametrize("rounding", ["up", "floor"])
@pytest.mark.parametrize("bits", SAVINGS)
def test_savings_of_training(bits, rounding):
    low, high, g = bits
    for names, expected in zip(COLUMNS, SAVINGS[bits], strict=True):
        for name in names:
            schedule = precision.get(name, low, bits_max=high, cycles=8, rounding=rounding)
            cost = precision.predicted_cost(schedule, gradients=g, steps=64_000)
            assert 100 * (1 - cost["relative_to_static"]) == pytest.approx(expected, abs=0.11), name


def test_savings_that_the_cpt_paper_prints():
    for low, high, g, saving in [(3, 8, 8, 36.67), (3, 6, 6, 30.04), (5, 8, 8, 23.2)]:
        cost = precision.predicted_cost(
            precision.cpt(low, bits_max=high), gradients=g, steps=64_000
        )
        assert 100 * (1 - cost["relative_to_static"]) == pytest.approx(saving, abs=0.1)


# --- the others ----------------------------------------------------------------------------------


def test_static_and_rungs():
    assert precision.static(6)(np.array([0, 10**9])).tolist() == [6, 6]
    stairs = precision.rungs().resolve(100)
    at = [0, 24, 25, 26, 49, 50, 51, 74, 75, 76, 99, 200]
    assert stairs(np.array(at)).tolist() == [3, 3, 4, 4, 4, 6, 6, 6, 8, 8, 8, 8]
    epochs = precision.rungs((4, 8), at=["2ep"]).resolve(ks.Run(steps=100, steps_per_epoch=10))
    assert epochs(np.array([19, 20, 21])).tolist() == [4, 8, 8]


def test_deficits_at_their_edges():
    probe = precision.deficit(3, bits_max=8, length=20, start=10)
    assert probe(np.array([0, 9, 10, 11, 28, 29, 30, 31, 999])).tolist() == [
        8,
        8,
        *[3] * 4,
        8,
        8,
        8,
    ]
    early = precision.deficit(3, bits_max=8, length="0.25dur").resolve(100)
    assert early(np.array([0, 24, 25, 26])).tolist() == [3, 3, 8, 8]


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(TEN),
    low=st.integers(2, 16),
    width=st.integers(0, 14),
    cycles=st.integers(1, 12),
    steps=st.integers(12, 3000),
    rounding=st.sampled_from(["up", "floor"]),
)
def test_values_are_whole_within_range_and_the_same_everywhere(
    name, low, width, cycles, steps, rounding
):
    high = min(low + width, 16)
    schedule = precision.get(
        name, low, bits_max=high, cycles=cycles, rounding=rounding, steps=steps
    )
    t = np.arange(steps + 5)
    values = schedule(t)
    assert (values == np.rint(values)).all()
    assert low <= values.min() and values.max() <= high
    np.testing.assert_array_equal(schedule(tf.constant(t)), values)


@pytest.mark.parametrize("name", TEN)
def test_numpy_eager_graph_and_xla_agree_also_at_halves(name):
    schedule = precision.get(name, 3, bits_max=8, cycles=8, rounding="floor", steps=8000)
    t = np.arange(8000)
    values = schedule(t)
    for jit in (False, True):
        np.testing.assert_array_equal(
            tf.function(schedule, jit_compile=jit)(tf.constant(t)), values
        )
    schedule.check(low=3, high=8)


@pytest.mark.parametrize("name", [*TEN, "cpt"])
def test_saved_and_loaded(name):
    schedule = precision.get(name, 3, bits_max=8)
    again = keras.saving.deserialize_keras_object(json.loads(schedule.to_json()))
    assert again == schedule
    assert again.resolve(100) == schedule.resolve(100)


def test_names():
    assert set(precision.names()) == {*TEN, "cpt", "static", "rungs", "deficit"}
    with pytest.raises(ValueError, match="Did you mean 'static'"):
        precision.get("statik", 8)
    with pytest.raises(ValueError, match="Did you mean 'cycles'"):
        precision.get("cr", 3, bits_max=8, cycle=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: precision.cr(1, bits_max=8),
            r"`bits_min` must be a whole number of bits in \[2, 16\]",
        ),
        (lambda: precision.cr(3, bits_max=17), "`bits_max`"),
        (lambda: precision.cr(3.5, bits_max=8), "`bits_min`"),
        (lambda: precision.cr(8, bits_max=3), "must not be above"),
        (lambda: precision.cr(3, bits_max=8, cycles=0), "`cycles`"),
        (lambda: precision.cr(3, bits_max=8, cycles=2.5), "`cycles`"),
        (lambda: precision.cr("3", bits_max=8), "must be a number"),
        (lambda: precision.cr(math.nan, bits_max=8), "bits_min"),
        (lambda: precision.cr(3, bits_max=8, rounding="down"), "`rounding`"),
        (lambda: precision.static(0), "bits"),
        (lambda: precision.rungs((3, 4), at=[1, 2]), "one more"),
        (lambda: precision.rungs((8, 3)), "must not fall from rung to rung"),
        (lambda: precision.deficit(3, bits_max=8, length=0), "`length`"),
        (lambda: precision.deficit(3, bits_max=8, length="1ep", start=5), "one unit"),
        (lambda: ks.Cosine(3, end=8).rounded()(0), "no values yet"),
        (lambda: ks.Constant(3.0).repeat(2), "no end|needs|must have an end"),
        (lambda: ks.InverseSqrt(0.1, timescale=10).mirrored(), "must have an end"),
        (
            lambda: precision.predicted_cost(ks.Cosine(3, end=8), gradients=8, steps=10),
            "whole number",
        ),
        (lambda: precision.predicted_cost(40, gradients=8, steps=10), "forward"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_the_bits_of_a_cycle_of_millions_of_steps_are_read_to_its_end():
    """It does not settle: what comes after the first million steps must be within bounds too."""
    long = precision.cr(3, bits_max=8, cycles=1, steps=4_000_000)
    assert highest_of(long) == 8
    late = ks.Linear(3.0, end=17.0, steps=4_000_000).repeat().rounded()
    with pytest.raises(ValueError, match="weight_bits"):
        check_schedule("weight_bits", late)


def test_what_has_no_end_can_only_be_the_last_part():
    with pytest.raises(ValueError, match=r"which has no end, as it never settles"):
        precision.cr(3, bits_max=8, cycles=2, steps=10).then(precision.static(8))
    with pytest.raises(ValueError, match=r"as `length='10ep'`.*which has no length"):
        ks.Linear(8, end=3).then(precision.static(8))
