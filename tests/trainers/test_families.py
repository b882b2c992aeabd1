"""What every family has: it goes on with the same bits, and all that schedules drive is driven."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.trainers import families
from tests.trainers.forks import end_of, started
from trainers.sweeps.programs import TASKS


def test_every_family_is_here():
    assert set(families.SMALLEST) == set(TASKS)


@pytest.mark.parametrize("name", families.SMALLEST)
def test_killed_and_continued_it_ends_with_the_same_bits(name, tmp_path):
    whole, _ = started(families.main, name, tmp_path / "whole")
    assert whole.wait()[0] == 0
    killed, step = started(families.main, name, tmp_path / "killed")
    assert step == 0
    while not list((tmp_path / "killed").glob("*/*/checkpoints/step_*")):
        assert killed.process.is_alive(), "over too soon: nothing was killed"
        time.sleep(0.01)
    os.kill(killed.process.pid, signal.SIGKILL)
    assert killed.wait()[0] == -signal.SIGKILL
    last, step = started(families.main, name, tmp_path / "killed")
    assert step > 0
    assert last.wait()[0] == 0
    arrays, record = end_of(tmp_path / "killed")
    expected, other = end_of(tmp_path / "whole")
    assert record.restarts == 1
    assert record.epochs == other.epochs
    assert arrays.keys() == expected.keys()
    assert [key for key in arrays if arrays[key].tobytes() != expected[key].tobytes()] == []
    assert {"learning_rate", "weight_bits"} <= record.final.keys()
    assert len({row["weight_bits"] for row in record.epochs}) > 1
    assert 0.0 < record.cost["quantized_layers"]["relative_to_fp32"] < 1.0
