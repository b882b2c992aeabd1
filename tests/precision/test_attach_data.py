"""What a quantized model is given: data of unknown length, and inputs that are not dense."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.precision import quantize
from tests.precision.networks import X, Y, compiled, network, numbers


def generator(batches):
    """Batches of eight examples, of which nobody knows how many there are."""
    return tf.data.Dataset.from_generator(
        lambda: ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 8 * batches, 8)),
        output_signature=(tf.TensorSpec((8, 4)), tf.TensorSpec((8, 1))),
    )


def known(batches):
    return generator(batches).apply(tf.data.experimental.assert_cardinality(batches))


def filtered(batches):
    return known(batches).filter(lambda x, y: True)


def trained(data, gradients, steps_per_execution):
    """What the handle, the weights and the optimizer hold after two epochs, and the MACs."""
    keras.utils.set_random_seed(0)
    model = compiled(
        model=network(spy=False), steps_per_execution=steps_per_execution, jit_compile=False
    )
    bits = ks.Linear(3, end=8, steps=11).rounded()
    options = {"weights": bits, "activations": bits, "gradients": gradients, "layers": "all"}
    with quantize(model, **options) as handle:
        model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert "apply" not in vars(model.optimizer)
    variables = [*handle.variables, *model.trainable_variables, *model.optimizer.variables]
    return numbers(variables), handle.cost().macs


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras' way to the end
@pytest.mark.parametrize("gradients", [None, 8])
@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_data_of_unknown_length_train_and_cost_as_data_of_known_length(
    steps_per_execution, gradients
):
    """Each epoch ends with a step that has no batch: it must count nothing and move no range."""
    options = {"gradients": gradients, "steps_per_execution": steps_per_execution}
    expected, macs = trained(known(6), **options)
    assert macs == 12 * 8 * (4 * 6 + 6 * 1)
    for make in (generator, filtered):
        found, same = trained(make(6), **options)
        assert same == macs
        for value, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(value, other)


# --- sparse and ragged ----------------------------------------------------------------------------


def sparse_model():
    inputs = keras.Input((4,), sparse=True, batch_size=8)
    return keras.Model(inputs, keras.layers.Dense(1, name="out")(inputs))


@keras.saving.register_keras_serializable("test_attach_data")
class Ragged(keras.layers.Layer):
    """Multiplies the rows of a ragged tensor, in and out."""

    def build(self, shape=None):
        self.kernel = self.add_weight(shape=(4, 2), name="kernel")
        self.built = True

    def call(self, x):
        if isinstance(x, tf.RaggedTensor):
            return x.with_flat_values(tf.matmul(x.flat_values, self.kernel))
        return tf.RaggedTensor.from_row_lengths(tf.matmul(x, self.kernel), [1, 2])


class Rows(keras.Model):
    def __init__(self):
        super().__init__()
        self.rows = Ragged(name="rows")
        self.rows.build()
        self.built = True

    def call(self, x):
        return self.rows(x)


RAGGED = tf.RaggedTensor.from_row_lengths(tf.constant(X[:3]), [1, 2])


@pytest.mark.parametrize(
    ("make", "x", "message"),
    [
        (
            sparse_model,
            tf.sparse.from_dense(X[:8]),
            r"a SparseTensor for 'out'.*`tf.sparse.to_dense\(x\)`.*'out', {'activations': None}",
        ),
        (Rows, RAGGED, r"a RaggedTensor for '.*rows'.*`x.to_tensor\(\)`"),
    ],
    ids=["sparse", "ragged"],
)
@pytest.mark.parametrize("training", [True, False])
def test_inputs_that_are_not_dense_are_refused_not_left_as_they_are(make, x, message, training):
    model = make()
    model.compile("sgd", "mse")
    before = np.asarray(getattr(model(x), "flat_values", model(x)))
    with quantize(model, activations=4, layers="all"), pytest.raises(ValueError, match=message):
        model(x, training=training)
    # As the message says: the layer's weights alone.
    path = model.layers[-1].path
    with quantize(model, weights=2, activations=4, layers=[(path, {"activations": None})]):
        got = model(x, training=training)
    assert (np.asarray(getattr(got, "flat_values", got)) != before).any()


def test_outputs_that_are_not_dense_have_no_gradients_to_round():
    model = Rows()
    model.compile("sgd", "mse")
    message = r"a RaggedTensor from '.*rows'.*{'gradients': None}"
    with quantize(model, weights=None, activations=None, gradients=8, layers="all"):
        assert model(X[:3], training=False).shape == (2, None, 2)
        with pytest.raises(ValueError, match=message):
            model(X[:3], training=True)
