"""Evidence: where each row is from, and files of it."""

from __future__ import annotations

import dataclasses
import pathlib

import pandas
import pytest

import keras_sched as ks
from keras_sched.advice.evidence import load, read, written
from tests.advice.made_up import row
from trainers import evidence as maker
from trainers.reports.evidence import of_sweep

ROOT = pathlib.Path(__file__).parents[2]
ASKED = {"task": "image classification", "optimizer": "sgd", "budget": 0.1}


def test_the_table_is_what_its_command_makes(tmp_path):
    """Every row can be traced: to a paper's table, or to a sweep whose results are in docs."""
    sweeps = [
        path
        for part in ("advice", "advice_precision")
        for path in sorted((ROOT / "docs" / part).glob("*/results.parquet"))
    ]
    flags = [*map(str, sweeps), "--published", f"--out={tmp_path / 'a.csv'}"]
    assert maker.main(flags) == 0
    place = pathlib.Path(ks.advice.__file__).with_name("evidence.csv")
    assert (tmp_path / "a.csv").read_text() == place.read_text()
    assert {each.source for each in load() if each.measured_by == "here"} == {
        f"{path.parents[1].name}_{path.parent.name}" for path in sweeps
    }


def test_rows_come_back_from_a_file(tmp_path):
    given = [row(), row("Step", std=None, n=None)]
    (tmp_path / "a.csv").write_text(written(given))
    assert sorted(read(tmp_path / "a.csv"), key=str) == sorted(given, key=str)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "must have the columns"),
        ("", "must have the columns"),
        (written([row()]).replace(",10.0,", ",x,"), "Line 2 .* is no evidence"),
        (written([row()]).replace(",10.0,", ",nan,"), "Line 2 .* is no evidence"),
        (written([row()]).replace("graph", "cooking"), "`family` must be one of"),
        (written([row()]).replace(",10.0,", ",0.0,"), "must be an error above 0 and at most 100"),
        (
            written([row(metric="loss")]).replace(",10.0,", ",0.0,"),
            "must be a loss from 1e-30 to 1e.30",
        ),
        (written([row()]).replace(",10.0,", ",150.0,"), "must be an error above 0 and at most 100"),
        (
            written([row(metric="loss")]).replace(",10.0,", ",1e-300,"),
            "must be a loss from 1e-30 to 1e.30",
        ),
        (written([row(metric="loss")]).replace(",10.0,", ",1e300,"), "must be a loss from"),
        (
            written([row(metric="score of 100")]).replace(",10.0,", ",-5.0,"),
            "must be a score of at least 0",
        ),
        (written([]), "must have rows"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        ks.recommend(**ASKED, evidence=[tmp_path / "a.csv"])


def test_evidence_is_not_written_over(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("mine")
    assert maker.main(["--published", f"--out={path}"]) == 2
    assert path.read_text() == "mine" and "must be a new file" in capsys.readouterr().err
    assert maker.main(["--published", f"--out={tmp_path / 'none' / 'b.csv'}"]) == 2
    assert "must be in a directory that is there" in capsys.readouterr().err
    assert maker.main([f"--out={tmp_path / 'b.csv'}"]) == 2
    assert maker.main([str(tmp_path / "none"), f"--out={tmp_path / 'b.csv'}"]) == 2
    assert not (tmp_path / "b.csv").exists()


@pytest.mark.parametrize(
    "content",
    [b"PAR1\xce\xff", written([row()]).encode("utf-16")],
    ids=["parquet", "UTF-16"],
)
def test_what_is_no_text_is_named_with_what_makes_a_file(tmp_path, content):
    (tmp_path / "results.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"trainers\.evidence SWEEP.*results\.parquet"):
        ks.recommend(**ASKED, evidence=[tmp_path / "results.parquet"])
    with pytest.raises(FileNotFoundError, match=r"trainers\.evidence SWEEP"):
        ks.recommend(**ASKED, evidence=[tmp_path])


def test_a_file_that_a_spreadsheet_wrote_is_read(tmp_path):
    """Some begin with a mark of their encoding."""
    (tmp_path / "a.csv").write_bytes(written([row()]).encode("utf-8-sig"))
    assert read(tmp_path / "a.csv") == [row()]


# --- of sweeps ------------------------------------------------------------------------------------


def table(**changes):
    """The table of a sweep with two measured seeds of two methods."""
    rows = [
        {
            "sweep": "mine",
            "program": "classification",
            "phase": "measurement",
            "setting": "A-SGDM",
            "workload": "A",
            "optimizer": "sgd",
            "budget": 1.0,
            "schedule": schedule,
            "momentum": "constant",
            "precision": "float32",
            "goal": "test_accuracy",
            "goal_mode": "max",
            "count": 100.0,
            "value": value,
        }
        for schedule, values in (("REX", (0.9, 0.8)), ("Linear", (0.7, 0.7)))
        for value in values
    ]
    frame = pandas.DataFrame(rows)
    for name, values in changes.items():
        frame[name] = values
    return frame


def made(tmp_path, frame):
    frame.to_parquet(tmp_path / "results.parquet")
    return of_sweep(tmp_path)


def test_a_row_is_the_mean_of_a_cell(tmp_path):
    found, left = made(tmp_path, table())
    assert {each.method: each.value for each in found} == pytest.approx({"REX": 15, "Linear": 30})
    assert {each.n for each in found} == {2} and not left


@pytest.mark.parametrize(
    ("schedule", "momentum", "method"),
    [
        ("REX", "constant", "REX"),
        ("Demon", "demon", "Demon"),
        ("Demon REX", "demon", "Demon REX"),
        ("REX", "Demon", "Demon REX"),
        ("None", "Demon", "Demon"),
        ("OneCycle", "one_cycle_momentum", "OneCycle"),
        ("OneCycle momentum", "one_cycle_momentum", "OneCycle momentum"),
        ("REX", "cosine_momentum", "cosine_momentum REX"),
        ("REX", "Mine", "Mine REX"),
    ],
)
def test_what_moves_the_momentum_is_part_of_the_method(tmp_path, schedule, momentum, method):
    frame = table(
        schedule=[schedule] * 2 + ["Linear"] * 2, momentum=[momentum] * 2 + ["constant"] * 2
    )
    found, _ = made(tmp_path, frame)
    assert {each.method for each in found} == {method, "Linear"}


def test_two_cells_of_one_method_are_refused(tmp_path):
    frame = table(schedule=["Demon"] * 2 + ["None"] * 2, momentum=["demon"] * 2 + ["Demon"] * 2)
    with pytest.raises(ValueError, match=r"one row for each method.*Demon"):
        made(tmp_path, frame)
    twice = [row(value=10.0), dataclasses.replace(row(), value=11.0), row("Linear")]
    with pytest.raises(ValueError, match=r"one row for each method.*REX"):
        ks.recommend(**ASKED, evidence=twice)


def test_cells_with_failed_trainings_are_named(tmp_path, capsys):
    """What is left out without a word favours methods that diverge."""
    found, left = made(tmp_path, table(value=[0.9, None, 0.7, 0.7]))
    assert [each.method for each in found] == ["Linear"]
    assert left == ["A-SGDM, REX at 100 %: 1 of 2 trainings failed"]
    assert maker.main([str(tmp_path), f"--out={tmp_path / 'a.csv'}"]) == 0
    assert "Left out: A-SGDM, REX" in capsys.readouterr().err


def test_what_is_measured_again_can_have_a_source_of_its_own(tmp_path, capsys):
    sweep = str(ROOT / "docs" / "advice" / "digits" / "results.parquet")
    for flags, source in (((), "advice_digits"), (("--source=again",), "again")):
        assert maker.main([sweep, *flags, f"--out={tmp_path / source}"]) == 0
        assert {each.source for each in read(tmp_path / source)} == {source}
    other = (
        sweep.replace("digits", "fashion"),
        sweep.replace("advice/digits", "advice_precision/fashion"),
    )
    assert maker.main([*other, "--source=x", f"--out={tmp_path / 'both'}"]) == 2
    assert "make a file for each sweep" in capsys.readouterr().err
    assert maker.main(["--published", "--source=x", f"--out={tmp_path / 'both'}"]) == 2
    assert "`--source` must be of a sweep" in capsys.readouterr().err
    assert not (tmp_path / "both").exists()


@pytest.mark.parametrize("value", [-1.5, 27.5])
def test_a_goal_that_is_no_share_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"share.*results\.parquet, A-SGDM, REX"):
        made(tmp_path, table(value=[value, 0.9, 0.7, 0.7]))
