"""What a task may say to the loop, and what the loop makes of it."""

from __future__ import annotations

import dataclasses
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from tests.trainers import toy
from trainers.loop import compiled, evaluation, experiment, records
from trainers.loop.means import FOLDED_AFTER, Means
from trainers.loop.task import Evaluation, Metric


def run(tmp_path, epochs=2, callbacks=(), plan=None, **task):
    made = experiment.Experiment(
        toy.Toy(epochs, **task), toy.plan(tmp_path, epochs, **(plan or {})), callbacks
    )
    return made, made.run()


class Odd(toy.Toy):
    """The toy with something else in the place of what `forward` returns."""

    def __init__(self, changes, **attributes):
        super().__init__(1)
        self.changes = changes
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, model, batch, evaluation):
        made = super().forward(model, batch, evaluation)
        return dataclasses.replace(made, **self.changes(made))


def scalar(made):
    return {"losses": {"mean": tf.reduce_mean(made.losses["mean"])}}


def misshapen(made):
    return {"losses": {"mean": (made.losses["mean"], tf.ones([3]))}}


def undeclared(made):
    return {"means": {"precision": made.losses["mean"]}}


def clashing(made):
    return {"losses": {"accuracy": made.losses["mean"]}, "means": {}}


def renamed(made, name):
    return {"losses": {name: made.losses["mean"], "sign": made.losses["sign"]}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (scalar, "at least one dimension"),
        (misshapen, "must have the shape of its values"),
        (undeclared, "among the task's `metrics`"),
        (clashing, "must not have one name"),
        (lambda made: {"losses": {}}, "must return a loss"),
        (lambda made: {"losses": {"val_mean": made.losses["mean"]}}, "identifier"),
        (lambda made: renamed(made, "step"), "what is logged beside it"),
        (lambda made: renamed(made, "momentum"), "what is logged beside it"),
    ],
)
def test_what_a_task_returns_is_checked_before_it_is_trained(changes, message, tmp_path):
    made = experiment.Experiment(Odd(changes), toy.plan(tmp_path, 1))
    with pytest.raises(ValueError, match=message):
        made.run()
    assert made.step == 0
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"goal": "val_precision"}, "`goal` must be a metric of an evaluation"),
        ({"goal": "accuracy"}, "`goal` must be a metric of an evaluation"),
        ({"goal": "test_loss"}, "`goal` must be a metric of an evaluation"),
        ({"metrics": {"loss": Metric()}}, "'loss' is the sum"),
        ({"metrics": {"val_loss": Metric()}}, "must not have the name"),
        ({"steps_per_epoch": 0}, "`steps_per_epoch`"),
    ],
    ids=str,
)
def test_what_a_task_says_is_checked_before_any_directory(attributes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        experiment.Experiment(Odd(lambda made: {}, **attributes), toy.plan(tmp_path, 1))
    assert not list(tmp_path.iterdir())


def test_a_metric_is_higher_or_lower_and_an_evaluation_has_whole_epochs():
    with pytest.raises(ValueError, match="`better` must be"):
        Metric("maximum")
    for every in (0, 1.5, True):
        with pytest.raises(ValueError, match="`every` must be"):
            Evaluation(lambda: None, every=every)


def test_a_loss_of_the_model_itself_is_refused(tmp_path):
    def regularized():
        inputs = keras.layers.Input((4,))
        outputs = [keras.layers.Dense(1, kernel_regularizer="l2")(inputs) for _ in range(2)]
        return keras.Model(inputs, dict(zip(("mean", "sign"), outputs, strict=True)))

    with pytest.raises(ValueError, match="Every loss must be returned by `forward`"):
        run(tmp_path, epochs=1, model=regularized)


class Undefined(toy.Toy):
    """Has a metric that is undefined in the first epoch."""

    def __init__(self, epochs):
        super().__init__(epochs)
        self.metrics = {**self.metrics, "ratio": Metric("higher")}
        self.goal, self.calls = "val_ratio", 0

    def judge(self, evaluation, means, outputs):
        self.calls += 1
        return {"ratio": float("nan") if self.calls == 1 else 2.0}


def test_a_metric_that_is_undefined_is_no_divergence(tmp_path):
    record = experiment.Experiment(Undefined(2), toy.plan(tmp_path, 2)).run()
    assert record.status == "finished"
    assert [row["val_ratio"] for row in record.epochs] == [None, 2.0]
    assert record.best["epoch"] == 1
    (path,) = tmp_path.rglob("record.json")
    assert records.read(path) == record


class Ratio(Undefined):
    """Has it as a mean."""

    def forward(self, model, batch, evaluation):
        made = toy.Toy.forward(self, model, batch, evaluation)
        ratio = made.means["accuracy"] * float("nan")
        return dataclasses.replace(made, means={**made.means, "ratio": ratio})

    def judge(self, evaluation, means, outputs):
        return {}


def test_a_mean_that_is_undefined_is_saved_and_gone_on_from(tmp_path):
    def trained(place, ends):
        task = Ratio(2)
        record = experiment.Experiment(task, toy.plan(tmp_path / place, 2), [Asks(ends)]).run()
        return [dict(row) for row in record.epochs]

    whole = trained("whole", ends=0)
    assert [row["ratio"] for row in whole] == [None, None]
    with pytest.raises(SystemExit):
        trained("killed", ends=13)
    assert trained("killed", ends=0) == whole


class Lossy(toy.Toy):
    """Has no metrics, so that which goals there are is known only from its losses."""

    def __init__(self, goal):
        super().__init__(1)
        self.metrics, self.goal = {}, goal

    def forward(self, model, batch, evaluation):
        return dataclasses.replace(super().forward(model, batch, evaluation), means={})


def test_a_goal_that_no_loss_has_is_refused_before_training(tmp_path):
    made = experiment.Experiment(Lossy("val_typo"), toy.plan(tmp_path, 1))
    with pytest.raises(ValueError, match=r"goal='val_typo'\. Expected one of val_loss"):
        made.run()
    assert made.step == 0
    record = experiment.Experiment(Lossy("val_mean"), toy.plan(tmp_path, 1)).run()
    assert record.best == record.final


def test_a_goal_that_nothing_returns_is_an_error(tmp_path):
    task = Odd(lambda made: {}, metrics={"accuracy": Metric("higher"), "f1": Metric("higher")})
    task.goal = "val_f1"
    with pytest.raises(ValueError, match="must return the task's `goal`"):
        experiment.Experiment(task, toy.plan(tmp_path, 1)).run()


def test_an_evaluation_without_batches_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="An evaluation must have batches"):
        run(tmp_path, epochs=1, evaluation=lambda: toy.batches(0).take(0))


def test_what_callbacks_log_is_no_loss(tmp_path):
    class Logs(Stops):
        def on_epoch_end(self, epoch, logs=None):
            logs["gap"] = float("nan")
            super().on_epoch_end(epoch, logs)

    _, record = run(tmp_path, epochs=4, callbacks=[Logs()])
    assert (record.status, len(record.epochs)) == ("finished", 2)


def test_the_trace_is_shared_only_by_what_computes_the_same(tmp_path):
    shared = compiled.Compiled(reusable=True)
    experiment.Experiment(toy.Toy(1), toy.plan(tmp_path / "a", 1), compiled=shared).run()
    other = toy.Toy(1)
    other.traced = "another toy"
    for task in (other, toy.Weighted(1)):
        with pytest.raises(ValueError, match="must compute the same"):
            experiment.Experiment(task, toy.plan(tmp_path / "b", 1), compiled=shared).run()


def test_an_epoch_begins_once_whoever_goes_on_in_it(tmp_path):
    seen = []

    class Note(keras.callbacks.Callback):
        def __init__(self, ends):
            super().__init__()
            self.ends = ends

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(("begin", epoch))

        def on_epoch_resume(self, epoch):
            seen.append(("resume", epoch))

        def on_train_batch_end(self, batch, logs=None):
            if self.ends and len(seen) == 2 and batch >= 20:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, callbacks=[Note(True)])
    run(tmp_path, callbacks=[Note(False)])
    assert seen == [("begin", 0), ("begin", 1), ("resume", 1)]


@pytest.mark.parametrize("kept", ["final", "best", "none"])
def test_weights_are_kept_that_the_metrics_are_of(kept, tmp_path):
    """The goal gets worse at the end, so that the best epoch is not the last one."""

    def optimizer():
        return ks.optimizers.SGD(
            ks.PiecewiseConstant([0.05, 0.2], boundaries=[100]), momentum=ks.Constant(0.0)
        )

    made, record = run(
        tmp_path, epochs=3, optimizer=optimizer, plan={"keep_weights": kept}, model=toy.model
    )
    assert record.status == "finished"
    names = [path.name for path in made.plan.directory.glob("*.weights.h5")]
    assert names == ([] if kept == "none" else [f"{kept}.weights.h5"])
    assert record.best["epoch"] == 1
    if kept != "none":
        made.model.load_weights(made.plan.directory / names[0])
        expected = record.final if kept == "final" else record.best
        assert made._evaluate("val")["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-6)


def test_sums_stay_right_past_what_float32_counts():
    """A float32 sum of 2^25 does not change by adding 1; the control never asks the host."""
    right, wrong = (Means({None: ["a"]}) for _ in range(2))
    for means in (right, wrong):
        means.update(None, "a", tf.ones([1]), tf.constant([2.0**25]))
        add = tf.function(lambda means=means: means.update(None, "a", tf.zeros([1]), None))
        for number in range(4 * FOLDED_AFTER):
            if means is right and number % FOLDED_AFTER == 0:
                means.fold(None)
            add()
    assert right.of(None)["a"] == pytest.approx(2**25 / (2**25 + 4 * FOLDED_AFTER), rel=1e-7)
    assert wrong.of(None)["a"] == 1.0
    right.fold(None)  # The rest is in variables, which checkpoints hold.
    again = Means({None: ["a"]})
    again.set_state(right.get_state())
    assert again.of(None) == right.of(None)


class Counted(toy.Toy):
    """The toy, whose accuracy is said to be a count, or which says so of what is none."""

    def __init__(self, epochs, is_true=True):
        super().__init__(epochs)
        self.metrics = {"accuracy": Metric("higher", is_share=True, is_count=True)}
        self.is_true = is_true

    def forward(self, model, batch, evaluation):
        made = super().forward(model, batch, evaluation)
        right = made.means["accuracy"]
        # A third of the examples does not count, or each counts a little.
        given = (right, tf.cast(tf.range(8) % 3 > 0, tf.float32)) if self.is_true else 0.37 * right
        return dataclasses.replace(made, means={"accuracy": given})


@pytest.mark.parametrize("folded_after", [3, FOLDED_AFTER])
def test_a_count_is_recorded_exactly_and_of_how_many(folded_after, tmp_path, monkeypatch):
    """The control, a mean in float32, is no whole number of them."""
    monkeypatch.setattr(evaluation, "FOLDED_AFTER", folded_after)
    record = experiment.Experiment(Counted(2), toy.plan(tmp_path / "count", 2)).run()
    assert record.counted == {"val_accuracy": 4 * 5}
    rights = [row["val_accuracy"] * 20 for row in record.epochs]
    assert all(
        row["val_accuracy"] == round(r) / 20 for row, r in zip(record.epochs, rights, strict=True)
    )
    _, plain = run(tmp_path / "plain")
    assert plain.counted == {}
    thirds = Means({None: ["a"]}), Means({None: ["a"]}, ["a"])
    for means in thirds:
        means.update(None, "a", tf.constant([1.0, 0.0, 0.0]), None)
    assert thirds[0].of(None)["a"] != 1 / 3 == thirds[1].of(None)["a"]
    assert (thirds[0].counted(None), thirds[1].counted(None)) == ({}, {"a": 3})


def test_what_is_said_to_be_a_count_and_is_none_is_an_error(tmp_path):
    made = experiment.Experiment(Counted(1, is_true=False), toy.plan(tmp_path, 1))
    with pytest.raises(ValueError, match="`is_count` must have values and weights that are 0 or 1"):
        made.run()


class Judged(Undefined):
    def __init__(self, epochs):
        super().__init__(epochs)
        self.metrics = {**self.metrics, "ratio": Metric("higher", is_count=True)}


def test_a_count_that_nobody_counts_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="must be among the means of `forward`"):
        experiment.Experiment(Judged(1), toy.plan(tmp_path, 1)).run()


def test_of_how_many_is_known_to_a_run_that_only_writes_its_record(tmp_path):
    callbacks = [StopsAt(50), Asks(30)]
    with pytest.raises(SystemExit):
        experiment.Experiment(Counted(4), toy.plan(tmp_path, 4), callbacks).run()
    again = experiment.Experiment(Counted(4), toy.plan(tmp_path, 4), [StopsAt(50), Asks(0)])
    assert again.run().counted == {"val_accuracy": 20}
    assert again.seconds["evaluation"] > 0.0


class Stops(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.model.stop_training = True


class Asks(keras.callbacks.Callback):
    """Asks the process to end after so many calls; after none for 0."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def on_train_batch_end(self, batch, logs=None):
        self.calls -= 1
        if self.calls == 0:
            os.kill(os.getpid(), signal.SIGTERM)


class StopsAt(keras.callbacks.Callback):
    """Ends the training at a call within the second epoch, or at its end."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 50 + self.at:
            self.model.stop_training = True


@pytest.mark.parametrize(("at", "calls"), [(21, 21), (50, 30)])
def test_a_training_that_was_ended_stays_so_when_it_goes_on(at, calls, tmp_path):
    """It ends at the call, and is asked to end in the same one; the control is never asked."""

    def trained(place, asked):
        callbacks = [StopsAt(at), Asks(asked)]
        return experiment.Experiment(toy.Toy(4), toy.plan(tmp_path / place, 4), callbacks).run()

    whole = trained("whole", 0)
    assert (whole.steps, len(whole.epochs)) == (50 + at, 2)
    assert whole.final["val_loss"] > 0.0
    with pytest.raises(SystemExit):
        trained("killed", calls)
    gone_on = trained("killed", 0)
    assert (gone_on.steps, gone_on.epochs) == (50 + at, whole.epochs)


def test_a_training_that_a_callback_ends_has_every_evaluation(tmp_path):
    task = toy.Toy(5)
    task.evaluations["test"] = Evaluation(lambda: toy.batches(20_000).take(2), every=10)
    record = experiment.Experiment(task, toy.plan(tmp_path, 5), [Stops()]).run()
    assert [row["epoch"] for row in record.epochs] == [0, 1]
    assert "test_loss" not in record.epochs[0]
    assert record.final["test_loss"] > 0.0
    assert record.status == "finished"


class Short(toy.Toy):
    steps_per_epoch = 1


def test_epochs_of_one_step_have_no_checkpoint_each(tmp_path):
    """What takes longer than the epochs is done by time; the control saves at each end."""
    saved = {}
    for seconds in (1000.0, 0.0):
        plan = toy.plan(
            tmp_path / f"{seconds}", 8, steps_per_checkpoint=None, seconds_per_checkpoint=seconds
        )
        run = experiment.Experiment(Short(8), plan)
        assert run.run().steps == 8
        saved[seconds] = len(list(plan.directory.glob("checkpoints/step_*")))
    assert saved == {1000.0: 0, 0.0: plan.keep}


class Noisy(toy.Toy):
    """The toy with noise in its evaluation too, as a variational autoencoder has."""

    def __init__(self, epochs, every=1):
        super().__init__(epochs)
        self.evaluations["val"] = Evaluation(lambda: toy.batches(10_000).take(4), every=every)

    def forward(self, model, batch, evaluation):
        made = super().forward(model, batch, evaluation)
        if evaluation is None:
            return made
        again = model(batch["x"], training=True)  # Draws masks of dropout, moves statistics.
        return dataclasses.replace(
            made, losses={**made.losses, "mean": tf.square(again["mean"] - batch["y"])[:, 0]}
        )


def test_an_evaluation_leaves_no_trace_in_training(tmp_path):
    often, rarely = (
        experiment.Experiment(Noisy(3, every), toy.plan(tmp_path / f"{every}", 3))
        for every in (1, 3)
    )
    assert often.run().final["val_loss"] == rarely.run().final["val_loss"]
    for one, two in zip(often.model.get_weights(), rarely.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


class Nothing(toy.Weighted):
    """Examples of the evaluation weigh nothing, all of them."""

    def forward(self, model, batch, evaluation):
        made = super().forward(model, batch, evaluation)
        if evaluation is None:
            return made
        none = {name: (values, 0.0 * w) for name, (values, w) in made.losses.items()}
        return dataclasses.replace(made, losses=none)


def test_the_loss_of_nothing_is_not_the_best_there_is(tmp_path):
    task = Nothing(1, optimizer=lambda: ks.optimizers.SGD(ks.Constant(0.001)))
    record = experiment.Experiment(task, toy.plan(tmp_path, 1)).run()
    assert record.status == "diverged"
    assert "val_loss" in record.reason
    assert record.best is None


def test_a_callback_that_knows_nothing_any_more_is_told_of(tmp_path, caplog):
    class Ends(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch >= 20:
                raise KeyboardInterrupt

    stops = [keras.callbacks.EarlyStopping("val_loss"), ks.Plateau("loss")]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, callbacks=[*stops, Ends()])
    assert "begin anew" not in caplog.text
    run(tmp_path, callbacks=[*stops, keras.callbacks.Callback()])
    assert "begin anew" in caplog.text and "EarlyStopping, Callback" in caplog.text
    assert "Plateau" not in caplog.text
    # It counts nothing itself.
    ks.CostLogger().set_state(ks.CostLogger().get_state())
