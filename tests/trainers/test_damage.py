"""A run directory that was damaged: the right state, or an error that says so; never another state.

Each damage is done to a copy of a run of the toy, which is then gone on from as the loop does it.
"""

from __future__ import annotations

import collections
import itertools
import json
import os
import random
import shutil

import numpy as np
import pytest

from tests.trainers import toy
from trainers.loop import checkpoints, experiment, files, records
from trainers.loop.checkpoints import CheckpointError
from trainers.loop.records import RecordError
from trainers.loop.state import snapshot


class Run:
    """A run of the toy that is over, and an experiment that can go on from copies of it."""

    starts_twice = True

    def __init__(self, logdir):
        made = experiment.Experiment(toy.Toy(2), toy.plan(logdir, 2, steps_per_checkpoint=43))
        self.record = made.run()
        self.made = made
        self.directory = made.plan.directory
        self.whole = self.directory.with_name("whole")
        self.directory.rename(self.whole)
        self.steps = sorted(
            int(path.name[5:]) for path in (self.whole / "checkpoints").glob("step_*")
        )
        held = checkpoints.Checkpoints(self.whole / "checkpoints")
        self.states = {step: checkpoints._read(path, step) for step, path in held._steps()}

    def copy(self):
        if self.directory.exists():
            shutil.rmtree(self.directory)
        shutil.copytree(self.whole, self.directory, symlinks=True)

    def go_on(self):
        """Do what a start does, and say what came of it."""
        files.clear(self.directory)
        said = [self._recorded(), self._resumed()]
        records.note_start(self.directory / "starts.jsonl", {"step": 0})
        if not self.starts_twice:
            return said
        try:  # The second start finds what the first has left.
            again = self.made._checkpoints.latest()
            assert said[1] in (getattr(again, "step", "none"), "WRONG")
        except CheckpointError:
            assert said[1] in ("error", "WRONG")
        return said

    def _recorded(self):
        try:
            found = records.read(self.directory / "record.json")
        except RecordError:
            return "error"
        return "none" if found is None else "right" if found == self.record else "WRONG"

    def _resumed(self):
        made = self.made
        made._saved_at, made.history, made.seconds = None, [], {}
        for name, variable in made.compiled.variables.items():
            variable.assign(np.zeros_like(self.states[100].arrays[name]))
        try:
            made._resume()
        except CheckpointError:
            return "error"
        if made._saved_at is None:
            return "none"
        right = self.states[made._saved_at]
        now = snapshot(made.compiled.variables)
        is_right = (
            made.step == made._saved_at
            and now.keys() == right.arrays.keys()
            and all(now[name].tobytes() == right.arrays[name].tobytes() for name in now)
            and made.history == right.state.history
            and made.seconds == right.state.seconds
            and made.compiled.means.get_state() == right.state.means
        )
        return made._saved_at if is_right else "WRONG"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run(tmp_path_factory.mktemp("damaged"))


# --- kinds of damage ------------------------------------------------------------------------------


def flip(choice, path):
    data = bytearray(path.read_bytes())
    if data:
        data[choice.randrange(len(data))] ^= 1 << choice.randrange(8)
    path.write_bytes(data)


def truncate(choice, path):
    data = path.read_bytes()
    path.write_bytes(data[: choice.randrange(len(data) or 1)])


def empty(choice, path):
    path.write_bytes(b"")


def delete(choice, path):
    path.unlink()


def lengthen(choice, path):
    path.write_bytes(path.read_bytes() + choice.randbytes(choice.randrange(1, 40)))


def make_directory(choice, path):
    path.unlink()
    path.mkdir()


def make_link(choice, path):
    path.unlink()
    path.symlink_to("nothing")


def garble(choice, path):
    """Put another value in the place of one."""
    whole = json.loads(
        path.read_text().splitlines()[0] if path.suffix == ".jsonl" else path.read_text()
    )
    values = [None, True, 0, -1, 1, 10**30, 0.5, "", "step", [], {}, [1], {"a": 1}, float("nan")]
    if choice.random() < 0.2:
        path.write_text(json.dumps(choice.choice(values)))
        return
    place, key = whole, None
    while isinstance(place, dict | list) and place and (key is None or choice.random() < 0.7):
        parent, key = (
            place,
            choice.choice(list(place) if isinstance(place, dict) else range(len(place))),
        )
        place = parent[key]
    if choice.random() < 0.2 and isinstance(parent, dict):
        parent[f"other {key}"] = parent.pop(key)
    else:
        parent[key] = choice.choice(values)
    path.write_text(json.dumps(whole))


def swap(choice, path, other):
    held = path.with_name("held")
    path.rename(held)
    other.rename(path)
    held.rename(other)


FILE = (flip, flip, flip, truncate, empty, delete, lengthen, make_directory, make_link)


def damaged(run, choice):
    """Damage a copy; return the places that were, relative to it."""
    run.copy()
    where = run.directory
    found = sorted(path for path in where.rglob("*") if path.is_file() and path.name != ".lock")
    steps = sorted((where / "checkpoints").iterdir())
    kind = choice.choice([*FILE, "json", "json", "swap", "swap", "steps", "remove", "rename"])
    if kind == "json":
        touched = [choice.choice([path for path in found if path.suffix in (".json", ".jsonl")])]
        garble(choice, *touched)
    elif kind == "swap":
        touched = choice.sample(found, 2)
        swap(choice, *touched)
    elif kind == "steps":
        touched = choice.sample(steps, 2)
        swap(choice, *touched)
    elif kind == "remove":
        touched = [choice.choice(steps)]
        shutil.rmtree(touched[0])
    elif kind == "rename":
        touched = [choice.choice([*steps, where / "checkpoints"])]
        name = choice.choice(["step_00000088", "step_00000999", "old", "step_9", "step_00000093.x"])
        touched[0].rename(touched[0].with_name(name))
    else:
        touched = [choice.choice(found)]
        kind(choice, *touched)
    return kind if isinstance(kind, str) else kind.__name__, [
        path.relative_to(where).as_posix() for path in touched
    ]


def outcomes(run, seed, count):
    """Do so many damages, one at a time; yield the kind, what came of each, and if it is right."""
    choice = random.Random(seed)
    for _ in range(count):
        kind, places = damaged(run, choice)
        record, state = run.go_on()
        untouched = [
            step for step in run.steps if not any(f"{step:08d}" in each for each in places)
        ]
        if "checkpoints" in places:  # Moved away: the way to train from the beginning.
            expected = ["none"]
        elif state == "error":
            expected = [] if untouched else ["error"]
        else:  # The newest that is whole; or one that was changed, but means what it meant.
            expected = [step for step in run.steps if step >= max(untouched, default=0)]
        is_right = state in expected and record != "WRONG"
        is_right = is_right and (record == "right" or "record.json" in places)
        yield kind, places, record, state, is_right


def test_of_250_damages_none_gives_another_state(run):
    assert run.steps == [50, 93, 100]
    seen = list(outcomes(run, 0, 250))
    assert not [each for each in seen if not each[-1]]
    kinds, _, found, states, _ = (
        collections.Counter(map(str, each)) for each in zip(*seen, strict=True)
    )
    assert {"50", "93", "100", "none"} <= states.keys()
    assert {"right", "error"} <= found.keys()
    assert len(kinds) == len(set(FILE)) + 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_of_many_damages_none_gives_another_state(run, seed):
    assert not [each for each in outcomes(run, seed, 2_500) if not each[-1]]


def test_without_checksums_one_does(run, monkeypatch):
    """The negative control: what the test looks for happens where nothing is compared."""

    class Any:
        def __eq__(self, other):
            return True

        __hash__ = None

    # Damage that nobody notices may be refused by one start and not by the next.
    monkeypatch.setattr(run, "starts_twice", False)
    monkeypatch.setattr(checkpoints, "_fingerprint", lambda path: Any())
    monkeypatch.setattr(checkpoints, "digest", lambda value: Any())
    # The first is enough, whenever it comes.
    damages = itertools.chain.from_iterable(outcomes(run, seed, 250) for seed in range(8))
    assert "WRONG" in (state for _, _, _, state, _ in damages)
    monkeypatch.setattr(records, "digest", lambda value: Any())
    damages = itertools.chain.from_iterable(outcomes(run, seed, 250) for seed in range(8))
    assert "WRONG" in (record for _, _, record, _, _ in damages)


def test_with_two_damages_at_a_time_none_gives_another_state(run):
    choice = random.Random(5)
    for _ in range(40):
        run.copy()
        for path in choice.sample(sorted((run.directory / "checkpoints").rglob("*.*")), 3):
            flip(choice, path)
        assert run.go_on()[1] in (*run.steps, "error")


def test_nothing_is_lost_where_all_is_damaged(run):
    run.copy()
    for path in run.directory.glob("checkpoints/*/arrays.npz"):
        truncate(random.Random(0), path)
    before = {path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    assert run.go_on()[1] == "error"
    after = {path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    assert len(before - after) == 1, "the list of starts, which has one more"
    assert not (run.directory / "checkpoints" / f"step_{run.steps[-1]:08d}").exists()
    assert os.listdir(run.directory / "checkpoints")
