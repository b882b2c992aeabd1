"""The command: its exit codes, its status, trials that fail, and that it ends and goes on."""

import contextlib
import io
import json
import os
import pathlib
import re
import runpy
import shutil
import signal
import subprocess
import sys

import pandas
import pytest
import rich.console

from tests.sweeps import running
from tests.sweeps.config import make
from trainers.loop.progress import clock, counted
from trainers.sweeps import pool as pools
from trainers.sweeps import programs, progress
from trainers.sweeps.grid import Grid
from trainers.sweeps.pool import Pool
from trainers.sweeps.progress import View
from trainers.sweeps.status import Status
from trainers.sweeps.store import Store
from trainers.sweeps.worker import DataError, Worker

SMALL = {"budgets": [1.0], "seeds": [0]}
SHARED = {**SMALL, "protocol": "shared", "rates": [0.1]}


def with_trouble(trouble, **more):
    return {
        **SHARED,
        "settings": ["fine", "troubled"],
        "changes": {"troubled": {"trouble": trouble}},
        **more,
    }


def test_nothing_heavy_is_imported_by_the_pool_or_by_a_worker():
    code = (
        "import sys, trainers.sweep, trainers.sweeps.worker;"
        "print([m for m in ('tensorflow', 'keras', 'pandas', 'ray') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=running.ROOT)
    assert said.stdout.decode().splitlines()[-1] == "[]", said.stderr


def test_three_errors_put_a_trial_in_quarantine_until_it_is_forgiven(results):
    grid = with_trouble("raise until told")
    out = running.run(results, "--workers=2", grid=grid, expected=1)
    assert "2 quarantined" in out
    assert "3 attempts erred" in out
    attempts = running.attempts(results)
    bad = [trial for trial, entries in attempts.items() if len(entries) == 3]
    assert len(bad) == 2 and len(attempts) == 4
    for trial in bad:
        assert [entry["status"] for entry in attempts[trial]] == ["erred"] * 3
        assert "in _trouble" in attempts[trial][2]["traceback"]
        assert f"RuntimeError: told to fail in {trial}" in out
        for folder in (results / "trials" / trial).glob("*-measurement"):
            (folder / "told").touch()
    # Alone, the same command does not try them again, and says the same.
    out = running.run(results, grid=grid, expected=1)
    assert "2 quarantined" in out
    assert running.attempts(results) == attempts
    # The status needs no configuration.
    assert "troubled linear" in running.run(results, "--status", expected=1)
    out = running.run(results, "--retry_quarantined")
    assert "quarantined" not in out.replace("┃ quarantined ┃", "")
    for trial in bad:
        ended = [entry["status"] for entry in running.attempts(results)[trial]]
        assert ended == ["erred"] * 3 + ["forgiven", "recorded"]
    running.run(results, "--status")
    table = pandas.read_parquet(results / "results.parquet")
    assert len(table) == 4 and set(table["status"]) == {"finished"}


def test_one_error_is_tried_again_and_leaves_no_trace_in_the_result(results):
    running.run(results, grid=with_trouble("raise once"))
    ended = sorted(
        tuple(entry["status"] for entry in entries)
        for entries in running.attempts(results).values()
    )
    assert ended == [("erred", "recorded")] * 2 + [("recorded",)] * 2


def test_a_measurement_whose_candidate_is_in_quarantine_is_blocked(results):
    grid = {**with_trouble("exit"), "protocol": "tuned", "rates": [0.1, 1.0]}
    out = running.run(results, "--workers=2", grid=grid, expected=1)
    assert "4 quarantined" in out
    assert "2 blocked" in out
    assert "waits for 2 in quarantine" in out
    assert "SystemExit: 5" in out
    status = Status.of(Store.open(results))
    assert (len(status.done), len(status.quarantined), len(status.blocked)) == (6, 4, 2)
    assert not status.missing and not status.running
    assert not status.blocked.keys() & running.starts(results).keys()


def test_ten_disappearances_put_a_trial_in_quarantine(results):
    grid = with_trouble("kill", schedules={"linear": {"schedule": "linear"}})
    out = running.run(results, grid=grid, expected=1)
    assert "1 quarantined" in out
    assert "10 attempts vanished" in out
    assert "killed 10 times" in out
    assert out.count("was killed by signal 9: another one is started") == 10
    assert sorted(map(len, running.attempts(results).values())) == [1, 10]


def test_a_program_that_cannot_begin_stops_the_pool_with_its_log(results):
    early = running.run(results, "--data_dir=/missing", grid=SHARED, expected=2)
    assert "no data in /missing" in early and not results.exists()
    Store.create(results, Grid.of(make(**SHARED)))  # It could begin once.
    out = running.run(results, "--workers=2", "--data_dir=/missing", grid=SHARED, expected=1)
    assert "ended with code 1 before it began a trial" in out
    assert "FileNotFoundError: no data in /missing" in out
    assert not running.attempts(results)
    running.run(results)


@pytest.mark.parametrize("flags", [[], ["--dry_run"], ["--engine=inline"]], ids=str)
def test_missing_data_are_refused_at_once_with_what_fetches_them(flags, results, tmp_path):
    """Nothing is downloaded, and a folder that was given to be read stays as it is."""
    path = tmp_path / "fashion.py"
    path.write_text(FASHION_SWEEP)
    data = tmp_path / "data"
    data.mkdir()
    given = [f"--config={path}", f"--results={results}", f"--data_dir={data}", *flags]
    said = subprocess.run(
        [sys.executable, "-m", "trainers.sweep", *given],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
        timeout=running.PATIENCE,
    )
    assert said.returncode == 2
    fetch = f"python -m trainers.fetch fashion_mnist --data_dir={data}"
    said = said.stderr.strip()
    assert f"or download it: {fetch}. Without a download works --dataset=digits, and" in said
    assert not results.exists() and not list(data.iterdir())
    # The sweep is there already, and its data are gone.
    sweep = runpy.run_path(str(path))["get_config"]()
    if not flags:  # Of what is done, or is another machine's, nothing need be here.
        programs.verify(Grid.of(sweep), data_dir=str(data))
        with pytest.raises(ValueError, match=r"trainers\.fetch fashion_mnist"):
            programs.verify(Grid.of(sweep), data_dir=str(data), data_of=Grid.of(sweep).trials)
    store = Store.create(results, Grid.of(sweep))
    with pytest.raises(DataError, match=r"trainers\.fetch fashion_mnist"):
        Worker(store, data_dir=str(data)).work()
    assert not running.attempts(results) and not list(data.iterdir())


FASHION_SWEEP = """
from configs import base
from configs.sweeps.base import setting, sweep


def get_config():
    fashion = base.setting(name="fashion", dataset="fashion_mnist", model="cnn3", epochs=1)
    return sweep(
        "fashion",
        settings={"fashion": setting(fashion, [0.1])},
        schedules={"REX": {"schedule": "rex"}},
        budgets=(1.0,),
        seeds=(0,),
        protocol="shared",
        threads=0,
    )
"""


def test_nothing_but_errors_stops_the_pool(results, monkeypatch):
    monkeypatch.setattr(pools, "_MOST_ERRORS", 4)
    store = Store.create(
        results, Grid.of(make(**{**with_trouble("raise"), "settings": ["troubled"]}))
    )
    pool = Pool(store, 1, import_program=True)
    assert pool.run(View(store.grid.trials, set())) == 0
    assert "4 attempts erred, and none was recorded" in pool.trouble
    assert "RuntimeError: told to fail" in pool.trouble
    assert sum(map(len, running.attempts(results).values())) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_saves_ends_with_143_and_goes_on(results, number):
    grid = {**SHARED, "changes": {"a": {"epochs": 60}}, "seeds": [0, 1]}
    with running.start(results, "--workers=2", grid=grid, sleep=0.1) as process:
        running.wait_for(lambda: list(results.glob("trials/*/*/checkpoint.json")))
        workers = running.children(process)
        if number == signal.SIGTERM:  # As a scheduler does, to every process at once.
            for pid in workers:
                running.kill(pid, number)
        process.send_signal(number)
        out, _ = process.communicate(timeout=running.PATIENCE)
    assert process.returncode == 143, out
    assert "Asked to end: trials that run save what they have" in out
    assert len(workers) == 2
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers)
    ended = [entry["status"] for all in running.attempts(results).values() for entry in all]
    assert set(ended) <= {"asked to end", "recorded"} and "asked to end" in ended
    saved = [json.loads(path.read_text())["step"] for path in results.glob("trials/*/*/c*.json")]
    assert saved and all(step > 0 for step in saved)
    running.run(results, "--workers=2")
    running.run(results.parent / "alone", grid=grid)
    assert running.contents(results) == running.contents(results.parent / "alone")
    assert max(timing["restarts"] for timing in running.timings(results)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_others_ends_with_143_or_130(results, number):
    """It holds no trial, and nothing catches the signal but itself."""
    store = Store.create(results, Grid.of(make(**SHARED)))
    with contextlib.ExitStack() as held:
        for trial in store.grid.trials:
            held.enter_context(store.claim(trial.id))
        flags = [f"--results={results}", "--import_program"]
        with subprocess.Popen(
            [sys.executable, "-m", "trainers.sweeps.worker", *flags], cwd=running.ROOT
        ) as worker:
            # Before it handles signals they end it, or are lost if whoever started us ignores them.
            running.wait_for(lambda: _handles(worker.pid, number))
            worker.send_signal(number)
            assert worker.wait(running.PATIENCE) == 128 + number


def _handles(pid, number):
    """Return whether a process handles a request to end: of SIGTERM nobody but a worker does.

    It handles SIGTERM last.
    """
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    caught = int(re.search(r"SigCgt:\s*(\w+)", text)[1], 16)
    return all(caught >> (each - 1) & 1 for each in (number, signal.SIGTERM))


def test_signals_that_come_together_ask_once(results, monkeypatch):
    """As when a terminal and a scheduler both tell the pool: the workers are asked, not killed."""
    now = [100.0]
    monkeypatch.setattr(pools.time, "monotonic", lambda: now[0])
    pool = Pool(Store.create(results, Grid.of(make(**SHARED))), 1)
    for moment, asked in ((100.0, 1), (100.1, 1), (101.9, 1), (102.1, 2)):
        now[0] = moment
        pool._ask(signal.SIGTERM)
        assert pool._asked == asked


def test_the_status_writes_nothing(results):
    store = Store.create(results, Grid.of(make(**SHARED)))
    before = sorted(results.rglob("*"))
    running.run(results, "--status", expected=1)
    assert sorted(results.rglob("*")) == before
    shutil.rmtree(store.results)  # As in a sweep whose grid was frozen this moment.
    assert "missing" in running.run(results, "--status", expected=1)


def test_the_time_left_is_what_trials_like_those_left_have_taken(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = rich.console.Console(file=io.StringIO(), width=100)
    grid = {**SHARED, "changes": {"b": {"epochs": 40}}}
    trials = Grid.of(make(**grid, settings=("a", "b", "c"))).trials
    taken = {t.id: {"a": 2.0, "b": 0.5}[t.coordinates["setting"]] * t.epochs for t in trials[:4]}
    view = View(trials, {trials[0].id}, console=console, taken=taken.get)

    def shown(count, workers):
        now[0] += 100.0  # However long ago it is: it may have been started again.
        view.update({trial.id for trial in trials[:count]}, workers)
        return console.file.getvalue().splitlines()[-1].rpartition("  ")[2]

    assert shown(0, 2) == "time left unknown"
    first = [t.coordinates["setting"] for t in trials[:1]]
    assert first == ["a"]
    everything = 2.0 * sum(trial.epochs for trial in trials[1:])
    assert shown(1, 2) == f"about {progress.clock(everything / 2)} left"
    known = [trial.coordinates["setting"] for trial in trials[:4]]
    spent = {
        name: (sum(taken[t.id] for t in trials[:4] if t.coordinates["setting"] == name))
        for name in set(known)
    }
    each = sum(spent.values()) / sum(t.epochs for t in trials[:4])
    rate = {"a": 2.0, "b": 0.5 if "b" in known else each, "c": each}
    left = sum(rate[t.coordinates["setting"]] * t.epochs for t in trials[4:])
    assert shown(4, 1) == f"about {progress.clock(left)} left"
    longest = rate[trials[-1].coordinates["setting"]] * trials[-1].epochs
    assert shown(len(trials) - 1, 8) == f"about {progress.clock(longest)} left"
    assert shown(len(trials), 1) == "done"


def test_workers_die_with_a_pool_that_is_killed(results):
    grid = {**SHARED, "changes": {"a": {"epochs": 60_000}}}
    with running.start(results, "--workers=2", grid=grid, sleep=0.1) as process:
        running.wait_for(lambda: list(results.glob("trials/*/*/checkpoint.json")))
        workers = running.children(process)
        process.kill()
        process.communicate()
    running.wait_for(lambda: not any(alive(pid) for pid in workers))
    # A process is a zombie while its other threads still hold what it has open.
    running.wait_for(lambda: not Status.of(Store.open(results)).running)
    status = Status.of(Store.open(results))
    assert len(status.missing) == len(status.trials)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_dry_run_says_what_it_costs_and_writes_nothing(results):
    out = running.run(results, "--dry_run", "--workers=2", grid={"settings": ["a", "b"]})
    # 2 settings x 2 schedules x 2 budgets, each of 2 rates and 2 seeds; an epoch is 5 steps.
    assert "32 trials (16 tuning, 16 measurement), 2 traces" in out
    # 16 trials of 3 epochs on average: 240 steps of 10 ms and 48 evaluations, of 0.5 s and of 1 s.
    assert "val 0.50 s" in out and "test 1.00 s" in out
    assert "240" in out and "0:26" in out and "0:50" in out
    seconds = (480 * 0.01 + 48 * 0.5 + 48 * 1.0) / 2 + 0.25
    shown = re.search(r"hours \((\d+):(\d+)\) with 2 workers of 1 thread", out)
    minutes, left = map(int, shown.groups())
    # And what a worker takes to start.
    assert seconds < 60 * minutes + left + 1 < seconds + 30
    assert "with 1 worker of" in running.run(results, "--dry_run", grid={"settings": ["a"]})
    assert not results.exists()


def test_a_dry_run_counts_what_is_done_and_refuses_another_sweep(results):
    running.run(results, grid=SHARED)
    before = running.contents(results)
    out = running.run(results, "--dry_run", grid=SHARED)
    assert "2 of 2 trials are recorded" in out and "what it takes here" not in out
    out = running.run(results, "--dry_run", grid={**SHARED, "seeds": [0, 1, 2]})
    assert "2 of 6 trials are recorded" in out and "4 trials (4 measurement)" in out
    changed = {**SHARED, "goal": "loss", "goal_mode": "min"}
    assert "is another sweep" in running.run(results, "--dry_run", grid=changed, expected=2)
    assert running.contents(results) == before
    assert not (results / "grid-2.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "grid", "said"),
    [
        (["--workers=0"], SHARED, "`workers` must be at least 1"),
        (["--shard=2/2"], SHARED, "A part must be I/N"),
        (["--shard=a"], SHARED, "A part must be I/N"),
        (["--engine=abacus"], SHARED, "--engine=abacus"),
        (["--engine_options=x"], SHARED, "key=value"),
        (["--engine_options=x=1"], SHARED, "must be empty for local"),
        (["--unknown=1"], SHARED, "Unknown command line flag"),
        (["and", "more"], SHARED, "Unknown arguments: and more"),
        ([], None, "no grid.jsonl"),
        (["--config=missing.py"], None, "missing.py"),
        (["--status", "--dry_run"], SHARED, "Only one of --status"),
        (["--status", "--retry_quarantined"], None, "Only one of --status"),
        (["--dry_run", "--shard=5/8"], SHARED, "A shard must have trials"),
        (["--status"], None, "no grid.jsonl"),
        ([], {**SHARED, "goal": "f1"}, "`goal` must be one of accuracy, loss. Received: goal='f1'"),
        ([], {**SHARED, "goal": "loss"}, "`goal_mode` must be 'min' for such a goal"),
        ([], {**SHARED, "goal_mode": "min"}, "`goal_mode` must be 'max' for such a goal"),
        ([], {**SHARED, "goal_mode": "maximum"}, "`goal_mode` must be one of max, min"),
        ([], {**SHARED, "goal": "val_accuracy"}, "without the name of an evaluation"),
        ([], {**SHARED, "protocol": "best"}, "`protocol` must be one of"),
        ([], {**SHARED, "changes": {"a": {"colour": 1}}}, "colour"),
        ([], {**SHARED, "budgets": [5, 20]}, "5 % is 0.05. Received: budgets=[5, 20]"),
        ([], {**SHARED, "settings": {}}, "`settings` must have at least one entry"),
        (
            [],
            {**SHARED, "program": "tests.sweeps.program:Missing"},
            "`program` must be a class that can",
        ),
        ([], {**SHARED, "program": "classify"}, "`program` must be the name of a task"),
        ([], {**SHARED, "program": "tests/x.py:A"}, "`program` must be the name of a task"),
        ([], {**SHARED, "schedules": {"x": {"unknown": 1}}}, "`config` must have the keys"),
    ],
)
def test_bad_usage_ends_with_2_and_makes_nothing(results, flags, grid, said):
    assert said in running.run(results, *flags, grid=grid, expected=2)
    assert not results.exists()


def test_a_changed_grid_ends_with_2(results):
    running.run(results, grid=SHARED)
    before = running.contents(results)
    out = running.run(results, grid={**SHARED, "seeds": [5]}, expected=2)
    assert "is another sweep" in out
    assert running.contents(results) == before


def test_complete_it_has_nothing_to_do(results):
    running.run(results, grid=SHARED)
    modified = {path: os.stat(path).st_mtime_ns for path in (results / "results").iterdir()}
    running.run(results, grid=SHARED)
    assert modified == {path: os.stat(path).st_mtime_ns for path in (results / "results").iterdir()}


def test_looking_over_ten_times_the_trials_takes_ten_times_the_calls(results):
    """Counted, as a busy machine tells no time: nothing is called for each pair of trials."""
    calls = {}
    for seeds in (100, 1000):
        sweep = make(**{**SHARED, "seeds": list(range(seeds))})
        store = Store.create(results.parent / str(seeds), Grid.of(sweep))
        calls[seeds] = 0

        def count(frame, event, argument, seeds=seeds):
            calls[seeds] += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            status = Status.of(Store.open(store.directory))
        finally:
            sys.setprofile(None)
        assert len(status.missing) == 2 * seeds
    assert calls[1000] < 11.0 * calls[100]


@pytest.mark.parametrize("seconds", [-0.5, -3.0, -3600.0])
def test_no_time_is_negative(seconds):
    assert clock(seconds) == "0:00"
    assert (clock(59.9), clock(61), clock(3661)) == ("0:59", "1:01", "1:01:01")


def test_what_is_counted_agrees_with_its_number():
    assert (counted(0, "worker"), counted(1, "worker"), counted(2, "worker")) == (
        "0 workers",
        "1 worker",
        "2 workers",
    )
