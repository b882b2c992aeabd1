"""Callback = constructor = eager reference, over 200 steps and every way to run a step."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.hyperparameters import attach, current

STEPS = 200
BATCH = 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(STEPS * BATCH, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]]) + 0.1 * RNG.normal(size=(len(X), 1))).astype("float32")
START = np.array([[0.1], [0.2], [-0.3]], dtype="float32")


def schedules(steps):
    return {
        "learning_rate": ks.REX(0.05, steps=steps).warmup(0),
        "momentum": ks.Demon(0.9, steps=steps),
        "weight_decay": ks.Cosine(0.01, steps=steps),
    }


def reference(updates=STEPS, read=lambda update: update, steps=STEPS):
    """SGD in float64: the mean gradient of the batches of an update, one schedule value each."""
    drawn = schedules(steps)
    w, v = START.astype(np.float64), np.zeros_like(START, dtype=np.float64)
    rows = len(X) // updates
    for update in range(updates):
        x, y = (a[update * rows : (update + 1) * rows].astype(np.float64) for a in (X, Y))
        rate, beta, decay = (float(s(read(update))) for s in drawn.values())
        gradient = 2.0 * x.T @ (x @ w - y) / len(x)
        v = beta * v - rate * gradient
        w = w - decay * rate * w + v
    return w


def network(optimizer, **compiled):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer, "mse", **compiled)
    model.set_weights([START])
    return model


def fit(model, callbacks=(), batch=BATCH):
    model.fit(X, Y, batch_size=batch, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model.get_weights()[0]


def by_constructor(steps=STEPS, per="update", **options):
    return ks.optimizers.SGD(**schedules(steps), per=per, **options), []


def by_callback(steps=STEPS, per="update", **options):
    stock = keras.optimizers.SGD(0.05, momentum=0.9, **options)
    lengthless = {
        "learning_rate": ks.REX(0.05),
        "momentum": ks.Demon(0.9),
        "weight_decay": ks.Cosine(0.01),
    }
    return stock, [ks.Scheduler(**lengthless, per=per)]


both = pytest.mark.parametrize("way", [by_constructor, by_callback], ids=lambda w: w.__name__)
close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)


@both
@pytest.mark.parametrize(
    "compiled",
    [
        {"run_eagerly": True},
        {"jit_compile": False},
        {"jit_compile": False, "steps_per_execution": 4},
        {"jit_compile": True},
    ],
    ids=["eager", "graph", "steps_per_execution_4", "xla"],
)
def test_every_way_equals_the_reference(way, compiled):
    optimizer, callbacks = way()
    close(fit(network(optimizer, **compiled), callbacks), reference())


def test_t10_host_callbacks_are_late_under_steps_per_execution():
    """The negative control: values set by the host between calls are not the reference."""

    class Host(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = float(schedules(STEPS)["learning_rate"](batch))

    stock = keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=0.01)
    model = network(stock, jit_compile=False, steps_per_execution=4)
    assert np.abs(fit(model, [Host()]) - reference()).max() > 1e-4


@both
def test_t08_accumulation_per_update_reads_the_schedule_at_updates(way):
    optimizer, callbacks = way(STEPS // 4, gradient_accumulation_steps=4)
    got = fit(network(optimizer, jit_compile=False), callbacks)
    close(got, reference(STEPS // 4, steps=STEPS // 4))


@both
def test_t08_accumulation_per_micro_reads_the_schedule_at_calls(way):
    optimizer, callbacks = way(STEPS, per="micro", gradient_accumulation_steps=4)
    got = fit(network(optimizer, jit_compile=False), callbacks)
    close(got, reference(STEPS // 4, read=lambda update: 4 * update + 3))


@both
def test_t28_mirrored_strategy_equals_one_device(way):
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        optimizer, callbacks = way()
        model = network(optimizer, jit_compile=False)
    close(fit(model, callbacks), reference())
    replicas = strategy.experimental_local_results(model.weights[0].value)
    np.testing.assert_array_equal(replicas[0].numpy(), replicas[1].numpy())


@both
def test_t09_a_skipped_update_does_not_move_the_schedule(way):
    """With a loss scale that overflows at first, skipped updates leave clock and weights alone."""
    inner, callbacks = way()
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127)
    model = network(optimizer, jit_compile=False)
    fit(model, callbacks)
    done = int(inner.iterations)
    skipped = STEPS - done
    assert 0 < skipped < STEPS // 2
    drawn = schedules(STEPS)
    w, v = START.astype(np.float64), np.zeros_like(START, dtype=np.float64)
    for update in range(done):
        row = (skipped + update) * BATCH
        x, y = (a[row : row + BATCH].astype(np.float64) for a in (X, Y))
        rate, beta, decay = (float(s(update)) for s in drawn.values())
        gradient = 2.0 * x.T @ (x @ w - y) / BATCH
        v = beta * v - rate * gradient
        w = w - decay * rate * w + v
    close(model.get_weights()[0], w, rtol=1e-4, atol=1e-5)


def test_t26_multi_optimizer_takes_a_schedule_for_each_group():
    def build():
        first = keras.optimizers.SGD(0.1, momentum=0.9, name="first")
        rest = keras.optimizers.SGD(0.1, name="rest")
        groups = keras.optimizers.OptimizerMap(rest, {".*first/.*": first})
        return keras.optimizers.MultiOptimizer(groups), first, rest

    multi, first, rest = build()
    model = keras.Sequential(
        [
            keras.layers.Input((3,)),
            keras.layers.Dense(2, name="first"),
            keras.layers.Dense(1, name="last"),
        ]
    )
    model.compile(multi, "mse", jit_compile=False)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append({k: float(v) for k, v in current(self.model.optimizer).items()})

    groups = {
        "first": {"learning_rate": ks.Linear(0.1), "momentum": ks.Demon(0.9)},
        "rest": {"learning_rate": ks.Constant(0.01)},
    }
    fit(model, [ks.Scheduler(groups=groups), Look()])
    assert seen[99] == pytest.approx(
        {
            "first/learning_rate": 0.05,
            "first/momentum": float(ks.Demon(0.9, steps=STEPS)(100)),
            "rest/learning_rate": 0.01,
        }
    )
    assert float(first.momentum) == 0.9
    assert float(rest.learning_rate) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="names no group of the optimizer"):
        attach(multi, schedules={"learning_rate": ks.Constant(0.1)})


def test_the_step_is_traced_once():
    optimizer, _ = by_constructor()
    model = network(optimizer, jit_compile=False)
    optimizer.build(model.trainable_variables)
    traces = []
    step = model.train_step
    model.train_step = lambda data: (traces.append(1), step(data))[1]
    fit(model)
    fit(model)
    assert len(traces) == 1
