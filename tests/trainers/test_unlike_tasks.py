"""Tasks that are unlike image classification have all that it has, in a file each."""

from __future__ import annotations

import ast
import dataclasses
import os
import pathlib
import signal
import time

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import tensorflow as tf

from configs.sweeps.base import setting, sweep
from tests.trainers.forks import end_of, started
from tests.trainers.unlike import masked, program, sequence
from tests.trainers.unlike.program import TASKS, values
from trainers import report
from trainers.loop.state import snapshot
from trainers.options.flags import config_dict_of
from trainers.sweeps import programs
from trainers.sweeps.grid import Grid
from trainers.sweeps.store import Store
from trainers.sweeps.worker import Worker
from trainers.tasks.configured import experiment

FOLDER = pathlib.Path(program.__file__).parent
# None of rate, momentum, bits and dtype by schedule: what is checked by formulas.
PLAIN = {"precision_schedule": "none", "policies": [], "policy_lengths": []}


def train(name, logdir, **changes):
    run = experiment(TASKS[name].of(values(name, **changes)), logdir)
    return run, run.run()


@pytest.mark.parametrize("name", TASKS)
def test_a_family_is_a_short_file(name):
    """Beyond model and data, which it would need anywhere, a task is at most 60 lines."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    (task,) = (node for node in tree.body if getattr(node, "name", "") == TASKS[name].__name__)
    network = next(node for node in task.body if getattr(node, "name", "") == "network")
    own = (task.end_lineno - task.lineno + 1) - (network.end_lineno - network.lineno + 1)
    assert own <= 60


# One of each in the ordinary tests: the others show the same, and take a minute.
ONE_KILLED = ["sequence", *(pytest.param(n, marks=pytest.mark.slow) for n in ("masked", "ranked"))]
ONE_SWEPT = ["ranked", *(pytest.param(n, marks=pytest.mark.slow) for n in ("masked", "sequence"))]


@pytest.mark.parametrize("name", ONE_KILLED)
def test_killed_and_continued_they_end_with_the_same_bits(name, tmp_path):
    whole, _ = started(program.main, name, tmp_path / "whole")
    began = []
    for number in range(2):
        fork, step = started(program.main, name, tmp_path / "killed")
        began.append(step)
        while not list((tmp_path / "killed").glob(f"*/*/checkpoints/step_{step + 7:06d}*")):
            steps = [int(p.name[5:]) for p in tmp_path.glob("killed/*/*/checkpoints/step_*")]
            if max(steps, default=0) > step or not fork.process.is_alive():
                break
            time.sleep(0.01)
        os.kill(fork.process.pid, signal.SIGKILL if number else signal.SIGTERM)
        assert fork.wait()[0] in (-signal.SIGKILL, 128 + signal.SIGTERM)
    last, step = started(program.main, name, tmp_path / "killed")
    assert last.wait()[0] == whole.wait()[0] == 0
    assert began[0] == 0 < began[1] < step
    arrays, record = end_of(tmp_path / "killed")
    expected, other = end_of(tmp_path / "whole")
    assert record.restarts == 2
    assert record.epochs == other.epochs
    assert arrays.keys() == expected.keys()
    assert [key for key in arrays if arrays[key].tobytes() != expected[key].tobytes()] == []
    assert {"learning_rate", "momentum", "weight_bits"} <= record.final.keys()
    assert record.steps == 6 * 12  # half of the twelve epochs
    assert 0.0 < record.cost["quantized_layers"]["relative_to_fp32"] < 1.0


GOALS = {
    "masked": ("kind_accuracy", "max"),
    "sequence": ("perplexity", "min"),
    "ranked": ("matthews", "max"),
}


@pytest.mark.parametrize("name", ONE_SWEPT)
def test_they_are_swept_and_reported(name, tmp_path, capsys):
    """Schedules, momentum and precision are axes; the learning rate is tuned on validation data."""
    goal, mode = GOALS[name]
    base = config_dict_of(TASKS[name].options, values(name, **PLAIN))
    changes = {"REX": {"schedule": "rex"}, "Linear": {"schedule": "linear"}}
    bits = {"precision_schedule": "cr", "bits_min": 4, "cycles": 2}
    grid = Grid.of(
        sweep(
            name,
            settings={name: setting(base, [0.03, 0.1])},
            schedules=changes,
            precisions={"float32": {}, "CR": bits} if name == "masked" else None,
            budgets=[0.25],
            seeds=[0, 1],
            tuning_seeds=[100],
            goal=goal,
            goal_mode=mode,
            program=f"{TASKS[name].__module__}:{TASKS[name].__name__}",
        )
    )
    with pytest.raises(ValueError, match="--import_program"):
        programs.load(grid.program, None, 0)
    grid = dataclasses.replace(grid, threads=0)  # This process computes already.
    store = Store.create(tmp_path / "sweep", grid)
    worker = Worker(store, import_program=True)
    worker.work()
    assert worker.erred == 0
    results = [store.result(trial.id) for trial in grid.trials]
    assert all(result.status == "finished" for result in results)
    for trial, result in zip(grid.trials, results, strict=True):
        evaluation = {"tuning": "val", "measurement": "test"}[trial.phase]
        assert result.value == result.record.final[f"{evaluation}_{goal}"]
    assert report.main([str(tmp_path / "sweep"), "--format=md"]) == 0
    said = capsys.readouterr().out
    assert "REX" in said and "Linear" in said
    shown = {"masked": "kind accuracy (%)", "sequence": "perplexity", "ranked": "MCC"}[name]
    assert shown in said


def test_the_state_of_a_sequence_is_its_own(tmp_path):
    """The negative control: with the state forgotten, the same weights foretell worse."""
    changes = {**PLAIN, "epochs": 60, "learning_rate": 0.3}
    run, record = train("sequence", tmp_path, **changes)
    assert record.final["val_perplexity"] < 4.0
    assert record.final["val_perplexity"] == pytest.approx(np.exp(record.final["val_loss"]))
    batches = list(sequence.batches(100, 0).take(8))

    def loss(forgets):
        found = []
        for batch in batches:
            begins = tf.ones_like(batch["begins"]) if forgets else batch["begins"]
            made = run.task.forward(run.model, {**batch, "begins": begins}, "val")
            found.append(made.losses["cross_entropy"].numpy().mean())
        return np.mean(found)

    assert loss(forgets=False) == pytest.approx(record.final["val_loss"], rel=1e-4)
    assert loss(forgets=True) > 1.5 * loss(forgets=False)


def test_an_evaluation_at_the_end_only_is_there_at_the_end_only(tmp_path):
    _, record = train("sequence", tmp_path, **PLAIN)
    assert ["test_loss" in row for row in record.epochs] == [False] * 5 + [True]
    assert all("val_perplexity" in row for row in record.epochs)
    assert record.best["val_perplexity"] == min(row["val_perplexity"] for row in record.epochs)


def test_what_people_look_at_is_in_the_right_run(tmp_path):
    run, _ = train("sequence", tmp_path, **PLAIN)
    folders = sorted(run.plan.directory.glob("artefacts/*"))
    assert [folder.name for folder in folders] == ["epoch_00004", "epoch_00006"]
    image = tf.io.decode_png((folders[-1] / "state.png").read_bytes()).numpy()
    np.testing.assert_array_equal(image, run.task.artefacts(run.model, 5)["state"])
    assert (folders[-1] / "words.txt").read_text() == "after epoch 5"
    assert run.plan.directory.name.startswith("rex-demon-b0.5-s0-")


def test_losses_are_weighted_means_over_all_that_counts(tmp_path):
    run, record = train("masked", tmp_path, **PLAIN)
    level, kind = masked.weighted_means(run.model, run.task.evaluations["val"].data())
    assert record.final["val_level"] == pytest.approx(level, rel=1e-5)
    assert record.final["val_kind"] == pytest.approx(kind, rel=1e-5)
    assert record.final["val_loss"] == pytest.approx(level + kind, rel=1e-5)
    assert record.epochs[0]["loss"] > record.final["loss"]


def test_a_metric_of_the_whole_set_is_that_of_its_library(tmp_path):
    run, record = train("ranked", tmp_path, **PLAIN)
    found, score = [], []
    for x, each in run.task.evaluations["val"].data():
        found.append(run.model(x, training=False).numpy()[:, 0])
        score.append(each.numpy())
    found, score = np.concatenate(found), np.concatenate(score)
    assert len(found) == 100
    expected = sklearn.metrics.matthews_corrcoef(score > 0, found > 0)
    assert record.final["val_matthews"] == pytest.approx(expected, abs=1e-6)
    assert record.final["val_spearman"] == pytest.approx(scipy.stats.spearmanr(found, score)[0])
    halves = [
        sklearn.metrics.matthews_corrcoef(score[part] > 0, found[part] > 0)
        for part in (slice(None, 32), slice(32, None))
    ]
    assert record.final["val_matthews"] != pytest.approx(np.mean(halves), abs=1e-6)
    assert record.metrics["matthews"]["printed"] == "MCC"
    assert record.best["val_matthews"] == max(row["val_matthews"] for row in record.epochs)


def test_snapshots_hold_the_state_of_the_sequence(tmp_path):
    run, _ = train("sequence", tmp_path, **PLAIN)
    held = snapshot(run.compiled.variables).values()
    state = run.model.states[0].numpy()
    assert np.abs(state).max() > 0.0
    assert any(each.shape == state.shape and np.array_equal(each, state) for each in held)


class Annealed(masked.Masked):
    """Reads an option while the step is traced that trials with one trace differ in."""

    def forward(self, model, batch, evaluation):
        made = super().forward(model, batch, evaluation)
        if evaluation is None:
            level, weights = made.losses["level"]
            scale = self.config.training.budget
            made = dataclasses.replace(
                made, losses={**made.losses, "level": (scale * level, weights)}
            )
        return made


class Scaled(masked.Masked):
    """Reads one that is part of the trace."""

    def forward(self, model, batch, evaluation):
        assert self.config.training.batch_size == batch_size
        return super().forward(model, batch, evaluation)


batch_size = values("scaled")["batch_size"]


def test_what_trials_share_does_not_stay_in_the_step(tmp_path):
    """Else a sweep would train the second trial with the budget of the first."""
    task = Annealed.of(values("annealed", **PLAIN))
    with pytest.raises(ValueError, match="`budget` must not be read while a step is traced"):
        experiment(task, tmp_path).run()
    assert task.config.training.budget == 0.5  # It can be read before and after.
    task = Scaled.of(values("scaled", **PLAIN))
    assert experiment(task, tmp_path).run().status == "finished"


def test_data_that_end_are_told_of(tmp_path):
    class Ends(masked.Masked):
        def train(self, step):
            return super().train(step).take(30)

    with pytest.raises(ValueError, match=r"must give endless batches.*near data step 3\d of 72"):
        experiment(Ends.of(values("ends", **PLAIN)), tmp_path).run()


def test_what_is_no_forward_is_told_of(tmp_path):
    class Tensor(masked.Masked):
        def forward(self, model, batch, evaluation):
            return tf.zeros([3])

    with pytest.raises(TypeError, match=r"must return a `Forward`\. Received: a"):
        experiment(Tensor.of(values("tensor", **PLAIN)), tmp_path).run()
