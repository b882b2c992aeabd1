"""A training that is killed and continued ends with the same bits as one left alone.

The process is killed a random time after its first save, so that each start gets further, and kills
land in steps, in evaluation and in the middle of a save.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import time

import numpy as np
import pytest

import keras_sched as ks
from tests.trainers import toy
from tests.trainers.forks import Fork

KILLS = 5


class Started(Fork):
    """A process that trains, from the line in which it says where it begins."""

    def __init__(self, logdir, *flags):
        super().__init__(toy.main, [str(logdir), *flags])
        said = []
        for line in self.output:
            said.append(line)
            if line.startswith("START"):
                self.began = int(line.split()[1])
                return
        raise AssertionError("".join(said))

    def kill(self, number=signal.SIGKILL):
        os.kill(self.process.pid, number)
        expected = -number if number == signal.SIGKILL else 128 + number
        assert self.wait()[0] == expected, "it was over before it was killed: make it longer"


def finish(logdir, *flags):
    started = Started(logdir, *flags)
    status, said = started.wait()
    assert status == 0, said
    return started.began


def kill_and_finish(logdir, seed, *flags, signals=(signal.SIGKILL,) * KILLS):
    """Return the steps at which each start began, the last of which ran to the end."""
    moments = random.Random(seed)
    began = [kill(logdir, moments.uniform(0.0, 0.3), *flags, number=each) for each in signals]
    return [*began, finish(logdir, *flags)]


def kill(logdir, moment, *flags, number=signal.SIGKILL):
    """Kill a start a moment after it has saved; return the step at which it began."""
    started = Started(logdir, *flags)
    while saved(logdir) <= started.began and started.process.is_alive():
        time.sleep(0.01)
    time.sleep(moment)
    started.kill(number)
    return started.began


def saved(logdir):
    """Return the last step that is saved, or 0."""
    found = pathlib.Path(logdir).glob("toy/*/checkpoints/step_????????")
    return max((int(path.name.removeprefix("step_")) for path in found), default=0)


def result(logdir):
    """Return the last checkpoint's arrays and the metrics of every epoch."""
    (directory,) = pathlib.Path(logdir).glob("toy/*")
    last = max(directory.glob("checkpoints/step_????????"))
    with np.load(last / "arrays.npz") as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads((directory / "record.json").read_text())


def same(one, other):
    arrays, record = one
    others, other_record = other
    assert arrays.keys() == others.keys()
    return record["epochs"] == other_record["epochs"] and all(
        arrays[name].tobytes() == others[name].tobytes() for name in arrays
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("undisturbed")
    finish(logdir)
    return result(logdir)


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_killed_five_times_it_ends_with_the_same_bits(undisturbed, tmp_path, seed):
    began = kill_and_finish(tmp_path, seed)
    got = result(tmp_path)
    sys.stdout.write(f"began at steps {began}\n")
    assert began[0] == 0
    assert began == sorted(set(began)), "a start that went on from nothing, or got no further"
    assert got[1]["restarts"] == KILLS
    assert np.isfinite(got[1]["final"]["val_loss"])
    assert same(got, undisturbed)


def test_without_the_seed_states_it_does_not(undisturbed, tmp_path):
    """The negative control: dropout goes on with other masks when its seeds are not saved."""
    began = kill_and_finish(tmp_path, 0, "--forget-seeds", signals=[signal.SIGKILL])
    assert began[1] > 0
    arrays, record = result(tmp_path)
    kept = {name: undisturbed[0][name] for name in arrays}
    assert record["epochs"] != undisturbed[1]["epochs"]
    assert any(arrays[name].tobytes() != kept[name].tobytes() for name in arrays)


def test_asked_to_end_it_saves_and_goes_on_to_the_same_bits(undisturbed, tmp_path):
    began = kill_and_finish(tmp_path, 3, signals=[signal.SIGTERM, signal.SIGINT])
    assert began[0] == 0 < began[1] < began[2]
    assert same(result(tmp_path), undisturbed)


# --- a quantized training -------------------------------------------------------------------------

QUANTIZED = ("--quantized", "--epochs=8")


def log(logdir):
    """Return the log of every step by column."""
    rows = np.genfromtxt(logdir / "steps.csv", delimiter=",", names=True)
    return {name: rows[name].tolist() for name in rows.dtype.names}


def test_a_quantized_training_goes_on_with_the_same_bits_at_every_step(tmp_path):
    def interrupted():
        began = [kill(tmp_path / "killed", moment, *QUANTIZED) for moment in (0.05, 0.2)]
        shutil.copytree(tmp_path / "killed", tmp_path / "forgetful")
        return [*began, finish(tmp_path / "killed", *QUANTIZED)]

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        whole = pool.submit(finish, tmp_path / "whole", *QUANTIZED)
        began = interrupted()
        assert whole.result() == 0
    assert began[0] == 0 < began[1] < began[2]
    expected, got = (result(tmp_path / name) for name in ("whole", "killed"))
    assert same(got, expected)
    assert got[1]["cost"] == expected[1]["cost"]
    assert log(tmp_path / "killed") == log(tmp_path / "whole")
    bits = ks.precision.cr(3, bits_max=8, cycles=8, steps=400)(np.arange(400)).tolist()
    assert set(bits) == {3, 4, 5, 6, 7, 8}
    found = log(tmp_path / "killed")
    assert found["step"] == list(range(400))
    assert found["weight_bits"] == found["activation_bits"] == bits
    # The negative control: what quantizers have seen and counted is part of a checkpoint.
    finish(tmp_path / "forgetful", *QUANTIZED, "--forget-precision")
    lost = result(tmp_path / "forgetful")
    assert not same(lost, expected)
    assert lost[1]["final"]["bitops"] < expected[1]["final"]["bitops"]
