"""Plateau against Keras' ReduceLROnPlateau, and what that one cannot do: schedules and resuming."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.callbacks import Plateau, StepLogger

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 1)).astype("float32")
# Better, worse for long, better again, worse: with cooldown, every branch of the rule.
METRIC = [3.0, 2.0, 2.0, 2.5, 2.1, 2.2, 1.0, 1.1, 1.2, 1.3, 1.4, 0.99995, 1.5, 1.6, 1.7, 1.8]


class Feed(keras.callbacks.Callback):
    """Puts a metric of our choice into the logs of each epoch, and keeps the learning rate."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = values
        self.rates: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch, logs=None):
        logs["metric"] = self.values[epoch]


def build(optimizer=None, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.SGD(0.5, momentum=0.9), "mse", **options)
    return model


def fit(model: keras.Model, *callbacks, epochs: int = len(METRIC), **options):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0} | options
    return model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)


def epochs_of_one_batch(model: keras.Model, *callbacks) -> None:
    """Train as `fit` does, without its data pipelines: they take most of the time of short ones."""
    every = keras.callbacks.CallbackList(list(callbacks), model=model)
    every.on_train_begin()
    for epoch in range(len(METRIC)):
        every.on_epoch_begin(epoch)
        every.on_epoch_end(epoch, {"loss": model.train_on_batch(X, Y)})
    every.on_train_end()


def assert_like_keras(train, mode, patience, cooldown, low) -> None:
    values = METRIC if mode == "min" else [-value for value in METRIC]
    common = {"factor": 0.5, "patience": patience, "mode": mode, "cooldown": cooldown}
    theirs, ours = Feed(values), Feed(values)
    reference = build(run_eagerly=True)
    plateau = keras.callbacks.ReduceLROnPlateau("metric", min_lr=0.5 * low, **common)
    train(reference, theirs, plateau)
    model = build(run_eagerly=True)
    train(model, ours, Plateau("metric", min_lr=0.5 * low, **common))
    assert ours.rates == theirs.rates
    assert theirs.rates[-1] < theirs.rates[0]
    for a, b in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 1, 2, 3])
@pytest.mark.parametrize("cooldown", [0, 2])
@pytest.mark.parametrize("low", [0.0, 0.25])
def test_as_reduce_lr_on_plateau(mode, patience, cooldown, low) -> None:
    assert_like_keras(epochs_of_one_batch, mode, patience, cooldown, low)


def test_as_reduce_lr_on_plateau_in_fit() -> None:
    assert_like_keras(fit, "min", 1, 2, 0.25)


@pytest.mark.parametrize("order", ["plateau_first", "scheduler_first"])
@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_multiplies_the_scheduler_in_any_order(order, steps_per_execution) -> None:
    model = build(steps_per_execution=steps_per_execution)
    feed, log = Feed(METRIC), StepLogger()
    pair = [Plateau("metric", factor=0.5, patience=2, mode="min"), ks.Scheduler(ks.Linear(0.1))]
    pair = pair if order == "plateau_first" else pair[::-1]
    fit(model, feed, log, *pair, epochs=8)
    kept = Feed(METRIC)
    epochs_of_one_batch(
        build(run_eagerly=True),
        kept,
        keras.callbacks.ReduceLROnPlateau("metric", factor=0.5, patience=2, mode="min"),
    )
    multiplier = np.repeat(np.array(kept.rates[:8], "float32") / 0.5, 3)
    expected = ks.simulate(ks.Linear(0.1), n=3 * 8) * multiplier
    np.testing.assert_array_equal(log.history["learning_rate"], expected)
    assert multiplier[-1] < 1
    assert float(model.optimizer.learning_rate) == 0.5


def test_multiplies_a_keras_schedule_under_mirrored_strategy() -> None:
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    # Without collectives: a second strategy in one process meets the keys of the first.
    reduction = tf.distribute.ReductionToOneDevice()
    with tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction).scope():
        model = build(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 100)))
    log = StepLogger()
    fit(
        model, Feed([1.0] * 4), log, Plateau("metric", factor=0.5, patience=2, mode="min"), epochs=4
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    expected = [float(schedule(step)) * (1.0 if step < 9 else 0.5) for step in range(12)]
    np.testing.assert_allclose(log.history["learning_rate"], expected, rtol=1e-6)


class Killed(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 5:
            raise RuntimeError("killed")


@pytest.mark.parametrize("order", ["plateau_first", "backup_first_on_begin"])
def test_t14_backup_and_restore_continues(order, tmp_path) -> None:
    def plateau():
        return Plateau("metric", factor=0.5, patience=2, cooldown=1, mode="min")

    whole = Feed(METRIC)
    undisturbed = build()
    fit(undisturbed, whole, plateau(), epochs=9)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)

    with pytest.raises(RuntimeError, match="killed"):
        fit(build(), Feed(METRIC), plateau(), backup(), Killed())
    resumed, feed = build(), Feed(METRIC)
    callbacks = [feed, plateau(), backup()]
    if order != "plateau_first":  # reading back works in any order; writing needs the other
        callbacks = [backup(), feed, plateau()]
    fit(resumed, *callbacks, epochs=9)
    # The first epoch begins after the state was read.
    assert feed.rates == whole.rates[5:]
    for a, b in zip(resumed.get_weights(), undisturbed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_the_state_the_rates_would_differ(tmp_path) -> None:
    """The control of the test above: Keras' callback forgets."""
    whole = Feed(METRIC)

    def plateau():
        return keras.callbacks.ReduceLROnPlateau("metric", factor=0.5, patience=2, mode="min")

    fit(build(), whole, plateau(), epochs=9)
    backup = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    with pytest.raises(RuntimeError, match="killed"):
        fit(build(), Feed(METRIC), plateau(), backup, Killed())
    feed = Feed(METRIC)
    fit(build(), feed, plateau(), keras.callbacks.BackupAndRestore(tmp_path), epochs=9)
    assert feed.rates != whole.rates[5:]


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_files_load_both_ways(suffix, tmp_path) -> None:
    path, stock_path = tmp_path / f"plateau{suffix}", tmp_path / f"stock{suffix}"

    def save(model, to):
        model.save(to) if suffix == ".keras" else model.save_weights(to)

    model, plateau = build(), Plateau("metric", factor=0.5, patience=2, mode="min")
    fit(model, Feed(METRIC), plateau)
    save(model, path)
    stock = build()
    fit(stock, epochs=1)
    save(stock, stock_path)

    stock.load_weights(path)
    for a, b in zip(model.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    state = plateau.get_state()
    assert state["multiplier"] < 1
    model.load_weights(stock_path)
    assert plateau.get_state() == state

    fresh = keras.models.load_model(path) if suffix == ".keras" else build()
    fresh.optimizer.build(fresh.trainable_variables)
    again = Plateau("metric", factor=0.5, patience=2, mode="min")
    again.restore(fresh, path)
    assert again.get_state() == state
    assert len(fresh.weights) == len(build().weights)


def test_state_goes_through_get_and_set() -> None:
    first, second = Plateau("loss"), Plateau("loss")
    first.set_model(build())
    second.set_model(build())
    state = {"multiplier": 0.25, "best": 1.5, "wait": 3.0, "cooldown": 2.0}
    first.set_state(state)
    second.set_state(first.get_state())
    assert second.get_state() == state
    second.reset()
    assert second.get_state()["multiplier"] == 1.0
    with pytest.raises(ValueError, match="must have the keys"):
        second.set_state({"multiplier": 1.0})


def test_after_a_training_that_raised_the_multiplier_counts_once() -> None:
    model = build()
    plateau = Plateau("metric", factor=0.5, patience=1, mode="min")
    with pytest.raises(RuntimeError, match="killed"):
        fit(model, Feed([1.0] * 9), plateau, Killed())
    plateau.set_state(plateau.get_state() | {"multiplier": 0.5})
    feed = Feed([0.0])
    fit(model, feed, plateau, epochs=1)
    assert feed.rates == [0.25]
    assert float(model.optimizer.learning_rate) == 0.5


def test_not_a_number_is_no_improvement_and_never_the_best() -> None:
    plateau = Plateau("metric", factor=0.5, patience=2, mode="min")
    fit(build(), Feed([np.nan, np.nan, 1.0]), plateau, epochs=3)
    assert plateau.get_state() == {"multiplier": 0.5, "best": 1.0, "wait": 0.0, "cooldown": 0.0}


def test_absent_metric_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be in the logs"):
        fit(build(), Plateau("metric_loss"), epochs=1)
    with pytest.raises(ValueError, match="needs `validation_data`"):
        fit(build(), Plateau("val_loss"), epochs=1)
    fit(build(), Plateau(), epochs=3, validation_data=(X, Y), validation_freq=2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"factor": 1.0},
        {"factor": 0.0},
        {"factor": float("nan")},
        {"patience": -1},
        {"mode": "up"},
        {"monitor": "val_quality"},
        {"min_delta": -0.1},
        {"cooldown": 0.5},
        {"min_lr": -0.1},
        {"verbose": -1},
        {"name": "no name"},
    ],
    ids=str,
)
def test_bad_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="must be"):
        Plateau(**arguments)


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("decoder2_mae", "min"),
        ("val_out-2_mse", "min"),
        ("Perplexity", "min"),
        ("accuracy", "max"),
        ("val_top_5_accuracy", "max"),
        ("val_r2", "max"),
        ("head/f1", "max"),
        ("val_mean_iou", "max"),
    ],
)
def test_whole_words_tell_which_way_is_better(monitor, mode):
    assert Plateau(monitor).mode == mode


@pytest.mark.parametrize(
    "monitor",
    ["decoder2", "accurate", "lossless", "facc", "recall_error", "accuracy_loss", "quality", "f12"],
)
def test_parts_of_words_and_both_at_once_do_not(monitor):
    """As "r2" in "decoder2": a guess would train with a rate that falls for ever."""
    with pytest.raises(ValueError, match=f"`mode` must be 'min' or 'max'.*'{monitor}'"):
        Plateau(monitor)
    assert Plateau(monitor, mode="max").mode == "max"


def test_min_lr_holds_a_schedule_up_but_never_raises_it() -> None:
    log = StepLogger()
    plateau = Plateau("metric", factor=0.1, patience=1, mode="min", min_lr=0.02)
    fit(build(), Feed([1.0] * 9), log, plateau, ks.Scheduler(ks.Linear(0.1)), epochs=9)
    schedule = ks.simulate(ks.Linear(0.1), n=27)
    expected = np.maximum(0.1 * schedule, np.minimum(schedule, np.float32(0.02)))
    expected[: 2 * 3] = schedule[: 2 * 3]
    np.testing.assert_allclose(log.history["learning_rate"], expected, rtol=1e-6)
    assert (log.history["learning_rate"][-5:] == schedule[-5:]).all()
    # At the bound nothing is reduced further.
    assert plateau.get_state()["multiplier"] == pytest.approx(0.1)


@pytest.mark.parametrize("verbose", [0, 1])
def test_verbose_prints_each_reduction(verbose, capsys) -> None:
    plateau = Plateau("metric", factor=0.5, patience=1, mode="min", verbose=verbose)
    fit(build(), Feed([1.0] * 3), plateau, epochs=3)
    said = capsys.readouterr().out
    assert said.count("Plateau multiplies the learning rate") == 2 * verbose
    assert ("Epoch 3" in said and "0.25" in said) == bool(verbose)
