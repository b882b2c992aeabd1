"""What a sweep is said to cost: sums of what was measured, under names that tell what it is of."""

import contextlib
import io
import os
import pathlib
import re
import sys

import pytest
import rich.console

from tests.sweeps.config import make
from tests.sweeps.program import Logistic
from trainers.loop.records import Timing, Workload
from trainers.sweeps import contention, cost
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


@pytest.mark.parametrize(("workers", "together"), [(1, 1), (4, 4), (4, 2)])
def test_the_estimate_is_the_work_over_the_workers_and_what_each_does_first(workers, together):
    grid = Grid.of(make(protocol="shared", rates=[0.1]))
    costs = [
        cost.Cost(name, 4, TIMING, Workload(name, steps, {"val": 4}, epochs=4, runs=4))
        for name, steps in (("one", 1000), ("two", 9000))
    ]
    said = io.StringIO()
    console = rich.console.Console(file=said, width=200)
    cost.show(grid, grid.trials, costs, 12.0, 7.0, workers, together, console)
    minutes, seconds = map(int, re.search(r"\((\d+):(\d+)\) with", said.getvalue()).groups())
    longest = max(each.seconds / each.trials for each in costs)
    work = max(sum(each.seconds for each in costs) / together, longest)
    expected = work + max(12.0 / together, 2.0) + 7.0
    assert 60 * minutes + seconds == int(expected)
    assert ("of which 2 can train at the same time" in said.getvalue()) == (together < workers)


def busy():
    """Return the processes that train beside a measurement of this one."""
    mine = str(os.getpid())
    found = []
    for each in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (each / "stat").read_text().rpartition(")")[2].split()[1]
            if parent == mine and b"trainers.sweeps.contention" in (each / "cmdline").read_bytes():
                found.append(int(each.name))
    return found


@pytest.mark.parametrize("beside", [0, 2])
def test_other_trials_run_while_one_is_measured_and_no_longer(beside, monkeypatch):
    seen = []
    measure = Logistic.measure
    monkeypatch.setattr(
        Logistic,
        "measure",
        lambda self, config: (seen.append(len(busy())), measure(self, config))[1],
    )
    grid = Grid.of(make(protocol="shared", rates=[0.1]))
    costs, _, _ = cost.measure(grid, grid.trials, import_program=True, beside=beside)
    assert seen == [beside] * len(costs) and seen
    assert busy() == []


def test_another_process_that_cannot_measure_is_told_of():
    with (
        pytest.raises(ValueError, match=r"cannot be measured:[\s\S]*KeyError"),
        contention.others(
            2, "tests.sweeps.program:Logistic", [{"name": "lacks all"}], None, 1, True
        ) as wait,
    ):
        wait()
    assert busy() == []


def test_the_longest_trial_of_a_trace_is_measured(monkeypatch):
    seen = []
    measure = Logistic.measure
    monkeypatch.setattr(
        Logistic, "measure", lambda self, config: (seen.append(config), measure(self, config))[1]
    )
    grid = Grid.of(make(protocol="shared", rates=[0.1], budgets=[0.5, 1.0]))
    cost.measure(grid, grid.trials, import_program=True)
    assert [config["budget"] for config in seen] == [1.0]


def test_what_a_program_prints_is_no_message(tmp_path, monkeypatch):
    (tmp_path / "talking.py").write_text(
        "from tests.sweeps.program import Logistic\nprint('hello')\n"
        "class Talks(Logistic):\n"
        "    def measure(self, config):\n"
        "        print('x' * 10_000)\n"
        "        return super().measure(config)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    config = {**Grid.of(make(protocol="shared", rates=[0.1])).trials[0].config}
    with contention.others(1, "talking:Talks", [config], None, 1, True) as wait:
        wait()
        assert len(busy()) == 1
    assert busy() == []


def test_one_trial_takes_as_long_however_many_workers_there_are():
    grid = Grid.of(make(protocol="shared", rates=[0.1]))
    costs = [cost.Cost("one", 1, Timing(0.0, 1.0, {}), Workload("one", 3600, {}))]
    said = io.StringIO()
    console = rich.console.Console(file=said, width=200)
    cost.show(grid, grid.trials[:1], costs, 0.0, 0.0, 8, 8, console)
    assert "(1:00:00)" in said.getvalue()
