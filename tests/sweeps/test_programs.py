"""Which programs a sweep may import: a grid is a file, and an import runs code."""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import pytest

from configs import base
from configs.sweeps.base import setting, sweep
from tests.sweeps import running
from tests.sweeps.config import make
from trainers.sweeps import programs
from trainers.sweeps.grid import Grid
from trainers.sweeps.store import Store

SHARED = {"budgets": [1.0], "seeds": [0], "protocol": "shared", "rates": [0.1]}


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The name of a module that can be imported, and says so when it is."""
    said = tmp_path / "imported"
    (tmp_path / "stranger.py").write_text(
        f"import pathlib\npathlib.Path({str(said)!r}).touch()\n"
        f"from tests.sweeps.program import Logistic\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return said


def command(results, *flags):
    return [sys.executable, "-m", "trainers.sweep", f"--results={results}", *flags]


def ran(words):
    return subprocess.run(
        words, capture_output=True, text=True, cwd=running.ROOT, env=running.environment()
    )


def test_what_a_grid_names_is_imported_only_if_one_says_so(results, stranger):
    """By none of the commands, and by no process that they start."""
    sweep = make(**SHARED, program="stranger:Logistic")
    store = Store.create(results, Grid.of(sweep))
    for flags in ([], ["--dry_run"], ["--engine=inline"], ["--workers=2"]):
        ended = ran(command(results, *flags))
        assert ended.returncode == 2, ended
        assert "only with --import_program. Received: program='stranger:Logistic'" in ended.stderr
    worker = [sys.executable, "-m", "trainers.sweeps.worker", f"--results={results}"]
    checking = [sys.executable, "-m", "trainers.sweeps.programs"]
    assert ran(worker).returncode == 2
    text = json.dumps({"grid": store.grid.to_lines(), "data_of": []})
    ended = subprocess.run(checking, input=text, capture_output=True, text=True, cwd=running.ROOT)
    assert ended.returncode == 2 and "--import_program" in ended.stdout
    with pytest.raises(ValueError, match="only with --import_program"):
        programs.load("stranger:Logistic", None, 1)
    # What only reads needs no program.
    assert ran(command(results, "--status")).returncode == 1
    assert not stranger.exists() and not running.attempts(results)
    # The control: told so, the same commands import it.
    assert ran(command(results, "--dry_run", "--import_program")).returncode == 0
    assert stranger.exists()
    assert ran(command(results, "--workers=2", "--import_program")).returncode == 0


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_the_permission_reaches_whoever_runs_the_trials(results, stranger, engine):
    Store.create(results, Grid.of(make(**SHARED, program="stranger:Logistic")))
    ended = ran(command(results, f"--engine={engine}", "--import_program"))
    assert ended.returncode == 0, ended.stderr
    assert stranger.exists()


def test_a_misspelt_key_names_the_row_the_field_and_the_nearest():
    digits = base.setting(name="digits8", dataset="digits8", model="cnn2")
    rows = {"Linear": {"schedule": "linear"}, "REX": {"schedul": "rex"}}
    wrong = sweep("wrong", settings={"digits": setting(digits, [0.1])}, schedules=rows)
    with pytest.raises(ValueError, match="A trial cannot be run: digits REX") as caught:
        programs.verify(Grid.of(wrong))
    assert "`schedul` is no option" in str(caught.value)
    assert "Did you mean 'schedule'?" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", "classify", "a:b:c", "a.b", ":A", "a:", "os.path", "../x:A", "a-b:C", "a.:B", "a:B()"],
)
def test_what_is_no_name_is_refused_whatever_is_allowed(name):
    for allowed in (False, True):
        with pytest.raises(ValueError, match="`program` must be the name of a task"):
            programs.check(name, allowed)


@pytest.mark.parametrize(
    ("name", "is_installed"),
    [
        ("trainers.tasks.classification:ImageClassification", True),
        ("sklearn.svm:SVC", True),  # Another name than that of its distribution.
        ("rich.console:Console", True),
        ("keras_sched.schedules:REX", True),  # From where it is developed.
        ("tests.sweeps.program:Logistic", False),
        ("os:abort", False),
        ("nowhere.to_be.found:A", False),
        ("conftest:A", False),
    ],
)
def test_only_installed_packages_are_imported_unasked(name, is_installed):
    before = set(sys.modules)
    here = pathlib.Path(__file__).resolve().parents[2].as_uri()
    origin = importlib.metadata.distribution("keras_sched").read_text("direct_url.json") or here
    if name.startswith("keras_sched") and here not in origin:
        pytest.skip("what is installed is another copy")
    if is_installed:
        programs.check(name, False)
    else:
        with pytest.raises(ValueError, match=r"must be a task, .*or of an installed"):
            programs.check(name, False)
    programs.check(name, True)
    top = name.partition(".")[0].partition(":")[0]
    assert {each for each in sys.modules if each.startswith(top)} <= before


def test_a_module_in_the_place_of_an_installed_one_is_not_that(tmp_path, monkeypatch):
    (tmp_path / "rich.py").write_text("")
    programs.check("rich.console:Console", False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "rich")
    with pytest.raises(ValueError, match="only with --import_program"):
        programs.check("rich:A", False)


def test_what_a_build_left_in_a_directory_is_no_installation(tmp_path, monkeypatch):
    left = tmp_path / "left.egg-info"
    left.mkdir()
    (left / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: left\nVersion: 1\n")
    (left / "top_level.txt").write_text("left\n")
    (tmp_path / "left.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ValueError, match="only with --import_program"):
        programs.check("left:A", False)


def test_every_task_has_a_name():
    """And each name is that of a task."""
    from trainers.tasks.configured import ConfiguredTask

    for name, place in programs.TASKS.items():
        module, _, attribute = place.partition(":")
        __import__(module)
        assert issubclass(getattr(sys.modules[module], attribute), ConfiguredTask)
        assert module == f"trainers.tasks.{name}"
    files = {path.stem for path in (running.ROOT / "trainers" / "tasks").glob("*.py")}
    shared = {"__init__", "configured", "images", "measuring", "pictures"}
    # Parts of one family each.
    shared |= {
        "anchors",
        "average_precision",
        "boxes",
        "cells",
        "detectors",
        "glue_scores",
        "passages",
        "samples",
    }
    assert set(programs.TASKS) == files - shared


def test_what_is_neither_a_task_nor_a_program_is_refused():
    with pytest.raises(ValueError, match="A task must derive from `ConfiguredTask`"):
        programs.load("pathlib:Path", None, 0, import_program=True)
    with pytest.raises(ValueError, match="must be a class that can be imported"):
        programs.load("pathlib:Missing", None, 0, import_program=True)
