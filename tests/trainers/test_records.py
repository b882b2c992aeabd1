"""Records: typed, whole or an error, written once; and the list of starts, which stops nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import os

import pytest

from trainers.loop import records
from trainers.loop.records import Record, RecordError

ROWS = [
    {"epoch": 0, "step": 50, "loss": 1.5, "val_loss": 0.5},
    {"epoch": 1, "step": 100, "loss": 1.25, "val_loss": 0.75},
]


def test_what_a_record_does_not_say_is_nothing():
    made = record()
    assert (made.restarts, made.reason, made.label, made.cost) == (0, None, "", None)
    assert (made.counted, made.hardware, made.schema) == ({}, {}, records.SCHEMA)


def record(**changed):
    values = {
        "name": "made",
        "config": {"epochs": 2, "seed": 0, "warmup": "1ep", "options": {"power": 2.0}},
        "seed": 0,
        "status": "finished",
        "steps": 100,
        "updates": 100,
        "skipped_updates": 0,
        "epochs": ROWS,
        "final": ROWS[1],
        "best": ROWS[0],
        "goal": "val_loss",
        "metrics": {},
        "parameters": 5,
        "seconds": {"train": 1.0, "evaluation": 0.5, "checkpoint": 0.25},
        "versions": {"python": "3"},
    }
    return Record(**{**values, **changed})


def written(tmp_path, **changed):
    path = tmp_path / "record.json"
    records.write(path, record(**changed))
    return path


def test_it_comes_back_as_it_was(tmp_path):
    assert records.read(written(tmp_path)) == record()


def test_where_none_is_there_is_none(tmp_path):
    assert records.read(tmp_path / "record.json") is None


def test_it_is_never_overwritten(tmp_path):
    path = written(tmp_path)
    with pytest.raises(FileExistsError):
        records.write(path, record(seed=1))
    assert records.read(path) == record()
    assert [item.name for item in tmp_path.iterdir()] == ["record.json"]


def test_what_is_not_finite_is_null(tmp_path):
    row = {"epoch": 0, "step": 50, "loss": math.nan, "val_loss": -math.inf}
    path = written(tmp_path, epochs=[row], final=row, cost={"bitops": math.inf})
    found = records.read(path)
    assert found.final == {"epoch": 0, "step": 50, "loss": None, "val_loss": None}
    assert found.cost == {"bitops": None}
    assert math.isnan(found.value("val_loss"))

    def refuse(constant):
        raise AssertionError(constant)

    json.loads(path.read_text(), parse_constant=refuse)


def test_values_at_the_end_and_of_the_best_epoch():
    assert record().value("val_loss") == 0.75
    assert record().value("val_loss", "best") == 0.5
    assert math.isnan(record().value("accuracy"))
    assert math.isnan(record(status="diverged").value("val_loss"))
    assert math.isnan(record(final=None).value("val_loss"))


def test_one_bit_anywhere_is_noticed(tmp_path):
    path = written(tmp_path)
    data = path.read_bytes()
    harmless = 0
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        try:
            # White space between the values may change: they are the same.
            assert records.read(path) == record()
            harmless += 1
        except RecordError as error:
            assert str(path) in str(error)
    assert harmless < len(data) / 8


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"3", b"{}", b"[" * 200_000, b'{"a":' * 100_000, b"\xff", bytes(9)],
    ids=["empty", "torn", "list", "null", "number", "mapping", "deep", "deeper", "high", "zeros"],
)
def test_what_is_no_record_is_an_error_that_names_the_file(tmp_path, data):
    path = tmp_path / "record.json"
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"record\.json"):
        records.read(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_what_is_no_file_is_an_error(tmp_path, kind):
    """Found before training, not when the record cannot be written."""
    path = tmp_path / "record.json"
    path.mkdir() if kind == "directory" else path.symlink_to("nothing")
    with pytest.raises(RecordError, match="must be a file"):
        records.read(path)


WRONG = {
    "config": [None, [], 1],
    "seed": [None, "0", 0.5, True],
    "status": [None, "done", 1, []],
    "steps": ["100", 1.5],
    "epochs": [None, {}, [1], ["row"]],
    "final": [1, [], "row"],
    "best": [1, [], "row"],
    "goal": [None, 1],
    "metrics": [None, [], {"accuracy": 1}],
    "seconds": [None, {"train": "1"}, {"train": True}],
    "versions": [{"python": 3}],
    "cost": [1, []],
    "reason": [1],
    "schema": [None, 1, "2"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_field_of_another_type_is_named(name, value):
    with pytest.raises(RecordError, match=rf"{name}.*Received"):
        Record.of({**dataclasses.asdict(record()), name: value})


def test_missing_and_unknown_fields_are_named():
    found = dataclasses.asdict(record())
    del found["goal"]
    with pytest.raises(RecordError, match="Missing: goal; unknown: gaol"):
        Record.of({**found, "gaol": "val_loss"})
    for other in ([], None, 1, "record"):
        with pytest.raises(RecordError, match="must be a mapping"):
            Record.of(other)


# --- the list of starts ---------------------------------------------------------------------------


def test_starts_are_counted(tmp_path):
    path = tmp_path / "starts.jsonl"
    assert [records.note_start(path, {"step": step}) for step in (0, 5, 9)] == [0, 1, 2]
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 5, 9]


def test_a_start_that_was_killed_while_it_was_noted_is_one(tmp_path):
    path = tmp_path / "starts.jsonl"
    records.note_start(path, {"step": 0})
    with open(path, "a") as file:
        file.write('{"st')
    assert records.note_start(path, {"step": 5}) == 2
    assert records.note_start(path, {"step": 9}) == 3
    assert path.read_text().splitlines() == ['{"step": 0}', '{"st', '{"step": 5}', '{"step": 9}']


@pytest.mark.parametrize("data", [b"\xff\xfe\n\x80\n", bytes(100), b"[" * 10_000, b"\n\n\n"])
def test_whatever_is_in_it_a_start_is_noted(tmp_path, data):
    path = tmp_path / "starts.jsonl"
    path.write_bytes(data)
    before = records.note_start(path, {"step": 0})
    assert records.note_start(path, {"step": 1}) == before + 1
    assert path.read_bytes().startswith(data), "nothing is lost"


@pytest.mark.parametrize("kind", ["directory", "link to itself", "no place"])
def test_where_it_cannot_be_written_nothing_stops(tmp_path, kind):
    path = tmp_path / "starts.jsonl"
    if kind == "directory":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path)
    else:
        path = tmp_path / "nothing" / "starts.jsonl"
    assert records.note_start(path, {"step": 0}) == 0


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    path = tmp_path / "starts.jsonl"
    records.note_start(path, {"step": 0})
    monkeypatch.setattr(os, "fsync", full)
    assert records.note_start(path, {"step": 5}) == 1
