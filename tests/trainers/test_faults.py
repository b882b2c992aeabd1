"""What the surroundings do to a training: the program says it in a line, and nothing is lost."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import shutil
import signal
import sys
import time

import numpy as np
import pytest

from tests.trainers import toy
from tests.trainers.forks import Fork
from trainers.loop import checkpoints, experiment, records
from trainers.loop.board import Board
from trainers.loop.checkpoints import Checkpoints
from trainers.loop.lock import locked

BAD, AGAIN = 2, 4
FLAGS = ("--model=cnn2", "--budget=0.25", "--config.steps_per_checkpoint=4", "--split=validation")


def program(before, *flags):
    """Train, once the process has done something before."""
    sys.argv = ["trainers.cifar", *flags]
    from trainers import cifar

    before()
    cifar.program.main()


def nothing():
    """Do nothing."""


def said_of(logdir, *flags, before=nothing):
    """Return the exit status of the program, and what it says when it ends."""
    status, said = Fork(program, before, *FLAGS, f"--logdir={logdir}", *flags).wait()
    assert "Traceback" not in said, said
    return status, said.splitlines()[-1]


@pytest.fixture(scope="module")
def over(tmp_path_factory):
    """The directory of a run that is over."""
    logdir = tmp_path_factory.mktemp("over")
    assert said_of(logdir)[0] == 0
    (path,) = logdir.glob("*/*/record.json")
    return path.parent


@pytest.fixture
def run(over, tmp_path):
    """A copy of it: the program takes it for its own."""
    return shutil.copytree(over, tmp_path / "runs" / over.parent.name / over.name)


def logdir(run):
    return run.parents[1]


def arrays(run):
    return Checkpoints(run / "checkpoints").latest().arrays


def epochs(run):
    return records.read(run / "record.json").epochs


def same(one, other):
    return one.keys() == other.keys() and all(one[n].tobytes() == other[n].tobytes() for n in one)


def contents(directory):
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory): path.read_bytes() for path in found}


# --- before it trains -----------------------------------------------------------------------------


def test_a_damaged_record_is_said(run):
    data = bytearray((run / "record.json").read_bytes())
    data[len(data) // 2] ^= 128
    (run / "record.json").write_bytes(data)
    before = contents(run)
    status, said = said_of(logdir(run))
    assert status == BAD
    assert f"{run}/record.json is not the record of a run, or is damaged" in said
    assert contents(run) == before


def test_another_process_in_the_directory_is_said(run):
    with locked(run):
        status, said = said_of(logdir(run))
    assert status == AGAIN
    assert "Another process is training in" in said
    assert said_of(logdir(run))[0] == 0, "it is free again"


def test_that_all_checkpoints_are_damaged_is_said(run):
    (run / "record.json").unlink()
    for path in run.glob("checkpoints/*/state.json"):
        path.write_bytes(b"")
    status, said = said_of(logdir(run))
    assert status == BAD
    assert "No checkpoint is left to go on from" in said
    assert not (run / "record.json").exists()


def as_nobody():
    """Be a user who may not write: root may, whatever the mode."""
    if os.geteuid() == 0:
        os.seteuid(65534)


@pytest.mark.parametrize("kind", ["read-only", "overlong", "a file", "a link to nothing"])
def test_a_directory_that_cannot_be_made_is_said(tmp_path, kind):
    where, before = tmp_path / "runs", nothing
    if kind == "read-only":
        where.mkdir()
        where.chmod(0o555)
        for path in (tmp_path, *tmp_path.parents[:2]):
            path.chmod(path.stat().st_mode | 0o011)
        before = as_nobody
    elif kind == "overlong":
        where = tmp_path / ("x" * 300)
    elif kind == "a file":
        where.write_text("")
    else:
        where.symlink_to(tmp_path / "nothing" / "nothing")
    status, said = said_of(where, before=before)
    assert status == BAD
    assert said.startswith(f"The run directory {where}")
    assert "fails: [Errno" in said


# --- while it trains ------------------------------------------------------------------------------


def test_whatever_the_list_of_starts_is_it_goes_on(run, over):
    (run / "record.json").unlink()
    last = max(run.glob("checkpoints/step_*"))
    shutil.rmtree(last)
    (run / "starts.jsonl").write_bytes(b'{"step": 0}\n{"step": \x80}\n{')
    assert said_of(logdir(run))[0] == 0
    assert records.read(run / "record.json").restarts == 3
    assert epochs(run) == epochs(over)
    assert same(arrays(run), arrays(over))


def limit(size):
    return functools.partial(
        resource.setrlimit, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)
    )


def full_for_events():
    """Make the disk full when TensorBoard's events are written: nothing else is by then."""
    real = Board.epoch

    def epoch(*arguments):
        limit(600)()
        real(*arguments)

    Board.epoch = epoch


@pytest.mark.parametrize(
    ("before", "flag", "said"),
    [
        (limit(30_000), "--config.steps_per_checkpoint=4", "File too large"),
        (full_for_events, "--config.steps_per_checkpoint=0", "TensorBoard cannot be written: "),
    ],
    ids=["checkpoint", "events"],
)
def test_a_full_disk_is_said_and_with_room_it_goes_on(tmp_path, over, before, flag, said):
    status, last = said_of(tmp_path, flag, before=before)
    assert status == AGAIN
    assert said in last
    (run,) = tmp_path.glob("*/*")
    assert not list(run.rglob(".writing*"))
    assert not list(run.glob("checkpoints/step*"))
    assert said_of(tmp_path, flag)[0] == 0
    assert epochs(run) == epochs(over)


def test_a_directory_that_is_removed_meanwhile_is_said(tmp_path):
    flags = ("--budget=100", "--config.steps_per_checkpoint=2")
    fork = Fork(program, nothing, *FLAGS, f"--logdir={tmp_path}", *flags)
    while not (found := list(tmp_path.glob("*/*/checkpoints/step_*"))):
        assert fork.process.is_alive(), fork.wait()
        time.sleep(0.01)
    run = found[0].parents[1]
    run.rename(tmp_path / "away")
    status, said = fork.wait()
    assert status == BAD
    assert "Traceback" not in said
    assert "removed while this process trained in it" in said.splitlines()[-1]
    assert not run.exists(), "it was made again, where another process may train by now"
    assert Checkpoints(tmp_path / "away" / "checkpoints").latest().step > 0


# --- killed while it saves ------------------------------------------------------------------------


def killed_at(call, words):
    """Train in a process with the number 1 that is killed at a call that flushes to the disk."""
    os.getpid = lambda: 1
    real, count = os.fsync, iter(range(1_000))

    def fsync(descriptor):
        if next(count) == call:
            os._exit(9)
        real(descriptor)

    os.fsync = fsync
    toy.main(words)


def test_killed_while_it_saves_as_the_first_process_of_a_container_it_goes_on(tmp_path):
    """Each start has the number of the one before, and what that one was writing is in its way."""
    words = [str(tmp_path), "--epochs=2"]
    # Call 0 notes the start; a save has five: arrays, state, manifest, its directory, that above.
    for call in (1, 10, 9):
        assert Fork(killed_at, call, words).wait()[0] == 9
    (run,) = tmp_path.glob("*/*")
    assert list(run.rglob(".writing*")), "it was not killed in the middle"
    (run / ".writing_record.json_0").write_text("half a record")
    assert Fork(killed_at, -1, words).wait()[0] == 0
    assert not list(run.rglob(".writing*"))
    record = records.read(run / "record.json")
    assert record.restarts == 3
    assert record.steps == 100


def twice(words):
    """Train in a process that asks itself to end twice, within a save."""
    real = Checkpoints.save

    def save(held, checkpoint):
        if checkpoint.step == 14:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        return real(held, checkpoint)

    checkpoints.Checkpoints.save = save
    toy.main(words)


def test_asked_twice_to_end_it_ends_at_once_and_goes_on(tmp_path):
    words = [str(tmp_path / "asked"), "--epochs=1"]
    assert Fork(twice, words).wait()[0] == -signal.SIGTERM
    (run,) = (tmp_path / "asked").glob("*/*")
    assert Checkpoints(run / "checkpoints").latest().step == 7
    for logdir in ("asked", "alone"):
        assert Fork(toy.main, [str(tmp_path / logdir), "--epochs=1"]).wait()[0] == 0
    (alone,) = (tmp_path / "alone").glob("*/*")
    assert same(arrays(run), arrays(alone))


# --- which steps are saved ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "steps"),
    [
        ({"steps_per_checkpoint": 7}, [*range(7, 50, 7), 50, *range(57, 100, 7), 100]),
        ({"steps_per_checkpoint": 25}, [25, 50, 75, 100]),
        ({"steps_per_checkpoint": 60}, [50, 100]),
        ({"steps_per_checkpoint": None}, [50, 100]),
        ({"steps_per_checkpoint": 20, "seconds_per_checkpoint": 1e6}, [20, 40, 70, 90]),
        ({"steps_per_checkpoint": None, "seconds_per_checkpoint": 1e6}, []),
        ({"steps_per_checkpoint": 3, "steps_per_call": 50, "keep": 2}, [98, 100]),
    ],
    ids=str,
)
def test_which_steps_are_saved(tmp_path, plan, steps):
    made = experiment.Experiment(toy.Toy(2), toy.plan(tmp_path, 2, **{"keep": 100, **plan}))
    made.run()
    directory = made.plan.directory / "checkpoints"
    found = sorted(directory.iterdir()) if directory.exists() else []
    assert [path.name for path in found] == [f"step_{step:08d}" for step in steps]
    for step, path in zip(steps, found, strict=True):
        held = np.load(path / "arrays.npz")
        with contextlib.closing(held):
            assert held["loop/step"] == step
