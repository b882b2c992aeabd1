"""A training that is killed and continued ends with the same bits as one left alone.

The process is killed a random time after the line in which it says where it begins, so that kills
land in steps, in evaluation and in the middle of a save, and a test that never went on shows it.
"""

from __future__ import annotations

import concurrent.futures
import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

KILLS = 5
ROOT = pathlib.Path(__file__).parents[2]


def start(logdir, *flags):
    command = [sys.executable, "-m", "tests.trainers.toy", str(logdir), *flags]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith("START"):
            return process, int(line.split()[1])
    raise AssertionError("".join(seen))


def finish(logdir, *flags):
    process, began = start(logdir, *flags)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    return began


def kill_and_finish(logdir, seed, *flags, signals=(signal.SIGKILL,) * KILLS):
    """Return the steps at which each start began, the last of which ran to the end."""
    moments = random.Random(seed)
    began = []
    for number in signals:
        process, step = start(logdir, *flags)
        time.sleep(moments.uniform(0.1, 0.8))
        process.send_signal(number)
        process.communicate(timeout=60)
        expected = -number if number == signal.SIGKILL else 128 + number
        assert process.returncode == expected, "it was over before it was killed: make it longer"
        began.append(step)
    return [*began, finish(logdir, *flags)]


def result(logdir):
    """Return the last checkpoint's arrays and the metrics of every epoch."""
    (directory,) = pathlib.Path(logdir).glob("toy-*")
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


def test_killed_five_times_in_three_runs_it_ends_with_the_same_bits(undisturbed, tmp_path):
    def run(seed):
        logdir = tmp_path / str(seed)
        return kill_and_finish(logdir, seed), result(logdir)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(run, range(3)))
    for began, got in runs:
        sys.stdout.write(f"began at steps {began}\n")
        assert began[0] == 0
        assert all(step > 0 for step in began[1:]), "a start that went on from nothing"
        assert len(set(began)) > 3, "starts that never got further"
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
