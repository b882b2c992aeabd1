"""The program: its flags, what it says, and what it refuses before it makes a directory."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest
from absl import app

from tests.trainers.forks import Fork
from trainers.tasks.classification import Config

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("[a-z]*.py") if path.stem != "base")


def program(*flags):
    return subprocess.run(
        [sys.executable, "-m", "trainers.cifar", *map(str, flags)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )


def run(*flags):
    """Run the program in this process, whose flags are defined once and for all."""
    sys.argv = ["trainers.cifar", *flags]  # Read when the flags of a configuration are defined.
    from trainers import cifar

    app.run(cifar.main)


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_is_whole_and_says_where_it_is_from(name):
    module = load(name)
    config = Config(**module.get_config().to_dict(), seed=0)
    assert config.name == name
    for part in ("Source:", "Command:", "Cost:", "Published:"):
        assert part in module.__doc__
    assert "@" not in module.__doc__


def test_it_trains_says_so_and_shows_the_record_the_second_time(tmp_path):
    flags = ("--budget=0.1", "--schedule=rex", "--momentum_schedule=demon", f"--logdir={tmp_path}")
    flags = (*flags, "--split=validation", "--sampling=every:2st")
    done = program(*flags, "--config.batch_size=128")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert "embedded digits" in first
    assert "--config=configs/rn20_cifar10.py" in first
    (path,) = tmp_path.glob("digits-*/record.json")
    record = json.loads(path.read_text())
    assert record["config"]["momentum_schedule"] == "demon"
    assert record["config"]["batch_size"] == 128
    assert record["config"]["split"] == "validation"
    assert record["config"]["sampling"] == "every:2st"
    assert record["steps"] == 10  # Of 1,293 images; with those held out it would be 11.
    assert 0.0 <= record["final"]["momentum"] < 0.9
    again = program(*flags, "--config.batch_size=128")
    assert again.returncode == 0
    assert "epoch 1/1" not in again.stdout
    assert json.loads(path.read_text()) == record


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--schedule=rexx", "Did you mean 'rex'"),
        ("--momentum_schedule=beta", "must be one of"),
        ("--optimizer=adm", "`optimizer` must be one of"),
        ("--split=train", "split"),
        ("--budget=-1", "`budget` must be a number above 0"),
        ("--budget=nan", "`budget` must be a number above 0"),
        ("--seed=-1", "seed"),
        ("--config.batch_sise=64", "batch_sise"),
        ("--config.batch_size=100000", "`batch_size` must be in"),
        ("--config.learning_rate=-0.1", "`start` must be a finite number"),
        ("--config.momentum=1.0", "momentum"),
        ("--config.model=resnet9", "`model` must be one of"),
        ("--config.warmup=3weeks", "must be a number with a unit"),
        ("--config=configs/nothing.py", "nothing.py"),
        ("--nonsense=1", "nonsense"),
        ("surplus", "surplus"),
    ],
)
def test_what_is_wrong_is_said_before_a_directory_is_made(flag, message, tmp_path):
    status, said = Fork(run, flag, f"--logdir={tmp_path / 'runs'}").wait()
    assert status == 1
    assert message in said
    assert "Traceback" not in said or "config" in flag
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
