"""What a configuration says of optimizer, schedules, plateau and split is what is trained."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

import keras_sched as ks
from configs.base import setting
from trainers.loop.compiled import Compiled
from trainers.loop.state import snapshot
from trainers.options import optimization
from trainers.tasks.classification import Config, experiment, load

PLATEAU = {
    # Nothing is an improvement after the first epoch: the rate halves with each epoch from then on.
    "schedule": "plateau",
    "schedule_options": {"patience": 1, "factor": 0.5, "min_delta": 100.0},
}


def config(seed=0, **changes):
    values = {
        "name": "small",
        "dataset": "digits8",
        "model": "cnn3",
        "epochs": 4,
        "batch_size": 512,
        "steps_per_call": 2,
        "learning_rate": 0.1,
        "schedule": "constant",
        **changes,
    }
    return Config(**setting(**values).to_dict(), seed=seed)


def schedules(steps=100, **changes):
    return optimization.schedules(config(**changes), ks.Run(steps=steps, steps_per_epoch=10))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adm"}, "`optimizer` must be one of adam, adamw"),
        ({"optimizer": "adamw"}, "AdamW must have a weight decay above 0"),
        ({"weight_decay": -1.0}, "`weight_decay` must be a number of at least 0"),
        ({"weight_decay": math.nan}, "`weight_decay` must be a number of at least 0"),
        ({"split": "train"}, "`split` must be one of test, validation"),
        ({"sampling": "0.1dur"}, "`sampling` must be"),
        ({"sampling": "every:"}, "`sampling` must be"),
        ({"sampling": "every:0.1weeks"}, "weeks"),
        ({"sampling": "at:0.75dur,0.5dur"}, "`at`"),
        ({"schedule": "plateau", "schedule_options": {"factor": 2.0}}, "`factor`"),
        ({"schedule": "plateau", "schedule_options": {"patience": -1}}, "`patience`"),
        (
            {"schedule": "plateau", "schedule_options": {"monitor": "val_loss"}},
            "must not follow test images",
        ),
        ({"momentum": 1.0}, "`momentum` must be in"),
        ({"form": "torch"}, "`form` must be"),
    ],
)
def test_a_wrong_value_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_a_plateau_may_follow_what_is_held_out_of_training():
    options = {"monitor": "val_loss"}
    config(schedule="plateau", schedule_options=options, split="validation")


@pytest.mark.parametrize(
    ("sampling", "read_at"),
    [
        ("", lambda t: t),
        ("every:0.1dur", lambda t: t // 10 * 10),
        ("every:1ep", lambda t: t // 10 * 10),
        ("at:0.5dur,0.75dur", lambda t: 75 if t >= 75 else 50 if t >= 50 else 0),
    ],
)
def test_a_profile_is_read_at_the_sampling_rate(sampling, read_at):
    rate, momentum = schedules(schedule="rex", sampling=sampling, momentum_schedule="demon")
    for t in range(100):
        z = 1.0 - read_at(t) / 100
        assert float(rate(t)) == pytest.approx(0.1 * z / (0.5 + 0.5 * z), rel=1e-6)
        z = 1.0 - t / 100
        assert float(momentum(t)) == pytest.approx(0.9 * z / (0.1 + 0.9 * z), rel=1e-6)


def reference(kind, rates, betas, gradients, decay):
    """The weight after each step, in float64, from the papers' formulas; it begins at 1."""
    w, m, v, largest, beta_2, found = 1.0, 0.0, 0.0, 0.0, 0.999, []
    for t, (rate, beta, g) in enumerate(zip(rates, betas, gradients, strict=True), start=1):
        w -= rate * decay * w
        if kind in ("sgd", "nesterov"):
            m = beta * m + g
            w -= rate * (g + beta * m if kind == "nesterov" else m)
        elif kind == "demon_adam":
            v = beta_2 * v + (1.0 - beta_2) * g * g
            m = g + beta * m
            w -= rate * m / math.sqrt(v + 1e-8)
        else:
            m = beta * m + (1.0 - beta) * g
            v = beta_2 * v + (1.0 - beta_2) * g * g
            largest = max(largest, v)
            root = math.sqrt(largest if kind == "amsgrad" else v)
            w -= rate * math.sqrt(1.0 - beta_2**t) / (1.0 - beta**t) * m / (root + 1e-8)
        found.append(w)
    return found


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("kind", sorted(optimization.OPTIMIZERS))
def test_an_optimizer_takes_the_steps_of_its_formula(kind, decay):
    """The momentum schedule drives beta_1 of Adam's kin; gradients shrink, so AMSGrad differs."""
    if kind == "adamw" and not decay:
        with pytest.raises(ValueError, match="weight_decay"):
            config(optimizer=kind, weight_decay=decay)
        return
    made = config(optimizer=kind, weight_decay=decay, momentum_schedule="demon", schedule="linear")
    rate, momentum = optimization.schedules(made, ks.Run(steps=8, steps_per_epoch=4))
    optimizer = optimization.optimizer(made, rate, momentum)
    weight = keras.Variable(np.ones([1], np.float32))
    optimizer.build([weight])
    gradients = [1.0, -0.5, 0.25, 2.0, 0.01, 0.02]
    got = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(np.float32([gradient]))], [weight])
        got.append(float(weight[0]))
    t = np.arange(len(gradients))
    z = 1.0 - t / 8
    want = reference(kind, 0.1 * z, 0.9 * z / (0.1 + 0.9 * z), gradients, decay)
    np.testing.assert_allclose(got, want, rtol=2e-5)
    without = reference(kind, 0.1 * z, np.full(len(t), 0.9), gradients, decay)
    assert not np.allclose(got, without, rtol=1e-3)


def run(made, tmp_path, compiled=None, callbacks=()):
    trained = experiment(made, tmp_path, callbacks=callbacks, compiled=compiled)
    record = trained.run()
    assert record["status"] == "finished"
    return [row["learning_rate"] for row in record["epochs"]], snapshot(trained.compiled.variables)


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
    shared = Compiled(1e-4, reusable=True)
    run(config(seed=1, **PLATEAU), tmp_path / "before", shared)
    alone = run(config(**PLATEAU), tmp_path / "alone")
    np.testing.assert_allclose(alone[0], [0.1, 0.1, 0.05, 0.025], rtol=1e-6)
    same(run(config(**PLATEAU), tmp_path / "after", shared), alone)

    with pytest.raises(RuntimeError, match="ends here"):
        run(config(**PLATEAU), tmp_path / "broken", callbacks=(Ends(3),))
    same(run(config(**PLATEAU), tmp_path / "broken", callbacks=(Ends(99),)), alone)
    plain = config(epochs=2)
    same(run(plain, tmp_path / "plain", shared), run(plain, tmp_path / "plain alone"))


def test_a_validation_is_on_training_images():
    whole, part = load(config()), load(config(split="validation"))
    assert (whole.num_train, len(whole.test_images)) == (1437, 360)
    assert (part.num_train, len(part.test_images)) == (1293, 144)
    np.testing.assert_array_equal(part.test_images, whole.train_images[::10])


@pytest.mark.parametrize("optimizer", ["adam", "demon_adam"])
def test_another_optimizer_learns_and_its_momentum_is_logged(optimizer, tmp_path):
    made = config(
        optimizer=optimizer,
        momentum_schedule="demon",
        learning_rate=0.01 if optimizer == "adam" else 0.001,
        batch_size=128,
        split="validation",
    )
    record = experiment(made, tmp_path).run()
    assert record["final"]["val_accuracy"] > 0.5
    assert record["epochs"][0]["beta_1"] > record["final"]["beta_1"] >= 0.0
