"""Quantized training step by step: beside hand-made steps, and the same however it is compiled."""

from __future__ import annotations

import dataclasses
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.precision import find, quantize
from keras_sched.precision.passes import moved_bounds
from tests.precision.networks import (
    Each,
    Interrupt,
    X,
    Y,
    assert_same,
    compiled,
    counting,
    fit,
    network,
    numbers,
)

M32 = np.uint64(0xFFFFFFFF)


def model(**options):
    keras.utils.set_random_seed(3)
    options.setdefault("jit_compile", False)
    return compiled(model=network(spy=False), **options)


def state(model):
    return numbers([*model.variables, *model.optimizer.variables])


def counts(handle):
    """What was counted, layer by layer, without their names."""
    return [dataclasses.astuple(layer)[1:] for layer in handle.cost().layers]


def climb(low=2, high=13, steps=12):
    """One bit more at every step: 2, 3, ... 13."""
    return ks.Linear(low, end=high, steps=steps - 1).rounded()


def equal(one, other):
    return all((a == b).all() for a, b in zip(one, other, strict=True))


# --- beside steps made by hand --------------------------------------------------------------------


def mix(h):
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & M32
    return h ^ (h >> np.uint64(16))


def noise(shape, seed, step, layer, call):
    """Numbers in [0, 1), from nothing but the seed, the step, the layer, the call and the place."""
    number = zlib.crc32(f"{layer}/{call}".encode())
    key = mix((np.uint64(step) + np.uint64(number)) & M32)
    key = mix(mix((key + np.uint64(zlib.crc32(str(seed).encode()))) & M32))
    place = (np.arange(np.prod(shape), dtype=np.uint64) * np.uint64(0x9E3779B1)) & M32
    return ((mix(place ^ key) >> np.uint64(8)) * 2.0**-24).reshape(shape)


def rounded(x, bits, axis=None, noise=None):
    low = x.min(axis=axis, keepdims=True)
    step = (x.max(axis=axis, keepdims=True) - low) / (2**bits - 1)
    k = (x - low) / step
    return (np.rint(k) if noise is None else np.floor(k + noise)) * step + low


def by_hand(weights, velocities, x, y, step, w, a, g, seed):
    """One step of SGD (0.05, 0.9) on a tanh and a linear layer, in float64; also the input range"""
    w1, b1, w2, b2 = weights
    xq, q1 = rounded(x, a), rounded(w1, w, 0)
    h = np.tanh(xq @ q1 + b1)
    hq, q2 = rounded(h, a), rounded(w2, w, 0)
    out = hq @ q2 + b2
    d2 = 2 * (out - y) / out.size
    d2 = rounded(d2, g, noise=noise(d2.shape, seed, step, 1, 2))
    d1 = d2 @ q2.T
    d1 = rounded(d1, g, noise=noise(d1.shape, seed, step, 0, 1)) * (1 - h * h)
    gradients = [xq.T @ d1, d1.sum(0), hq.T @ d2, d2.sum(0)]
    velocities = [0.9 * v - 0.05 * d for v, d in zip(velocities, gradients, strict=True)]
    ranges = np.array([[x.min(), x.max()], [h.min(), h.max()]])
    return [p + v for p, v in zip(weights, velocities, strict=True)], velocities, ranges


def test_steps_made_by_hand():
    """Bits of weights, activations and gradients that change with every step; three of them."""
    seed = 5
    net = model()
    bits = {"weights": climb(2, 4, 3), "activations": climb(3, 7, 3), "gradients": climb(4, 2, 3)}
    weights = [v.astype("float64") for v in numbers(net.trainable_variables)]
    velocities = [0.0] * 4
    x, y = X[:24].astype("float64"), Y[:24].astype("float64")
    with quantize(net, **bits, layers="all", seed=seed) as handle:
        net.fit(X[:24], Y[:24], batch_size=8, shuffle=False, verbose=0)
    running = None
    for step, (w, a, g) in enumerate(zip((2, 3, 4), (3, 5, 7), (4, 3, 2), strict=True)):
        rows = slice(8 * step, 8 * step + 8)
        weights, velocities, ranges = by_hand(
            weights, velocities, x[rows], y[rows], step, w, a, g, seed
        )
        running = ranges if running is None else 0.9 * running + 0.1 * ranges
    for got, expected in zip(numbers(net.trainable_variables), weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    (bounds,) = (v for v in handle.variables if v.name == "activation_bounds")
    np.testing.assert_allclose(bounds, running, rtol=1e-4, atol=1e-6)


def test_stochastic_rounding_is_a_function_of_seed_and_step():
    first, found = None, {}
    net = model()
    net.optimizer.build(net.trainable_variables)
    first = state(net)
    for seed, step in [(0, 0), (0, 0), (1, 0), (0, 1)]:
        for variable, value in zip([*net.variables, *net.optimizer.variables], first, strict=True):
            variable.assign(value)
        net.optimizer.iterations.assign(step)
        keras.utils.set_random_seed(seed + step + len(found))  # which it does not depend on
        with quantize(net, weights=None, activations=None, gradients=2, layers="all", seed=seed):
            net.train_on_batch(X[:8], Y[:8])
        found.setdefault((seed, step), []).append(numbers(net.trainable_variables))
    assert_same(*found[0, 0])
    assert not equal(found[0, 0][0], found[1, 0][0])
    assert not equal(found[0, 0][0], found[0, 1][0])


@pytest.mark.parametrize("through", ["the model", "its layers"])
def test_the_same_layer_rounds_otherwise_at_each_place(through):
    """Two layers with the same weights, inputs and errors get different gradients.

    Also in another model that has the layers, and never calls the one that is quantized.
    """
    x = keras.Input((4,))
    make = [keras.layers.Dense(8, kernel_initializer="zeros", name=name) for name in "ab"]
    net = keras.Model(x, keras.layers.Add()([layer(x) for layer in make]))
    net.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    y = np.random.default_rng(0).normal(size=(8, 8)).astype("float32")
    for gradients in (2, None):
        for layer in make:
            layer.kernel.assign(np.zeros((4, 8)))
        with quantize(
            net,
            weights=None,
            activations=None,
            gradients=gradients,
            layers="all",
            optimizer=net.optimizer,
        ):
            trained = net if through == "the model" else keras.Model(net.inputs, net.outputs)
            trained.compile(net.optimizer, "mse", jit_compile=False)
            trained.train_on_batch(X[:8], y)
        a, b = (np.array(layer.kernel) for layer in make)
        assert (a == b).all() == (gradients is None)


# --- however it is compiled -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def step_by_step():
    """Weights and cost of a training whose bits change at each of 12 steps."""
    net = model()
    with quantize(net, weights=climb(), activations=climb(), gradients=6, layers="all") as handle:
        fit(net, epochs=1)
    return state(net), counts(handle)


def test_the_cost_tells_the_bits_of_each_step(step_by_step):
    bits = np.arange(2, 14)
    for (_, macs, forward, *backward), each in zip(
        step_by_step[1], (8 * 4 * 6, 8 * 6 * 1), strict=True
    ):
        assert macs == 12 * each
        assert forward == each * (bits**2).sum()
        assert backward == [each * (6 * bits).sum()] * 2


@pytest.mark.parametrize(
    "options",
    [
        {"steps_per_execution": 5},
        {"run_eagerly": True},
        {"jit_compile": True, "steps_per_execution": 3},
    ],
    ids=str,
)
def test_bits_and_weights_are_those_of_step_by_step(step_by_step, options):
    net = model(**options)
    with quantize(net, weights=climb(), activations=climb(), gradients=6, layers="all") as handle:
        fit(net, epochs=1)
    assert counts(handle) == step_by_step[1]
    if options == {"steps_per_execution": 5}:
        assert_same(state(net), step_by_step[0])
    for got, expected in zip(state(net), step_by_step[0], strict=True):
        # A product summed in another order may fall on another level of the next layer.
        np.testing.assert_allclose(got, expected, rtol=0.05, atol=0.02)


def test_bits_set_by_a_callback_lag_behind_a_call_of_several_steps(step_by_step):
    """The negative control: what the schedule inside the step is for."""
    net = model(steps_per_execution=4)
    with quantize(net, weights=2, activations=2, gradients=6, layers="all") as handle:
        bits = iter(range(3, 99))

        def assign(net, batch):
            handle.weights.assign(next(bits))
            handle.activations.assign(int(handle.weights.value()))

        fit(net, Each(assign), epochs=1)
    assert counts(handle) != step_by_step[1]


@pytest.mark.parametrize(
    ("per", "expected"), [("update", np.arange(12) // 2), ("micro", np.arange(12))]
)
def test_gradient_accumulation_counts_updates_or_calls(per, expected):
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2)
    results = []
    for steps_per_execution in (1, 4):
        net = model(
            optimizer=optimizer.from_config(optimizer.get_config()),
            steps_per_execution=steps_per_execution,
        )
        with quantize(net, weights=8, activations=8, gradients=4, layers="all") as handle:
            length = 6 if per == "update" else 12
            scheduler = ks.Scheduler(per=per, bits=climb(2, 1 + length, length))
            fit(net, scheduler, epochs=1)
        forward = [layer.forward for layer in handle.cost().layers]
        bits = 2 + expected
        assert forward == [m * (bits**2).sum() for m in (8 * 4 * 6, 8 * 6 * 1)]
        results.append(state(net))
    assert_same(*results)


def test_one_trace_for_all_bits_and_one_more_to_detach():
    net = model()
    net.optimizer.build(net.trainable_variables)  # or Keras would trace the first call twice
    traces = counting(net)
    with quantize(net, weights=8, activations=8, gradients=8, layers="all") as handle:

        def change(net, batch):
            for width in (handle.weights, handle.activations, handle.gradients):
                width.assign(2 + batch)

        fit(net, Each(change))
        assert len(traces) == 1
        handle.evaluation = 5
        fit(net)
        assert len(traces) == 1
    fit(net)
    assert len(traces) == 2


def test_replicas_share_bits_and_ranges():
    devices = [d.name for d in tf.config.list_logical_devices("CPU")][:2]
    # A second strategy in a process can fail with the collectives that are the default.
    reduction = tf.distribute.ReductionToOneDevice()
    with tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction).scope():
        net = model()
        handle = quantize(net, weights=climb(), activations=climb(), gradients=6, layers="all")
    fit(net, epochs=1)
    assert np.isfinite(np.concatenate([v.ravel() for v in numbers(net.variables)])).all()
    forward = [layer.forward for layer in handle.cost().layers]
    assert forward == [m * (np.arange(2, 14) ** 2).sum() for m in (8 * 4 * 6, 8 * 6 * 1)]
    for weight in net.trainable_variables:
        one, other = weight.value.values
        np.testing.assert_array_equal(one, other)


# --- one clock for all ----------------------------------------------------------------------------


def schedules():
    return {
        "learning_rate": ks.REX(0.1),
        "momentum": ks.Demon(0.9),
        "bits": ks.precision.cpt(2, bits_max=6, cycles=3),
        "gradient_bits": ks.Linear(8, end=3).rounded(),
    }


def test_rate_momentum_and_bits_have_one_clock_and_go_on_where_they_were():
    net, seen = model(), []

    def look(net, batch):
        found = {**ks.hyperparameters.current(net.optimizer), **find(net).current()}
        seen.append({name: float(value) for name, value in found.items()})

    handle = quantize(net, weights=8, activations=8, gradients=8, layers="all")
    fit(net, ks.Scheduler(**schedules()), Each(look))
    whole = state(net)
    run = {name: item.resolve(24) for name, item in schedules().items()}
    run["weight_bits"] = run["activation_bits"] = run.pop("bits")
    for name, schedule in run.items():
        # After a step the clock shows the next.
        np.testing.assert_allclose([s[name] for s in seen], schedule(np.arange(1, 25)), rtol=1e-6)
    assert len({s["weight_bits"] for s in seen}) == 5
    assert (handle.weights.most, handle.attached()) == (8, {})

    again = model()
    with quantize(again, weights=8, activations=8, gradients=8, layers="all") as half:
        callback = ks.Scheduler(**schedules())
        stop = Each(lambda net, batch: setattr(net, "stop_training", batch == 11))
        fit(again, callback, stop)
        assert not equal(state(again), whole)
        kept = numbers(half.variables)
        fresh = model()
        fresh.optimizer.build(fresh.trainable_variables)
        for variable, value in zip(
            [*fresh.variables, *fresh.optimizer.variables], state(again), strict=True
        ):
            variable.assign(value)
    with quantize(fresh, weights=8, activations=8, gradients=8, layers="all") as rest:
        for variable, value in zip(rest.variables, kept, strict=True):
            variable.assign(value)
        fit(fresh, ks.Scheduler(**schedules()), initial_epoch=1)
    assert_same(state(fresh), whole)
    assert_same(numbers(rest.variables), numbers(handle.variables))


def test_bits_stand_where_the_training_is_said_to_begin():
    net, seen = model(), []
    net.optimizer.iterations.assign(50)
    look = Each(lambda net, batch: seen.append(float(find(net).current()["weight_bits"])))
    with quantize(net, weights=8, activations=8, gradients=None, layers="all") as handle:
        handle.attach({"weight_bits": climb(2, 8, 6)}, first_step=None)
        ks.hyperparameters.begin(net.optimizer, step=0)
        fit(net, look, epochs=1)
        traced = net.train_function
        ks.hyperparameters.begin(net.optimizer, step=3)  # The step follows as it was traced.
        fit(net, look, epochs=1)
        assert net.train_function is traced
    expected = climb(2, 8, 6)(np.concatenate([np.arange(1, 13), np.arange(4, 16)]))
    np.testing.assert_array_equal(seen, expected)
    bits = np.concatenate([climb(2, 8, 6)(np.arange(12)), climb(2, 8, 6)(np.arange(3, 15))])
    spent = [layer.forward / (8 * layer.macs / 24) for layer in handle.cost().layers]
    assert spent == [bits.sum(), bits.sum()]


def test_who_attaches_may_see_to_the_compiled_functions():
    net = model()
    with quantize(net, weights=8, activations=8, gradients=None, layers="all") as handle:
        fit(net, epochs=1)
        traced = net.train_function
        attachment = handle.attach({"bits": climb()}, retrace=False)
        attachment.detach()
        assert net.train_function is traced and handle.attached() == {}
        handle.attach({"bits": climb()})
        assert net.train_function is None


def test_an_interrupted_training_leaves_a_model_that_trains_again():
    net = model()
    handle = quantize(net, weights=8, activations=8, gradients=None, layers="all")
    with pytest.raises(KeyboardInterrupt):
        fit(net, ks.Scheduler(bits=ks.precision.cpt(2, bits_max=6, cycles=3)), Interrupt(5))
    begun = state(net)
    steps = int(net.optimizer.iterations)
    # Nothing is left of the interrupted training, also nothing that is not given anew.
    assert handle.attached() == {}
    new = ks.Scheduler(weight_bits=ks.Linear(4, end=7).rounded(), first_step=steps)
    fit(net, new, epochs=1)
    assert (handle.weights.most, handle.activations.most, handle.attached()) == (8, 8, {})
    went_on = state(net)

    twin = model()
    twin.optimizer.build(twin.trainable_variables)
    for variable, value in zip([*twin.variables, *twin.optimizer.variables], begun, strict=True):
        variable.assign(value)
    with pytest.raises(KeyboardInterrupt):
        fit(
            net,
            ks.Scheduler(bits=ks.precision.cpt(2, bits_max=6, cycles=3), first_step=steps + 12),
            Interrupt(5),
        )
    assert handle.attached() == {}
    handle.attach({"bits": climb(4, 7, 13)})
    with pytest.raises(ValueError, match=r"detach_schedules\(\)"):
        handle.weights.assign(4)
    handle.detach_schedules()
    handle.weights.assign(4)

    with quantize(
        twin, weights=climb(4, 7, 13), activations=8, gradients=None, layers="all"
    ) as other:
        twin.optimizer.iterations.assign(0)
        fit(twin, epochs=1)
        twin.optimizer.iterations.assign(steps + 12)
        assert_same(state(twin), went_on)
        assert other.cost().layers[0].macs == 12 * 8 * 4 * 6


def test_a_range_that_overflows_moves_nothing():
    old = np.array([[1.0, -1.0], [0.0, 2.0], [0.0, 2.0], [1.0, -1.0]], np.float32)
    found = {0: (0.0, np.inf), 1: (-np.inf, 1.0), 2: (-1.0, 1.0), 3: (-1.0, 1.0)}
    expected = [[1.0, -1.0], [0.0, 2.0], [-0.1, 1.9], [-1.0, 1.0]]
    np.testing.assert_allclose(moved_bounds(old, found), expected, rtol=1e-6)


def test_training_after_detach_is_that_of_a_model_never_quantized():
    net, never = model(), model()
    handle = quantize(net, weights=3, activations=3, gradients=3, layers="all")
    fit(net, epochs=1)
    handle.detach()
    never.optimizer.build(never.trainable_variables)
    for variable, value in zip(
        [*never.variables, *never.optimizer.variables], state(net), strict=True
    ):
        variable.assign(value)
    fit(net, epochs=1)
    fit(never, epochs=1)
    assert_same(state(net), state(never))
    np.testing.assert_array_equal(net.predict(X, verbose=0), never.predict(X, verbose=0))
    handle.enable()  # and the control: it would be another training
    fit(net, epochs=1)
    fit(never, epochs=1)
    assert not equal(state(net), state(never))
