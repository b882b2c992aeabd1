"""Trainings that share a trace have the very bits that they have when they are alone."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state

import keras_sched as ks
from tests.trainers import toy
from trainers.loop import compiled, experiment
from trainers.loop.compiled import Compiled
from trainers.loop.state import snapshot

RATES = {
    "rex": lambda total: ks.REX(0.05, steps=total).warmup(10),
    "cosine": lambda total: ks.Cosine(0.02, steps=total),
    "none": lambda total: ks.Constant(0.03),
}
# Schedules, lengths and seeds that differ.
TRIALS = [("rex", 2, 0), ("cosine", 1, 1), ("none", 1, 0)]
BITS = {"rex": (3, 8), "cosine": (2, 6), "none": (4, 7)}


def sgd(name, total):
    return lambda: ks.optimizers.SGD(RATES[name](total), momentum=ks.Demon(0.9, steps=total))


def quantized(name, total):
    """Return a model whose bits follow a schedule, with other highest bits for each name."""

    def make():
        low, high = BITS[name]
        bits = ks.precision.get("cr", low, bits_max=high, cycles=2).resolve(total)
        network = toy.model()
        options = {"layers": "all", "evaluation": "max", "seed": sum(BITS[name])}
        ks.precision.quantize(network, weights=bits, activations=bits, gradients=8, **options)
        return network

    return make


def train(tmp_path, trial, compiled=None, of=None):
    name, epochs, seed = trial
    total = epochs * toy.STEPS_PER_EPOCH
    changed = {} if of is None else {"model": of(name, total)}
    run = experiment.Experiment(
        toy.Toy(epochs, sgd(name, total), **changed),
        toy.plan(tmp_path, epochs, seed=seed, steps_per_checkpoint=None),
        compiled=compiled,
    )
    record = run.run()
    bits = {key: value.tobytes() for key, value in snapshot(run.compiled.variables).items()}
    return bits, {"epochs": record.epochs, "cost": record.cost}


def traces(compiled):
    return compiled.model.train_function.experimental_get_tracing_count()


@pytest.mark.parametrize("of", [None, quantized])
def test_they_end_with_the_same_bits(of, tmp_path):
    shared = Compiled(reusable=True)
    train(tmp_path / "first", TRIALS[0], shared, of)
    for index, trial in enumerate(TRIALS[1:]):
        together = train(tmp_path / f"together{index}", trial, shared, of)
        alone = train(tmp_path / f"alone{index}", trial, of=of)
        assert together[0].keys() == alone[0].keys()
        assert [key for key in alone[0] if alone[0][key] != together[0][key]] == []
        assert together[1] == alone[1]
    assert traces(shared) == 1


def test_a_diverged_training_leaves_nothing_to_the_next_one(tmp_path):
    shared = Compiled(reusable=True)
    run = experiment.Experiment(
        toy.Toy(1, sgd("rex", 50), nan_at=20), toy.plan(tmp_path / "bad", 1), compiled=shared
    )
    assert run.run().status == "diverged"
    assert train(tmp_path / "a", TRIALS[1], shared) == train(tmp_path / "b", TRIALS[1])


def test_seeds_that_are_set_again_are_those_that_keras_sets():
    def draws():
        order = tf.data.Dataset.range(99).shuffle(99)
        return [
            random.random(),
            np.random.random(),  # noqa: NPY002
            keras.random.normal([3]).numpy().tolist(),
            list(order.as_numpy_iterator()),
        ]

    keras.utils.set_random_seed(5)
    expected = draws()
    assert draws() != expected
    keras.utils.set_random_seed(6)
    draws()
    compiled._seed_again(5)
    assert global_state.get_global_attribute("global_random_seed") == 5
    assert draws() == expected


def test_without_the_transplant_they_do_not(tmp_path, monkeypatch):
    """The negative control: what a training leaves in the variables changes the next one."""
    shared = Compiled(reusable=True)
    train(tmp_path / "first", TRIALS[0], shared)
    monkeypatch.setattr("trainers.loop.compiled.restore", lambda variables, arrays: None)
    together = train(tmp_path / "together", TRIALS[0], shared)
    monkeypatch.undo()
    assert together[1]["epochs"] != train(tmp_path / "alone", TRIALS[0])[1]["epochs"]


def test_a_training_goes_on_in_the_trace_of_another(tmp_path):
    """A trial that was interrupted is continued in a process that has trained others since."""
    shared = Compiled(reusable=True)

    class Ends(keras.callbacks.Callback):
        active = True

        def on_train_batch_end(self, batch, logs=None):
            if self.active and batch >= 30:
                raise RuntimeError("ends here")

    task = toy.Toy(2, sgd("rex", 100))
    ends = Ends()
    run = experiment.Experiment(task, toy.plan(tmp_path, 2), [ends], compiled=shared)
    with pytest.raises(RuntimeError, match="ends here"):
        run.run()
    train(tmp_path / "other", TRIALS[2], shared)
    ends.active = False
    again = experiment.Experiment(task, toy.plan(tmp_path, 2), [ends], compiled=shared)
    record = again.run()
    assert record.restarts == 1
    alone = experiment.Experiment(task, toy.plan(tmp_path / "alone", 2))
    assert record.epochs == alone.run().epochs
    for name, value in snapshot(alone.compiled.variables).items():
        np.testing.assert_array_equal(snapshot(again.compiled.variables)[name], value)


def test_only_what_is_reusable_trains_again(tmp_path):
    once = Compiled()
    train(tmp_path / "once", TRIALS[1], once)
    with pytest.raises(RuntimeError, match="reusable=True"):
        train(tmp_path / "twice", TRIALS[1], once)


def test_a_schedule_that_cannot_be_replaced_is_refused(tmp_path):
    def run(compiled, optimizer):
        task, plan = toy.Toy(1, optimizer), toy.plan(tmp_path / "refused", 1)
        return experiment.Experiment(task, plan, compiled=compiled).run()

    shared = Compiled(reusable=True)
    train(tmp_path / "first", TRIALS[1], shared)
    with pytest.raises(ValueError, match="must replace all"):
        run(shared, lambda: ks.optimizers.SGD(ks.REX(0.1, steps=50), momentum=0.9))
    with pytest.raises(ValueError, match="not attached"):
        run(Compiled(reusable=True), lambda: keras.optimizers.SGD(ks.REX(0.1, steps=50)))


def test_a_measurement_leaves_nothing_on_disk(tmp_path):
    made = experiment.Experiment(toy.Toy(2), toy.plan(tmp_path / "logs", 2))
    found = made.timed()
    assert 0 < found.step < found.trace
    assert set(found.evaluations) == {"val"} and found.evaluations["val"] > 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
