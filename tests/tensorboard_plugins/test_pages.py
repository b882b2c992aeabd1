"""What the dashboard answers: its numbers beside hand-worked ones, and with hostile logs."""

from __future__ import annotations

import csv
import io
import json
import math
import struct
import threading

import numpy as np
import pytest
from tensorboard.context import RequestContext
from werkzeug.test import Client

from tensorboard_plugins.schedules import events
from tensorboard_plugins.schedules.curves import curves, values_on
from tensorboard_plugins.schedules.log_reader import LogReader
from tensorboard_plugins.schedules.pages import static
from tensorboard_plugins.schedules.run_log import RunLog
from tests.tensorboard_plugins.logs import (
    SCHEDULES,
    SHARES,
    STEPS,
    quality,
    trial_of,
    write,
    write_sweep,
)
from tests.tensorboard_plugins.serving import Served


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("log")
    write_sweep(
        directory / "sweep",
        left_out={"Linear-0.1-1"},
        statuses={"None-1.0-0": "diverged"},
    )
    write(directory / "own" / "drifting", trial_of(sweep="", id="own", cell="own"), drift_from=40)
    return directory


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Of TensorBoard's server.


@pytest.fixture(scope="module")
def served(place):
    return Served(place)


def unpacked(data):
    """What a browser makes of curves."""
    (length,) = struct.unpack("<I", data[:4])
    head = json.loads(data[4 : 4 + length])
    numbers = np.frombuffer(data[4 + length :], "<f4")
    points, (runs, _) = head["shapes"]["x"][0], head["shapes"]["y"]
    return head, numbers[:points], numbers[points:].reshape(runs, points)


# --- the manifest ---------------------------------------------------------------------------------


def test_the_manifest_has_all_runs_and_what_is_missing(served):
    found = served.get("manifest").json
    assert [sweep["name"] for sweep in found["sweeps"]] == ["", "made_up"]
    made_up = found["sweeps"][1]
    assert (made_up["goal"], made_up["planned"]) == ("test_accuracy", 12)
    assert made_up["metrics"][0] == {"name": "test_accuracy", "mode": "max", "is_share": True}
    runs = {run["run"]: run for run in found["runs"]}
    assert len(runs) == 11 + 1 and found["warnings"] == []
    run = runs["sweep/trials/REX-0.1-1"]
    assert (run["method"], run["budget"], run["seed"], run["status"]) == ("REX", 0.1, 1, "finished")
    assert found["statistics"] == ["final", "best", "mean_last"]
    of_epochs = [quality("REX", 0.1, 1) * share for share in SHARES]
    expected = [of_epochs[-1], of_epochs[-2], sum(of_epochs[1:]) / 3]
    assert run["values"]["test_accuracy"] == pytest.approx(expected)
    assert run["values"]["loss"] == pytest.approx([0.25, 0.25, (0.5 + 1 / 3 + 0.25) / 3])
    linear = made_up["glyphs"]["Linear"]
    np.testing.assert_allclose(linear, 0.1 * (1.0 - np.linspace(0.0, 0.99, 32)), atol=2e-3)
    assert made_up["glyphs"].keys() == set(SCHEDULES)
    assert run["config"] == {"seed": 1, "schedule": "REX"}


def test_nothing_is_sent_again_while_nothing_has_changed(served):
    revision = served.get("manifest").json["revision"]
    again = served.get("manifest", revision=revision)
    assert again.status_code == 204 and again.data == b""
    assert served.get("manifest", revision="another").status_code == 200


# --- the leaderboard ------------------------------------------------------------------------------


def test_the_leaderboard_is_as_by_hand(served):
    found = served.post("table", sweep="made_up", metric="test_accuracy").json
    places = [(column["setting"], column["budget"]) for column in found["columns"]]
    assert places == [("digits", 0.1), ("digits", 1.0)]
    # Linear lacks a seed at 10 %: nothing is ranked there.
    assert [column["is_complete"] for column in found["columns"]] == [False, True]
    rows = {row["method"]: row for row in found["rows"]}
    share = SHARES[-1]
    values = [quality("REX", 1.0, seed) * share for seed in (0, 1)]
    cell = rows["REX"]["cells"][1]
    assert cell["mean"] == pytest.approx(sum(values) / 2)
    assert cell["std"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
    assert (cell["n"], cell["planned"], cell["missing"]) == (2, 2, 0)
    lacking = rows["Linear"]["cells"][0]
    assert (lacking["n"], lacking["planned"], lacking["missing"]) == (1, 2, 1)
    assert lacking["std"] is None and lacking["place"] is None
    failed = rows["None"]["cells"][1]
    assert failed["failed"] == ["diverged"] and failed["n"] == 1 and failed["place"] is None
    # At the full budget REX and Linear come to the same, ahead of what has failed.
    assert [rows[name]["rank"] for name in ("REX", "Linear", "None")] == [1.5, 1.5, 3.0]
    assert rows["REX"]["rates"]["all"]["top1"] == {"times": 1, "of": 1}


def test_the_runs_that_are_chosen_alone_count(served):
    names = [f"sweep/trials/{name}-0.1-0" for name in SCHEDULES]
    found = served.post("table", sweep="made_up", metric="test_accuracy", runs=names).json
    (column,) = [c for c in found["columns"] if c["budget"] == 0.1]
    assert column["is_complete"]
    assert [row["method"] for row in found["rows"]] == ["REX", "Linear", "None"]


@pytest.mark.parametrize("has_plan", [False, True])
def test_a_run_that_diverged_before_it_was_measured_has_failed(tmp_path, has_plan):
    """Most runs are measured at their end alone."""
    sweep = "made_up" if has_plan else ""
    write_sweep(tmp_path, budgets=(1.0,), left_out={"None-1.0-0"} if has_plan else ())
    trial = trial_of("None", 1.0, 0, sweep=sweep)
    log = RunLog(tmp_path / "diverged", trial, STEPS, [], {})
    log.evaluation(5, 1, {"loss": math.nan})
    log.write_tables("diverged")
    log.close()
    found = Served(tmp_path).post("table", sweep=sweep, metric="test_accuracy").json
    rows = {row["method"]: row for row in found["rows"]}
    (cell,) = rows["None"]["cells"]
    assert cell["failed"] == ["diverged"] and cell["missing"] == 0
    assert found["columns"][0]["is_complete"]


@pytest.mark.parametrize("statistic", ["final", "best", "mean_last"])
def test_statistics(served, statistic):
    found = served.post("table", sweep="made_up", metric="loss", statistic=statistic).json
    assert found["mode"] == "min"
    expected = {"final": 0.25, "best": 0.25, "mean_last": (0.25 + 1 / 3 + 0.5) / 3}[statistic]
    rows = {row["method"]: row for row in found["rows"]}
    assert rows["REX"]["cells"][1]["mean"] == pytest.approx(expected, rel=1e-6)
    found = served.post("table", sweep="made_up", metric="test_accuracy", statistic=statistic).json
    share = {"final": SHARES[-1], "best": SHARES[-2], "mean_last": sum(SHARES[1:]) / 3}[statistic]
    rows = {row["method"]: row for row in found["rows"]}
    expected = share * (quality("REX", 1.0, 0) + quality("REX", 1.0, 1)) / 2
    assert rows["REX"]["cells"][1]["mean"] == pytest.approx(expected, rel=1e-6)


# --- curves ---------------------------------------------------------------------------------------


def test_curves_are_those_of_the_runs(served):
    answer = served.post("curves", sweep="made_up", column="learning_rate", x="share", k=101)
    head, x, y = unpacked(answer.data)
    assert len(head["runs"]) == 11 and y.shape == (11, 101)
    row = y[head["runs"].index("sweep/trials/Linear-1.0-0")]
    at = np.clip(np.floor(x * STEPS + 1e-4), 0, STEPS - 1)
    np.testing.assert_allclose(row, 0.1 * (1.0 - at / STEPS), atol=2e-3)
    _, x, y = unpacked(served.post("curves", sweep="made_up", column="test_accuracy", k=8).data)
    assert np.isnan(y[:, 0]).all() and np.isfinite(y[:, -1]).all()  # Measured from a quarter on.


@pytest.mark.parametrize("axis", ["share", "step", "epoch", "seconds"])
def test_every_axis_ends_where_the_runs_do(served, axis):
    _, x, y = unpacked(served.post("curves", sweep="made_up", column="loss", x=axis, k=16).data)
    assert x[0] == 0.0 and (np.diff(x) > 0).all() and np.isfinite(y).any(axis=1).all()
    ends = {"share": 1.0, "step": STEPS - 1, "epoch": 10 * (STEPS - 1) / STEPS}
    if axis in ends:
        assert x[-1] == pytest.approx(ends[axis])


def test_what_is_applied_is_held_and_what_is_measured_is_joined():
    x = np.linspace(0.0, 4.0, 9)
    at, values = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])
    held, joined = (values_on(x, at, values, is_held) for is_held in (True, False))
    nothing = math.nan
    np.testing.assert_array_equal(held, [nothing, nothing, 1, 1, 2, 2, 4, nothing, nothing])
    np.testing.assert_array_equal(joined, [nothing, nothing, 1, 1.5, 2, 3, 4, nothing, nothing])


def test_a_step_that_was_taken_again_counts_once(tmp_path):
    write(tmp_path / "run")
    reader = Served(tmp_path).app.reader
    (run,) = reader.read(RequestContext(), "").runs.values()
    twice = np.concatenate([run.steps[:60], run.steps[40:]])
    twice[60:, 2] = 9.0
    again = type(run)(**{**vars(run), "steps": twice})
    found = curves([again], "learning_rate", "step", 100)["y"][0]
    assert (found[41:] == 9.0).all() and (found[:39] < 1.0).all()


# --- single runs ----------------------------------------------------------------------------------


def test_the_first_step_of_drift_is_found(served):
    own = served.get("run", run="own/drifting").json
    assert own["drift"]["learning_rate"]["first_step"] == 40
    assert own["drift"]["learning_rate"]["most"] == pytest.approx(0.5 * 0.1 * (0.6 / 0.8), rel=1e-4)
    sound = served.get("run", run="sweep/trials/REX-1.0-0").json
    assert sound["drift"]["learning_rate"] == {"most": 0.0, "first_step": None}
    assert sound["trial"]["config"] == {"seed": 0, "schedule": "REX"}
    assert len(sound["tables"]["steps"]["loss"]) == STEPS


def test_the_last_images_and_texts_of_a_run_are_shown(tmp_path):
    directory = write(tmp_path / "run", trial_of(sweep=""))
    file = events.EventFile(directory)
    for step in (1, 2):
        png = b"\x89PNG" + bytes([step])
        file.add([events.image("seen", png, 3, 2), events.text("said", f"step {step}")], step)
    file.add([events.image("none", b"<svg onload=alert(1)>", 3, 2)], 3)
    file.close()
    served = Served(tmp_path)
    shown = served.get("run", run="run").json["shown"]
    assert shown["texts"] == [{"tag": "said", "step": 2, "text": "step 2"}]
    assert [each["tag"] for each in shown["images"]] == ["none", "seen"]
    answer = served.get("image", run="run", tag="seen")
    assert answer.data == b"\x89PNG\x02" and answer.content_type == "image/png"
    for run, tag in (("run", "none"), ("run", "other"), ("nowhere", "seen")):
        assert served.get("image", run=run, tag=tag).status_code == 404


# --- to take away ---------------------------------------------------------------------------------


def test_tables_can_be_taken_away(served):
    asked = {"what": "table", "sweep": "made_up", "metric": "test_accuracy"}
    answer = served.get("export", format="csv", **asked)
    assert answer.headers["Content-Disposition"] == "attachment; filename=table.csv"
    rows = {(row["method"], row["budget"]): row for row in csv.DictReader(io.StringIO(answer.text))}
    table = served.post("table", sweep="made_up", metric="test_accuracy").json
    for row in table["rows"]:
        for column, cell in zip(table["columns"], row["cells"], strict=True):
            found = rows[row["method"], str(column["budget"])]
            assert float(found["mean"]) == cell["mean"]  # Every digit.
            assert found["std"] == ("" if cell["std"] is None else repr(cell["std"]))
            assert (int(found["n"]), int(found["planned"])) == (cell["n"], cell["planned"])
            assert int(found["failed"]) == len(cell["failed"])
    markdown = served.get("export", format="markdown", **asked).text
    assert markdown.splitlines()[0].count("|") == 5
    latex = served.get("export", format="latex", **asked).text
    assert r"10 \%" in latex and r"$\pm$" in latex and latex.count(r"\\") == 4
    assert json.loads(served.get("export", format="json", **asked).text)["rows"] == table["rows"]
    steps = served.get("export", what="steps", sweep="made_up", format="csv").text
    assert len(steps.splitlines()) == 1 + 11 * STEPS


@pytest.mark.parametrize("what", ["table", "runs", "steps", "evaluations"])
def test_what_is_taken_away_is_what_the_filters_leave(served, what):
    names = [f"sweep/trials/{name}-0.1-0" for name in ("REX", "Linear")]
    sent = {"what": what, "sweep": "made_up", "metric": "test_accuracy", "runs": names}
    found = csv.DictReader(io.StringIO(served.post("export", format="csv", **sent).text))
    assert {row["method"] for row in found} == {"REX", "Linear"}


def test_a_negative_mean_is_a_number(tmp_path):
    write(tmp_path / "run", trial_of("None", sweep="", budget=-20.0))  # Quality goes with budget.
    text = Served(tmp_path).get("export", metric="test_accuracy", format="csv").text
    (row,) = csv.DictReader(io.StringIO(text))
    assert float(row["mean"]) < 0.0 and row["std"] == ""


def test_no_spreadsheet_computes_a_name(tmp_path):
    write(tmp_path / "run", trial_of(setting='=HYPERLINK("x")', sweep=""))
    text = Served(tmp_path).get("export", what="runs", format="csv").text
    assert "\"'=HYPERLINK" in text


# --- what can be asked wrongly --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked", "code", "said"),
    [
        ("run", {"run": "none"}, 404, "no run 'none'"),
        ("run", {"run": "../../etc/passwd"}, 404, "no run"),
        ("export", {"format": "pdf"}, 400, "`format` must be one of csv"),
        ("export", {"what": "all"}, 400, "`what` must be table"),
        ("table", {"statistic": "worst"}, 400, "`statistic` must be one of final"),
        ("curves", {"x": "moon"}, 400, "`x` must be one of share"),
        ("curves", {"k": "1"}, 400, "`k` must be from 2 to 512"),
        ("curves", {"k": "many"}, 400, "`k` must be a whole number"),
    ],
)
def test_what_is_asked_wrongly_is_said(served, path, asked, code, said):
    answer = served.get(path, **asked)
    assert answer.status_code == code and said in answer.json["error"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("sent", [b"{", b"[1]", b"[" * 99_999, b"\xff"])
def test_what_is_sent_must_be_json(served, sent):
    answer = served.client.post("/api/table", data=sent)
    assert answer.status_code == 400 and "JSON" in answer.json["error"]


def test_a_request_that_is_too_long_is_refused(served):
    answer = served.client.post("/api/table", data=b" " * (4 * 2**20 + 1))
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/../setup.cfg", "/static/../x", "/index.js/..", "/%2e%2e/x"])
def test_no_file_but_the_pages_own_is_served(served, path):
    assert served.client.get(path).status_code == 404


def test_the_page_has_a_strict_policy(served):
    answer = served.client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "script-src 'self'" in policy
    assert set(static()) >= {"index.js", "styles.css", "uplot_license.txt"}
    for name in static():
        assert served.client.get(f"/{name}").status_code == 200


def test_a_fault_of_the_program_is_told_by_a_number(served, monkeypatch, caplog):
    monkeypatch.setattr("tensorboard_plugins.schedules.pages.manifest", lambda *_: 1 / 0)
    answer = served.get("manifest")
    assert answer.status_code == 500
    number = answer.json["error"].partition(": ")[2].split()[0]
    assert number in caplog.text and "ZeroDivisionError" in caplog.text


# --- again and again ------------------------------------------------------------------------------


def test_an_empty_directory_and_numbers_that_are_none(tmp_path):
    served = Served(tmp_path)
    found = served.get("manifest").json
    assert found["runs"] == [] and found["sweeps"] == []
    assert served.post("table", sweep="", metric="x").json["rows"] == []
    assert served.post("curves", sweep="").status_code == 200


def test_many_may_ask_at_once(served):
    answers = []

    def ask():
        answers.append(Client(served.app).get("/api/manifest").status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8


def test_only_what_has_changed_is_read_again(place):
    class Counted:
        def __init__(self, provider):
            self.provider, self.read = provider, []

        def list_tensors(self, *args, **kwargs):
            return self.provider.list_tensors(*args, **kwargs)

        def list_scalars(self, *args, **kwargs):
            return self.provider.list_scalars(*args, **kwargs)

        def read_tensors(self, *args, run_tag_filter, **kwargs):
            self.read.append(sorted(run_tag_filter.runs))
            return self.provider.read_tensors(*args, run_tag_filter=run_tag_filter, **kwargs)

    app = Served(place).app
    counted = Counted(app.reader._provider)
    reader = LogReader(counted)
    first = reader.read(RequestContext(), "")
    assert reader.read(RequestContext(), "") is first
    assert len(counted.read) == 1 and len(counted.read[0]) == 13
