"""The loop, with a task that is no classification: two losses, dictionaries, no images."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from tests.trainers import toy
from tests.trainers.saving import sign
from trainers.loop import experiment, records
from trainers.loop.checkpoints import CheckpointError
from trainers.loop.lock import locked


def run(tmp_path, epochs=2, callbacks=(), strategy=None, plan=None, **task):
    made = experiment.Experiment(
        toy.Toy(epochs, **task),
        toy.plan(tmp_path, epochs, **(plan or {})),
        callbacks,
        strategy,
    )
    return made, made.run()


@pytest.mark.parametrize("task", [toy.Toy, toy.Weighted])
def test_the_loop_is_the_hand_written_one(task, tmp_path):
    """Weights after two epochs equal those of a plain loop with the same formulas."""

    def linear():
        inputs = keras.layers.Input((4,))
        one, two = keras.layers.Dense(1, name="a"), keras.layers.Dense(1, name="b")
        return keras.Model(inputs, {"mean": one(inputs), "sign": two(inputs)})

    made = experiment.Experiment(task(2, model=linear), toy.plan(tmp_path, 2))
    record = made.run()
    keras.utils.set_random_seed(0)
    w = [v.numpy().astype(np.float64) for v in linear().trainable_variables]
    velocity = [np.zeros_like(v) for v in w]
    rate = ks.REX(0.05, steps=100).warmup(10)
    demon = ks.Demon(0.9, steps=100)
    sums, expected_means = np.zeros([2, 3]), []
    for t, batch in enumerate(toy.batches(0).take(100).as_numpy_iterator()):
        x, y = batch["x"].astype(np.float64), batch["y"].astype(np.float64)
        error = x @ w[0] + w[1] - y
        logit = x @ w[2] + w[3]
        chance = 1 / (1 + np.exp(-logit))
        sign = (y > 0).astype(float)
        entropy = -(sign * np.log(chance) + (1 - sign) * np.log(1 - chance))
        one = two = np.ones(toy.BATCH)
        if task is toy.Weighted:
            one = np.maximum(x[:, 0], 0.0)
            two = 1.0 + one
        parts = (error**2, 0.5 * entropy, 1.0 * ((logit > 0) == (y > 0)))
        sums += [
            [
                weights @ values[:, 0]
                for weights, values in zip((one, two, one), parts, strict=True)
            ],
            [one.sum(), two.sum(), one.sum()],
        ]
        if t in (49, 99):
            expected_means.append(sums[0] / sums[1])
            sums = np.zeros([2, 3])
        one, two = (weight[:, None] / weight.sum() for weight in (one, two))
        gradients = [
            2 * x.T @ (one * error),
            2 * (one * error).sum(axis=0),
            0.5 * x.T @ (two * (chance - sign)),
            0.5 * (two * (chance - sign)).sum(axis=0),
        ]
        for i, gradient in enumerate(gradients):
            velocity[i] = float(demon(t)) * velocity[i] - float(rate(t)) * (gradient + 1e-3 * w[i])
            w[i] = w[i] + velocity[i]
    for variable, expected in zip(made.model.trainable_variables, w, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-5)
    for row, (mean, sign, accuracy) in zip(record.epochs, expected_means, strict=True):
        assert row["mean"] == pytest.approx(mean, rel=1e-4)
        assert row["sign"] == pytest.approx(sign, rel=1e-4)
        assert row["loss"] == pytest.approx(mean + sign, rel=1e-4)
        assert row["accuracy"] == pytest.approx(accuracy, rel=1e-4)
    assert {"mean", "sign", "accuracy", "val_loss", "val_mean"} <= set(record.final)


def test_callbacks_are_called_as_fit_calls_them(tmp_path):
    seen = []

    class Note(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append("train begin")
            assert self.params == {"epochs": 1, "steps": 50}

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(f"epoch {epoch} begin")

        def on_train_batch_begin(self, batch, logs=None):
            seen.append(("begin", batch))

        def on_train_batch_end(self, batch, logs=None):
            assert np.isfinite(logs["loss"])
            seen.append(("end", batch))

        def on_epoch_end(self, epoch, logs=None):
            assert "val_loss" in logs
            seen.append("epoch end")

        def on_train_end(self, logs=None):
            seen.append("train end")

    plan = {"steps_per_call": 20, "steps_per_checkpoint": None}
    run(tmp_path, epochs=1, callbacks=[Note()], plan=plan)
    batches = [("begin", 0), ("end", 19), ("begin", 20), ("end", 39), ("begin", 40), ("end", 49)]
    assert seen == ["train begin", "epoch 0 begin", *batches, "epoch end", "train end"]


def test_the_callbacks_of_the_library_work_in_it(tmp_path):
    logger = ks.StepLogger(csv=tmp_path / "steps.csv")
    total = 2 * toy.STEPS_PER_EPOCH
    run(
        tmp_path,
        optimizer=lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        callbacks=[ks.Scheduler(learning_rate=ks.REX(0.05), momentum=ks.Demon(0.9)), logger],
    )
    rates = np.asarray(logger.history["learning_rate"], dtype=np.float32)
    np.testing.assert_array_equal(rates, ks.simulate(ks.REX(0.05), n=total))
    betas = np.asarray(logger.history["momentum"], dtype=np.float32)
    np.testing.assert_array_equal(betas, ks.simulate(ks.Demon(0.9), n=total))
    assert np.isfinite(logger.history["loss"]).all()
    assert len((tmp_path / "steps.csv").read_text().splitlines()) == total + 1


def test_a_momentum_that_no_schedule_drives_is_logged_too(tmp_path):
    _, record = run(tmp_path, epochs=1, optimizer=lambda: keras.optimizers.SGD(0.05, momentum=0.75))
    assert record.final["momentum"] == 0.75
    _, other = run(tmp_path / "adam", epochs=1, optimizer=lambda: keras.optimizers.Adam(0.01))
    assert "momentum" not in other.final


def test_a_plateau_goes_on_where_it_was(tmp_path):
    """Its state is in the checkpoint: a run cut in two reduces the rate as one left alone."""

    class Cut(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def plateau():
        return ks.Plateau("loss", factor=0.5, patience=2, min_delta=10.0)

    whole, _ = run(tmp_path / "whole", epochs=6, callbacks=[plateau()])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", epochs=6, callbacks=[plateau(), Cut()])
    again, record = run(
        tmp_path / "cut", epochs=6, callbacks=[plateau(), keras.callbacks.Callback()]
    )
    assert record.restarts == 1
    assert again._callbacks[0].get_state() == whole._callbacks[0].get_state()
    assert again._callbacks[0].get_state()["multiplier"] < 1.0
    for one, two in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    made, record = run(tmp_path, nan_at=63)
    assert record.status == "diverged"
    assert "at data step 63" in record.reason
    assert record.final["epoch"] == 0
    kept = made._checkpoints.latest()
    assert kept.step < 63
    assert all(np.isfinite(array).all() for array in kept.arrays.values())


def test_an_evaluation_that_is_not_finite_ends_the_run(tmp_path):
    """Not as an error of the checkpoint, whether one is due or not."""
    lost = toy.Toy(2, evaluation=lambda: toy.batches(0, nan_at=0).take(2))
    for name, seconds in (("saved", 0.0), ("not saved", 1000.0)):
        plan = toy.plan(
            tmp_path / name, 2, steps_per_checkpoint=None, seconds_per_checkpoint=seconds
        )
        record = experiment.Experiment(lost, plan).run()
        assert record.status == "diverged"
        assert "val_loss" in record.reason and "after data step 50" in record.reason


def test_a_float16_training_that_always_overflows_is_stopped(tmp_path):
    def optimizer():
        inner = keras.optimizers.SGD(0.05, momentum=0.9)
        return keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**15)

    _, record = run(tmp_path, optimizer=optimizer, epochs=4, model=_overflowing)
    assert record.status == "stalled"
    assert record.updates == 0
    assert 25 < record.skipped_updates == record.steps <= 30


def _overflowing():
    """A model whose gradients are infinite at any scale, and whose loss is finite."""

    @tf.custom_gradient
    def wall(x):
        return x, lambda gradient: gradient * np.float32("inf")

    inputs = keras.layers.Input((4,))
    x = keras.layers.Dense(2)(inputs)
    x = keras.layers.Lambda(wall, output_shape=(2,))(x)
    return keras.Model(inputs, {"mean": x[:, :1], "sign": x[:, 1:]})


def test_a_run_that_is_over_is_shown_not_repeated(tmp_path):
    _, record = run(tmp_path, epochs=1)
    again, shown = run(tmp_path, epochs=1)
    assert shown == record
    assert not again.compiled.begun


def test_the_record_says_what_made_it(tmp_path):
    made, record = run(tmp_path, epochs=1)
    assert record.schema == records.SCHEMA
    assert record.status == "finished"
    assert record.config == {"epochs": 1, "seed": 0}
    assert record.steps == record.updates == 50
    assert {"keras", "tensorflow", "keras_sched", "numpy"} <= set(record.versions)
    assert record.hardware["cpus"] >= 1
    assert record.seconds["train"] > 0 < record.seconds["evaluation"]
    assert record.best["val_loss"] == record.final["val_loss"]
    assert len(list(made.plan.directory.glob("events*"))) == 1


def test_checkpoints_of_another_configuration_are_refused(tmp_path):
    made, _ = run(tmp_path, epochs=1)
    (made.plan.directory / "record.json").unlink()
    for state in made.plan.directory.glob("checkpoints/*/state.json"):
        changed = json.loads(state.read_text())
        changed["config"]["seed"] = 1
        state.write_text(json.dumps(changed))
        sign(state.parent)
    with pytest.raises(CheckpointError, match="Differing: seed"):
        run(tmp_path, epochs=1)


def test_everything_that_changes_is_in_the_inventory(tmp_path):
    """Every variable that the model, the optimizer or a metric reaches is in the checkpoint."""
    made, _ = run(tmp_path, epochs=1)
    held = {id(variable) for variable in made.compiled.variables.values()}
    layers = made.model._flatten_layers()
    reachable = [v for layer in layers for v in layer.variables] + made.compiled.optimizer.variables
    reachable += [v for mean in made.compiled.means.variables.values() for v in mean.variables]
    assert {id(variable) for variable in reachable} <= held
    assert any("seed_generator" in getattr(v, "path", "") for v in made.compiled.variables.values())


@pytest.mark.parametrize(
    "changed",
    [{"steps_per_call": 0}, {"keep": 0}, {"seconds_per_checkpoint": float("nan")}],
    ids=str,
)
def test_a_plan_that_makes_no_sense_is_refused(changed, tmp_path):
    with pytest.raises(ValueError, match="Received"):
        toy.plan(tmp_path, 1, **changed)
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_train_in_one_directory(tmp_path):
    made = experiment.Experiment(toy.Toy(1), toy.plan(tmp_path, 1))
    with locked(made.plan.directory), pytest.raises(experiment.BusyError, match="Another process"):
        run(tmp_path, epochs=1)
