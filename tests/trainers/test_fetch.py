"""Data are downloaded by one command, and by nothing else."""

import importlib
import pathlib
import re
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from trainers import cifar, datasets, fetch
from trainers.datasets import sources

ROOT = pathlib.Path(__file__).parents[2]


class Downloads(BaseException):
    """Nothing takes it for a download that fails."""


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A folder without data, and a TensorFlow Datasets that must not download."""

    def refuse(self, *args, **kwargs):
        raise Downloads("it downloads")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    return tmp_path


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist", "stl10"])
def test_what_is_not_there_is_named_with_the_command_and_not_downloaded(name, nowhere):
    said = f"python -m trainers.fetch {name} --data_dir={nowhere}"
    for look in (datasets.check, datasets.get):
        with pytest.raises(FileNotFoundError, match=said):
            look(name, str(nowhere))
    assert not list(nowhere.iterdir())
    with pytest.raises(Downloads):  # The control.
        datasets.fetch(name, str(nowhere))


def test_whatever_is_said_to_be_fetched_can_be():
    known = {name for source in fetch._SOURCES for name in source.names()}
    places = [*(ROOT / "docs").glob("*.md"), *(ROOT / "configs").rglob("*.py"), ROOT / "README.md"]
    said = {
        name
        for path in places
        for name in re.findall(r"trainers\.fetch\s+([a-z]\w*)", path.read_text())
    }
    assert {"ptb", "ogbn_arxiv", "sst2", "bert_base_multi"} <= said <= known


def test_every_source_has_its_place_in_the_program():
    sources = [
        importlib.import_module(f"trainers.datasets.{path.stem}")
        for path in (ROOT / "trainers" / "datasets").glob("*.py")
        if path.stem != "__init__"
    ]
    fetched = {source for source in sources if {"fetch", "names"} <= set(source.__all__)}
    assert fetched == set(fetch._SOURCES) - {datasets}


@pytest.mark.parametrize("name", ["topics", "python"])
def test_texts_come_with_python(name, nowhere, capsys):
    assert fetch.main([name, f"--data_dir={nowhere}"]) == 0
    assert "comes with Python" in capsys.readouterr().out


def test_data_that_come_with_a_package_are_always_there(nowhere, capsys):
    for name in ("digits", "digits8"):
        datasets.check(name, str(nowhere))
        assert fetch.main([name]) == 0
    assert "comes with scikit-learn" in capsys.readouterr().out


def test_a_training_is_refused_before_anything_is_made(tmp_path):
    command = [sys.executable, "-m", cifar.__name__, "--dataset=cifar10", "--model=cnn2"]
    places = [f"--data_dir={tmp_path / 'data'}", f"--logdir={tmp_path / 'runs'}"]
    said = subprocess.run([*command, *places], capture_output=True, text=True, timeout=600)
    assert said.returncode == 2
    assert "download it: python -m trainers.fetch cifar10" in said.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "kind", [tfds.download.DownloadError, RuntimeError, KeyError, type("Damaged", (Exception,), {})]
)
def test_what_cannot_be_downloaded_ends_with_4(kind, tmp_path, monkeypatch, capsys):
    def fails(self):
        raise kind("no route")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fails)
    assert fetch.main(["cifar10", f"--data_dir={tmp_path}"]) == 4
    said = capsys.readouterr().err
    assert "'cifar10' cannot be downloaded: " in said and "no route" in said
    with pytest.raises(SystemExit) as ended:
        fetch.main(["cifar11"])
    assert ended.value.code == 2
    with pytest.raises(ValueError, match="`dataset` must be one of"):
        datasets.fetch("cifar11")
    assert sources.DATA_DIR == datasets.DATA_DIR
