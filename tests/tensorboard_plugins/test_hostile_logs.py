"""What the dashboard answers where a log has anything in it."""

from __future__ import annotations

import csv
import io
import time

import numpy as np
import pytest
from tensorboard.context import RequestContext

from tensorboard_plugins.schedules import events, layout, runs
from tensorboard_plugins.schedules.alone import exported
from tensorboard_plugins.schedules.leaderboard import mode_of
from tensorboard_plugins.schedules.log_reader import Log
from tests.tensorboard_plugins.logs import trial_of, write
from tests.tensorboard_plugins.serving import Served

HOSTILE = ["<img src=x onerror=alert(1)>", "a b#?&%2F", "日本", 'it\'s "so"', "=1+1"]


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Of TensorBoard's server.


@pytest.mark.parametrize("name", HOSTILE)
def test_a_run_may_be_called_anything(tmp_path, name):
    write(tmp_path / name, trial_of(name="REX", setting=name, sweep=name, cell=name, id=name))
    served = Served(tmp_path)
    (run,) = served.get("manifest").json["runs"]
    assert (run["run"], run["sweep"], run["setting"]) == (name, name, name)
    assert served.get("run", run=name).json["run"] == name
    assert served.post("table", sweep=name, metric="test_accuracy").status_code == 200
    page = exported(tmp_path)
    assert page.count("</script>") == 2 and "<img" not in page


def raw(directory, **values):
    """Write tensors of the plugin as they are."""
    file = events.EventFile(directory)
    file.add([value for value in values.values() if value is not None], 1)
    file.close()


def table(rows, columns):
    return np.zeros((rows, columns), np.float32)


SOUND = layout.dumped(trial_of())
STATE = {"status": "finished", "columns": {"steps": ["step", "loss"], "evaluations": []}}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"t": events.words(layout.TRIAL, b"{")}, "trial"),
        ({"t": events.words(layout.TRIAL, b'{"v": 7}')}, "trial"),
        ({"t": events.words(layout.TRIAL, b"")}, "trial"),
        (
            {
                "t": events.words(layout.TRIAL, SOUND),
                "s": events.words(layout.STATE, b"\xff"),
            },
            "state",
        ),
        (
            {
                "t": events.words(layout.TRIAL, SOUND),
                "s": events.words(layout.STATE, layout.dumped(STATE)),
                "a": events.table(layout.STEPS, table(3, 5)),
            },
            "tables",
        ),
        (
            {
                "t": events.words(layout.TRIAL, SOUND),
                "s": events.words(layout.STATE, layout.dumped(STATE)),
                "a": events.words(layout.STEPS, b"a text"),
            },
            "tables",
        ),
        (
            {
                "t": events.words(layout.TRIAL, SOUND),
                "s": events.table(layout.STATE, np.float32([1e13])[0:1]),
            },
            "state",
        ),
        (
            {
                "t": events.words(layout.TRIAL, SOUND),
                "s": events.words(layout.STATE, layout.dumped({**STATE, "metrics": {"a": [1]}})),
                "a": events.table(layout.STEPS, table(3, 2)),
            },
            "state",
        ),
        ({"t": events.words(layout.SWEEP, b"[]")}, "sweep"),
        ({"t": events.words(layout.SWEEP, layout.dumped({"name": 5}))}, "sweep"),
        ({"t": events.table(layout.SWEEP, table(2, 2))}, "sweep"),
    ],
    ids=[
        *("torn trial", "later version", "empty trial", "state", "columns", "text for a table"),
        *("number for a state", "metrics", "sweep", "sweep without a name", "table for a sweep"),
    ],
)
def test_what_cannot_be_read_is_a_warning_and_the_rest_is_shown(tmp_path, values, what):
    write(tmp_path / "sound", trial_of(id="sound", sweep=""))
    raw(tmp_path / "broken", **values)
    served = Served(tmp_path)
    found = served.get("manifest").json
    assert [(each["run"], each["what"]) for each in found["warnings"]] == [("broken", what)]
    assert "sound" in [run["run"] for run in found["runs"]]
    for path in ("table", "curves"):
        assert served.post(path, sweep="", metric="test_accuracy").status_code == 200


def test_steps_that_are_none_are_no_steps_of_drift(tmp_path):
    columns = ["step", "learning_rate", "planned learning_rate"]
    rows = np.float32([[np.nan, 1.0, 2.0], [3.0, 1.0, 2.0], [4.0, 1.0, 1.0]])
    said = {**STATE, "columns": {"steps": columns, "evaluations": []}}
    raw(
        tmp_path / "run",
        t=events.words(layout.TRIAL, SOUND),
        s=events.words(layout.STATE, layout.dumped(said)),
        a=events.table(layout.STEPS, rows),
    )
    found = Served(tmp_path).get("run", run="run")
    assert found.json["drift"]["learning_rate"] == {"most": 1.0, "first_step": 3}


def test_a_metric_may_be_called_as_what_describes_a_run(tmp_path):
    said = {name: {"last": [7.0], "low": 7.0, "high": 7.0} for name in ("cost", "status", "mine")}
    raw(
        tmp_path / "run",
        t=events.words(layout.TRIAL, layout.dumped(trial_of(sweep=""))),
        s=events.words(
            layout.STATE, layout.dumped({**STATE, "metrics": said, "relative_cost": 0.25})
        ),
    )
    text = Served(tmp_path).get("export", what="runs", format="csv").text
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["status"], row["cost"], row["metric/cost"]) == ("finished", "0.25", "7.0")
    assert row["mine"] == "7.0"


@pytest.mark.parametrize(
    "cells", [[{}], 5, [[]], [{"trials": [1, None]}], [{"trials": ["REX-1.0-0"], "budget": "x"}]]
)
def test_a_plan_of_another_kind_breaks_nothing(tmp_path, cells):
    write(tmp_path / "run")
    plan = {"name": "made_up", "cells": cells, "goal": [1], "judged": "worst", "mode": 3}
    raw(tmp_path / "board", t=events.words(layout.SWEEP, layout.dumped(plan)))
    raw(tmp_path / "other", t=events.text(f"{layout.PLANNED}x", "a text"))
    served = Served(tmp_path)
    assert [sweep["name"] for sweep in served.get("manifest").json["sweeps"]] == ["made_up"]
    for metric in ("test_accuracy", "[1]"):
        assert served.post("table", sweep="made_up", metric=metric).status_code == 200


def test_a_fault_in_reading_one_run_hides_no_other(tmp_path, monkeypatch):
    inner = runs._read

    def broken(name, *given):
        return 1 / 0 if name == "broken" else inner(name, *given)

    monkeypatch.setattr(runs, "_read", broken)
    for name in ("broken", "sound"):
        write(tmp_path / name, trial_of(sweep=""))
    found = Served(tmp_path).get("manifest").json
    assert [run["run"] for run in found["runs"]] == ["sound"]
    assert [(each["run"], each["what"]) for each in found["warnings"]] == [("broken", "fault")]


@pytest.mark.parametrize(
    "changes",
    [
        {"config": [1, 2], "metrics": 3},
        {"budget": "much", "seed": [1], "steps": -1, "epochs": "many"},
        {"sweep": 7, "schedule": None, "setting": {"a": 1}},
        {"goal": {"x": 1}, "mode": None, "cell": ["a"]},
        {"sweep": None, "id": None, "phase": None},
        {"steps": 10**400, "epochs": 10**400, "budget": 1e300, "seed": 10**30},
    ],
    ids=["config", "numbers", "names", "goal", "nothing", "large"],
)
def test_a_description_of_another_kind_breaks_nothing(tmp_path, changes):
    raw(
        tmp_path / "run",
        t=events.words(layout.TRIAL, layout.dumped({**trial_of(), **changes})),
        s=events.words(layout.STATE, layout.dumped({**STATE, "final": [1], "columns": 5})),
    )
    served = Served(tmp_path)
    found = served.get("manifest")
    assert found.status_code == 200
    (run,) = found.json["runs"]
    for answer in (
        served.get("run", run=run["run"]),
        served.post("table", sweep=str(run["sweep"]), metric="test_accuracy"),
        served.post("curves", sweep=str(run["sweep"])),
        served.get("export", what="runs", sweep=str(run["sweep"]), format="csv"),
    ):
        assert answer.status_code == 200


@pytest.mark.parametrize("broken", ["truncated", "garbage", "empty"])
def test_a_broken_file_hides_no_other_run(tmp_path, broken):
    write(tmp_path / "sound", trial_of(id="sound", sweep=""))
    (path,) = write(tmp_path / "broken").glob("events*")
    held = path.read_bytes()
    kept = {"truncated": held[: len(held) // 2], "garbage": bytes(range(256)) * 9, "empty": b""}
    path.write_bytes(kept[broken])
    served = Served(tmp_path)
    assert "sound" in [run["run"] for run in served.get("manifest").json["runs"]]


def test_a_copied_folder_is_the_same_trial(tmp_path):
    for name in ("first", "second"):
        write(tmp_path / name, trial_of())
    found = Served(tmp_path).get("manifest").json
    assert [run["run"] for run in found["runs"]] == ["second"]
    (warning,) = found["warnings"]
    assert (warning["run"], warning["what"]) == ("first", "twice")


def test_runs_of_no_sweep_are_told_apart_by_their_places(tmp_path):
    """Directories of one name are not one run."""
    for place, seed in (("exp0", 0), ("exp1", 1)):
        write(tmp_path / place / "tb", trial_of(seed=seed, sweep="", id="tb", cell=None))
    found = Served(tmp_path).post("table", sweep="", metric="test_accuracy").json
    (row,) = found["rows"]
    assert (row["cells"][0]["n"], row["cells"][0]["planned"]) == (2, 2)


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        *(("val_accuracy", "max"), ("val_acc", "max"), ("map", "max"), ("val_f1", "max")),
        *(("val_mape", "min"), ("map_loss", "min"), ("accuracy_error", "min"), ("loss", "min")),
        *(("mape", "min"), ("sparse_categorical_accuracy", "max"), ("epoch/val_auc", "max")),
        *(("unknown", "min"), ("mapping", "min"), ("Recall", "max")),
    ],
)
def test_which_way_a_metric_is_better_is_known_by_whole_words(metric, mode):
    assert mode_of(metric, Log({}, {}, {}, (), ""), "") == mode


def test_what_has_grown_or_fallen_silent_is_another_revision(tmp_path, monkeypatch):
    plain = events.EventFile(tmp_path / "plain")
    plain.add([events.scalar("learning_rate", 0.1)], 0)
    plain.flush()
    write(tmp_path / "run", trial_of(sweep=""), status="running")
    app = Served(tmp_path).app
    monkeypatch.setattr("tensorboard_plugins.schedules.log_reader._BELIEVED", 0.0)
    app.reader._plain_until = 0.0
    first = app.reader.read(RequestContext(), "")
    assert first.plain and first.runs["run"].status == "running"
    assert app.reader.read(RequestContext(), "").revision == first.revision
    plain.add([events.scalar("learning_rate", 0.2)], 1)
    plain.close()
    until = time.monotonic() + 60
    while (second := app.reader.read(RequestContext(), "")).revision == first.revision:
        assert time.monotonic() < until
        time.sleep(0.2)
    monkeypatch.setattr("tensorboard_plugins.schedules.runs._QUIET", 0.0)
    third = app.reader.read(RequestContext(), "")
    assert third.revision != second.revision and third.runs["run"].status == "silent"
