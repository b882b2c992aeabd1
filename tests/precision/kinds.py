"""One small model of every kind that quantized training must reach; imports Keras alone."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

__all__ = ["KINDS", "Kind"]

BATCH = 6


class Kind(NamedTuple):
    """How a model is made, the shape of its inputs, and what of it is quantized.

    `weights` has the axes of every weight matrix that share one range, by the end of its path.
    """

    make: object
    shape: tuple[int, ...]
    weights: dict[str, list[int] | None]
    words: bool = False

    def model(self):
        keras.utils.set_random_seed(1)
        model = self.make(self.shape)
        model(self.inputs())
        return model

    def inputs(self, seed=0):
        rng = np.random.default_rng(seed)
        shape = (BATCH, *self.shape)
        if self.words:
            return rng.integers(0, 7, shape).astype("int32")
        return rng.normal(size=shape).astype("float32")


def chain(*parts):
    return lambda shape: keras.Sequential([keras.Input(shape), *(part() for part in parts)])


def layer(kind, *args, **options):
    return lambda: kind(*args, **options)


def ends(*parts):
    """Reduce whatever comes out to one number an example, by a layer that is quantized too."""
    return chain(*parts, layer(layers.Flatten), layer(layers.Dense, 2, name="out"))


def functional(shape):
    x = keras.Input(shape)
    y = layers.Dense(5, activation="relu", name="a")(x)
    y = layers.Add()([y, layers.Dense(5, name="b")(x)])
    return keras.Model(x, layers.Dense(2, name="out")(y))


def nested(shape):
    inner = keras.Sequential([keras.Input(shape), layers.Dense(5, activation="tanh", name="deep")])
    x = keras.Input(shape)
    return keras.Model(x, layers.Dense(2, name="out")(inner(x)))


def shared(shape):
    x = keras.Input(shape)
    again = layers.Dense(shape[-1], activation="tanh", name="again")
    return keras.Model(x, layers.Dense(2, name="out")(again(again(x))))


@keras.saving.register_keras_serializable("kinds")
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.first = layers.Dense(5, activation="tanh", name="first")
        self.out = layers.Dense(2, name="out")

    def call(self, x):
        return self.out(self.first(inputs=x))  # by keyword


@keras.saving.register_keras_serializable("kinds")
class Bilinear(keras.layers.Layer):
    """A layer of the user's own, with a matrix, a seed, a count and a loss."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units
        self.seeds = keras.random.SeedGenerator(3)

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], self.units), name="matrix")
        self.scale = self.add_weight(shape=(self.units,), initializer="ones", name="scale")
        self.count = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="count", aggregation="sum"
        )

    def call(self, x, training=False):
        y = ops.matmul(x, self.matrix) * self.scale
        if training:
            self.count.assign_add(1.0)
            y = y + keras.random.normal(ops.shape(y), stddev=0.1, seed=self.seeds)
        self.add_loss(0.01 * ops.mean(ops.square(y)))
        return y

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def attention(shape):
    x = keras.Input(shape)
    y = layers.MultiHeadAttention(2, 3, dropout=0.2, name="heads")(x, x)
    y = layers.LayerNormalization()(y + x)
    return keras.Model(x, layers.Dense(2, name="out")(layers.Flatten()(y)))


def grouped_attention(shape):
    x = keras.Input(shape)
    y = layers.GroupQueryAttention(3, 2, 1, name="heads")(x, x)
    return keras.Model(x, layers.Dense(2, name="out")(layers.Flatten()(y)))


def words(shape):
    x = keras.Input(shape, dtype="int32")
    y = layers.Embedding(7, 5, mask_zero=True, name="table")(x)
    y = layers.LSTM(4, name="cells", dropout=0.2)(y)
    return keras.Model(x, layers.Dense(2, name="out")(y))


OUT = {"out/kernel": [0]}
REGULAR = {"kernel_regularizer": "l2", "activity_regularizer": "l2"}
PROJECTIONS = {
    "query/kernel": [0],
    "key/kernel": [0],
    "value/kernel": [0],
    "attention_output/kernel": [0, 1],
}
IMAGE, SERIES = (6, 6, 4), (5, 4)

KINDS = {
    "sequential": Kind(
        ends(layer(layers.Dense, 5, name="a", **REGULAR), layer(layers.Dropout, 0.5)),
        (4,),
        {"a/kernel": [0], **OUT},
    ),
    "functional": Kind(functional, (4,), {"a/kernel": [0], "b/kernel": [0], **OUT}),
    "nested": Kind(nested, (4,), {"deep/kernel": [0], **OUT}),
    "shared": Kind(shared, (4,), {"again/kernel": [0], **OUT}),
    "subclassed": Kind(lambda shape: Subclassed(), (4,), {"first/kernel": [0], **OUT}),
    "custom": Kind(
        ends(layer(Bilinear, 5, name="a")),
        (4,),
        {"a/matrix": [0], **OUT},
    ),
    "convolution": Kind(
        ends(
            layer(layers.Conv2D, 3, 3, name="a", use_bias=False, **REGULAR),
            layers.BatchNormalization,
            layers.ReLU,
        ),
        IMAGE,
        {"a/kernel": [0, 1, 2], **OUT},
    ),
    "grouped": Kind(
        ends(layer(layers.Conv2D, 4, 3, groups=2, name="a")),
        IMAGE,
        {"a/kernel": [0, 1, 2], **OUT},
    ),
    "depthwise": Kind(
        ends(layer(layers.DepthwiseConv2D, 3, depth_multiplier=2, name="a")),
        IMAGE,
        {"a/kernel": [0, 1], **OUT},
    ),
    "separable": Kind(
        ends(layer(layers.SeparableConv2D, 5, 3, name="a")),
        IMAGE,
        {"depthwise_kernel": [0, 1], "pointwise_kernel": [0, 1, 2], **OUT},
    ),
    "transposed": Kind(
        ends(layer(layers.Conv2DTranspose, 3, 3, strides=2, name="a")),
        IMAGE,
        {"a/kernel": [0, 1, 3], **OUT},
    ),
    "convolution_1d": Kind(
        ends(layer(layers.Conv1D, 3, 2, name="a")), SERIES, {"a/kernel": [0, 1], **OUT}
    ),
    "lstm": Kind(
        chain(
            layer(layers.LSTM, 4, return_sequences=True, recurrent_dropout=0.2, name="a"),
            layer(layers.LSTM, 3, unroll=True, name="b"),
            layer(layers.Dense, 2, name="out"),
        ),
        SERIES,
        {
            f"{name}/lstm_cell/{kernel}": [0]
            for name in "ab"
            for kernel in ("kernel", "recurrent_kernel")
        }
        | OUT,
    ),
    "gru": Kind(
        chain(layer(layers.GRU, 4, name="a"), layer(layers.Dense, 2, name="out")),
        SERIES,
        {"gru_cell/kernel": [0], "gru_cell/recurrent_kernel": [0], **OUT},
    ),
    "bidirectional": Kind(
        chain(
            lambda: layers.Bidirectional(layers.SimpleRNN(3, name="r"), name="both"),
            layer(layers.Dense, 2, name="out"),
        ),
        SERIES,
        {
            f"{way}_r/simple_rnn_cell/{kernel}": [0]
            for way in ("forward", "backward")
            for kernel in ("kernel", "recurrent_kernel")
        }
        | OUT,
    ),
    "convolved_lstm": Kind(
        ends(layer(layers.ConvLSTM1D, 2, 2, name="a")),
        (3, 5, 2),
        {"cell/kernel": [0, 1], "cell/recurrent_kernel": [0, 1], **OUT},
    ),
    "attention": Kind(attention, SERIES, {**PROJECTIONS, **OUT}),
    "grouped_attention": Kind(grouped_attention, SERIES, {**PROJECTIONS, **OUT}),
    "embedding": Kind(
        words,
        (5,),
        {
            "table/embeddings": None,
            "lstm_cell/kernel": [0],
            "lstm_cell/recurrent_kernel": [0],
            **OUT,
        },
        words=True,
    ),
    "einsum": Kind(
        ends(layer(layers.EinsumDense, "abc,cde->abde", (5, 3, 2), name="a")),
        SERIES,
        {"a/kernel": [0], **OUT},
    ),
    "time_distributed": Kind(
        ends(lambda: layers.TimeDistributed(layers.Dense(3, name="each"), name="times")),
        SERIES,
        {"each/kernel": [0], **OUT},
    ),
}
