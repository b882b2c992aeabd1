"""What attaching refuses, and that it leaves an optimizer as it was found."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.hyperparameters import attach, attached, current, replace, schedulable

NAMES = [
    name
    for name in ks.optimizers.__all__
    if name not in ("DemonAdam",) and isinstance(getattr(keras.optimizers, name), type)
]
X = np.linspace(-1, 1, 32).reshape(16, 2).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def network(optimizer, **compiled):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse", jit_compile=False, **compiled)
    return model


def four_steps(model):
    for first in range(0, 16, 4):
        model.train_on_batch(X[first : first + 4], Y[first : first + 4])


def schedules_for(optimizer, steps=8):
    """A schedule for everything that can have one and is above 0."""
    return {
        name: ks.Linear(0.5, end=0.25, steps=steps)
        for name in schedulable(optimizer)
        if name not in ("momentum", "clip_threshold")
    }


@pytest.mark.parametrize("name", NAMES)
def test_detach_leaves_the_optimizer_as_it_was_found(name):
    optimizer = getattr(keras.optimizers, name)()
    network(optimizer).train_on_batch(X, Y)
    before = {key: id(value) for key, value in vars(optimizer).items()}
    config, count = optimizer.get_config(), len(optimizer.variables)
    attachment = attach(optimizer, schedules=schedules_for(optimizer))
    assert len(optimizer.variables) == count
    assert optimizer.get_config() == config, "saved while attached, it is the stock optimizer"
    attachment.detach()
    assert {key: id(value) for key, value in vars(optimizer).items()} == before
    attachment.detach()


@pytest.mark.parametrize("name", ks.optimizers.__all__)
def test_optimizers_survive_their_config_and_their_file(name, tmp_path):
    def make():
        options = {"momentum": ks.Demon(0.9, steps=8)} if name in ("SGD", "Muon") else {}
        return getattr(ks.optimizers, name)(
            ks.Cosine(0.01, steps=8), weight_decay=ks.Linear(0.1, steps=8), **options
        )

    optimizer = make()
    config = json.loads(json.dumps(optimizer.get_config()))
    assert type(optimizer).from_config(config).get_config() == optimizer.get_config()
    model = network(optimizer)
    four_steps(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == optimizer.get_config()
    for one, other in zip(optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    four_steps(model)
    four_steps(loaded)
    assert int(loaded.optimizer.iterations) == 8


@pytest.mark.parametrize("rate", [0.1, keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)])
def test_t15_weights_of_stock_optimizers_load_into_ours(rate, tmp_path):
    """With a number or with a schedule of its own, whose optimizer has one variable less."""
    stock = keras.optimizers.SGD(rate, momentum=0.9)
    model = network(stock)
    four_steps(model)
    model.save_weights(tmp_path / "stock.weights.h5")
    ours = ks.optimizers.SGD(ks.Linear(0.1, steps=8), momentum=ks.Demon(0.9, steps=8))
    other = network(ours)
    ours.build(other.trainable_variables)
    other.load_weights(tmp_path / "stock.weights.h5")
    assert int(ours.iterations) == 4
    for one, two in zip(stock.variables[-2:], ours.variables[-2:], strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_t15_weights_of_ours_load_into_stock_optimizers(tmp_path):
    ours = ks.optimizers.SGD(ks.Linear(0.1, steps=8), momentum=ks.Demon(0.9, steps=8))
    model = network(ours)
    four_steps(model)
    model.save_weights(tmp_path / "ours.weights.h5")
    stock = keras.optimizers.SGD(0.1, momentum=0.9)
    other = network(stock)
    stock.build(other.trainable_variables)
    other.load_weights(tmp_path / "ours.weights.h5")
    for one, two in zip(ours.variables, stock.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_t15_checkpoints_of_tensorflow_load_both_ways(tmp_path):
    stock = keras.optimizers.SGD(0.1, momentum=0.9)
    model = network(stock)
    four_steps(model)
    ours = ks.optimizers.SGD(ks.Linear(0.1, steps=8), momentum=ks.Demon(0.9, steps=8))
    other = network(ours)
    ours.build(other.trainable_variables)
    whole = tf.train.Checkpoint(model=model, optimizer=stock)
    ours_whole = tf.train.Checkpoint(model=other, optimizer=ours)
    for step, (source, target) in enumerate(((whole, ours_whole), (ours_whole, whole))):
        target.restore(source.save(tmp_path / str(step))).assert_existing_objects_matched()
        for one, two in zip(stock.variables, ours.variables, strict=True):
            np.testing.assert_array_equal(one.numpy(), two.numpy())
        four_steps(other)
    assert int(ours.iterations) == 12


def test_t15_weights_of_another_optimizer_are_refused(tmp_path):
    model = network(keras.optimizers.Adam())
    model.train_on_batch(X, Y)
    model.save_weights(tmp_path / "adam.weights.h5")
    ours = ks.optimizers.SGD(ks.Linear(0.1, steps=8), momentum=0.9)
    other = network(ours)
    ours.build(other.trainable_variables)
    with pytest.raises(ValueError, match="must be those of this SGD"):
        other.load_weights(tmp_path / "adam.weights.h5")


@pytest.mark.parametrize(
    ("schedules", "error", "message"),
    [
        ({"momentum": 0.9}, TypeError, "must be a keras_sched schedule"),
        ({"beta_1": ks.Constant(0.9)}, ValueError, "Expected one of: .*momentum"),
        ({"momentum": ks.Demon(0.9)}, ValueError, "must have its length in steps"),
        ({"momentum": ks.Linear(0.5, end=1.0, steps=90)}, ValueError, r"\[0, 1\) .* at step 90"),
        ({"nesterov": ks.Constant(0.5)}, ValueError, "no hyperparameter"),
        ({"encoder/momentum": ks.Constant(0.5)}, ValueError, "names no group"),
    ],
    ids=["number", "unknown", "open_length", "range", "switch", "group"],
)
def test_what_cannot_work_is_refused(schedules, error, message):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    before = dict(vars(optimizer))
    with pytest.raises(error, match=message):
        attach(optimizer, schedules=schedules)
    assert vars(optimizer) == before


def test_momentum_on_an_optimizer_built_without_is_refused():
    with pytest.raises(ValueError, match="built with momentum 0"):
        attach(keras.optimizers.SGD(0.1), schedules={"momentum": ks.Demon(0.9, steps=5)})


def test_one_hyperparameter_has_one_schedule():
    optimizer = ks.optimizers.SGD(ks.Linear(0.1, steps=8))
    with pytest.raises(ValueError, match="scheduled already"):
        attach(optimizer, schedules={"learning_rate": ks.Constant(0.1)})


def test_a_constructor_refuses_a_schedule_of_open_length():
    with pytest.raises(ValueError, match=r"use `ks\.Scheduler`"):
        ks.optimizers.SGD(ks.REX(0.1))


@pytest.mark.parametrize("per", ["batch", None, 3])
def test_per_is_update_or_micro(per):
    with pytest.raises(ValueError, match="`per` must be one of 'micro', 'update'"):
        ks.optimizers.SGD(ks.Constant(0.1), per=per)


def test_t16_a_late_number_for_a_scheduled_rate_is_an_error_not_a_dead_letter():
    optimizer = ks.optimizers.SGD(ks.Linear(0.1, steps=8))
    with pytest.raises(TypeError, match="driven by Linear"):
        optimizer.learning_rate = 0.5


def test_t27_decay_is_relative_to_the_rate():
    """At learning rate 0 nothing decays: the schedule of weight decay is relative to it."""
    optimizer = ks.optimizers.SGD(ks.Constant(0.0), weight_decay=ks.Constant(0.5))
    w = keras.Variable([1.0])
    optimizer.build([w])
    optimizer.apply([keras.ops.ones(1)], [w])
    assert float(w.numpy()[0]) == 1.0


def test_current_shows_the_live_values():
    optimizer = ks.optimizers.SGD(ks.Linear(1.0, steps=4), momentum=ks.Demon(0.9, steps=4))
    optimizer.iterations.assign(2)
    values = {name: float(value) for name, value in current(optimizer).items()}
    assert values == pytest.approx({"learning_rate": 0.5, "momentum": 0.9 * 0.5 / 0.55})


def test_an_optimizer_whose_schedules_were_replaced_is_saved_with_the_new_ones():
    optimizer = ks.optimizers.SGD(ks.Linear(1.0, steps=4), momentum=ks.Demon(0.9, steps=4))
    new = {"learning_rate": ks.Cosine(0.5, steps=9), "momentum": ks.Demon(0.8, steps=9)}
    replace(optimizer, schedules=new, steps=9)
    again = type(optimizer).from_config(optimizer.get_config())
    assert attached(again) == new


def test_products_of_a_schedule_in_the_trace_keep_it_from_being_replaced():
    beta = ks.Demon(0.9, steps=4)
    exact = ks.optimizers.Adam(0.1, beta_1=beta, exact_bias_correction=True)
    with pytest.raises(ValueError, match="exact_bias_correction=True"):
        replace(exact, schedules={"beta_1": ks.Demon(0.8, steps=9)}, steps=9)
    replace(
        ks.optimizers.Adam(0.1, beta_1=beta), schedules={"beta_1": ks.Demon(0.8, steps=9)}, steps=9
    )
