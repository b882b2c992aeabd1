"""Layers by patterns of their paths, and the weights that a training begins with."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainers.linear import SHAPES, START, task
from trainers.loop.names import names_anew
from trainers.methods import networks
from trainers.models.layers import BatchNorm
from trainers.tasks.configured import plan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frozen": ["dense_2"]}, "`frozen` must be that of.*'dense_2'.*dense, dense_1"),
        ({"frozen": ["dens"]}, "'dens'"),
        ({"frozen": ["*"]}, "`frozen` must leave something to train"),
        ({"rate_factors": {"dense": 0.5}}, "`rate_factors`.*as dense/kernel"),
        ({"rate_factors": {"dense_1/*": 0.5}, "frozen": ["dense_1"]}, "`rate_factors`"),
    ],
)
def test_a_pattern_of_nothing_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        task(**changes).check_network()


def test_a_pattern_means_layers_and_never_the_whole_model():
    name = task().model().name
    with pytest.raises(ValueError, match="`frozen` must be that of"):
        task(frozen=[name]).check_network()


def test_patterns_cannot_take_for_ever():
    pattern = "*a" * 300 + "b"
    with pytest.raises(ValueError, match="`frozen`"):
        task(frozen=[pattern]).check_network()
    layer = keras.layers.Dense(1, name="a" * 500)
    layer.build((1, 1))
    with pytest.raises(ValueError, match="`frozen`"):
        networks.matching("frozen", pattern, [layer])


def test_layers_have_the_same_names_in_every_training_of_a_process():
    first, second = (task().model() for _ in range(2))
    assert [w.path for w in first.weights] == [w.path for w in second.weights] == list(SHAPES)
    names = []
    for _ in range(2):
        names.append(keras.layers.Dense(1).name)
        task().model()
    assert names[0] != names[1]  # Those of others are counted on.


def test_a_frozen_normalisation_learns_no_statistics():
    layer = BatchNorm()
    x = tf.random.stateless_normal((4, 3, 3, 2), (0, 1)) + 5.0
    layer.build(x.shape)
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), x, rtol=1e-4)
    assert not layer.moving_mean.numpy().any()
    layer.trainable = True
    assert abs(float(tf.reduce_mean(layer(x, training=True)))) < 0.1
    assert layer.moving_mean.numpy().all()


def saved(path, widths, change=0.0):
    """Save a network of dense layers of some widths."""
    with names_anew():
        x = inputs = keras.layers.Input((3,))
        for width in widths:
            x = keras.layers.Dense(width)(x)
        model = keras.Model(inputs, x)
    if widths == [4, 2]:
        for weight in model.weights:
            weight.assign(START[weight.path] + change)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.zeros((2, 3)), np.zeros((2, widths[-1])), verbose=0, epochs=0)
    model.optimizer.build(model.trainable_variables)
    model.save(path) if path.suffix == ".keras" else model.save_weights(path)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_a_training_begins_with_the_weights_of_a_file(suffix, tmp_path):
    path = tmp_path / f"mine{suffix}"
    saved(path, [4, 2], change=1.0)
    made = task(initial_weights=str(path))
    made.check_network()
    for weight in made.model().weights:
        np.testing.assert_array_equal(weight.numpy(), np.float32(START[weight.path] + 1.0))
    before = plan(made.config, tmp_path)
    assert plan(made.config, tmp_path) == before
    saved(path, [4, 2], change=2.0)
    assert plan(made.config, tmp_path).directory != before.directory


WIDTHS = {"wider": [5, 2], "longer": [4, 2, 2], "deeper": [4, 4, 2], "shorter": [2]}


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("kind", ["missing", "directory", "damaged", "empty", *WIDTHS])
def test_other_initial_weights_are_refused(kind, suffix, tmp_path):
    path = tmp_path / f"mine{suffix}"
    if kind == "directory":
        path.mkdir()
    elif kind == "damaged":
        path.write_bytes(b"PK\x03\x04" + bytes(1000))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind != "missing":
        saved(path, WIDTHS[kind])
    with pytest.raises(ValueError, match="`initial_weights` must be"):
        task(initial_weights=str(path)).check_network()
