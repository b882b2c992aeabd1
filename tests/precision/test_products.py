"""Products without weights, rounded: an attention beside NumPy, and layers that declare theirs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sched.precision import quantize
from tests.precision.networks import assert_same, numbers

RNG = np.random.default_rng(0)
ROWS, WORDS, WIDTH, HEADS, EACH = 2, 5, 6, 2, 3
X = RNG.normal(size=(ROWS, WORDS, WIDTH)).astype("float32")


class Neighbours(keras.layers.Layer):
    """Adds to each word the one before: a product with a fixed matrix."""

    def call(self, inputs, factor):
        return inputs + factor[:, None, None] * tf.roll(inputs, 1, axis=1)

    def macs(self, inputs, outputs):
        return WORDS * WIDTH


def attention(**options):
    keras.utils.set_random_seed(1)
    x = keras.Input((WORDS, WIDTH))
    y = keras.layers.MultiHeadAttention(HEADS, EACH, name="heads", **options)(
        x, x, use_causal_mask=True
    )
    model = keras.Model(x, keras.layers.Dense(1, name="out")(y))
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    return model


def declared():
    keras.utils.set_random_seed(1)
    x, factor = keras.Input((WORDS, WIDTH)), keras.Input(())
    model = keras.Model([x, factor], Neighbours(name="neighbours")(x, factor))
    return keras.Model([x, factor], keras.layers.Dense(1, name="out")(model.output))


def rounded(x, bits):
    """As the quantizer: levels between least and greatest of the tensor."""
    low, high = x.min(), x.max()
    step = (high - low) / (2**bits - 1)
    return np.rint((x - low) / step) * step + low


def by_hand(model, bits):
    """The output of the attention in float64, with everything in it rounded but the weights."""
    layer = model.get_layer("heads")
    weights = {v.path.split("/", 1)[1]: v.numpy().astype(np.float64) for v in layer.weights}

    def projected(name):
        return np.einsum("btw,whe->bthe", x, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]

    x = rounded(X.astype(np.float64), bits)  # The inputs of the projections are rounded too.
    q, k, v = (rounded(projected(name), bits) for name in ("query", "key", "value"))
    scores = np.einsum("bqhe,bkhe->bhqk", q, k) / np.sqrt(EACH)
    scores = np.where(np.tril(np.ones((WORDS, WORDS), bool)), scores, -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares = rounded(shares / shares.sum(-1, keepdims=True), bits)
    heads = rounded(np.einsum("bhqk,bkhe->bqhe", shares, v), bits)
    kernel = weights["attention_output/kernel"]
    return np.einsum("bqhe,hew->bqw", heads, kernel) + weights["attention_output/bias"]


@pytest.mark.parametrize("dropout", [0.0, 0.2], ids=["fused by Keras", "with dropout"])
def test_an_attention_is_as_by_hand(dropout):
    model = attention(dropout=dropout)
    inner = keras.Model(model.input, model.get_layer("heads").output)
    with quantize(inner, weights=None, activations=5, layers="all", products=True):
        # What is dropped is random: then the ranges are those of evaluation.
        found = inner(X, training=not dropout)
    np.testing.assert_allclose(found, by_hand(model, 5), rtol=1e-4, atol=1e-5)
    plain = attention(dropout=dropout)
    plain = keras.Model(plain.input, plain.get_layer("heads").output)
    with quantize(plain, weights=None, activations=5, layers="all"):
        assert np.abs(plain(X, training=False) - by_hand(model, 5)).max() > 1e-3


def gradient_levels(model, products):
    """How many gradients differ that reach the queries, of one training pass."""
    query = model.get_layer("heads")._query_dense
    seen = []
    own = query.call

    def call(inputs, training=None):
        @tf.custom_gradient
        def spy(x):
            return x, lambda upstream: (seen.append(upstream), upstream)[1]

        return spy(own(inputs))

    query.call = call
    layers = [(".*(query|key|value|attention_output|out)", None)]
    if products:
        with (
            quantize(model, weights=None, gradients=2, layers=layers, products=True),
            tf.GradientTape() as tape,
        ):
            loss = tf.reduce_sum(tf.square(model(X, training=True)))
    else:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(X, training=True)))
    tape.gradient(loss, [v.value for v in model.trainable_variables])
    return seen[0].numpy()


def test_the_gradients_of_products_are_rounded():
    exact, coarse = (gradient_levels(attention(), products) for products in (False, True))
    assert exact.shape == coarse.shape
    assert np.isfinite(coarse).all()
    assert not np.allclose(exact, coarse, rtol=0.05)
    # Two bits are coarse, and right in the mean: they point the same way.
    assert np.vdot(exact, coarse) > 0.5 * np.linalg.norm(exact) * np.linalg.norm(coarse)


def test_both_products_of_an_attention_have_a_noise_of_their_own(monkeypatch):
    model = attention()
    handle = quantize(model, weights=None, gradients=4, layers="all", products=True)
    keys, own = [], handle.noise_key
    monkeypatch.setattr(handle, "noise_key", lambda *at: (keys.append(at), own(*at))[1])
    with tf.GradientTape():
        model(X, training=True)
    scores = len(handle.cost().layers) - 1
    assert [index for index, _ in keys].count(scores) == 2
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("make", "inputs"),
    [(attention, [X]), (declared, [X, np.ones(ROWS, "float32")])],
    ids=["attention", "declared"],
)
def test_products_cost_what_their_bits_do_and_come_off(make, inputs):
    model = make()
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    data = inputs if len(inputs) > 1 else inputs[0]
    target = np.zeros((ROWS, WORDS, 1), "float32")
    before = model.predict(data, verbose=0)
    path = "heads/scores" if make is attention else "neighbours"
    for products, bits in ((False, 32.0), (True, 4.0)):
        with quantize(
            model, weights=4, activations=4, gradients=4, layers="all", products=products
        ) as handle:
            model.fit(data, target, batch_size=ROWS, epochs=1, verbose=0)
        (row,) = [row for row in handle.cost().layers if row.path == path]
        assert row.quantized == products
        assert row.forward == row.macs * bits**2
        assert row.weight_gradient == row.macs * bits**2
        model.set_weights(make().get_weights())
    np.testing.assert_array_equal(model.predict(data, verbose=0), before)
    assert_same(numbers(make().variables), numbers(model.variables))


def test_a_declared_product_has_its_first_argument_rounded():
    model = declared()
    inner = keras.Model(model.inputs, model.get_layer("neighbours").output)
    factor = np.full(ROWS, 0.5, "float32")
    with quantize(model, weights=None, activations=3, layers="all", products=True):
        found = inner([X, factor], training=False)
    x = rounded(X.astype(np.float64), 3)
    np.testing.assert_allclose(found, x + 0.5 * np.roll(x, 1, axis=1), rtol=1e-5, atol=1e-6)


class ByKeyword(keras.layers.Layer):
    """Multiplies, however its inputs are named; Keras hands it one under "x"."""

    macs = 5

    def call(self, **given):
        (x,) = given.values()
        return 2.0 * x


def test_a_first_argument_that_comes_by_keyword_is_rounded_too():
    layer = ByKeyword(name="twice")
    x = keras.Input((WORDS, WIDTH))
    model = keras.Model(x, keras.layers.Dense(1)(layer(x=x)))
    with quantize(model, weights=None, activations=2, layers=[(".*", None)], products=True):
        found = np.array(keras.Model(x, layer.output)(X, training=False))
    np.testing.assert_allclose(found, 2.0 * rounded(X.astype(np.float64), 2), rtol=1e-5)
    assert len(np.unique(found)) <= 4


def test_the_dtype_of_a_product_must_hold_its_bits():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = attention()
    finally:
        keras.config.set_dtype_policy("float32")
    alone = {"layers": [(".*", None)], "products": True}
    with pytest.raises(ValueError, match=r"'heads' computes in bfloat16, .*activation_bits=16"):
        quantize(model, activations=16, **alone)
    handle = quantize(model, activations=8, gradients=4, **alone)
    heads = model.get_layer("heads")
    assert handle.most_bits() == [(heads, 8)] and handle.free_layers() == [heads]
    handle.detach()
    assert quantize(model, layers="all", activations=8).most_bits()[-1][0] is not heads


def test_evaluation_is_within_the_range_that_training_has_seen():
    model = attention()
    with quantize(model, weights=None, activations=8, products=True) as handle:
        model.fit(X, np.zeros((ROWS, WORDS, 1)), batch_size=ROWS, epochs=2, verbose=0)
        ranges = handle.variables[-2].numpy()
        assert ranges.shape == (5 - 1 + 1 + 4, 2)  # Five layers, of which the last has none.
        assert (ranges[-4:, 0] < ranges[-4:, 1]).all()
        whole = model.predict(X, verbose=0)
        np.testing.assert_allclose(model.predict(X[:1], verbose=0), whole[:1], atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: keras.layers.Attention(name="other")([x, x]),
        lambda x: keras.layers.GroupQueryAttention(4, 4, 2, name="other")(x, x),
    ],
    ids=["Attention", "GroupQueryAttention"],
)
def test_other_attentions_are_refused_with_their_path(layer):
    x = keras.Input((WORDS, WIDTH))
    model = keras.Model(x, keras.layers.Dense(1)(layer(x)))
    with pytest.raises(ValueError, match=r"`products` can be True for .* at 'other'"):
        quantize(model, layers="all", products=True)
    quantize(model, layers="all")  # They are counted all the same.


def test_products_must_be_said_by_true_or_false():
    with pytest.raises(TypeError, match="`products` must be True or False"):
        quantize(attention(), products="yes")
