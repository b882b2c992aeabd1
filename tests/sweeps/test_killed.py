"""Two hundred trials, eight workers, sixty kills: each is recorded once, with the same bytes."""

import random
import sys
import time

import pytest

from tests.sweeps import running
from tests.sweeps.config import make
from trainers.sweeps.grid import Grid
from trainers.sweeps.pool import Pool
from trainers.sweeps.progress import View
from trainers.sweeps.store import Store

WORKERS, KILLS = 8, 60
GRID = {
    "rates": [0.01, 0.1, 1.0, 100.0],
    "settings": ["a"],
    "changes": {"a": {"epochs": 6}},
    "budgets": [0.1, 0.3, 0.5, 0.7, 1.0],
    "seeds": list(range(12)),
    "tuning_seeds": [100, 101],
}


@pytest.fixture(scope="module")
def alone(disk):
    """The results of one worker that nothing disturbs."""
    results = disk / "alone"
    running.run(results, grid=GRID)
    found = running.contents(results)
    assert len(found) == 200
    return found


def killed(results, seed, kills, grid, sleep):
    """Run a sweep, kill workers at random moments, and return how many were killed."""
    moments = random.Random(seed)
    done = 0
    with running.start(results, f"--workers={WORKERS}", grid=grid, sleep=sleep) as process:
        while process.poll() is None and done < kills:
            time.sleep(moments.uniform(0.0, 0.2))
            pids = running.children(process) if (results / "trials").exists() else []
            if pids:
                # Every third whoever it is, which may be one that only begins.
                at_work = sorted(set(pids) & running.at_work(results)) if done % 3 else []
                running.kill(moments.choice(at_work or pids))
                done += 1
        out, _ = process.communicate(timeout=running.PATIENCE)
    assert process.returncode == 0, out
    return done


def test_two_and_eight_workers_record_what_one_records(alone, results):
    for workers in (2, 8):
        running.run(results.parent / str(workers), f"--workers={workers}", grid=GRID)
        assert running.contents(results.parent / str(workers)) == alone
        assert set(running.starts(results.parent / str(workers)).values()) == {1}


def test_sixty_kills_lose_nothing_and_repeat_nothing(alone, results):
    assert killed(results, 0, KILLS, GRID, sleep=0.08) == KILLS, "over too soon: make it longer"
    assert running.contents(results) == alone
    ended = [entry["status"] for all in running.attempts(results).values() for entry in all]
    went_on = sum(timing["restarts"] > 0 for timing in running.timings(results))
    sys.stdout.write(f"{ended.count('vanished')} attempts vanished, {went_on} trials went on\n")
    assert ended.count("recorded") + ended.count("begun") >= 200
    # Of a busy machine's processes many are hit before they have begun a trial.
    assert ended.count("vanished") > KILLS // 20, "kills that hit nothing prove nothing"
    assert went_on > KILLS // 30
    assert "erred" not in ended


def test_two_pools_on_one_directory_share_the_work(alone, results):
    pools = [running.start(results, "--workers=3", grid=GRID, sleep=0.05) for _ in range(2)]
    for pool in pools:
        out, _ = pool.communicate(timeout=running.PATIENCE)
        assert pool.returncode == 0, out
    assert running.contents(results) == alone
    assert set(running.starts(results).values()) == {1}
    logs = {}
    for path in (results / "logs").glob("*.log"):
        pool = path.name.rpartition("-")[0]
        logs[pool] = logs.get(pool, "") + path.read_text()
    assert len(logs) == 2
    assert all("recorded" in said for said in logs.values())


def test_shards_of_two_machines_make_the_whole(alone, results):
    out = running.run(results, "--shard=0/2", grid=GRID)
    assert "one shard" in out
    assert len(running.contents(results)) == 100
    running.run(results, "--status", expected=1)
    running.run(results, "--shard=1/2")
    running.run(results, "--status")
    assert running.contents(results) == alone


def test_without_locks_trials_are_run_twice(results):
    """The negative control of the locks: the link still lets one result of each pass."""
    config = make(rates=[0.1], seeds=list(range(6)), budgets=[1.0])
    counts = {}
    for worker in ("trainers.sweeps.worker", "tests.sweeps.unlocked"):
        store = Store.create(results.parent / worker, Grid.of(config))
        pool = Pool(store, 4, import_program=True, worker=worker)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TOY_SLEEP", "0.05")
            assert pool.run(View(store.grid.trials, set())) == 0
        assert len(store.recorded()) == len(store.grid.trials)
        counts[worker] = max(running.starts(store.directory).values())
    assert counts["trainers.sweeps.worker"] == 1
    assert counts["tests.sweeps.unlocked"] > 1


@pytest.mark.slow
def test_a_program_that_forgets_its_velocity_ends_elsewhere(results):
    """The negative control of equal bytes: only what went on differs."""
    grid = {"changes": {"a": {"forget": True, "epochs": 40}}, "rates": [0.01], "budgets": [1.0]}
    running.run(results.parent / "alone", grid=grid)
    running.run(results.parent / "again", "--workers=2", grid=grid)
    assert running.contents(results.parent / "again") == running.contents(results.parent / "alone")
    killed(results.parent / "killed", 1, 12, grid, sleep=0.05)
    assert running.contents(results.parent / "killed") != running.contents(results.parent / "alone")
