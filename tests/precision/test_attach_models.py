"""Quantized training reaches every kind of model, and is nothing but quantized there."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sched.precision import find, quantize, rules
from tests.precision.kinds import KINDS
from tests.precision.networks import assert_same, numbers

ROOT = pathlib.Path(__file__).parents[2]


@functools.cache
def _model(name):
    model = KINDS[name].model()
    return model, numbers(model.variables)


@pytest.fixture(params=KINDS)
def kind(request):
    """The name of a kind, its inputs and a model, which every test must leave as it was found."""
    model, first = _model(request.param)
    write(model.variables, first)
    attributes = [dict(vars(layer)) for layer in rules.walk(model)]
    yield request.param, KINDS[request.param].inputs(), model
    assert find(model) is None
    for layer, before in zip(rules.walk(model), attributes, strict=True):
        assert "call" not in vars(layer)
        assert vars(layer).keys() >= before.keys()


def write(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def targets(model):
    return [(layer, rules.own_weights(layer)) for layer in rules.targets(model)]


def levels(values):
    return len(np.unique(np.asarray(values)))


def rounded(value, axes, bits):
    """The nearest of 2^b levels, in float64."""
    value = value.astype("float64")
    axes = None if axes is None else tuple(axes)
    low = value.min(axis=axes, keepdims=True)
    span = value.max(axis=axes, keepdims=True) - low
    step = np.where(span > 0, span, 1.0) / (2**bits - 1)
    return np.rint((value - low) / step) * step + low


def test_which_weights_are_quantized_and_in_which_channels(kind):
    name, _, model = kind
    left = dict(KINDS[name].weights)
    for layer, weights in targets(model):
        for weight in weights:
            (end,) = (end for end in left if weight.path.endswith(end))
            assert rules.channel_axes(layer, weight) == left.pop(end), weight.path
    assert not left


def test_evaluation_computes_with_the_levels_of_the_weights(kind):
    """As the plain model does whose weights an oracle has rounded."""
    bits = 3
    _, x, model = kind
    plain = np.array(model(x, training=False))
    with quantize(model, weights=bits, activations=None, gradients=None, layers="all"):
        got = np.array(model(x, training=False))
    for layer, weights in targets(model):
        for weight in weights:
            axes = rules.channel_axes(layer, weight)
            weight.assign(rounded(np.array(weight), axes, bits))
    np.testing.assert_allclose(got, model(x, training=False), rtol=1e-4, atol=1e-5)
    assert np.abs(got - plain).max() > 1e-4  # which is not what it computed before


class Seen:
    """What a layer is given, what its weights are and what it returns."""

    def __init__(self, layer):
        self.layer, self.own = layer, layer.call
        self.inputs, self.weights, self.outputs = [], [], []
        vars(layer)["call"] = self

    def __call__(self, *args, **kwargs):
        outputs = self.own(*args, **kwargs)
        if tf.executing_eagerly():  # Not where Keras maps over time in a graph.
            first = args[0] if args else next(iter(kwargs.values()))
            self.inputs += [x for x in tf.nest.flatten(first) if x.dtype.is_floating]
            self.weights += [(w, np.array(w.value)) for w in rules.own_weights(self.layer)]
            self.outputs += tf.nest.flatten(outputs)
        return outputs


@contextlib.contextmanager
def watched(model):
    seen = [Seen(layer) for layer in rules.targets(model)]
    try:
        yield seen
    finally:
        for each in seen:
            del vars(each.layer)["call"]


def training_step(model, x):
    """A tape, the error of the outputs, and the whole loss with its gradients, of one step."""
    with tf.GradientTape(persistent=True) as tape:
        y = model(x, training=True)
        error = tf.reduce_sum((y - 0.3) ** 2)
        loss = error + tf.add_n([0.0, *model.losses])
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return tape, error, [loss, *(tf.convert_to_tensor(g) for g in gradients)]


def most_levels(model, x, **bits):
    """The most distinct numbers in a channel of weights, in inputs and in gradients of outputs."""
    model.compile(keras.optimizers.SGD(0.1))
    model.optimizer.build(model.trainable_variables)
    with (
        watched(model) as seen,
        quantize(model, **bits, layers="all") if bits else contextlib.nullcontext(),
    ):
        tape, error, _ = training_step(model, x)
    outputs = [y for each in seen for y in each.outputs]
    gradients = [g for g in tape.gradient(error, outputs) if g is not None]
    assert len(gradients) >= len(seen)
    channels = []
    for each in seen:
        for weight, value in each.weights:
            axes = rules.channel_axes(each.layer, weight)
            axes = range(value.ndim) if axes is None else axes
            value = np.moveaxis(value, axes, range(len(axes)))
            channels += list(value.reshape(np.prod(value.shape[: len(axes)]), -1).T)
    inputs = [x for each in seen for x in each.inputs]
    return [max(map(levels, found)) for found in (channels, inputs, gradients)]


def test_layers_see_few_levels_forward_and_get_few_levels_backward(kind):
    _, x, model = kind
    weights, inputs, gradients = most_levels(model, x, weights=2, activations=4, gradients=2)
    assert weights <= 2**2
    assert inputs <= 2**4
    assert gradients <= 2**2


@pytest.mark.parametrize("kind", ["functional", "convolution", "attention"], indirect=True)
def test_without_quantizers_there_are_more_levels(kind):
    """The negative control."""
    _, x, model = kind
    weights, inputs, gradients = most_levels(model, x)
    assert weights > 2**2
    assert inputs > 2**4
    assert gradients > 2**2


def test_weights_that_are_levels_already_train_as_in_the_plain_model(kind):
    """Outputs, losses, gradients, statistics, seeds and counts, to the bit: nothing is lost."""
    _, x, model = kind
    rng = np.random.default_rng(0)
    for layer, weights in targets(model):
        for weight in weights:
            whole = rng.integers(-128, 128, weight.shape)
            axes = rules.channel_axes(layer, weight)
            axes = range(whole.ndim) if axes is None else axes
            channels = np.moveaxis(whole, axes, range(len(axes)))
            channels[(0,) * len(axes)] = -128
            channels[tuple(n - 1 for n in channels.shape[: len(axes)])] = 127
            weight.assign(whole / 512)  # 8 bits, and a power of two: exact in float32
    first, found = numbers(model.variables), []
    for quantized in (False, True):
        write(model.variables, first)
        with (
            quantize(model, weights=8, activations=None, gradients=None, layers="all")
            if quantized
            else contextlib.nullcontext()
        ):
            _, _, results = training_step(model, x)
        found.append([*numbers(results), *numbers(model.variables)])
    assert_same(*found)


def test_training_moves_every_weight_in_one_trace_whatever_the_bits(kind):
    _, x, model = kind
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    layout = [
        [(v.path, v.shape, v.dtype, getattr(v, "trainable", None)) for v in owner.variables]
        for owner in (model, model.optimizer)
    ]
    before, traces, own = numbers(model.trainable_variables), [], model.train_step
    model.train_step = lambda data: traces.append(1) or own(data)
    y = np.random.default_rng(2).normal(size=model(x).shape).astype("float32")
    try:
        with quantize(model, weights=8, activations=8, gradients=8, layers="all") as handle:
            for bits in (8, 3, 5, 16):
                for width in (handle.weights, handle.activations, handle.gradients):
                    width.assign(bits)
                assert np.isfinite(model.train_on_batch(x, y))
            assert layout == [
                [(v.path, v.shape, v.dtype, getattr(v, "trainable", None)) for v in owner.variables]
                for owner in (model, model.optimizer)
            ]
            # Each step costs M (q^2 + 2 q q); 3 of 16 would tell that bits were those of the trace.
            relative = handle.cost().quantized_only().relative_to_fp32
            expected = (8**2 + 3**2 + 5**2 + 16**2) / 4 / 32**2
            np.testing.assert_allclose(relative, expected, rtol=1e-9)
    finally:
        del model.train_step
    assert len(traces) == 1
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert (np.array(variable) != old).any(), variable.path


READ = """
import sys
import keras, numpy as np
from tests.precision.kinds import KINDS

folder, *names = sys.argv[1:]
assert "keras_sched" not in sys.modules
for name in names:
    kind = KINDS[name]
    model = keras.saving.load_model(f"{folder}/{name}.keras")
    np.save(f"{folder}/{name}.npy", model(kind.inputs(), training=False))
    steps = int(model.optimizer.iterations)
    model.load_weights(f"{folder}/{name}.weights.h5")
    same = model(kind.inputs(), training=False)
    np.testing.assert_array_equal(np.load(f"{folder}/{name}.npy"), same)
    assert steps == 7, (name, steps)
assert "keras_sched" not in sys.modules
"""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(
            ["nested", "subclassed", "custom", "convolution", "attention", "embedding"], id="some"
        ),
        pytest.param(list(KINDS), id="all", marks=pytest.mark.slow),
    ],
)
def test_files_of_quantized_models_are_plain_keras_files(names, tmp_path):
    """Read by a process that knows Keras, the user's own layers, and nothing of this library."""
    expected = {}
    for name in names:
        kind = KINDS[name]
        model, first = _model(name)
        write(model.variables, first)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        model.optimizer.build(model.trainable_variables)
        model.optimizer.iterations.assign(7)
        with quantize(model, weights=2, activations=2, gradients=2, layers="all"):
            model.save(tmp_path / f"{name}.keras")
            model.save_weights(tmp_path / f"{name}.weights.h5")
        expected[name] = np.array(model(kind.inputs(), training=False))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path), *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name, value in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), value, err_msg=name)
