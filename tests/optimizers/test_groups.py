"""Optimizers of several parts: schedules of each, by its name."""

from __future__ import annotations

import contextlib

import keras
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched._driver import driver_of
from keras_sched._patch import wrap
from keras_sched.hyperparameters import attach, attached


def multi(*names):
    parts = [keras.optimizers.SGD(0.1, momentum=0.9, name=name) for name in names]
    places = {f".*{i}.*": part for i, part in enumerate(parts[1:])}
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(parts[0], places))


def test_the_parts_of_a_multi_optimizer_have_names_of_their_own():
    schedules = {"encoder/momentum": ks.Constant(0.5)}
    with pytest.raises(ValueError, match=r"names of their own.*\['encoder', 'encoder'\]"):
        attach(multi("encoder", "encoder"), schedules=schedules)
    both = multi("encoder", "decoder")
    with pytest.raises(ValueError, match=r"Expected: '(en|de)coder/momentum', '(en|de)coder/"):
        attach(both, schedules={"momentum": ks.Constant(0.5)})
    with pytest.raises(ValueError, match="names no group"):
        attach(both, schedules={"head/momentum": ks.Constant(0.5)})
    attach(both, schedules=schedules)
    assert list(attached(both)) == ["encoder/momentum"]
    with pytest.raises(ValueError, match="scheduled already"):
        attach(both, schedules={"decoder/momentum": ks.Constant(0.5), **schedules})
    assert list(attached(both)) == ["encoder/momentum"], "nothing of it, or all"


def test_a_multi_optimizer_made_from_a_function_is_built_first():
    part = keras.optimizers.SGD(0.1, name="all")
    late = keras.optimizers.MultiOptimizer(lambda variable: part)
    with pytest.raises(ValueError, match="Build it first"):
        attach(late, schedules={"all/learning_rate": ks.Constant(0.1)})


@pytest.mark.parametrize("optimizer", [None, "sgd", 0.1])
def test_only_an_optimizer_has_hyperparameters(optimizer):
    with pytest.raises(TypeError, match="must be a Keras optimizer"):
        attach(optimizer, schedules={"learning_rate": ks.Constant(0.1)})


def test_a_moving_average_is_scheduled_where_there_is_one():
    with pytest.raises(ValueError, match=r"without a moving average.*use_ema=True"):
        attach(keras.optimizers.SGD(0.1), schedules={"ema_momentum": ks.Constant(0.5)})


def test_wrappers_of_its_methods_come_off_in_any_order():
    for first in (0, 1):
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        calls, before = [], dict(vars(optimizer))

        def count(apply, *args, calls=calls, **kwargs):
            calls.append(1)
            return apply(*args, **kwargs)

        attach_it = [
            lambda o=optimizer: attach(o, schedules={"momentum": ks.Constant(0.5)}).detach,
            lambda o=optimizer, wrapper=count: wrap(o, "apply", wrapper),
        ]
        undo = [attach_it[first](), attach_it[1 - first]()]
        w = keras.Variable([1.0])
        with contextlib.ExitStack() as stack:
            for each in undo:
                stack.callback(each)
            optimizer.apply([tf.ones(1)], [w])
            assert calls == [1]
            assert not driver_of(optimizer).unread()
            undo[0]()
            optimizer.apply([tf.ones(1)], [w])
        assert vars(optimizer).keys() >= before.keys()
        assert not {"apply", "build", "get_config", "_keras_sched_driver"} & vars(optimizer).keys()


@pytest.mark.parametrize("first_step", [7, None])
@pytest.mark.parametrize(
    "momentum",
    [ks.Linear(0.5, end=0.1, steps=4), ks.InverseSqrt(0.5, timescale=9)],
    ids=["settles", "never_settles"],
)
def test_before_its_beginning_a_number_is_the_first_one(momentum, first_step):
    """Looked up or computed, in 32 bits or in 64."""
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    attach(optimizer, schedules={"momentum": momentum}, first_step=first_step)
    driver_of(optimizer).offset("update").assign(7)
    count = optimizer.iterations

    @tf.function(autograph=False)
    def traced():
        exact = tf.convert_to_tensor(optimizer.momentum, tf.float64)
        return exact, driver_of(optimizer).value("momentum")

    for step, at in ((0, 0), (6, 0), (7, 0), (8, 1), (10, 3)):
        count.assign(step)
        expected = float(momentum(at))
        assert float(optimizer.momentum) == pytest.approx(expected, rel=1e-7)
        assert [float(value) for value in traced()] == pytest.approx([expected] * 2, rel=1e-7)
