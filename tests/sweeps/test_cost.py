"""What a sweep is said to cost: sums of what was measured, under names that tell what it is of."""

import io
import re

import pytest
import rich.console

from tests.sweeps.config import make
from trainers.loop.records import Timing, Workload
from trainers.sweeps import cost
from trainers.sweeps.grid import Grid

TIMING = Timing(trace=2.0, step=0.01, evaluations={"val": 0.5}, epoch=0.1, run=0.25)


def test_the_seconds_of_a_workload_are_worked_by_hand():
    workload = Workload("a", 100, {"val": 4}, epochs=10, runs=2)
    assert TIMING.of(workload) == pytest.approx(1.0 + 2.0 + 1.0 + 0.5)
    found = cost.Cost("a", 2, TIMING, workload)
    assert found.seconds == TIMING.of(workload)
    assert found.besides == pytest.approx((1.0 + 0.5) / 2)
    assert Timing(1.0, 0.5, {}).of(Workload("a", 4, {})) == 2.0


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d"], "4 settings"),
    ],
)
def test_a_label_names_few_and_counts_many(settings, label):
    grid = Grid.of(make(settings=settings, protocol="shared", rates=[0.1]))
    trials = list(grid.trials)
    assert cost._label(trials, grid.trials) == f"{label} float32 measurement"
    rex = [trial for trial in trials if trial.coordinates["schedule"] == "rex"]
    assert cost._label(rex, grid.trials) == f"{label} float32 rex measurement"


@pytest.mark.parametrize("workers", [1, 4])
def test_the_estimate_is_the_work_over_the_workers_and_what_each_does_first(workers):
    grid = Grid.of(make(protocol="shared", rates=[0.1]))
    costs = [
        cost.Cost(name, 4, TIMING, Workload(name, steps, {"val": 4}, epochs=4, runs=4))
        for name, steps in (("one", 1000), ("two", 9000))
    ]
    said = io.StringIO()
    console = rich.console.Console(file=said, width=200)
    cost.show(grid, grid.trials, costs, tracing=12.0, start=7.0, workers=workers, console=console)
    minutes, seconds = map(int, re.search(r"\((\d+):(\d+)\) with", said.getvalue()).groups())
    expected = sum(each.seconds for each in costs) / workers + max(12.0 / workers, 2.0) + 7.0
    assert 60 * minutes + seconds == int(expected)
