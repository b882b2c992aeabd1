"""TensorBoard never goes down because of the dashboard, whatever there is beside it."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys

import pytest
from tensorboard.plugins import base_plugin

from tensorboard_plugins.schedules import alone
from tensorboard_plugins.schedules.__main__ import main
from tensorboard_plugins.schedules.loader import Loader
from tests.tensorboard_plugins.logs import write_sweep
from tests.tensorboard_plugins.serving import asked, inside, tensorboard

# Of TensorBoard's server, and of what it has of others.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return write_sweep(tmp_path_factory.mktemp("log"))


@pytest.mark.parametrize("error", [ImportError, ValueError, RuntimeError])
def test_what_cannot_be_loaded_is_left_out_and_said(error, monkeypatch, caplog):
    class Broken(dict):
        def __init__(self, context):
            raise error("broken")

    monkeypatch.setattr("tensorboard_plugins.schedules.plugin.SchedulesPlugin", Broken)
    with caplog.at_level(logging.ERROR):
        assert Loader().load(base_plugin.TBContext(data_provider=object())) is None
    assert "left out" in caplog.text and "broken" in caplog.text


def test_without_data_there_is_no_tab():
    assert Loader().load(base_plugin.TBContext()) is None


@pytest.mark.parametrize("absent", ["tensorflow", "keras", "keras_sched", "pandas", "scipy"])
def test_nothing_heavy_is_needed(absent, log):
    script = (
        f"import sys; sys.modules[{absent!r}] = None\n"
        "from tensorboard_plugins.schedules.alone import exported\n"
        f"assert 'made_up' in exported({str(log)!r})\n"
        "import tensorboard_plugins.schedules.loader"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)


def test_without_tensorboard_it_says_what_to_install():
    script = (
        "import sys; sys.modules['tensorboard'] = None; sys.argv = ['x', '.']\n"
        "from tensorboard_plugins.schedules.__main__ import main\n"
        "sys.exit(main(['.']))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert said.returncode == 2 and "pip install 'keras_sched[tensorboard]'" in said.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--logdir_spec=mine:{log}",),
        ("--logdir={log}", "--samples_per_plugin=keras_sched=1", "--load_fast=true"),
        ("--logdir={log}", "--samples_per_plugin=keras_sched=1", "--load_fast=false"),
    ],
    ids=["spec", "few samples, fast", "few samples, slow"],
)
def test_however_tensorboard_reads_the_numbers_are_the_same(flags, log):
    app = alone.Alone(log)
    app.wait()
    sent = {"sweep": "made_up", "metric": "test_accuracy"}
    with tensorboard(*(flag.format(log=log) for flag in flags), runs=12) as address:
        found = asked(inside(address), "table", sent)
    other = alone.leaderboard(app.reader.read(alone.RequestContext(), ""), *sent.values())
    app.close()
    for row, expected in zip(found["rows"], other["rows"], strict=True):
        assert row["method"] == expected["method"] and row["rank"] == expected["rank"]
        for cell, its in zip(row["cells"], expected["cells"], strict=True):
            assert (cell["mean"], cell["std"], cell["n"]) == (its["mean"], its["std"], its["n"])


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{log}/none"], "`logdir` must be a directory"),
        (["{log}/board/grid"], "`logdir` must be a directory"),
        (["{log}", "--export={log}"], "`export` must be a new file"),
        (["{log}", "--export={log}/none/page.html"], "`export` cannot be written"),
        (["{log}", "--port=70000"], "`port` must be from 0 to 65535"),
    ],
)
def test_what_is_called_wrongly_is_said(arguments, said, log, capsys):
    assert main([each.format(log=log) for each in arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(log, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([str(log), f"--port={taken.getsockname()[1]}"]) == 2
    assert "`port` must be free" in capsys.readouterr().err


def test_a_page_is_exported_once(log, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main([str(log), f"--export={path}"]) == 0
    assert str(path) in capsys.readouterr().out
    held = path.read_bytes()
    assert main([str(log), f"--export={path}"]) == 2
    assert path.read_bytes() == held
