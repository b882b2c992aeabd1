"""Small models that note what their layers compute in, and what their tests share."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

HALF, FULL, SCALED = "mixed_bfloat16", "float32", "mixed_float16"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
SEEN: list[str] = []


@keras.saving.register_keras_serializable("test_policy")
class Spy(keras.layers.Layer):
    """Notes the dtype of what it is given each time the graph runs, not only when it is traced."""

    def call(self, x):
        tf.numpy_function(lambda: SEEN.append(x.dtype.name), [], [], stateful=True)
        return x


class Each(keras.callbacks.Callback):
    """Calls a function after every call of the compiled step."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def on_train_batch_end(self, batch, logs=None):
        self.call(self.model, batch)


class Interrupt(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.left = at

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def network(dtype=None, spy=True):
    layers = [keras.layers.Dense(6, activation="tanh", name="hidden", dtype=dtype)]
    layers += [Spy(name="spy", dtype=dtype)] if spy else []
    return keras.Sequential(
        [keras.layers.Input((4,)), *layers, keras.layers.Dense(1, name="out", dtype="float32")]
    )


def compiled(optimizer=None, model=None, **options):
    model = model or network()
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), "mse", **options)
    return model


def scaled(**options):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), **options)


def fit(model, *callbacks, epochs=2, x=X, **options):
    """Twelve steps an epoch."""
    return model.fit(
        x, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **options
    )


def counting(model):
    """Count the traces of the training step; what it returns has one entry for each."""
    traces, own = [], model.train_step

    def step(data):
        traces.append(model.get_layer("hidden").compute_dtype)
        return own(data)

    model.train_step = step
    return traces


def numbers(variables):
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def many_layers():
    """Convolution, batch normalisation, attention, recurrence, embedding; two kinds of input."""
    image, words = keras.Input((8, 8, 3)), keras.Input((5,), dtype="int32")
    x = keras.layers.Conv2D(4, 3, padding="same", name="convolution")(image)
    x = keras.layers.BatchNormalization(name="normalisation")(x)
    x = keras.layers.Reshape((16, 16))(keras.layers.Activation("relu")(x))
    w = keras.layers.Embedding(9, 16, name="embedding")(words)
    x = keras.layers.MultiHeadAttention(2, 4, dropout=0.1, name="attention")(x, w)
    x = keras.layers.LayerNormalization()(x)
    x = keras.layers.LSTM(6, name="recurrence", recurrent_dropout=0.1)(x)
    logits = keras.layers.Dense(3, name="logits")(x)
    return keras.Model([image, words], keras.layers.Softmax(name="softmax")(logits))
