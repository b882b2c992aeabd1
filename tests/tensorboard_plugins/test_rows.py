"""Tables that stay short, schedules in few points, and what is read back of an event file."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util import tensor_util

import keras_sched as ks
from tensorboard_plugins.schedules import events, layout
from tensorboard_plugins.schedules.earlier import earlier
from tensorboard_plugins.schedules.planned import points
from tensorboard_plugins.schedules.rows import Rows
from tensorboard_plugins.schedules.run_log import RunLog
from tensorboard_plugins.schedules.summary import STATISTICS, Summary
from tests.tensorboard_plugins.logs import STEPS, schedule_of, trial_of, write

# --- tables ---------------------------------------------------------------------------------------


@given(st.integers(1, 3000), st.sampled_from([2, 4, 16, 512]))
def test_a_table_is_short_and_keeps_the_first_and_the_last(count, most):
    rows = Rows(["step", "rate"], most=most)
    for step in range(count):
        rows.add([step, 7.0 * step])
    table = rows.table()
    assert len(table) <= most + 1
    assert table[0].tolist() == [0.0, 0.0]
    assert table[-1].tolist() == [count - 1, 7.0 * (count - 1)]
    assert (np.diff(table[:, 0]) > 0).all()
    # What was there at a step is what is shown there.
    np.testing.assert_array_equal(table[:, 1], 7.0 * table[:, 0])


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(1, 20)), min_size=1, max_size=300))
def test_means_are_over_all_that_a_row_stands_for(given):
    rows = Rows(["step", "loss"], averaged={"loss"}, most=4)
    starts = np.cumsum([0, *(count for _, count in given)])
    for start, (loss, count) in zip(starts, given, strict=False):
        rows.add([start, loss], count)
    table = rows.table()
    whole = table if table[-1, 0] == starts[len(given) - 1] and len(given) == 1 else table[:-1]
    ends = np.append(table[1:, 0], starts[-1])
    for (start, mean), end in zip(whole, ends, strict=False):
        within = [(x, n) for at, (x, n) in zip(starts, given, strict=False) if start <= at < end]
        if end != table[-1, 0]:  # The last addition is shown once more, alone.
            expected = sum(x * n for x, n in within) / sum(n for _, n in within)
            assert mean == pytest.approx(expected, abs=1e-6)


def test_what_was_not_measured_is_in_no_mean():
    rows = Rows(["step", "loss"], averaged={"loss"}, most=4)
    for step, loss in enumerate([1.0, math.nan, math.nan, math.nan, 5.0, 7.0, 9.0, 11.0]):
        rows.add([step, loss])
    np.testing.assert_array_equal(rows.table(), [[0, 1.0], [4, 8.0], [7, 11.0]])


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_state_goes_on_as_if_it_had_never_stopped(first, more):
    whole, begun = (Rows(["step", "x"], averaged={"x"}, most=8) for _ in range(2))
    for step in range(first):
        whole.add([step, step**2 if step % 3 else math.nan])
        begun.add([step, step**2 if step % 3 else math.nan])
    went_on = Rows(["step", "x"], averaged={"x"}, most=8)
    went_on.set_state(json.loads(json.dumps(begun.get_state(), allow_nan=False)))
    for step in range(first, first + more):
        whole.add([step, step**2])
        went_on.add([step, step**2])
    np.testing.assert_array_equal(whole.table(), went_on.table())


def test_columns_that_come_later_are_empty_before():
    rows = Rows(["step", "a"])
    rows.add([0, 1.0])
    more = rows.with_columns(["b"])
    more.add([1, 2.0, 3.0])
    np.testing.assert_array_equal(more.table(), [[0, 1, math.nan], [1, 2, 3]])
    with pytest.raises(ValueError, match="a value for each of 3 columns"):
        more.add([2, 1.0])
    with pytest.raises(ValueError, match="must be of the columns step, a"):
        rows.set_state(more.get_state())
    with pytest.raises(ValueError, match="`most` must be even"):
        Rows(["step"], most=3)


# --- schedules in few points ----------------------------------------------------------------------


@pytest.mark.parametrize("steps", [8, 50, 100_000])
@pytest.mark.parametrize(
    "schedule",
    [
        ks.REX(0.1),
        ks.Linear(0.1).warmup("0.1dur"),
        ks.Step(0.1, every="0.3dur"),
        ks.OneCycle(0.1),
        ks.Cosine(0.1).repeat(4),
        ks.Constant(0.3),
    ],
    ids=str,
)
def test_lines_between_few_points_are_near_the_schedule(schedule, steps):
    resolved = schedule.resolve(ks.Run(steps=steps))
    found = points(resolved, steps)
    assert found.dtype == np.float32 and 1 <= len(found) <= 257
    assert found[0, 0] == 0.0 and (np.diff(found[:, 0]) > 0).all()
    at = np.unique(np.linspace(0, steps - 1, 997).astype(np.int64))
    values = resolved(at)
    apart = np.abs(np.interp(at / steps, found[:, 0], found[:, 1]) - values)
    # Between two points that were looked at a jump is a steep line.
    assert np.quantile(apart, 0.98) <= 0.01 * max(np.ptp(values), 1e-9) + 1e-7


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_short_run_has_all_of_its_steps(steps):
    found = points(ks.REX(0.1).resolve(steps), steps)
    np.testing.assert_allclose(found[:, 0], np.arange(steps) / steps, rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], ks.simulate(ks.REX(0.1), n=steps))


# --- event files ----------------------------------------------------------------------------------


def read(directory):
    """Return the last value of each tag of the one file of a directory, and its metadata."""
    (path,) = directory.glob("events.out.tfevents.*")
    found, metadata = {}, {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.tensor))
            metadata.setdefault(value.tag, value.metadata)
    return found, metadata


def test_a_run_is_read_back_from_one_file(tmp_path):
    found, metadata = read(write(tmp_path / "run"))
    trial = layout.parsed(tensor_util.make_ndarray(found[layout.TRIAL][-1][1]).item())
    assert trial == {"v": layout.VERSION, **trial_of()}
    state = layout.parsed(tensor_util.make_ndarray(found[layout.STATE][-1][1]).item())
    columns = ["step", "seconds", "learning_rate", "loss", "planned learning_rate"]
    assert state["columns"]["steps"] == columns
    assert (state["status"], state["step"], state["steps"]) == ("finished", STEPS, STEPS)
    step, tensor = found[layout.STEPS][-1]
    table = tensor_util.make_ndarray(tensor)
    assert step == STEPS and table.dtype == np.float32 and table.shape == (STEPS, 5)
    np.testing.assert_array_equal(table[:, 0], np.arange(STEPS))
    expected = np.float32(schedule_of("REX")(np.arange(STEPS)))
    np.testing.assert_array_equal(table[:, 2], expected)
    np.testing.assert_array_equal(table[:, 4], expected)
    rates = [tensor_util.make_ndarray(tensor).item() for _, tensor in found["step/learning_rate"]]
    np.testing.assert_array_equal(np.float32(rates), expected)
    assert metadata["step/learning_rate"].plugin_data.plugin_name == "scalars"
    assert "_hparams_/session_start_info" in found
    for tag in (layout.TRIAL, layout.STEPS, layout.STATE):
        assert metadata[tag].plugin_data.plugin_name == "keras_sched"
        assert metadata[tag].data_class == 2  # Without a class the fast loader does not see it.


def test_beyond_float32_steps_are_exact(tmp_path):
    log = RunLog(tmp_path, trial_of(), 2**25, ["learning_rate"], {})
    for step in (2**24, 2**24 + 1):
        log.step(step, {"learning_rate": 0.1}, None)
    log.write_tables("finished")
    log.close()
    found, _ = read(tmp_path)
    table = tensor_util.make_ndarray(found[layout.STEPS][-1][1])
    assert table[:, 0].tolist() == [2**24, 2**24 + 1]
    assert np.isnan(table[:, 3]).all()


def test_a_log_goes_on_in_a_file_of_its_own(tmp_path):
    log = RunLog(tmp_path / "a", trial_of(), STEPS, ["learning_rate"], {})
    for step in range(40):
        log.step(step, {"learning_rate": step / 10}, 1.0)
    log.evaluation(40, 1, {"loss": 1.0})
    state = json.loads(json.dumps(log.get_state(), allow_nan=False))
    log.close()
    again = RunLog(tmp_path / "b", trial_of(), STEPS, ["learning_rate"], {}, state)
    for step in range(40, STEPS):
        again.step(step, {"learning_rate": step / 10}, 1.0)
    again.evaluation(STEPS, 2, {"loss": 0.5, "test_loss": 0.7})
    again.write_tables("finished")
    again.close()
    found, _ = read(tmp_path / "b")
    table = tensor_util.make_ndarray(found[layout.STEPS][-1][1])
    np.testing.assert_allclose(table[:, 2], np.arange(STEPS) / 10, rtol=1e-6)
    measured = tensor_util.make_ndarray(found[layout.EVALUATIONS][-1][1])
    np.testing.assert_array_equal(measured[:, 2], [1, 2])
    np.testing.assert_allclose(measured[:, 4], [math.nan, 0.7], rtol=1e-6)


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(
            "tensorboard_plugins.schedules.run_log.time.monotonic", lambda: self.now
        )


def written_at(log, monkeypatch, steps, seconds_of_step, clock):
    """Return the steps after which the tables were written."""
    found = []
    inner = log.write_tables
    monkeypatch.setattr(
        log, "write_tables", lambda *given: (found.append(log._done), inner(*given))
    )
    for step in range(steps):
        clock.now += seconds_of_step
        log.step(step, {"learning_rate": 0.1}, 1.0)
    log.close()
    return found


def test_a_long_epoch_is_written_again_and_again(tmp_path, monkeypatch):
    """Of steps that take no time twice as many are needed each time; of slow ones time counts."""
    clock = Clock(monkeypatch)
    fast = RunLog(tmp_path / "fast", trial_of(), 100_000, ["learning_rate"], {})
    found = written_at(fast, monkeypatch, 20_000, 0.0, clock)
    assert found == [1, *(16 * 2**power for power in range(11))]
    slow = RunLog(tmp_path / "slow", trial_of(), 100_000, ["learning_rate"], {})
    found = written_at(slow, monkeypatch, 5_000, 5.0, clock)
    apart = np.diff(found) * 5.0
    # It is never silent for long, and the file grows with the logarithm of the time.
    seconds = np.array(found[1:]) * 5.0
    assert (apart <= np.maximum(10.0, 0.02 * seconds) + 5.0).all() and len(found) < 250


def test_what_was_logged_before_a_step_is_read_back(tmp_path):
    """As its own state would have it, but for the weights of rows that are not whole."""
    whole = RunLog(tmp_path / "a", trial_of(), 4_000, ["learning_rate"], {})
    for step in range(3_000):
        whole.step(step, {"learning_rate": step / 10}, 1.0 / (1 + step))
        if step % 1_000 == 999:
            whole.evaluation(step + 1, step // 1_000 + 1, {"val_loss": -step})
    whole.write_tables("interrupted")
    whole.close()
    found, expected = earlier(tmp_path / "a", 3_000), whole.get_state()
    rows = len(expected["by_step"]["whole"])
    assert found["by_step"]["each"] == expected["by_step"]["each"] == 8
    np.testing.assert_allclose(
        np.array(found["by_step"]["whole"][:rows], float)[:, :-1],
        np.array(expected["by_step"]["whole"], float)[:, :-1],
        rtol=1e-6,
    )
    weights = [row[-1] for row in found["by_step"]["whole"]]
    assert weights[: rows - 1] == [8.0] * (rows - 1) and sum(weights) == 3_000
    assert found["done"] == 3_000 and found["metrics"] == expected["metrics"]
    # Up to an earlier step: what came after it is done again.
    half = earlier(tmp_path / "a", 2_100)
    assert half["by_step"]["whole"][-1][0] < 2_100 and half["done"] == 2_100
    assert [row[2] for row in half["by_epoch"]["whole"]] == [1, 2]
    assert half["metrics"]["val_loss"]["last"] == [-999.0, -1999.0]
    again = RunLog(tmp_path / "b", trial_of(), 4_000, ["learning_rate"], {}, half)
    for step in range(2_100, 100_000):
        again.step(step, {"learning_rate": step / 10}, 1.0)
    again.write_tables("finished")
    again.close()
    table = tensor_util.make_ndarray(read(tmp_path / "b")[0][layout.STEPS][-1][1])
    assert len(table) <= layout.MOST_ROWS + 2 and (np.diff(table[:, 0]) > 0).all()
    np.testing.assert_allclose(table[:, 2], table[:, 0] / 10, rtol=1e-6)


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 99])
def test_nothing_is_read_back_where_nothing_can_be(tmp_path, content):
    if content is not None:
        (tmp_path / "events.out.tfevents.1.x").write_bytes(content)
    assert earlier(tmp_path, 10) is None


@pytest.mark.parametrize(
    "said",
    [
        {"metrics": {"a": [1]}},
        {"metrics": [1]},
        {"columns": {"steps": ["step"], "evaluations": []}},
        {"columns": 5},
        {"each": "x"},
        {"v": 1},
        {},
    ],
    ids=str,
)
def test_what_is_of_another_form_is_not_gone_on_from(tmp_path, said):
    """The control, the last one, is."""
    columns = {"steps": ["step", "seconds"], "evaluations": ["step", "seconds", "epoch"]}
    state = {"v": layout.VERSION, "step": 3, "seconds": 1.0, "metrics": {}, "each": 1}
    state |= {"columns": columns}
    file = events.EventFile(tmp_path)
    values = [
        events.table(layout.STEPS, np.zeros((3, 2), np.float32)),
        events.table(layout.EVALUATIONS, np.zeros((0, 3), np.float32)),
        events.words(layout.STATE, json.dumps({**state, **said}).encode()),
    ]
    file.add(values, 3)
    file.close()
    assert (earlier(tmp_path, 10) is None) == bool(said)


def test_a_run_of_unknown_length_is_known_at_its_end(tmp_path):
    plan = {"learning_rate": schedule_of("REX")}
    log = RunLog(tmp_path, trial_of(steps=None), None, ["learning_rate"], plan)
    for step in range(STEPS):
        log.step(step, {"learning_rate": 0.1}, 1.0)
    log.write_tables("finished")
    log.close()
    found, _ = read(tmp_path)
    state = layout.parsed(tensor_util.make_ndarray(found[layout.STATE][-1][1]).item())
    assert state["steps"] == STEPS
    assert len(found[f"{layout.PLANNED}learning_rate"]) == 1


def test_a_summary_is_as_by_hand():
    nothing = math.nan
    for values, mode, expected in [
        ([], "max", [nothing, nothing, nothing]),
        ([1.0], "min", [1.0, 1.0, 1.0]),
        ([3.0, 1.0, 2.0, 4.0], "min", [4.0, 1.0, 7.0 / 3.0]),
        ([3.0, 1.0, 2.0, 0.0], "max", [0.0, 3.0, 1.0]),
        ([3.0, nothing, 2.0], "max", [2.0, 3.0, nothing]),
        ([3.0, nothing], "max", [nothing, nothing, nothing]),
    ]:
        made = Summary(values)
        again = Summary.from_json(json.loads(json.dumps(layout.finite(made.to_json()))))
        for each in (made, again):
            found = [each.value(statistic, mode) for statistic in STATISTICS]
            np.testing.assert_array_equal(found, expected)


def test_files_of_one_second_have_the_order_of_their_making(tmp_path):
    made = [events.EventFile(tmp_path) for _ in range(12)]
    for file in made:
        file.close()
    assert sorted(file.path for file in made) == [file.path for file in made]


def test_texts_and_images_are_those_of_tensorboards_own_tabs(tmp_path):
    file = events.EventFile(tmp_path)
    file.add([events.text("said", "a | b"), events.image("seen", b"png", 3, 2)], 5)
    file.close()
    found, metadata = read(tmp_path)
    assert tensor_util.make_ndarray(found["said"][0][1]).item() == b"a | b"
    assert tensor_util.make_ndarray(found["seen"][0][1]).tolist() == [b"3", b"2", b"png"]
    assert metadata["seen"].plugin_data.plugin_name == "images"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "Expecting"),
        (b"[1]", r"no object but \[1\]"),
        (b'{"v": 1}', "version 1, not 2"),
        (b"{}", "version None"),
        (b"[" * 100_000, "nested too deeply|no object|Expecting"),
        (b'{"v": 2, "x": "' + b"a" * 2**20 + b'"}', "longer|bytes long"),
        (b"\xff", "codec"),
    ],
)
def test_what_is_no_json_of_this_form_is_refused(data, said):
    with pytest.raises(ValueError, match=said):
        layout.parsed(data)


def test_numbers_that_are_not_finite_are_null():
    assert layout.parsed(layout.dumped({"a": [math.nan, {"b": math.inf}], "c": 1})) == {
        "v": layout.VERSION,
        "a": [None, {"b": None}],
        "c": 1,
    }


def test_nothing_heavy_is_imported():
    script = (
        "import sys; import tensorboard_plugins.schedules.loader, "
        "tensorboard_plugins.schedules.plugin, tensorboard_plugins.schedules.run_log, "
        "tensorboard_plugins.schedules.alone; "
        "heavy = {'tensorflow', 'keras', 'pandas', 'scipy', 'keras_sched'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
