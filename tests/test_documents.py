"""The Python of the README and of the documents runs as it stands there, block after block."""

from __future__ import annotations

import pathlib
import re
import shutil

import keras
import numpy as np
import pytest

import keras_sched as ks
from trainers.sweeps import programs
from trainers.sweeps.grid import Grid

ROOT = pathlib.Path(__file__).parents[1]


def blocks(name):
    text = (ROOT / name).read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


README = blocks("README.md")


def run(code, names):
    exec(compile(code, "document", "exec"), names)


def model():
    """Return a network of the reader's, with the names of layers that the README has rules for."""
    layers = [
        keras.layers.Dense(32, activation="relu", name="stem"),
        keras.layers.Dense(32, activation="relu", name="dense"),
        keras.layers.Dense(3, activation="softmax", name="head"),
    ]
    return keras.Sequential([keras.Input((8,)), *layers], name="mine")


@pytest.mark.parametrize("number", range(len(README)))
def test_the_readme_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(512, 8)).astype("float32")
    names = {"model": model(), "x": x, "y": np.argmax(x[:, :3], axis=1), "keras": keras, "ks": ks}
    if "compile(" not in README[number]:
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        names["model"].compile(optimizer, "sparse_categorical_crossentropy")
    run(README[number], names)


def test_the_document_of_sweeps_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "runs" / "digits_rex"
    place.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "digits_rex" / "results.parquet", place)
    read, own = blocks("docs/sweeps.md")
    names = {}
    run(read, names)
    assert len(names["table"]) == 504
    names = {}
    run(own, names)
    grid = Grid.of(names["get_config"]())
    assert len(grid.trials) == 2 * 2 * 2 * (2 * 3 + 3)
    programs.verify(grid)
