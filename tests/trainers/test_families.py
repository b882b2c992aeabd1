"""What every family has: it goes on with the same bits, and all that schedules drive is driven."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.trainers import families
from tests.trainers.forks import end_of, started
from trainers.sweeps.programs import TASKS
from trainers.tasks.configured import experiment


def test_every_family_is_here():
    assert set(families.SMALLEST) == set(TASKS)


@pytest.mark.parametrize("name", families.SMALLEST)
def test_a_batch_is_learnt_by_heart(name):
    """The loss of one batch, trained on again and again, falls as far as it can."""
    plain = {"precision_schedule": "none", "policies": [], "policy_lengths": []}
    changes = {"schedule": "constant", "momentum_schedule": "constant", "warmup": "0ep"}
    task = families.family(name).of(
        families.values(name, **plain, **changes, batch_size=16, optimizer="adam", l2=0.0)
        | families.OVERFIT[name].changes
    )
    task.data = task.load(task.config)
    run = experiment(task, "unused")
    run.compiled.begin(task, 0, task.run.total)
    batches = iter(task.train(0).take(1).cache().repeat())
    function = run.model.make_train_function()

    def loss():
        (forward,) = [task.forward(run.model, next(batches), None)]
        return sum(float(tf.reduce_mean(value)) for value in forward.losses.values())

    first = loss()
    for _ in range(families.OVERFIT[name].calls):
        function(batches, tf.constant(50, tf.int64))
    assert np.isfinite(first)
    # What a learning rate may follow while there is no validation: it is there in training.
    known = run.compiled.means_of(None).keys()
    assert known & task.metrics.keys() == set(task.training_metrics)
    assert {name for name in task.followed() if not name.startswith("val_")} <= known
    assert loss() < families.OVERFIT[name].share * first


def marked(name):
    """Return a name, as that of a slow test if it is one."""
    is_slow = name in families.LONG or name in families.LARGE
    return pytest.param(name, marks=pytest.mark.slow) if is_slow else name


@pytest.mark.parametrize("name", [marked(each) for each in (*families.SMALLEST, *families.LARGE)])
def test_killed_and_continued_it_ends_with_the_same_bits(name, tmp_path):
    whole, _ = started(families.main, name, tmp_path / "whole")
    assert whole.wait()[0] == 0
    killed, step = started(families.main, name, tmp_path / "killed")
    assert step == 0
    while not list((tmp_path / "killed").glob("*/*/checkpoints/step_*")):
        assert killed.process.is_alive(), "over too soon: nothing was killed"
        time.sleep(0.01)
    os.kill(killed.process.pid, signal.SIGKILL)
    assert killed.wait()[0] == -signal.SIGKILL
    last, step = started(families.main, name, tmp_path / "killed")
    assert step > 0
    assert last.wait()[0] == 0
    arrays, record = end_of(tmp_path / "killed")
    expected, other = end_of(tmp_path / "whole")
    assert record.restarts == 1
    assert record.epochs == other.epochs
    assert arrays.keys() == expected.keys()
    assert [key for key in arrays if arrays[key].tobytes() != expected[key].tobytes()] == []
    assert {"learning_rate", "weight_bits"} <= record.final.keys()
    assert len({row["weight_bits"] for row in record.epochs}) > 1
    assert 0.0 < record.cost["quantized_layers"]["relative_to_fp32"] < 1.0
