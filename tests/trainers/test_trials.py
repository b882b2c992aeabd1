"""Trials of a task share data and trace, and are what they would be alone."""

from __future__ import annotations

import gc
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pytest

from configs.base import setting
from trainers.loop.records import Workload
from trainers.sweeps.trials import Trials
from trainers.tasks.classification import ImageClassification
from trainers.tasks.configured import ConfiguredTask, experiment


def trial(seed=0, **changes):
    values = {
        "name": "trial",
        "dataset": "digits8",
        "model": "cnn3",
        "batch_size": 128,
        "epochs": 2,
        "learning_rate": 0.1,
        **changes,
    }
    return {**setting(**values).to_dict(), "seed": seed}


def trials():
    return Trials(ImageClassification)


def traced(config):
    return trials().plan(config).group


TRIALS = [
    trial(),
    trial(schedule="cosine", learning_rate=0.03, budget=0.5, seed=1),
    trial(schedule="constant", warmup="1ep", momentum_schedule="demon", sampled_every="0.5dur"),
]


def stable(record):
    """Return what a record says of the training, and not of the process."""
    names = ("config", "status", "steps", "epochs", "final", "best", "parameters", "cost")
    return {name: getattr(record, name) for name in names}


def test_they_share_one_trace_and_have_the_records_they_have_alone(tmp_path):
    program = trials()
    together = [program.run(config, tmp_path / f"a{i}", {}) for i, config in enumerate(TRIALS)]
    compiled = program._compiled[1]
    assert compiled.model.train_function.experimental_get_tracing_count() == 1
    for index, config in enumerate(TRIALS[1:], start=1):
        alone = trials().run(config, tmp_path / f"b{index}", {})
        assert stable(together[index]) == stable(alone)
    assert together[0].final["test_accuracy"] > 0.2
    assert together[1].steps * 2 == together[0].steps


def test_what_is_in_the_trace_is_not_shared():
    same = {traced(config) for config in TRIALS}
    assert len(same) == 1
    others = [
        trial(batch_size=64),
        trial(optimizer="adam"),
        trial(precision_schedule="cr"),
        trial(policies=["mixed_bfloat16"]),
        trial(l2=1e-3),
        trial(schedule="plateau"),
        trial(gradient_bits=6),
        trial(average=0.9),
        # The means of another evaluation are other variables.
        trial(split="validation"),
    ]
    assert len({traced(config) for config in others} | same) == len(others) + 1


def test_a_bad_configuration_is_refused_before_any_directory(tmp_path):
    with pytest.raises(ValueError, match="`model` must be the name of a model"):
        trials().verify(trial(model="lenet"))
    with pytest.raises(ValueError, match="colour"):
        trials().verify({**trial(), "colour": "red"})
    with pytest.raises(ValueError, match="`frozen` must be that of something"):
        trials().verify(trial(frozen=["nowhere*"]))
    with pytest.raises(ValueError, match="`budget`"):
        trials().run({**trial(), "budget": -1.0}, tmp_path / "logs", {})
    trials().verify(trial())
    assert list(tmp_path.iterdir()) == []


def test_a_trial_is_judged_by_what_its_task_declares():
    assert trials().goals(trial()) == {"loss": "min", "accuracy": "max"}


def test_a_trial_saves_seldom_where_its_setting_would_save_each_epoch(tmp_path):
    """And its configuration is that of the grid: what the sweep does about it is not in it."""
    config = trial(seconds_per_checkpoint=0.0)
    record = trials().run(config, tmp_path / "trial", {})
    assert record.config["seconds_per_checkpoint"] == 0.0
    assert not list((tmp_path / "trial").rglob("step_*"))
    task = ImageClassification.of(config)  # The control.
    task.data = task.load(task.config)
    experiment(task, tmp_path / "alone").run()
    assert list((tmp_path / "alone").rglob("step_*"))


def test_one_set_of_data_is_held_and_read_once(tmp_path, monkeypatch):
    read, load = [], ImageClassification.load

    def counted(config, data_dir=None):
        read.append(config.training.split)
        return load(config, data_dir)

    monkeypatch.setattr(ImageClassification, "load", staticmethod(counted))
    program = trials()
    for index, split in enumerate(("test", "test", "validation", "test")):
        program.run(trial(seed=index, split=split, epochs=1), tmp_path / str(index), {})
        assert len(program._data) == 1
    assert read == ["test", "validation", "test"]


def test_data_depend_on_all_of_a_configuration_where_a_task_does_not_say_less():
    def key(**changes):
        config = ImageClassification.options.of(trial(**changes))
        return ConfiguredTask.data_key.__func__(ImageClassification, config)

    assert len({key(), key(), key(seed=1), key(sampled_at=["0.5dur"])}) == 3


def test_a_trial_is_measured_without_its_data(monkeypatch):
    """No image is read: the data set is one that would have to be downloaded."""
    monkeypatch.setattr("trainers.datasets.sources.from_tfds", None)
    config = trial(dataset="mnist", epochs=10)
    plan = trials().plan(config)
    assert plan == Workload(traced(config), 10 * (60_000 // 128), {"test": 10}, epochs=10)
    held_out = trials().plan({**config, "split": "validation", "evaluate_every": 4})
    assert (held_out.steps, held_out.evaluations) == (10 * (54_000 // 128), {"val": 3})
    found = trials().measure(config)
    assert 0 < found.step < found.trace
    assert found.evaluations["test"] > 0
    assert found.of(plan) == pytest.approx(
        4680 * found.step + 10 * found.evaluations["test"] + 10 * found.epoch + found.run
    )


def test_what_short_epochs_and_trials_take_besides_is_measured():
    """Trials of a few steps take many times what their steps do; one left out half is found out."""
    config = trial(epochs=12, steps_per_call=11)
    made = trials()
    with tempfile.TemporaryDirectory() as directory:
        made.run(config, pathlib.Path(directory) / "first", {})  # It is traced.
        times = []
        for index in range(5):
            began = time.monotonic()
            made.run({**config, "seed": index + 1}, pathlib.Path(directory) / str(index), {})
            times.append(time.monotonic() - began)
    found, plan = made.measure(config), made.plan(config)
    assert found.run > 0.0
    true = sorted(times)[2]
    # A busy machine is not twice as fast in the one as in the other, but may be.
    assert 0.4 < found.of(plan) / true < 2.5
    steps = plan.steps * found.step + sum(
        count * found.evaluations[name] for name, count in plan.evaluations.items()
    )
    assert steps < found.of(plan)


def resident():
    """Return the resident memory of this process in MB."""
    gc.collect()
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


SCHEDULES = [
    {"schedule": "rex"},
    {"schedule": "one_cycle_triangle", "momentum_schedule": "demon"},
    {"schedule": "multistep", "schedule_options": {"at": ["0.5dur"]}},
    {"schedule": "cosine", "sampled_every": "0.1dur"},
]


def grown(count, place):
    """Return the memory after ten trials, and after `count`."""
    program = trials()
    for index in range(count):
        config = trial(index, model="cnn2", epochs=3, **SCHEDULES[index % len(SCHEDULES)])
        program.run(config, pathlib.Path(place) / str(index), {})
        if index == 9:
            after_ten = resident()
    return after_ten, resident()


@pytest.mark.slow
def test_a_worker_does_not_grow_after_its_first_trials(tmp_path):
    """In a process of its own: what else there is here would be counted too."""
    code = (
        "import sys; from tests.trainers import test_trials as t; print(*t.grown(80, sys.argv[1]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    after_ten, at_the_end = map(float, said.stdout.splitlines()[-1].split())
    # It was 0.5 MB a trial: 35 MB.
    assert at_the_end - after_ten < 7.0
