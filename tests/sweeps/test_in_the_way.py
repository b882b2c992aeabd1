"""Things in the place of a sweep's files: named, left where they are, and the other trials run."""

import os

import pandas
import pytest

from tests.sweeps import running
from tests.sweeps.config import make
from trainers.loop.files import remove
from trainers.sweeps import table as tables
from trainers.sweeps.grid import Grid
from trainers.sweeps.status import Status
from trainers.sweeps.store import Store
from trainers.sweeps.worker import Worker

SMALL = {"budgets": [1.0], "seeds": [0], "rates": [0.1, 1.0]}


@pytest.fixture
def store(results):
    return Store.create(results, Grid.of(make(**SMALL)))


IN_THE_WAY = {
    "a directory": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_is_in_the_place_of_a_result_is_named_and_the_others_are_run(store, kind):
    trials = store.grid.trials
    path = store.results / f"{trials[0].id}.json"
    IN_THE_WAY[kind](path)
    said = []
    Worker(store, import_program=True, say=said.append).work()  # It ends, and nothing is raised.
    status = Status.of(store)
    blocked = [trial.id for trial in trials if trials[0].id in sum(trial.candidates.values(), ())]
    assert set(status.unreadable) == {trials[0].id} and len(blocked) == 1
    assert list(status.blocked) == blocked
    assert len(status.done) == len(trials) - 2 == len(store.recorded())
    assert not status.complete and not status.missing and not status.torn and not status.running
    assert f"{path.name} cannot be read" in status.unreadable[trials[0].id]
    assert sum("left out" in line for line in said) == 1
    assert not store.attempts(trials[0].id).all()
    assert len(pandas.read_parquet(tables.write(store))) == len(status.done)
    # Nothing was moved; without it the same command goes on.
    assert os.path.lexists(path)
    remove(path)
    Worker(store, import_program=True).work()
    assert Status.of(store).complete


FILES = {
    "a file for the directory": ("", "a file"),
    "a directory for the lock": ("lock", "a directory"),
    "a lock that links to itself": ("lock", "a link to itself"),
    "a file for the attempts": ("attempts", "a file"),
    "attempts that link to themselves": ("attempts", "a link to itself"),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_in_the_place_of_a_trials_files_is_named_too(store, kind):
    where, what = FILES[kind]
    trial = store.grid.trials[0].id
    path = store.directory / "trials" / trial / where
    path.parent.mkdir(parents=True)
    (IN_THE_WAY | {"a file": lambda path: path.write_text("mine")})[what](path)
    Worker(store, import_program=True).work()
    status = Status.of(store)
    assert len(status.done) == len(store.grid.trials) - 2
    assert not status.complete and not status.running
    assert f"trials/{trial} cannot be used" in status.unreadable[trial]


def test_a_sweep_with_something_in_the_way_ends_with_1_and_says_what(results):
    grid = {**SMALL, "protocol": "shared", "rates": [0.1]}
    store = Store.create(results, Grid.of(make(**grid)))
    path = store.results / f"{store.grid.trials[0].id}.json"
    path.mkdir()
    out = running.run(results, "--workers=2", expected=1)
    assert "1 unreadable" in out and path.name in out
    assert "unreadable" in running.run(results, "--status", expected=1)
    path.rmdir()
    running.run(results)
