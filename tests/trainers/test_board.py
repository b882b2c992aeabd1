"""What TensorBoard is told of a run: read back, and beside what the run did."""

from __future__ import annotations

import math
import os
import signal

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import keras_sched as ks
from tests.tensorboard_plugins.reading import read_run
from tests.trainers.toy import STEPS_PER_EPOCH, Announce, Toy, plan, quantized
from trainers.loop.errors import Preempted
from trainers.loop.experiment import Experiment

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Of TensorBoard's server.
EPOCHS = 4
TOTAL = EPOCHS * STEPS_PER_EPOCH


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    record = Experiment(Toy(EPOCHS, model=quantized(EPOCHS)), plan(place, EPOCHS)).run()
    return record, read_run(place)


def test_what_is_applied_is_what_was_planned_at_every_step(whole):
    _, run = whole
    steps = run.column("steps", "step")
    assert steps[0] == 0 and (np.diff(steps) > 0).all()
    for name, schedule in (
        ("learning_rate", ks.REX(0.05, steps=TOTAL).warmup(10)),
        ("momentum", ks.Demon(0.9, steps=TOTAL)),
        ("weight_bits", ks.precision.cr(3, bits_max=8, cycles=8, steps=TOTAL)),
    ):
        expected = schedule(steps.astype(np.int64))
        np.testing.assert_array_equal(run.column("steps", name), expected)
        np.testing.assert_array_equal(run.column("steps", f"planned {name}"), expected)
        assert len(run.planned[name]) > 2
    assert np.isfinite(run.column("steps", "loss")).all()


def test_the_end_of_each_epoch_is_that_of_the_record(whole):
    record, run = whole
    assert run.column("evaluations", "epoch").tolist() == [1, 2, 3, 4]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        expected = np.float32([row[name] for row in record.epochs])
        np.testing.assert_array_equal(run.column("evaluations", name), expected)
    for name, mode in (("val_accuracy", "max"), ("val_loss", "min")):
        rows = [row[name] for row in record.epochs]
        expected = [rows[-1], {"max": max, "min": min}[mode](rows), math.fsum(rows[-3:]) / 3]
        assert run.values(name, mode) == expected
    assert (run.status, run.state["step"], run.state["steps"]) == ("finished", TOTAL, TOTAL)
    share = record.cost["quantized_layers"]["relative_to_fp32"]
    assert run.state["relative_cost"] == share
    assert run.trial["goal"] == "val_loss" and run.trial["mode"] == "min"
    assert run.trial["config"] == record.config


def test_the_loss_of_a_call_is_the_mean_of_its_batches(tmp_path):
    """With calls of one step each the losses are known one by one."""
    for count in (1, 5):
        place = tmp_path / str(count)
        Experiment(Toy(1), plan(place, 1, steps_per_call=count, steps_per_checkpoint=None)).run()
    alone, together = (read_run(tmp_path / str(count)) for count in (1, 5))
    each = alone.column("steps", "loss")[:STEPS_PER_EPOCH]
    assert len(each) == STEPS_PER_EPOCH
    np.testing.assert_allclose(
        together.column("steps", "loss")[:10], each.reshape(10, 5).mean(1), rtol=1e-5
    )


def test_a_run_that_went_on_has_the_curves_of_one_that_did_not(whole, tmp_path):
    class Interrupt(Announce):
        def on_train_batch_end(self, batch, logs=None):
            if self.run().step > TOTAL // 2:
                os.kill(os.getpid(), signal.SIGTERM)

    first = Experiment(Toy(EPOCHS, model=quantized(EPOCHS)), plan(tmp_path, EPOCHS))
    first._callbacks.append(Interrupt(lambda: first))
    with pytest.raises(Preempted):
        first.run()
    half = read_run(tmp_path)
    assert half.status == "interrupted" and 0 < half.state["step"] < TOTAL
    second = Experiment(Toy(EPOCHS, model=quantized(EPOCHS)), plan(tmp_path, EPOCHS))
    second._callbacks.append(Announce(lambda: second))
    second.run()
    run, expected = read_run(tmp_path), whole[1]
    assert run.status == "finished"
    assert run.columns("steps") == expected.columns("steps")
    # Calls end elsewhere where the run was interrupted: the steps that both have are equal.
    steps, others = (each.column("steps", "step") for each in (run, expected))
    common = np.intersect1d(steps, others)
    assert len(common) > 0.8 * len(others)
    for name in ("learning_rate", "momentum", "weight_bits", "planned learning_rate"):
        mine, its = (
            each.column("steps", name)[np.isin(at, common)]
            for each, at in ((run, steps), (expected, others))
        )
        np.testing.assert_array_equal(mine, its)
    for name in ("epoch", "loss", "val_loss"):
        mine, its = (each.column("evaluations", name) for each in (run, expected))
        np.testing.assert_array_equal(mine, its)
    # The time of both starts counts.
    assert (np.diff(run.column("steps", "seconds")) >= 0).all()


def test_a_run_that_diverged_says_why(tmp_path):
    Experiment(Toy(2, nan_at=60), plan(tmp_path, 2)).run()
    run = read_run(tmp_path)
    assert run.status == "diverged" and "not finite at data step 60" in run.state["reason"]
    assert run.column("evaluations", "epoch").tolist() == [1]


def test_all_of_a_start_is_in_one_file(whole, tmp_path):
    Experiment(Toy(1), plan(tmp_path, 1)).run()
    (path,) = tmp_path.rglob("events.out.tfevents.*")
    tags = {v.tag for event in EventFileLoader(str(path)).Load() for v in event.summary.value}
    assert {"configuration", "loss", "val_loss", "step/learning_rate", "learning_rate"} <= tags
    assert {"_hparams_/session_start_info", "_keras_sched_/trial"} <= tags
