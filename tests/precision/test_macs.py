"""MACs beside counts made by hand, and beside those published for well-known models."""

from __future__ import annotations

import math

import keras
import pytest
import tensorflow as tf
from keras import layers

from keras_sched.precision import macs, quantize
from trainers import models


def total(model, *shapes):
    return sum(layer.macs for layer in macs(model, *shapes))


def chain(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts])


# --- by hand --------------------------------------------------------------------------------------

BY_HAND = {
    "dense": ([5], [layers.Dense(7)], 5 * 7),
    "dense_on_a_sequence": ([3, 5], [layers.Dense(7)], 3 * 5 * 7),
    "conv1d": ([9, 2], [layers.Conv1D(4, 3)], 7 * (3 * 2 * 4)),
    "conv1d_causal": ([9, 2], [layers.Conv1D(4, 3, padding="causal")], 9 * (3 * 2 * 4)),
    "conv2d_strided": (
        [9, 8, 3],
        [layers.Conv2D(4, 3, strides=2, padding="same")],
        5 * 4 * (9 * 3 * 4),
    ),
    "conv2d_dilated": ([9, 9, 3], [layers.Conv2D(4, 3, dilation_rate=2)], 5 * 5 * (9 * 3 * 4)),
    "conv3d": ([4, 5, 6, 2], [layers.Conv3D(3, (1, 2, 3))], 4 * 4 * 4 * (6 * 2 * 3)),
    "grouped": ([8, 8, 12], [layers.Conv2D(6, 3, groups=3)], 6 * 6 * (9 * 4 * 6)),
    "depthwise": ([8, 8, 3], [layers.DepthwiseConv2D(3, depth_multiplier=2)], 6 * 6 * (9 * 3 * 2)),
    "depthwise1d": ([8, 3], [layers.DepthwiseConv1D(3, strides=2)], 3 * (3 * 3)),
    "separable": (
        [8, 8, 3],
        [layers.SeparableConv2D(5, 3, depth_multiplier=2)],
        6 * 6 * (9 * 3 * 2 + 3 * 2 * 5),
    ),
    "separable1d": ([8, 3], [layers.SeparableConv1D(5, 3)], 6 * (3 * 3 + 3 * 5)),
    # Every pixel of the input is spread over a kernel.
    "transposed": ([4, 4, 6], [layers.Conv2DTranspose(5, 3, strides=2)], 4 * 4 * (9 * 6 * 5)),
    "transposed1d": ([4, 6], [layers.Conv1DTranspose(5, 3)], 4 * (3 * 6 * 5)),
    "transposed3d": ([2, 2, 2, 3], [layers.Conv3DTranspose(4, 2)], 8 * (8 * 3 * 4)),
    "channels_first": (
        [3, 9, 8],
        [layers.Conv2D(4, 3, data_format="channels_first")],
        7 * 6 * (9 * 3 * 4),
    ),
    "channels_first_depthwise": (
        [3, 9, 8],
        [layers.DepthwiseConv2D(3, data_format="channels_first")],
        7 * 6 * (9 * 3),
    ),
    "channels_first_transposed": (
        [3, 9, 8],
        [layers.Conv2DTranspose(4, 3, data_format="channels_first")],
        9 * 8 * (9 * 3 * 4),
    ),
    "einsum": (
        [4, 8],
        [layers.EinsumDense("abc,cde->abde", (None, 3, 5), bias_axes="de")],
        4 * 8 * 3 * 5,
    ),
    "einsum_over_any_axes": ([4, 7, 8], [layers.EinsumDense("...x,xy->...y", 5)], 4 * 7 * 8 * 5),
    "einsum_one_matrix_a_place": ([4, 8], [layers.EinsumDense("abc,bcd->abd", (4, 5))], 4 * 8 * 5),
    # Four gates of an LSTM, three of a GRU; a matrix for inputs and one for the state.
    "lstm": ([20, 16], [layers.LSTM(32), layers.Dense(3)], 20 * 4 * 32 * (16 + 32) + 32 * 3),
    "gru": ([6, 5], [layers.GRU(7)], 6 * 3 * 7 * (5 + 7)),
    "gru_reset_before": ([6, 5], [layers.GRU(7, reset_after=False)], 6 * 3 * 7 * (5 + 7)),
    "simple_rnn": ([6, 5], [layers.SimpleRNN(7, return_sequences=True)], 6 * 7 * (5 + 7)),
    "stacked_cells": (
        [6, 5],
        [layers.RNN([layers.LSTMCell(7), layers.GRUCell(3)])],
        6 * (4 * 7 * (5 + 7) + 3 * 3 * (7 + 3)),
    ),
    "bidirectional": ([6, 5], [layers.Bidirectional(layers.GRU(7))], 2 * 6 * 3 * 7 * (5 + 7)),
    # Both kernels are laid onto the 6x6 places of the state.
    "convolved_lstm": (
        [4, 8, 8, 3],
        [layers.ConvLSTM2D(5, 3)],
        4 * 36 * (9 * 3 * 4 * 5 + 9 * 5 * 4 * 5),
    ),
    "convolved_lstm_channels_first": (
        [4, 3, 8, 8],
        [layers.ConvLSTM2D(5, 3, data_format="channels_first", return_sequences=True)],
        4 * 36 * (9 * 3 * 4 * 5 + 9 * 5 * 4 * 5),
    ),
    "time_distributed": (
        [4, 6, 6, 3],
        [layers.TimeDistributed(layers.Conv2D(2, 3))],
        4 * 4 * 4 * (9 * 3 * 2),
    ),
    "look_up_is_no_product": ([6], [layers.Embedding(11, 4), layers.Dense(2)], 6 * 4 * 2),
    "normalisation_is_not_counted": (
        [8, 8, 4],
        [layers.BatchNormalization(), layers.PReLU(), layers.GlobalAveragePooling2D()],
        0,
    ),
    "frozen": ([6, 5], [layers.GRU(7, trainable=False)], 6 * 3 * 7 * (5 + 7)),
    "several": (
        [8, 8, 6],
        [
            layers.DepthwiseConv2D(3, use_bias=False),
            layers.Conv2D(12, 1, groups=3, padding="same"),
            layers.Conv2DTranspose(4, 2, use_bias=False),
        ],
        36 * 54 + 36 * (2 * 12) + 36 * (4 * 12 * 4),
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    shape, parts, expected = BY_HAND[name]
    assert total(chain(shape, *parts)) == expected


def test_the_lstm_of_the_literature_is_exact():
    """Counters of graph operations miss the loop: it runs twenty times."""
    assert BY_HAND["lstm"][2] == 122_976


def attention(layer, q, v, **call):
    query, value = keras.Input(q), keras.Input(v)
    return keras.Model([query, value], layer(query, value, **call))


def test_attention_by_hand():
    """Ten places of 16 channels, two heads of 8: four projections, scores, weighted values."""
    x = keras.Input([10, 16])
    projected = layers.MultiHeadAttention(2, 8, name="attention")(x, x)
    model = keras.Model(x, layers.Dense(4)(projected))
    counted = {layer.path: layer.macs for layer in macs(model)}
    scores = counted.pop("attention")
    assert scores == 2 * (10 * 10 * 8) + 2 * (10 * 10 * 8)
    assert sum(counted.values()) == 4 * (10 * 16 * 16) + 10 * 16 * 4 == 10_880
    assert total(model) == 14_080
    kinds = {layer.kind for layer in macs(model)}
    assert kinds == {"EinsumDense", "Dense", "MultiHeadAttention"}


@pytest.mark.parametrize(
    ("make", "query", "value", "expected"),
    [
        # Keys of 8, values of 5 in each of 2 heads.
        (lambda: layers.MultiHeadAttention(2, 8, value_dim=5), [10, 16], [7, 6], 70 * 2 * (8 + 5)),
        # All fifteen places with all fifteen, or in each of three rows five with five.
        (lambda: layers.MultiHeadAttention(2, 8), [3, 5, 16], [3, 5, 16], 15 * 15 * 2 * 16),
        (
            lambda: layers.MultiHeadAttention(2, 8, attention_axes=[2]),
            [3, 5, 16],
            [3, 5, 16],
            3 * 5 * 5 * 2 * 16,
        ),
        (lambda: layers.GroupQueryAttention(8, 4, 2), [10, 16], [7, 16], 70 * 4 * 2 * 8),
    ],
    ids=["unlike_values", "two_axes", "one_of_two_axes", "grouped_queries"],
)
def test_products_of_activations(make, query, value, expected):
    layer = make()
    counted = {each.path: each.macs for each in macs(attention(layer, query, value))}
    assert counted[layer.path] == expected


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: layers.Attention(), 70 * (16 + 16)),
        (lambda: layers.Attention(use_scale=True, score_mode="dot"), 70 * (16 + 16)),
        (lambda: layers.Attention(score_mode="concat"), 70 * 16),
        (lambda: layers.AdditiveAttention(), 70 * (16 + 16)),
        (lambda: layers.AdditiveAttention(use_scale=False), 70 * 16),
    ],
    ids=["dot", "scaled", "concat", "additive", "additive_sum"],
)
def test_attention_without_projections(make, expected):
    """Only a score that is a sum of products has any; the weighted values always have."""
    query, value = keras.Input([10, 16]), keras.Input([7, 16])
    assert total(keras.Model([query, value], make()([query, value]))) == expected


def test_the_order_of_keywords_is_no_matter():
    query, value = keras.Input([10, 16]), keras.Input([7, 16])
    mask = keras.Input([10, 7], dtype="bool")
    layer = layers.MultiHeadAttention(2, 8)
    outputs = layer(attention_mask=mask, value=value, query=query)
    counted = {each.path: each.macs for each in macs(keras.Model([query, value, mask], outputs))}
    assert counted[layer.path] == 70 * 2 * (8 + 8)


def test_a_reversible_embedding_multiplies_only_backwards():
    tokens = keras.Input([6], dtype="int32")
    table = layers.ReversibleEmbedding(11, 4)
    assert total(keras.Model(tokens, table(tokens))) == 0
    assert total(keras.Model(tokens, table(table(tokens), reverse=True))) == 6 * 4 * 11


class Positions(layers.Layer):
    """Adds a table of places to its input, as that of keras-hub does."""

    def __init__(self, weight="embeddings", **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], name=self.weight)

    def call(self, inputs):
        return inputs + self.table


def test_a_table_of_another_package_multiplies_nothing():
    model = chain([6, 4], Positions(name="places"), layers.Dense(3))
    assert total(model) == 6 * 4 * 3
    with quantize(model, layers="all_but_embeddings") as handle:
        assert [type(layer) for layer, _ in handle.most_bits()] == [layers.Dense]
    with quantize(model, layers="all") as handle:
        assert len(handle.most_bits()) == 2
    # The control: a matrix of another name is no table.
    other = chain([6, 4], Positions("kernel"))
    with quantize(other, layers="all_but_embeddings", macs={".*": 5}) as handle:
        assert len(handle.most_bits()) == 1


def test_a_layer_counts_as_often_as_it_is_called():
    shared, x = layers.Dense(5, name="shared"), keras.Input([3, 5])
    once = shared(x)
    assert macs(keras.Model(x, once)) == [("shared", "Dense", 75)]
    assert macs(keras.Model(x, shared(shared(once)))) == [("shared", "Dense", 225)]


def test_models_within_models():
    inner = chain([6], layers.Dense(3), layers.Dense(6))
    x = keras.Input([6])
    assert total(keras.Model(x, inner(inner(x)))) == 2 * (18 + 18)


def test_dictionaries_of_inputs():
    inputs = {"b": keras.Input([3], name="b"), "a": keras.Input([4, 5], name="a")}
    outputs = layers.Dense(2)(inputs["b"]), layers.Dense(2)(inputs["a"])
    assert total(keras.Model(inputs, outputs)) == 6 + 40


class Plain(keras.Model):
    def build(self, shape):
        self.hidden, self.out = layers.Dense(4), layers.Dense(2)
        self.hidden.build(shape)
        self.out.build((*shape[:-1], 4))

    def call(self, x):
        return self.out(self.hidden(x))


def test_a_subclassed_model_is_given_its_shapes():
    model = Plain()
    model.build([None, 3])
    assert total(model, (3,)) == 12 + 8
    with pytest.raises(ValueError, match="no inputs of its own"):
        macs(model)


def test_open_sizes_are_given():
    model = chain([None, None, 3], layers.Conv2D(4, 3))
    assert total(model, (8, 10, 3)) == 6 * 8 * (9 * 3 * 4)
    assert total(chain([None, 5], layers.TimeDistributed(layers.Dense(2))), (7, 5)) == 70


def test_nothing_is_left_behind():
    """Neither weights nor calls: also of a model that is quantized, and after an error."""
    model = chain([6], layers.Dropout(0.5), layers.Dense(3, name="dense"))
    before = [v.numpy() for v in model.variables]
    assert total(model) == 18
    assert not [layer for layer in model.layers if "call" in vars(layer)]
    with quantize(model, weights=4, activations=4, layers="all"):
        own = vars(model.get_layer("dense"))["call"]
        assert total(model) == 18
        assert vars(model.get_layer("dense"))["call"] is own
    with pytest.raises(ValueError):
        macs(model, (7,))
    assert not [layer for layer in model.layers if "call" in vars(layer)]
    for one, other in zip(before, model.variables, strict=True):
        assert (one == other.numpy()).all()


# --- published ------------------------------------------------------------------------------------


def independent(model):
    """MACs from the configurations and output shapes of a functional model, layer by layer."""
    count = 0
    for layer in model.layers:
        outputs, inputs = getattr(layer, "output", None), getattr(layer, "input", None)
        match layer:
            case layers.DepthwiseConv2D():
                count += math.prod(outputs.shape[1:]) * math.prod(layer.kernel_size)
            case layers.Conv2D():
                each = math.prod(layer.kernel_size) * inputs.shape[-1] // layer.groups
                count += math.prod(outputs.shape[1:]) * each
            case layers.Dense():
                count += inputs.shape[-1] * layer.units
    return count


# The exact count, and the published one: in units of 10^6, with the digits that are printed.
PUBLISHED = {
    "VGG16": (15_470_264_320, 15_470, 4),  # torchvision's table of models
    "ResNet50": (3_857_973_248, 3_800, 2),  # arXiv 1512.03385, table 1, cut off
    "MobileNet": (568_740_352, 569, 3),  # arXiv 1704.04861, table 4
    "MobileNetV2": (300_774_272, 301, 3),  # torchvision; arXiv 1801.04381, table 4, has 300
    "EfficientNetB0": (385_814_752, 386, 3),  # torchvision; arXiv 1905.11946, table 2, has 390
    "DenseNet121": (2_834_161_664, 2_834, 4),  # torchvision
}
LARGE = ("DenseNet121", "EfficientNetB0", "VGG16")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in PUBLISHED],
)
def test_models_of_keras_applications(name):
    model = getattr(keras.applications, name)(weights=None)
    exact, published, digits = PUBLISHED[name]
    assert total(model) == independent(model) == exact
    unit = 10 ** (len(str(published)) - digits)
    assert abs(exact / 1e6 - published) < unit


# --- the trainers' models -------------------------------------------------------------------------


def resnet_by_hand(blocks, image=32, channels=3, classes=10, projected=False):
    """A ResNet of 6 n + 2 layers: the stem, three stages whose images halve, the logits."""
    count = image**2 * 9 * channels * 16 + 64 * classes
    for stage, filters in enumerate((16, 32, 64)):
        pixels, before = (image >> stage) ** 2, max(16, filters // 2)
        count += pixels * 9 * (before * filters + (2 * blocks - 1) * filters**2)
        count += pixels * before * filters if projected and stage else 0
    return count


def test_resnet20():
    """Padded shortcuts multiply nothing; projected ones are two convolutions more."""
    assert resnet_by_hand(3) == 40_551_040
    assert total(models.get("resnet20", (32, 32, 3), 10)) == resnet_by_hand(3)
    both = resnet_by_hand(3, projected=True)
    assert both == 40_813_184
    assert total(models.get("resnet20_projected", (32, 32, 3), 10)) == both


@pytest.mark.parametrize(
    ("depth", "shortcut"),
    [(38, ""), (74, "_projected"), pytest.param(152, "_projected", marks=pytest.mark.slow)],
)
def test_other_resnets(depth, shortcut):
    model = models.get(f"resnet{depth}{shortcut}", (32, 32, 3), 10)
    assert total(model) == resnet_by_hand((depth - 2) // 6, projected=bool(shortcut))


# --- what cannot be told --------------------------------------------------------------------------


class Own(layers.Layer):
    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 2), name="matrix")

    def call(self, x):
        return x @ self.matrix


class Repeated(layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return tf.while_loop(lambda i, x: i < 5, lambda i, x: (i + 1, self.dense(x)), [0, x])[1]


def some(x):
    return tf.boolean_mask(x, x[0, :, 0] > 0, axis=1)


class Said(Own):
    def macs(self, inputs, outputs):
        return inputs.shape[-1] * outputs.shape[-1]


class Scaled(layers.Layer):
    """Multiplies without a weight matrix, which only a declaration can tell."""

    macs = 21

    def call(self, x):
        return x * 2.0


def doubled(inputs, outputs):
    return 2 * inputs.shape[-1] * outputs.shape[-1]


# MACs of one example through the layers of a model, and through the dense one behind them.
DECLARED = {
    "by_a_number": ([Own(name="own")], {".*own": 12}, [12]),
    "by_a_function": ([Own(name="own")], {".*own": doubled}, [2 * 3 * 2]),
    "by_the_layer": ([Said(name="own")], None, [3 * 2]),
    "rather_than_by_the_layer": ([Said(name="own")], {".*own": 5}, [5]),
    "the_first_that_matches": ([Own(name="own")], {".*own": 7, ".*": 1}, [7, 1]),
    "without_weights": ([Own(name="own"), Scaled(name="s")], {".*own": 6}, [6, 21]),
    "of_a_known_kind": ([layers.Dense(2, name="d")], {".*d": 1}, [1]),
}


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_said_of_a_layer_counts(name):
    """Before a training, and in two steps of batches of four and of two."""
    parts, said, expected = DECLARED[name]
    model = chain([3], *(part.from_config(part.get_config()) for part in parts), layers.Dense(5))
    own = [part.name for part in parts]
    found = {each.path.split("/")[-1]: each.macs for each in macs(model, macs=said)}
    dense = found.pop(model.layers[-1].name)
    assert dense == (2 * 5 if len(expected) == len(parts) else expected.pop())
    assert [found[name] for name in own] == expected
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
    with quantize(model, layers="all", macs=said) as handle:
        for size in (4, 2):
            model.train_on_batch(tf.ones([size, 3]), tf.ones([size, 5]))
        counted = {each.path.split("/")[-1]: each for each in handle.cost().layers}
    assert [counted[name].macs for name in own] == [6 * each for each in expected]
    assert not handle.cost().uncounted
    for part, each in zip(parts, expected, strict=True):
        bits = 32 if isinstance(part, Scaled) else 8
        assert counted[part.name].forward == 6 * each * bits**2


def test_sizes_of_values_may_be_said():
    def pairs(inputs, outputs):
        return tf.shape(inputs)[1] * 2 * 3

    model = chain([None, 3], Own(name="own"))
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
    with quantize(model, layers="all", macs={".*own": pairs}) as handle:
        for length in (4, 7):
            model.train_on_batch(tf.ones([2, length, 3]), tf.ones([2, length, 2]))
    assert handle.cost().macs == 2 * (4 + 7) * 2 * 3


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ([("own", 3)], TypeError, "must map paths to numbers or functions"),
        ({".*own": -1}, ValueError, "whole number of at least 0. Received: macs=-1"),
        ({".*own": 2.5}, ValueError, "whole number"),
        ({".*own": None}, TypeError, "must be a number"),
        ({"owm": 3}, ValueError, "names no layer. Received: 'owm'.*one of: .*own"),
        ({"(": 3}, ValueError, r"regular expressions as keys. Received: '\('"),
        ({3: 3}, ValueError, "regular expressions as keys. Received: 3"),
        ({".*own": lambda inputs, outputs: 0.5}, ValueError, "whole number"),
    ],
)
def test_what_is_said_must_be_a_number_of_multiplications(said, error, message):
    model = chain([3], Own(name="own"))
    with pytest.raises(error, match=message):
        macs(model, macs=said)
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(error, match=message), quantize(model, layers="all", macs=said):
        model.train_on_batch(tf.ones([2, 3]), tf.ones([2, 2]))


@pytest.mark.parametrize(
    ("make", "shapes", "error", "message"),
    [
        (lambda: chain([3], Own()), (), ValueError, "how a layer of this kind .* Own at"),
        (lambda: chain([3], Repeated()), (), ValueError, "in a loop or a branch"),
        (
            lambda: chain([5, 3], layers.Lambda(some, output_shape=(None, 3)), layers.Dense(2)),
            (),
            ValueError,
            "some depend on values",
        ),
        (lambda: chain([None, 3], layers.GRU(2)), (), ValueError, r"every size.*\(None, 3\)"),
        (lambda: chain([3], layers.Dense(2)), ((3,), (3,)), ValueError, "2 shapes for 1 inputs"),
        (lambda: chain([3], layers.Dense(2)), ((4,),), ValueError, "incompatible"),
        (lambda: chain([8, 8, 3], layers.Conv2D(2, 3)), (8, 8, 3), TypeError, "must be shapes"),
        (lambda: keras.Sequential([layers.Dense(2)]), ((3,),), ValueError, "must be built"),
        (lambda: layers.Dense(2), ((3,),), TypeError, "must be a Keras model"),
    ],
    ids=[
        "own_kind",
        "loop",
        "sizes_of_values",
        "open",
        "surplus",
        "misfit",
        "numbers",
        "unbuilt",
        "layer",
    ],
)
def test_what_cannot_be_told_is_an_error(make, shapes, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        macs(make(), *shapes)
