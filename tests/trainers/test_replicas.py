"""The loop with two replicas: it trains, measures and finds trouble as with one."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from tests.trainers import toy
from trainers.loop import evaluation, experiment


def replicas():
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def plain():
    """Without dropout, whose random numbers each replica draws for itself."""
    inputs = keras.layers.Input((4,))
    outputs = [keras.layers.Dense(1, name=name)(inputs) for name in ("a", "b")]
    return keras.Model(inputs, dict(zip(("mean", "sign"), outputs, strict=True)))


def run(tmp_path, epochs=2, strategy=None, **task):
    made = experiment.Experiment(
        toy.Toy(epochs, model=plain, **task), toy.plan(tmp_path, epochs), strategy=strategy
    )
    return made, made.run()


def test_two_replicas_train_as_one_does(tmp_path):
    one, alone = run(tmp_path / "one", epochs=1)
    two, both = run(tmp_path / "two", epochs=1, strategy=replicas())
    for a, b in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for name in ("loss", "accuracy", "val_loss", "learning_rate"):
        assert alone.final[name] == pytest.approx(both.final[name], rel=1e-4), name


@pytest.mark.parametrize("clip", [{"clipvalue": 0.05}, {"global_clipnorm": 0.1}], ids=str)
def test_gradients_of_several_replicas_are_not_clipped_apart(clip, tmp_path):
    def trained(strategy):
        task = toy.Toy(1, optimizer=lambda: ks.optimizers.SGD(ks.Constant(0.05), **clip))
        return experiment.Experiment(task, toy.plan(tmp_path, 1), strategy=strategy).run()

    with pytest.raises(ValueError, match="must not be clipped with more than one replica"):
        trained(replicas())
    assert trained(None).status == "finished"


def test_the_means_of_two_replicas_are_folded_as_those_of_one(tmp_path, monkeypatch):
    _, whole = run(tmp_path / "whole", epochs=1, strategy=replicas())
    monkeypatch.setattr(experiment, "FOLDED_AFTER", 7)
    monkeypatch.setattr(evaluation, "FOLDED_AFTER", 3)
    _, folded = run(tmp_path / "folded", epochs=1, strategy=replicas())
    assert set(folded.final) == set(whole.final)
    for name, value in whole.final.items():
        assert folded.final[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("half", ["first", "second"])
@pytest.mark.parametrize("strategy", [lambda: None, replicas], ids=["one", "two"])
def test_the_step_is_told_at_which_any_replica_went_wrong(strategy, half, tmp_path):
    bad = slice(0, toy.BATCH // 2) if half == "first" else slice(toy.BATCH // 2, None)
    wrong = np.zeros([toy.BATCH, 4], np.float32)
    wrong[bad] = np.nan

    class Wrong(toy.Toy):
        def train(self, step):
            def spoilt(number, batch):
                return {**batch, "x": tf.where(number == 33, batch["x"] + wrong, batch["x"])}

            numbers = tf.data.Dataset.counter(step)
            return tf.data.Dataset.zip(numbers, super().train(step)).map(spoilt)

    made = experiment.Experiment(Wrong(1, model=plain), toy.plan(tmp_path, 1), strategy=strategy())
    record = made.run()
    assert record.status == "diverged"
    assert "at data step 33" in record.reason


def test_an_evaluation_is_timed_with_the_share_that_a_replica_has(tmp_path):
    seen = []

    class Seen(toy.Toy):
        def forward(self, model, batch, evaluation):
            if evaluation:
                seen.append(batch["x"].shape[0])
            return super().forward(model, batch, evaluation)

    task = Seen(1, model=plain)
    experiment.Experiment(task, toy.plan(tmp_path, 1), strategy=replicas()).timed(1)
    assert set(seen[1:]) == {toy.BATCH // 2}  # The first is asked for names alone.
