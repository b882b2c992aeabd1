"""Programs that are no single `fit`: loops of one's own, two trainings, a file between them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_sched as ks
from keras_sched import hyperparameters
from tests.optimizers import reference
from tests.programs.probe import Part, Probe, Watch, as_found, probe_of

rng = np.random.default_rng(2)
X = rng.normal(size=(24, 6)).astype("float32")
Y = X[:, :1] * 0.5
STEPS = 12
SGD = {"learning_rate": 0.01, "momentum": 0.9}
ADAM = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999}


def network(dtype=None):
    inner = [layers.Dense(4, "relu", dtype=dtype), layers.Dense(1, dtype=dtype)]
    return keras.Sequential([keras.Input((6,)), *inner, Probe(name="probe", dtype=dtype)])


def batches(count=STEPS):
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat().take(count)


def stepped(model, optimizer):
    """Return a training step as the guide to loops of one's own writes it."""
    loss_of = keras.losses.MeanSquaredError()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply(gradients, model.trainable_weights)
        return loss

    return step


def looped(model, optimizer, count=STEPS):
    """Train with a loop; return where the weight of the probe was after each step."""
    step, probe, found = stepped(model, optimizer), probe_of(model), []
    for x, y in batches(count):
        step(x, y)
        found.append(float(probe.numpy()[0]))
    return found


def assert_path(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7)


def test_a_loop_with_an_optimizer_that_takes_schedules():
    schedules = {
        "learning_rate": ks.REX(0.01, steps=STEPS),
        "beta_1": ks.Demon(0.9, steps=STEPS),
    }
    optimizer, model = ks.optimizers.Adam(**schedules), network()
    part = Part(optimizer, probe_of(model), reference.adam, schedules, ADAM)
    assert_path(looped(model, optimizer), part.path(STEPS, STEPS, 0))
    assert int(optimizer.iterations) == STEPS


def test_a_loop_with_a_stock_optimizer():
    schedules = {
        "momentum": ks.Demon(0.9, steps=STEPS),
        "learning_rate": ks.Linear(0.1, steps=STEPS),
    }
    optimizer, model = keras.optimizers.SGD(**SGD), network()
    before = as_found(model, optimizer)
    attachment = hyperparameters.attach(optimizer, schedules=schedules)
    found = looped(model, optimizer)
    attachment.detach()
    assert as_found(model, optimizer) == before
    found += looped(model, optimizer, count=6)  # a step that is traced anew
    part = Part(optimizer, probe_of(model), reference.sgd, schedules, SGD)
    assert_path(found, part.path(STEPS, STEPS, 6))


def test_a_step_that_was_traced_before_the_schedule_does_not_follow_it():
    """The control, and why the guide says to make the step afterwards."""
    optimizer, model = keras.optimizers.SGD(**SGD), network()
    step, probe = stepped(model, optimizer), probe_of(model)
    (x, y) = next(iter(batches()))
    step(x, y)
    hyperparameters.attach(optimizer, schedules={"momentum": ks.Constant(0.0)})
    found = [float(probe.numpy()[0])]
    for _ in range(2):
        step(x, y)
        found.append(float(probe.numpy()[0]))
    assert_path(np.diff(found), [-0.019, -0.0271])  # of momentum 0.9
    stepped(model, optimizer)(x, y)
    assert float(probe.numpy()[0]) - found[-1] == pytest.approx(-0.01, rel=1e-5)


def test_batches_that_are_trained_on_one_by_one():
    """Two optimizers in turn, by `train_on_batch`, as the first GANs of Keras had it."""
    slow, fast = network(), network()
    rate = ks.Cosine(0.1, steps=STEPS).warmup(3)
    slow.compile(ks.optimizers.SGD(rate), "mse", jit_compile=False)
    momentum = ks.Demon(0.9, steps=2 * STEPS)
    fast.compile(ks.optimizers.SGD(0.01, momentum=momentum), "mae", jit_compile=False)
    paths = {"slow": [], "fast": []}
    for x, y in batches():
        slow.train_on_batch(x, y)
        for _ in range(2):
            fast.train_on_batch(x, y)
        paths["slow"].append(float(probe_of(slow).numpy()[0]))
        paths["fast"].append(float(probe_of(fast).numpy()[0]))
    one = Part(
        slow.optimizer,
        probe_of(slow),
        reference.sgd,
        {"learning_rate": rate},
        {"learning_rate": 0.0, "momentum": 0.0},
    )
    two = Part(fast.optimizer, probe_of(fast), reference.sgd, {"momentum": momentum}, SGD, calls=2)
    assert_path(paths["slow"], one.path(STEPS, STEPS, 0))
    assert_path(paths["fast"], two.path(STEPS, STEPS, 0))


def test_a_head_is_trained_and_then_all_with_a_schedule_of_its_own():
    """Transfer learning: freeze, fit, unfreeze, compile, fit."""
    base = keras.Sequential([keras.Input((6,)), layers.Dense(4, "relu"), Probe(name="probe")])
    head = keras.Sequential([keras.Input((4,)), layers.Dense(1), Probe(name="probe")])
    model = keras.Sequential([keras.Input((6,)), base, head])
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}

    def fit(optimizer, epochs, schedule):
        model.compile(optimizer, "mse", jit_compile=False)
        watches = [Watch(probe) for probe in (base_probe, head_probe)]
        scheduler = ks.Scheduler(learning_rate=schedule)
        log = ks.StepLogger()
        model.fit(X, Y, epochs=epochs, callbacks=[scheduler, log, *watches], **options)
        expected = ks.simulate(schedule, n=ks.Run(steps=6 * epochs, steps_per_epoch=6))
        np.testing.assert_array_equal(log.history["learning_rate"], expected)
        return *(watch.values for watch in watches), np.cumsum(-expected.astype("float64"))

    base_probe, head_probe = probe_of(base), probe_of(head)
    base.trainable = False
    of_base, of_head, path = fit(keras.optimizers.SGD(0.1), 2, ks.Cosine(0.1))
    assert_path(of_head, path)
    assert_path(of_base, np.zeros(12))
    base.trainable = True
    start = of_head[-1]
    schedule = ks.Linear(0.01).warmup("1ep")
    of_base, of_head, path = fit(keras.optimizers.SGD(0.01), 3, schedule)
    assert_path(of_head, start + path)
    assert_path(of_base, path)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


def test_a_model_that_is_saved_and_loaded_goes_on(tmp_path):
    schedules = {
        "learning_rate": ks.OneCycle(0.1, steps=24),
        "momentum": ks.OneCycleMomentum(0.95, low=0.85, steps=24),
    }
    model = network()
    model.compile(ks.optimizers.SGD(**schedules), "mse", jit_compile=False)
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    first, second = Watch(probe_of(model)), None
    model.fit(X, Y, epochs=2, callbacks=[first], **options)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert hyperparameters.attached(loaded.optimizer) == schedules
    second = Watch(probe_of(loaded))
    loaded.fit(X, Y, epochs=2, callbacks=[second], **options)
    part = Part(loaded.optimizer, second.probe, reference.sgd, schedules, {})
    assert_path(first.values + second.values, part.path(24, 6, 0))


def driven(state=None, stop=STEPS):
    """Drive callbacks over three epochs of 4 batches, up to a step and perhaps from a state."""
    model = network()
    model.compile(keras.optimizers.SGD(**SGD), "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    callbacks = [
        ks.Scheduler(learning_rate=ks.REX(0.1).warmup("1ep"), momentum=ks.Demon(0.9)),
        ks.StepLogger(),
        ks.Plateau("loss", patience=1, min_delta=100.0, factor=0.5),
    ]
    listed = keras.callbacks.CallbackList(callbacks, model=model, epochs=3, steps=4)
    step = 0
    if state is not None:
        step = state["step"]
        for callback, saved in zip(callbacks, state["callbacks"], strict=True):
            callback.set_state(saved)
        for variable, saved in zip(everything(model), state["variables"], strict=True):
            variable.assign(saved)
    model.make_train_function()
    listed.on_train_begin()
    data = iter(batches().skip(step))
    while step < stop:
        epoch, batch = divmod(step, 4)
        if batch == 0 or state is not None:
            listed.on_epoch_begin(epoch)
            state = None
        listed.on_train_batch_begin(batch)
        logs = {name: float(value) for name, value in model.train_function(data).items()}
        listed.on_train_batch_end(batch, logs)
        step += 1
        if step % 4 == 0:
            listed.on_epoch_end(epoch, logs)
    state = {
        "step": step,
        "callbacks": [callback.get_state() for callback in callbacks],
        "variables": [variable.numpy() for variable in everything(model)],
    }
    listed.on_train_end()
    assert model.optimizer.momentum == 0.9 and not hyperparameters.attached(model.optimizer)
    return state, callbacks[1].history


def everything(model):
    return [*model.variables, *model.metrics_variables, *model.optimizer.variables]


@pytest.mark.parametrize("stop", [4, 6, 11])
def test_a_loop_that_drives_callbacks_goes_on_within_an_epoch(stop):
    keras.utils.set_random_seed(3)
    whole, log = driven()
    keras.utils.set_random_seed(3)
    half, first = driven(stop=stop)
    rest, second = driven(half)
    assert whole["callbacks"] == rest["callbacks"]
    assert whole["callbacks"][2]["multiplier"] == 0.5  # and the last epoch has felt it
    for one, two in zip(whole["variables"], rest["variables"], strict=True):
        np.testing.assert_array_equal(one, two)
    for name, column in log.items():
        np.testing.assert_array_equal(np.concatenate([first[name], second[name]]), column)


def test_updates_that_loss_scaling_skips_do_not_move_the_schedule():
    """Mixed precision: the scale overflows until it was halved often enough."""
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(**SGD), initial_scale=2.0**22
    )
    model = network("mixed_float16")
    model.compile(optimizer, "mse", jit_compile=False)
    inner, probe, seen = optimizer.inner_optimizer, probe_of(model), [(0, 2.0**22, 0.0)]

    def look(batch, logs):
        scale = float(optimizer.dynamic_scale.numpy())
        seen.append((int(inner.iterations.numpy()), scale, float(probe.numpy()[0])))

    schedules = {"learning_rate": ks.Cosine(0.1), "momentum": ks.Demon(0.9)}
    log = ks.StepLogger()
    callbacks = [
        ks.Scheduler(**schedules),
        log,
        keras.callbacks.LambdaCallback(on_train_batch_end=look),
    ]
    model.fit(X, Y, batch_size=4, epochs=4, shuffle=False, verbose=0, callbacks=callbacks)
    counts, scales, path = (np.array(column) for column in zip(*seen, strict=True))
    skips = np.diff(counts) == 0
    assert 3 < skips.sum() < 12 and counts[-1] == 24 - skips.sum()
    np.testing.assert_array_equal(scales[1:], scales[:-1] / np.where(skips, 2, 1))
    values = {name: ks.simulate(schedule, n=24) for name, schedule in schedules.items()}
    for name, column in values.items():
        np.testing.assert_array_equal(log.history[name], column[counts[:-1]])
    weight, state, expected = 0.0, {}, []
    for skip, count, scale in zip(skips, counts[:-1], scales[:-1], strict=True):
        if not skip:
            numbers = {name: float(column[count]) for name, column in values.items()}
            weight = reference.sgd(weight, 1.0 / scale, count, numbers, state)
        expected.append(weight)
    np.testing.assert_allclose(path[1:], expected, rtol=2e-5, atol=1e-12)
    assert inner.momentum == 0.9
