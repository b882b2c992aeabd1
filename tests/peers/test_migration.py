"""The migration table of docs/conventions.md: each pair agrees with the peer's recorded values."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
import pytest

import keras_sched as ks
from tests.peers import table

RECORDED = json.loads(pathlib.Path(__file__).with_name("values.json").read_text())
ROWS = table.read()
# What follows a metric or the weights, and is no function of the step.
NO_SCHEDULES = {
    "ReduceLROnPlateau",
    "PlateauLRScheduler",
    "get_reduce_on_plateau_schedule",
    "get_greedy_schedule",
    "get_adafactor_schedule",
}


def check_row(row: table.Row) -> None:
    """Ours has the peer's value at every recorded step, to two units in the last place."""
    for setting, values in zip(table.SETTINGS, RECORDED[row.peer]["calls"][row.call], strict=True):
        ours = eval(row.ours, {"ks": ks, "log": math.log} | setting)
        got = ours(np.arange(len(values))).astype(np.float64)
        unit = np.spacing(np.abs(values).astype(np.float32) + np.float32(1e-7))
        np.testing.assert_array_less(np.abs(got - values), 2 * unit, f"{row.ours}, {setting}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.peer}-{row.call}")
def test_each_row_has_the_same_values(row):
    check_row(row)


@pytest.mark.parametrize("peer", RECORDED)
def test_each_schedule_of_a_peer_has_a_row(peer):
    rows = " ".join(row.call for row in ROWS if row.peer == peer)
    text = table.DOCUMENT.read_text()
    missing = [name for name in RECORDED[peer]["schedules"] if f"{name}(" not in rows]
    assert set(missing) <= NO_SCHEDULES
    assert all(f"`{name}`" in text for name in missing)


def test_each_record_has_a_row():
    recorded = {(peer, call) for peer, held in RECORDED.items() for call in held["calls"]}
    assert recorded == {(row.peer, row.call) for row in ROWS}


def test_the_names_of_the_table_are_explained():
    introduction = table.DOCUMENT.read_text().split("# Migration")[1].split("## From")[0]
    for name in table.SETTINGS[0]:
        assert f"`{name}`" in introduction


def test_a_wrong_row_is_seen():
    """The negative control: another value, a row without a record, and a line that is no row."""
    right = next(row for row in ROWS if row.call == "StepLR(opt, k, gamma=r)")
    check_row(right)
    with pytest.raises(AssertionError):
        check_row(table.Row(right.peer, right.call, "ks.Step(lr, every=k + 1, factor=r)"))
    with pytest.raises(KeyError):
        check_row(table.Row(right.peer, "StepLR(opt, 3)", right.ours))
    with pytest.raises(ValueError, match="A row must be"):
        table.read("## From timm\n| there | here |\n|---|---|\n| StepLR | `ks.Step(1.0)` |")
