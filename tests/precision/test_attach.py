"""The handle of a quantized model: which layers, which bits, when on and when off."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.precision import find, quantize, rules
from tests.precision.networks import (
    HALF,
    SCALED,
    X,
    Y,
    assert_same,
    compiled,
    fit,
    network,
    numbers,
)


@pytest.fixture(scope="module")
def residual():
    """A residual network in small: stem, a block with a strided 1x1 shortcut, classifier."""
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, padding="same", name="stem")(x)
    z = keras.layers.Conv2D(6, 3, 2, padding="same", name="block_1")(y)
    z = keras.layers.Conv2D(6, 1, name="block_2")(z)
    y = keras.layers.Add()([z, keras.layers.Conv2D(6, 1, 2, name="shortcut")(y)])
    return keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Flatten()(y)))


@pytest.fixture(scope="module")
def model():
    return compiled(model=network(spy=False), jit_compile=False)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", {"stem": 8, "block_1": 8, "block_2": 8, "shortcut": 8, "top": 8}),
        ("all_but_last", {"stem": 8, "block_1": 8, "block_2": 8, "shortcut": 8}),
        ("cpt_cifar", {"stem": 8, "block_1": 8, "block_2": 8, "shortcut": 8}),
        ("all_but_ends_and_strided_1x1", {"block_1": 8, "block_2": 8}),
        ("cpt_imagenet", {"block_1": 8, "block_2": 8}),
        ([("stem|top", None)], {"block_1": 8, "block_2": 8, "shortcut": 8}),
        (
            # The first rule that matches decides, and it must match the whole path.
            [("block_1", {"weights": 12}), ("block_.*", None)],
            {"stem": 8, "block_1": 12, "shortcut": 8, "top": 8},
        ),
        (
            [(".*", {"weights": 3, "activations": 5, "gradients": None})],
            dict.fromkeys(["stem", "block_1", "block_2", "shortcut", "top"], 5),
        ),
        ([], dict.fromkeys(["stem", "block_1", "block_2", "shortcut", "top"], 8)),
    ],
    ids=str,
)
def test_presets_and_rules(residual, layers, expected):
    with quantize(residual, weights=4, activations=6, gradients=8, layers=layers) as handle:
        assert {layer.path: most for layer, most in handle.most_bits()} == expected


def test_rules_reach_layers_within_layers():
    x = keras.Input((4, 6))
    y = keras.layers.MultiHeadAttention(2, 3, name="heads")(x, x)
    deep = keras.Model(x, keras.layers.Dense(1, name="top")(y))
    with quantize(deep, layers=[("heads/(query|key)", None), ("heads/.*", {"weights": 4})]) as h:
        assert {layer.path: most for layer, most in h.most_bits()} == {
            "heads/value": 8,
            "heads/attention_output": 8,
            "top": 8,
        }


def test_bits_of_a_rule_do_not_follow_the_schedule(model):
    schedule = ks.Linear(2, end=13, steps=11).rounded()
    rule = [(".*/hidden", {"weights": 4, "activations": 4, "gradients": 4})]
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(0)
    with quantize(
        model, weights=schedule, activations=schedule, gradients=8, layers=rule
    ) as handle:
        fit(model, epochs=1)
    hidden, out = handle.cost().layers
    assert hidden.train == hidden.macs * 3 * 4**2
    assert out.forward == 8 * 6 * sum(bits**2 for bits in range(2, 14))


def rounded(value, bits):
    low = value.min(axis=0)
    step = (value.max(axis=0) - low) / (2**bits - 1)
    return np.rint((value - low) / step) * step + low


def forward(model, bits):
    """What the model computes with weights of some bits, in float64."""
    w1, b1, w2, b2 = (v.astype("float64") for v in numbers(model.trainable_variables))
    if bits is None:
        return np.tanh(X @ w1 + b1) @ w2 + b2
    return np.tanh(X @ rounded(w1, bits) + b1) @ rounded(w2, bits) + b2


def test_evaluation_at_the_highest_the_present_or_a_given_number_of_bits(model):
    """One trace for all of them, and in none is anything counted."""
    schedule = ks.Linear(2, end=7, steps=5).rounded()
    model.optimizer.build(model.trainable_variables)
    with quantize(
        model, weights=schedule, activations=None, gradients=None, layers="all"
    ) as handle:
        functions = []

        def got():
            values = model.predict(X, batch_size=96, verbose=0)
            functions.append(model.predict_function)
            return values

        for step in (0, 3):
            model.optimizer.iterations.assign(step)
            for evaluation, bits in (("max", 7), ("current", 2 + step), (3, 3), (16, 16)):
                handle.evaluation = evaluation
                assert handle.evaluation == evaluation
                np.testing.assert_allclose(got(), forward(model, bits), rtol=1e-4, atol=1e-4)
        assert all(function is functions[0] for function in functions)
        mean = np.mean((forward(model, 16) - Y) ** 2)
        np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), mean, rtol=1e-4)
        assert handle.cost().macs == 0
        assert np.abs(forward(model, 2) - forward(model, 3)).max() > 0.01  # they differ at all
    np.testing.assert_allclose(got(), forward(model, None), rtol=1e-4, atol=1e-5)


def test_without_a_schedule_the_bits_are_those_last_set(model):
    with quantize(model, weights=8, activations=None, gradients=None, layers="all") as handle:
        for bits in (2, 5):
            handle.weights.assign(bits)
            assert {name: float(b) for name, b in handle.current().items()} == {"weight_bits": bits}
            got = model.predict(X, verbose=0)
            np.testing.assert_allclose(got, forward(model, bits), rtol=1e-4, atol=1e-4)
        assert handle.activations is None
        assert handle.gradients is None


def test_predictions_do_not_depend_on_the_rest_of_the_batch(model):
    """Activations have their running range; the control is training, which has the batch's."""
    with quantize(model, weights=8, activations=3, gradients=None, layers="all"):
        fit(model, epochs=1)
        together, alone = model(X, training=False), model(X[:1], training=False)
        np.testing.assert_allclose(together[:1], alone, rtol=1e-5, atol=1e-6)
        together, alone = model(X, training=True), model(X[:1], training=True)
        assert np.abs(together[:1] - alone).max() > 1e-3


def test_on_and_off(model):
    plain = model.predict(X, verbose=0)
    handle = quantize(model, weights=2, activations=8, gradients=None, layers="all")
    few = model.predict(X, verbose=0)
    assert find(model) is handle
    assert np.abs(few - plain).max() > 0.01
    with handle.paused():
        assert find(model) is None
        np.testing.assert_array_equal(model.predict(X, verbose=0), plain)
    np.testing.assert_array_equal(model.predict(X, verbose=0), few)
    for _ in range(2):
        handle.enable()
    np.testing.assert_array_equal(model.predict(X, verbose=0), few)
    with pytest.raises(KeyError), handle.paused():
        raise KeyError
    assert find(model) is handle
    for _ in range(2):
        handle.detach()
    assert find(model) is None
    with handle.paused():  # what is off stays off
        pass
    assert find(model) is None
    np.testing.assert_array_equal(model.predict(X, verbose=0), plain)
    with pytest.raises(KeyError), handle:
        assert find(model) is handle
        raise KeyError
    assert find(model) is None


def test_a_copy_of_a_quantized_model_is_plain(model):
    with quantize(model, weights=2, activations=2, gradients=2, layers="all"):
        copy = keras.models.clone_model(model)
        assert find(copy) is None
        copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(X), model(X))


def watched(layer):
    """Note the input and the kernel that a layer sees, until its `call` is deleted."""
    seen, own = [], layer.call

    def call(x, **options):
        seen.append((tf.convert_to_tensor(x), tf.convert_to_tensor(layer.kernel.value)))
        return own(x, **options)

    vars(layer)["call"] = call
    return seen


def test_symmetric_levels_hold_zero(model):
    layer = model.get_layer("hidden")
    seen = watched(layer)
    try:
        for symmetric in (True, False):
            with quantize(
                model, weights=3, activations=3, gradients=None, layers="all", symmetric=symmetric
            ):
                model(X, training=True)
    finally:
        del vars(layer)["call"]
    (x, weight), (other, _) = (map(np.array, each) for each in seen)
    levels = np.unique(x) / np.abs(X).max() * 3
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-5)
    assert len(levels) > 4
    assert 0.0 in levels
    np.testing.assert_allclose(
        np.abs(weight).max(axis=0), np.abs(np.array(layer.kernel)).max(axis=0)
    )
    assert len(np.unique(other)) == 8
    assert 0.0 not in other


def test_frozen_layers_are_quantized_and_stay_frozen(model):
    layer = model.get_layer("hidden")
    layer.trainable = False
    try:
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", jit_compile=False)
        before = numbers(layer.variables)
        with quantize(model, weights=2, activations=None, gradients=None, layers="all"):
            fit(model, epochs=1)
            got = np.array(model(X, training=False))
        assert_same(numbers(layer.variables), before)
        kernel, bias = (v.astype("float64") for v in before)
        w, b = (v.astype("float64") for v in numbers(model.get_layer("out").variables))
        expected = np.tanh(X @ rounded(kernel, 2) + bias) @ rounded(w, 2) + b
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    finally:
        layer.trainable = True
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", jit_compile=False)


@pytest.mark.parametrize("policy", [HALF, SCALED])
def test_layers_that_compute_in_16_bits_see_the_levels_of_float32_weights(policy):
    net = compiled(keras.optimizers.SGD(0.05), network(policy, spy=False), jit_compile=False)
    layer = net.get_layer("hidden")
    seen = watched(layer)
    with quantize(net, weights=8, activations=8, gradients=8, layers="all") as handle:
        net(X, training=True)
        x, weight = seen[0]
        assert weight.dtype == x.dtype == layer.compute_dtype
        assert 128 < len(np.unique(tf.cast(x, "float32"))) <= 256
        expected = tf.cast(rounded(np.array(layer.kernel).astype("float64"), 8), weight.dtype)
        np.testing.assert_allclose(
            tf.cast(weight, "float32"), tf.cast(expected, "float32"), rtol=0.01, atol=1e-6
        )
        fit(net, epochs=1)
        # What is not quantized counts with 16 bits, and here all is.
        assert handle.cost().relative_to_fp32 == 8**2 / 32**2
    assert {v.dtype for v in net.trainable_variables} == {"float32"}
    del vars(layer)["call"]


def test_targets_come_in_the_order_of_the_model(residual):
    assert [layer.name for layer in rules.targets(residual)] == [
        "stem",
        "block_1",
        "block_2",
        "shortcut",
        "top",
    ]
