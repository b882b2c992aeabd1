"""Image classification: what its learning rate may follow, and which images it is evaluated on."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from configs.base import setting
from trainers.loop.compiled import Compiled
from trainers.loop.state import snapshot
from trainers.tasks.classification import ImageClassification
from trainers.tasks.configured import experiment

PLATEAU = {
    # Nothing is an improvement after the first epoch: the rate halves with each epoch from then on.
    "schedule": "plateau",
    "schedule_options": {"patience": 1, "factor": 0.5, "min_delta": 100.0},
}
BASE = {
    "name": "small",
    "dataset": "digits8",
    "model": "cnn3",
    "epochs": 4,
    "batch_size": 512,
    "steps_per_call": 2,
    "learning_rate": 0.1,
    "schedule": "constant",
}


def task(**changes):
    made = ImageClassification.of(setting(**{**BASE, **changes}).to_dict())
    made.data = made.load(made.config)
    return made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet9"}, "`model` must be the name of a model"),
        ({"dataset": "digit"}, "`dataset` must be one of"),
        ({"batch_size": 1438}, "`batch_size` must be in"),
        ({"schedule": "plateau", "schedule_options": {"factor": 2.0}}, "`factor`"),
        ({"schedule": "plateau", "schedule_options": {"patience": -1}}, "`patience`"),
        (
            {"schedule": "plateau", "schedule_options": {"monitor": "test_loss"}},
            "never of test data",
        ),
        ({"schedule": "plateau", "schedule_options": {"monitor": "val_loss"}}, "never of test"),
    ],
)
def test_a_wrong_value_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        task(**changes)


def test_a_plateau_may_follow_what_is_held_out_of_training():
    options = {"monitor": "val_loss"}
    made = task(schedule="plateau", schedule_options=options, split="validation")
    assert made.callbacks()[0].monitor == "val_loss"


def run(made, tmp_path, compiled=None, callbacks=()):
    trained = experiment(made, tmp_path, callbacks=callbacks, compiled=compiled)
    record = trained.run()
    assert record.status == "finished"
    return [row["learning_rate"] for row in record.epochs], snapshot(trained.compiled.variables)


class Ends(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise RuntimeError("ends here")


def same(one, two):
    assert one[0] == two[0]
    for name, value in one[1].items():
        np.testing.assert_array_equal(value, two[1][name], err_msg=name)


def test_a_plateau_begins_anew_goes_on_and_leaves_no_trace(tmp_path):
    """In one trace after another plateau, after a break, and before a training without one."""
    shared = Compiled(reusable=True)
    run(task(seed=1, **PLATEAU), tmp_path / "before", shared)
    alone = run(task(**PLATEAU), tmp_path / "alone")
    np.testing.assert_allclose(alone[0], [0.1, 0.1, 0.05, 0.025], rtol=1e-6)
    same(run(task(**PLATEAU), tmp_path / "after", shared), alone)

    with pytest.raises(RuntimeError, match="ends here"):
        run(task(**PLATEAU), tmp_path / "broken", callbacks=(Ends(3),))
    same(run(task(**PLATEAU), tmp_path / "broken", callbacks=(Ends(99),)), alone)
    with pytest.raises(ValueError, match="in the trace of another must compute the same"):
        run(task(epochs=2), tmp_path / "plain", shared)


def test_the_rate_of_every_group_falls_at_a_plateau(tmp_path):
    made = task(**PLATEAU, rate_factors={"dense/*": 0.1}, epochs=3)
    record = experiment(made, tmp_path).run()
    assert record.status == "finished"
    for name, rate in (("x1.0", 0.1), ("x0.1", 0.01)):
        found = [row[f"{name}/learning_rate"] for row in record.epochs]
        np.testing.assert_allclose(found, [rate, rate, rate / 2], rtol=1e-6)


def test_a_validation_is_on_training_images():
    whole, part = task().data, task(split="validation").data
    assert (whole.num_train, len(whole.test_images)) == (1437, 360)
    assert (part.num_train, len(part.test_images), len(part.val_images)) == (1293, 0, 144)
    np.testing.assert_array_equal(part.val_images, whole.train_images[::10])


def test_a_rate_follows_validation_while_test_is_measured(tmp_path):
    follow = {**PLATEAU["schedule_options"], "monitor": "val_loss"}
    made = task(schedule="plateau", schedule_options=follow, split="both", epochs=3)
    record = experiment(made, tmp_path).run()
    for row in record.epochs:
        assert {"val_loss", "val_accuracy", "test_loss", "test_accuracy"} <= set(row)
    assert record.goal == "val_accuracy"
    rates = [row["learning_rate"] for row in record.epochs]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.05], rtol=1e-6)
    alone = task(schedule="plateau", schedule_options=follow, split="validation", epochs=3)
    held = experiment(alone, tmp_path / "alone").run()
    # The test data change nothing of the training, nor of what it follows.
    for one, other in zip(record.epochs, held.epochs, strict=True):
        assert {name: one[name] for name in other} == other
    with pytest.raises(ValueError, match="never of test data"):
        task(schedule="plateau", schedule_options={"monitor": "test_loss"}, split="both")


@pytest.mark.parametrize("optimizer", ["adam", "demon_adam"])
def test_another_optimizer_learns_and_its_momentum_is_logged(optimizer, tmp_path):
    made = task(
        optimizer=optimizer,
        momentum_schedule="demon",
        learning_rate=0.01 if optimizer == "adam" else 0.001,
        batch_size=128,
        split="validation",
    )
    record = experiment(made, tmp_path).run()
    assert record.final["val_accuracy"] > 0.5
    assert record.epochs[0]["beta_1"] > record.final["beta_1"] >= 0.0


def test_the_images_that_are_most_wrong_are_shown():
    made = task(model="cnn2")
    model = made.network()
    (picture,) = made.artefacts(model, 0).values()
    images, labels = next(iter(made.evaluations["test"].data()))
    shares = keras.ops.softmax(model(images)).numpy()
    wrong = np.flatnonzero(shares.argmax(-1) != labels)
    worst = wrong[np.argmax(shares[wrong].max(-1))]
    # Eight in a row, each 14 times as large, with two lines of words below.
    assert picture.shape == (3 * (112 + 32) + 2 * 2, 8 * 112 + 7 * 2, 3)
    shown = picture[7:112:14, 7:112:14, 0] / 255.0
    np.testing.assert_allclose(shown, made.data.test_images[worst, ..., 0] / 255.0, atol=0.01)
    assert (picture[112:144, :112] < 128).any()
    # Nothing is shown where nothing is wrong.
    model.layers[-1].kernel.assign(keras.ops.zeros_like(model.layers[-1].kernel))
    right = np.where(made.data.test_labels == 3)[0]
    made.data = dataclasses.replace(
        made.data,
        test_images=made.data.test_images[right],
        test_labels=made.data.test_labels[right],
    )
    model.layers[-1].bias.assign(np.eye(10)[3])
    made._held.clear()
    assert made.artefacts(model, 0) == {}


@pytest.mark.parametrize("is_normalised", [True, False])
def test_what_is_shown_of_a_batch_are_its_pixels(is_normalised):
    data = dataclasses.replace(task().data, is_normalised=is_normalised)
    images, _ = next(iter(data.evaluate(50)))
    np.testing.assert_allclose(
        data.pixels(images.numpy()), data.test_images[:50] / 255.0, atol=1e-6
    )
