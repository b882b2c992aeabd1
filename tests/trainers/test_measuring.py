"""What a training takes is measured before it begins."""

import dataclasses
import math
import types

import pytest

from trainers.loop.records import Timing, Workload
from trainers.tasks import measuring


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("epochs", [1, 2, 7, 400])
def test_what_runs_take_is_parted_among_steps_evaluations_epochs_and_the_run(epochs, every):
    """A timing from steps that are timed alone, and wrong, is set right by whole runs."""
    wanted = Timing(trace=3.0, step=0.002, evaluations={"val": 0.01}, epoch=0.03, run=0.2)
    task = types.SimpleNamespace(
        steps_per_epoch=10,
        evaluations={"val": types.SimpleNamespace(every=every)},
        config=types.SimpleNamespace(training=types.SimpleNamespace(trained_epochs=epochs)),
    )
    lengths = []

    def run(number):
        lengths.append(number)
        evaluations = number // every + bool(number % every)
        work = Workload("", 10 * number, {"val": evaluations}, epochs=number, runs=1)
        seconds = {"train": 0.02 * number, "evaluation": 0.01 * evaluations}
        record = types.SimpleNamespace(epochs=[{}] * number, steps=10 * number, seconds=seconds)
        return record, wanted.of(work)

    alone = Timing(trace=3.0, step=0.004, evaluations={"val": 0.003})
    found = measuring._as_in_runs(alone, task, run)
    whole = Workload("", 10 * epochs, {"val": math.ceil(epochs / every)}, epochs=epochs, runs=1)
    assert found.of(whole) == pytest.approx(wanted.of(whole), rel=1e-9)
    assert max(lengths) == min(epochs, 1 + math.ceil(2.0 / (0.04 + 0.003)))
    if epochs > 1:
        parts = [(t.step, t.evaluations["val"], t.epoch, t.run) for t in (found, wanted)]
        assert parts[0] == pytest.approx(parts[1], rel=1e-6)
    slow = dataclasses.replace(alone, step=0.2)
    assert measuring._as_in_runs(slow, task, run) == slow
