"""Every law over every schedule: one list, and one wrong schedule that must break them."""

from __future__ import annotations

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.schedules import Schedule, register_schedule
from tests.laws.cases import ALL_SCHEDULES, Case, T

STEPS = np.arange(T + 2)
RANDOM = np.random.default_rng(0).integers(0, 2 * T, 100)
FAR = np.array([2**24 - 1, 2**24, 2**24 + 1, 2**24 + 5, 2**31 - 1, 2**31, 2**31 + 1, 2**40 + 3])

every = pytest.mark.parametrize("case", ALL_SCHEDULES.values(), ids=ALL_SCHEDULES)


def check_oracle(case: Case) -> None:
    """Every step agrees with the formula, to two units in the last place of a float32."""
    expected = np.array([case.oracle(int(t)) for t in STEPS])
    unit = np.spacing(np.float32(np.abs(expected)) + np.float32(1e-7))
    assert (np.abs(case.schedule(STEPS).astype(np.float64) - expected) <= 2 * unit).all()


def check_knots(case: Case) -> None:
    """The step before, at and after each boundary, alone, is what the whole curve has there."""
    for knot in case.knots:
        for t in (knot - 1, knot, knot + 1):
            assert float(case.schedule(t)) == pytest.approx(case.oracle(t), rel=3e-7, abs=1e-9)


def check_range(case: Case) -> None:
    values = case.schedule(np.concatenate([STEPS, RANDOM, FAR]))
    assert np.isfinite(values).all()
    assert values.min() >= np.float32(case.low)
    assert values.max() <= np.float32(case.high)


def check_shape(case: Case) -> None:
    """What promises to fall falls, and what promises no jumps has none."""
    values = case.schedule(STEPS)
    if case.falls:
        assert (np.diff(values) <= 0).all()
    if case.schedule.continuous:
        fine = case.schedule.stretched(16)(np.arange(T * 16 + 1))
        assert np.abs(np.diff(fine)).max() <= 0.6 * np.abs(np.diff(values)).max() + 1e-12


LAWS = [check_oracle, check_knots, check_range, check_shape]


@every
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_curve(case, law):
    law(case)


@register_schedule
class Wrong(Schedule):
    """Linear, but late by a step, with a jump up, and below its floor at the end."""

    start: float = 1.0

    def _value(self, t, xp):
        s = np.minimum(np.maximum(t - 1, 0) / T, 1.0)
        return np.where(t > 700, self.start * (1.2 - 1.5 * s), self.start * (1 - s))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_wrong_schedule_breaks_every_law(law):
    right = ALL_SCHEDULES["linear"]
    with pytest.raises(AssertionError):
        law(dataclasses.replace(right, schedule=Wrong()))


@pytest.mark.parametrize("name", [name for name, case in ALL_SCHEDULES.items() if case.scales])
@pytest.mark.parametrize("factor", [2, 7])
def test_the_curve_stretches_to_the_budget(name, factor):
    """value(k t, k T) == value(t, T)."""
    case = ALL_SCHEDULES[name]
    long = case.schedule.stretched(factor)
    np.testing.assert_allclose(long(STEPS * factor), case.schedule(STEPS), rtol=3e-7, atol=1e-9)


def test_a_warm_up_stretches_but_for_the_step_that_it_is_read_ahead():
    warm, factor = ks.REX(1.0, steps=900).warmup(100), 4
    long = warm.stretched(factor)
    difference = warm(STEPS).astype(np.float64) - long(STEPS * factor)
    assert (difference[100:] == 0.0).all()
    np.testing.assert_allclose(difference[:100], 1 / 100 - 1 / 400, atol=1e-6)


@every
def test_after_its_span_nothing_changes(case):
    span = case.schedule.span
    if span is not None:
        values = case.schedule(np.concatenate([[span], span + RANDOM, FAR]))
        assert (values == values[0]).all()


@every
def test_t31_the_same_bits_in_numpy_eager_graph_and_xla(case):
    schedule = case.schedule
    steps = np.concatenate([STEPS, FAR])
    traces = []

    def value(t):
        traces.append(t)
        return schedule(t)

    expected = schedule(steps)
    assert expected.dtype == np.float32
    graph, compiled = tf.function(value), tf.function(value, jit_compile=True)
    tensor = tf.constant(steps, tf.int64)
    for way in (schedule, graph, compiled):
        np.testing.assert_array_equal(way(tensor).numpy(), expected)
    graph(tensor + 1)
    assert len(traces) == 2, "one trace for each way"
    alone = tf.function(lambda t: schedule(t))
    for t in (0, T // 2, 2**24 + 1):
        value = alone(tf.constant(t, tf.int64))
        assert value.shape == ()
        np.testing.assert_array_equal(value.numpy(), schedule(t))


@every
def test_it_comes_back_from_json(case):
    if not case.schedule.can_be_saved:
        with pytest.raises(NotImplementedError, match=r"ks\.register_schedule"):
            case.schedule.to_json()
        return
    config = json.loads(json.dumps(case.schedule.get_config()))
    again = type(case.schedule).from_config(config)
    assert again == case.schedule
    assert hash(again) == hash(case.schedule)
    np.testing.assert_array_equal(again(RANDOM), case.schedule(RANDOM))
    saved = json.loads(case.schedule.to_json())
    assert keras.saving.deserialize_keras_object(saved) == case.schedule


@every
def test_any_kind_of_whole_step_gives_the_same(case):
    expected = float(case.schedule(5))
    for kind in (np.int32, np.int64, np.uint8, np.float32, np.float64, float):
        assert float(case.schedule(kind(5))) == expected
    for dtype in (tf.int32, tf.int64, tf.float32):
        assert float(case.schedule(tf.constant(5, dtype))) == expected
    assert case.schedule(np.zeros((2, 3), int)).shape == (2, 3)


@every
def test_its_own_check_passes(case):
    report = case.schedule.check(low=case.low, high=case.high)
    assert report.steps >= 2


def test_the_check_finds_what_is_wrong():
    with pytest.raises(ValueError, match=r"at most 0\.5 .* at step 0"):
        ks.Linear(1.0, steps=10).check(high=0.5)

    @register_schedule
    class Jump(Schedule):
        """Promises to be continuous and is not."""

        start: float = 1.0

        def stretched(self, factor):
            return self

        def _value(self, t, xp):
            return xp.where(t < 500, 1.0 + 0.0 * xp.cast(t, "float64"), 0.0)

    with pytest.raises(ValueError, match="must have no jumps"):
        Jump().check()

    @register_schedule
    class HostOnly(Schedule):
        """Computes something else in the compiled step."""

        continuous = False
        start: float = 1.0

        def _value(self, t, xp):
            return xp.cast(t, "float64") * (1.0 if xp is not keras.ops else 2.0)

    with pytest.raises(ValueError, match="must have the same values everywhere"):
        HostOnly().check()


def test_every_schedule_is_in_the_list():
    """A schedule that no law runs over is a schedule that nobody tested."""
    exported = {
        name
        for name in ks.__all__
        if isinstance(getattr(ks, name), type) and issubclass(getattr(ks, name), Schedule)
    }
    covered = {type(case.schedule).__name__ for case in ALL_SCHEDULES.values()}
    assert exported - covered == {"Schedule"}


def test_t17_schedules_travel_in_a_keras_file(tmp_path):
    """All of them, nested in one product of sequences, as an optimizer's learning rate."""
    finite = [case.schedule for case in ALL_SCHEDULES.values() if case.schedule.span]
    whole = ks.join(
        *[part * ks.Constant(0.5) for part in finite], ks.InverseSqrt(0.1, timescale=10)
    )
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(whole), "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer._learning_rate == whole


# At 0, 10, 25, 50, 75, 90 and 99 % of the run. REX (arXiv 2107.04197), Demon (arXiv 1910.04952).
PUBLISHED = {
    "linear": (ks.Linear(1.0, steps=100), [1, 0.9, 0.75, 0.5, 0.25, 0.1, 0.01]),
    "cosine": (ks.Cosine(1.0, steps=100), [1, 0.9755, 0.8536, 0.5, 0.1464, 0.0245, 0.0002]),
    "exponential": (
        ks.Exponential(1.0, steps=100),
        [1, 0.7408, 0.4724, 0.2231, 0.1054, 0.0672, 0.0513],
    ),
    "rex": (ks.REX(1.0, steps=100), [1, 0.9474, 0.8571, 0.6667, 0.4, 0.1818, 0.0198]),
    "rex_0.9": (
        ks.REX(1.0, d=0.9, steps=100),
        [1, 0.989, 0.9677, 0.9091, 0.7692, 0.5263, 0.0917],
    ),
    "demon_0.9": (
        ks.Demon(0.9, steps=100),
        [0.9, 0.8901, 0.871, 0.8182, 0.6923, 0.4737, 0.0826],
    ),
    "demon_0.95": (
        ks.Demon(0.95, steps=100),
        [0.95, 0.9448, 0.9344, 0.9048, 0.8261, 0.6552, 0.1597],
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values(name):
    schedule, values = PUBLISHED[name]
    got = schedule(np.array([0, 10, 25, 50, 75, 90, 99]))
    np.testing.assert_allclose(got, values, atol=5.1e-5)
