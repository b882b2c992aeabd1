"""What TensorBoard is told of a sweep: its table is that of the results, also when it has grown."""

from __future__ import annotations

import math
import shutil

import pytest

from tensorboard_plugins.schedules.leaderboard import leaderboard
from tensorboard_plugins.schedules.run_log import RunLog
from tests.sweeps import program
from tests.sweeps.config import make
from tests.tensorboard_plugins.reading import read_log
from trainers.sweeps.grid import MEASUREMENT, Grid
from trainers.sweeps.store import Store
from trainers.sweeps.worker import Worker

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Of TensorBoard's server.
SMALL = {"budgets": [1.0], "seeds": [0], "rates": [0.1, 1.0]}
GROWN = {
    "the choice stays": {"rates": [0.1, 1.0, 1000.0]},
    "twice": {"rates": [0.1, 1.0, 1000.0, 2000.0]},
    "more seeds": {"seeds": [0, 1]},
    "another choice": {"rates": [0.1, 1.0, 10.0]},
}


@pytest.fixture
def logging(monkeypatch):
    """Let the program log, as those of the trainers do."""
    inner = program.Logistic.run

    def run(self, config, logdir, place):
        record = inner(self, config, logdir, place)
        log = RunLog(logdir, {**place, "config": config}, record.steps, [], {})
        for epoch, row in enumerate(record.epochs, start=1):
            log.evaluation(row["step"], epoch, {k: v for k, v in row.items() if "_" in k})
        log.write_tables(record.status)
        log.close()
        return record

    monkeypatch.setattr(program.Logistic, "run", run)


def work(results, **changes):
    store = Store.create(results, Grid.of(make(**{**SMALL, **changes})))
    Worker(store, import_program=True).work()
    return store


@pytest.mark.parametrize("kind", GROWN)
def test_the_table_of_a_sweep_that_has_grown_is_that_of_its_results(kind, results, logging):
    changes = [{}, GROWN["the choice stays"]] if kind == "twice" else [{}]
    for each in [*changes, GROWN[kind]]:
        store = work(results, **each)
    trials = [trial for trial in store.grid.trials if trial.phase == MEASUREMENT]
    taken = [store.result(trial.id).timing["taken_over"] for trial in trials]
    assert any(taken) == (kind in ("the choice stays", "twice"))
    log = read_log(results)
    assert log.warnings == ()
    plan = log.sweeps[store.grid.name]
    assert [trial for cell in plan["cells"] for trial in cell["trials"]] == [t.id for t in trials]
    found = leaderboard(log, store.grid.name, store.grid.metric(MEASUREMENT))
    cells = [cell for row in found["rows"] for cell in row["cells"]]
    values = sorted(value for cell in cells for value in cell["values"])
    expected = [store.result(trial.id).record.value(found["metric"]) for trial in trials]
    assert len(values) == len(trials) and all(map(math.isfinite, values))
    assert values == pytest.approx(sorted(expected), rel=1e-12)


def test_of_two_plans_of_one_sweep_the_larger_one_counts(results, logging):
    work(results)
    shutil.copytree(results, results.parent / "zzz_copy")  # Its name comes last.
    store = work(results, seeds=[0, 1])
    log = read_log(results.parent)
    (plan,) = log.sweeps.values()
    assert sum(len(cell["trials"]) for cell in plan["cells"]) == sum(
        trial.phase == MEASUREMENT for trial in store.grid.trials
    )
    said = {(warned.run, warned.what) for warned in log.warnings}
    assert ("zzz_copy/board", "twice") in said
