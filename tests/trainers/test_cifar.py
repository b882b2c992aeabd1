"""The program: its flags, what it says, and what it refuses before it makes a directory."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def program(*flags):
    return subprocess.run(
        [sys.executable, "-m", "trainers.cifar", *map(str, flags)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_it_trains_says_so_and_shows_the_record_the_second_time(tmp_path):
    flags = ("--budget=0.1", "--schedule=rex", "--momentum_schedule=demon", f"--logdir={tmp_path}")
    flags = (*flags, "--split=validation", "--sampled_every=2st", "--keep_weights=best")
    done = program(*flags, "--config.batch_size=128")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert "embedded digits" in first
    assert "--config=configs/rn20_cifar10.py" in first
    (path,) = tmp_path.glob("digits/rex-demon-b0.1-s0-*/record.json")
    record = json.loads(path.read_text())
    assert record["config"]["momentum_schedule"] == "demon"
    assert record["config"]["batch_size"] == 128
    assert record["config"]["split"] == "validation"
    assert record["config"]["sampled_every"] == "2st"
    assert (path.parent / "best.weights.h5").exists()
    assert record["steps"] == 10  # Of 1,293 images; with those held out it would be 11.
    assert 0.0 <= record["final"]["momentum"] < 0.9
    again = program(*flags, "--config.batch_size=128")
    assert again.returncode == 0
    assert "epoch 1/1" not in again.stdout
    said = "It is over already: nothing was trained now."
    assert said in again.stdout and said not in done.stdout
    assert json.loads(path.read_text()) == record


def test_what_is_wrong_is_said_before_a_directory_is_made(tmp_path):
    """Also what only a network can tell; `test_options.py` has all other wrong flags."""
    done = program("--config.frozen=dens?x", f"--logdir={tmp_path / 'runs'}")
    assert done.returncode == 2
    assert "`frozen` must be that of" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_fast_kernels_are_on_before_tensorflow_is_imported():
    """In a process of its own: the setting is there when the first import of TensorFlow happens."""
    code = """
import os, sys

class Look:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            print("at import:", os.environ.get("TF_ENABLE_ONEDNN_OPTS"))

sys.meta_path.insert(0, Look())
import trainers.cifar
"""
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[0] == "at import: 1", done.stderr
