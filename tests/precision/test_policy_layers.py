"""Which layers `PrecisionPolicy` governs, and which models it refuses, untouched."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.callbacks import PrecisionPolicy
from keras_sched.precision.attach import quantize
from tests.precision.networks import (
    FULL,
    HALF,
    SCALED,
    SEEN,
    Each,
    X,
    Y,
    compiled,
    fit,
    many_layers,
    network,
    scaled,
)


@pytest.fixture(autouse=True)
def _forget():
    SEEN.clear()


def policies_of(model, **options):
    """Name of the layer -> the policy it has in a phase in bfloat16."""
    found = {}
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    fit(
        model,
        PrecisionPolicy([(HALF, 1.0)], **options),
        Each(lambda model, batch: found.update({x.name: x.dtype_policy.name for x in walk(model)})),
        epochs=1,
    )
    return found


def walk(model):
    return [x for x in model._flatten_layers() if not isinstance(x, keras.layers.InputLayer)]


def test_every_output_is_held_in_float32_back_to_its_weights():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="trunk")(inputs)
    head = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4, name="a0"), keras.layers.Dense(1, name="a1")],
        name="head",
    )
    a = keras.layers.Activation("sigmoid", name="a2")(head(x) * 2.0)
    b = keras.layers.BatchNormalization(name="b1")(keras.layers.Dense(1, name="b0")(x))
    found = policies_of(keras.Model(inputs, keras.layers.Add(name="sum")([a, b])))
    full = {name for name, policy in found.items() if policy == FULL}
    assert {"a1", "a2", "b0", "b1", "sum"} <= full
    assert not {"trunk", "a0", "head"} & full


def block():
    """A part with two outputs, of which the first has a weight matrix that the other has not."""
    inputs = keras.Input((4,))
    features = keras.layers.Dense(4, name="features")(inputs)
    skip = keras.layers.Dense(4, name="skip")(inputs)
    return keras.Model(inputs, [features, skip], name="block")


def test_of_a_part_only_the_output_that_is_used_is_held():
    inputs = keras.Input((4,))
    features, skip = block()(inputs)
    x = keras.layers.Dense(4, name="later")(features)
    model = keras.Model(inputs, keras.layers.Add(name="sum")([x, skip]))
    found = policies_of(model)
    full = {name for name, policy in found.items() if policy == FULL}
    assert full == {"sum", "later", "skip"}


def test_a_layer_in_the_middle_that_is_held_is_said():
    inputs = keras.Input((4,))
    first = keras.layers.Dense(4, name="first")(inputs)
    middle = keras.layers.Dense(4, name="middle")(first)
    last = keras.layers.Dense(4, name="last")(keras.layers.Dense(4, name="between")(middle))
    model = keras.Model(inputs, [middle, last])
    model.compile(keras.optimizers.SGD(0.1), ["mse", "mse"])

    def train(policy):
        targets = [np.tile(Y, 4)] * 2
        model.fit(X, targets, batch_size=48, verbose=0, callbacks=[policy])
        return policy.held

    with pytest.warns(UserWarning, match="in the middle.*float32.*Received: middle. To say"):
        assert train(PrecisionPolicy([(HALF, 1.0)])) == ("middle", "last")
    assert train(PrecisionPolicy([(HALF, 1.0)], exclude=["last"])) == ()  # and nothing is said


class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.one = keras.layers.Dense(3, name="one")
        self.two = keras.layers.Dense(1, name="two")
        self.three = keras.layers.Activation("tanh", name="three")

    def call(self, x):
        return self.three(self.two(self.one(x)))


def test_of_a_subclassed_model_the_last_layers_are_held():
    model = Subclassed(name="own")
    model(X[:1])
    expected = {"own": HALF, "one": HALF, "two": FULL, "three": FULL}
    assert policies_of(model) == expected


class Soft(keras.Model):
    """A part of its own kind, without a weight."""

    def __init__(self):
        super().__init__(name="soft")
        self.last = keras.layers.Softmax(name="last")

    def call(self, x):
        return self.last(x)


def test_behind_a_part_without_weights_the_layer_before_is_held_too():
    """And no warning: nothing behind it is computed with less."""
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="hidden")(inputs)
    x = keras.layers.Dense(2, name="logits")(x)
    found = policies_of(keras.Model(inputs, Soft()(x)))
    assert (found["hidden"], found["logits"], found["last"]) == (HALF, FULL, FULL)


def test_exclude_leaves_layers_as_they_are_with_all_within_them():
    found = policies_of(network(), exclude=["h.*"])
    assert (found["hidden"], found["spy"], found["out"]) == (FULL, HALF, HALF)
    assert policies_of(network(), exclude=[])["out"] == HALF
    model = network(HALF)
    assert policies_of(model, exclude=["out"])["out"] == FULL
    model = many_layers()
    model.compile("sgd", "sparse_categorical_crossentropy")
    seen = []
    x = [np.zeros((2, 8, 8, 3), "float32"), np.zeros((2, 5), "int32")]
    note = Each(
        lambda m, b: seen.append(
            {x.dtype_policy.name for x in m.get_layer("attention")._flatten_layers()}
        )
    )
    policy = PrecisionPolicy([(HALF, 1.0)], exclude=["attention", "logits", "softmax"])
    model.fit(x, np.zeros(2), verbose=0, callbacks=[policy, note])
    assert seen == [{FULL}]


def test_a_mixed_model_whose_last_layers_are_mixed_ends_in_float32():
    """The guide's pattern: everything mixed but the last activation."""
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="hidden", dtype=HALF)(inputs)
    x = keras.layers.Dense(1, name="logits", dtype=HALF)(x)
    model = compiled(
        model=keras.Model(inputs, keras.layers.Activation("tanh", dtype=FULL)(x)), jit_compile=False
    )
    found = []
    look = Each(lambda m, batch: found.append({x.dtype_policy.name for x in walk(m)}))
    fit(model, PrecisionPolicy([(FULL, 1.0)]), look)
    assert found[0] == {FULL}
    assert model.get_layer("logits").dtype_policy.name == HALF


def mapped():
    model = network()
    model.get_layer("hidden").dtype_policy = keras.dtype_policies.DTypePolicyMap()
    return model


def by_keras():
    model = network()
    model.get_layer("hidden").quantize("int8")
    return model


def mixed():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="low", dtype=HALF)(inputs)
    x = keras.layers.BatchNormalization(name="high", dtype=FULL)(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="out")(x))


def mixed_within():
    part = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="low", dtype=HALF)])
    part.name = "part"
    high = keras.layers.BatchNormalization(name="high", dtype=FULL)
    return keras.Sequential([keras.Input((4,)), part, high, keras.layers.Dense(1)])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (mapped, {}, "same policy.*DTypePolicyMap.*hidden"),
        (by_keras, {}, "same policy.*int8.*hidden"),
        (mixed, {}, "mixed_bfloat16: low; float32: high"),
        (mixed_within, {}, "mixed_bfloat16: .*/low; float32: .*high"),
        (lambda: network("float64"), {}, "same policy.*float64"),
        (network, {"exclude": ["hiden"]}, "'hiden'.*one of: .*hidden"),
        (network, {"exclude": [".*"]}, "No layer is left"),
        (network, {"phases": [(HALF, "1ep"), (FULL, "2ep")]}, "end.*24|sum to the run's"),
        (network, {"phases": [(HALF, "1ep"), (FULL, None)]}, None),
        (network, {"phases": [(HALF, "24st"), (FULL, None)]}, "at least one data step"),
        (network, {"phases": [(HALF, "8sp"), (FULL, None)]}, "needs `batch_size`"),
        (network, {"phases": None, "schedule": ks.Linear(0.1)}, r"in \[16, 32\]"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), {}, "compiled and built"),
    ],
)
def test_what_cannot_be_trained_so_is_refused_and_left_alone(model, options, message):
    model = model()
    model.compile(keras.optimizers.SGD(0.01), "mse")
    before = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    policy = PrecisionPolicy(**{"phases": [(HALF, 0.5), (FULL, 0.5)], **options})
    if message is None:
        fit(model, policy)
    else:
        with pytest.raises(ValueError, match=message):
            fit(model, policy)
    assert all(layer.dtype_policy is policy for layer, policy in before)


def test_a_run_of_unknown_length_is_refused():
    data = tf.data.Dataset.from_generator(
        lambda: iter([(X[:8], Y[:8])]),
        output_signature=(tf.TensorSpec((8, 4)), tf.TensorSpec((8, 1))),
    )
    with pytest.raises(ValueError, match="steps_per_epoch"):
        compiled().fit(data, verbose=0, shuffle=False, callbacks=[PrecisionPolicy([(HALF, 1.0)])])


def test_two_policies_in_one_training_are_refused():
    policies = [PrecisionPolicy([(HALF, 1.0)]) for _ in range(2)]
    with pytest.raises(ValueError, match="one place"):
        fit(compiled(), *policies)


@pytest.mark.parametrize(("bits", "policy"), [(8, HALF), (9, HALF), (10, SCALED), (11, SCALED)])
def test_a_quantized_model_keeps_its_levels(bits, policy):
    model = compiled(scaled(initial_scale=2.0**8))
    callback = PrecisionPolicy([(policy, 1.0)])
    with quantize(model, weights=4, activations=bits):
        if bits in (8, 10):
            fit(model, callback)
            assert set(SEEN) == {policy.removeprefix("mixed_")}
        else:
            with pytest.raises(ValueError, match=f"up to {bits} bits"):
                fit(model, callback)
            assert SEEN == []
