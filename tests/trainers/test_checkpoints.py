"""Checkpoints under damage: found in every case, and never a silent new beginning."""

from __future__ import annotations

import contextlib
import os
import random

import numpy as np
import pytest

from trainers.loop import records
from trainers.loop.checkpoints import Checkpoint, CheckpointError, Checkpoints


def checkpoint(step):
    values = np.random.default_rng(step)
    arrays = {"w": values.normal(size=(20, 5)).astype("float32"), "n": np.array(step)}
    return Checkpoint(step, arrays, {"history": [step]})


@pytest.fixture
def saved(tmp_path):
    held = Checkpoints(tmp_path / "checkpoints")
    for step in (5, 10):
        held.save(checkpoint(step))
    return held


def newest(held):
    return held._directory / "step_00000010"


def damages():
    """One bit at many places, cuts, and missing, empty and exchanged files."""
    choice = random.Random(0)
    for name in ("arrays.npz", "state.json", "MANIFEST.json"):
        for _ in range(25):
            yield f"bit-{name}-{choice.random():.6f}"
        for _ in range(8):
            yield f"cut-{name}-{choice.random():.6f}"
        yield f"empty-{name}-0"
        yield f"delete-{name}-0"
    yield "swap-arrays.npz-0"


def damage(directory, how):
    kind, name, place = how.rsplit("-", 2)[0].split("-", 1)[0], how.split("-")[1], how.split("-")[2]
    path = directory / name
    data = bytearray(path.read_bytes())
    at = int(float(place) * len(data))
    if kind == "bit":
        data[at] ^= 1 << (at % 8)
        path.write_bytes(data)
    elif kind in ("cut", "empty"):
        path.write_bytes(data[:at])
    elif kind == "delete":
        path.unlink()
    else:
        other = directory / "state.json"
        held = other.read_bytes()
        other.write_bytes(data)
        path.write_bytes(held)


@pytest.mark.parametrize("how", list(damages()))
def test_damage_is_found_and_the_one_before_is_used(saved, how):
    before = (newest(saved) / "MANIFEST.json").read_bytes()
    damage(newest(saved), how)
    got = saved.latest()
    harmless = how.startswith("bit-MANIFEST") and got.step == 10
    if harmless:
        # A bit of white space or of the case of a letter between the numbers: nothing is lost.
        np.testing.assert_array_equal(got.arrays["w"], checkpoint(10).arrays["w"])
        assert before != (newest(saved) / "MANIFEST.json").read_bytes()
        return
    assert got.step == 5
    np.testing.assert_array_equal(got.arrays["w"], checkpoint(5).arrays["w"])
    assert newest(saved).with_suffix(".corrupt").exists(), "nothing is deleted"


def test_with_all_damaged_it_stops(saved):
    for path in saved._directory.glob("*/arrays.npz"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="No checkpoint is left"):
        saved.latest()
    with pytest.raises(CheckpointError, match="No checkpoint is left"):
        saved.latest()


def test_where_none_was_saved_there_is_none(tmp_path):
    assert Checkpoints(tmp_path / "nothing").latest() is None


def test_it_comes_back_as_it_was(saved):
    got = saved.latest()
    assert got.step == 10
    assert got.state == {"history": [10]}
    for name, array in checkpoint(10).arrays.items():
        assert got.arrays[name].tobytes() == array.tobytes()


def test_only_the_newest_are_kept(tmp_path):
    held = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        held.save(checkpoint(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000003", "step_00000004"]


def test_what_a_killed_save_left_is_not_trusted(saved):
    torn = saved._directory / ".writing_00000015_1"
    torn.mkdir()
    (torn / "arrays.npz").write_bytes(b"half")
    assert saved.latest().step == 10
    saved.save(checkpoint(20))
    assert not torn.exists()


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_save_that_fails_at_any_call_leaves_the_one_before(saved, monkeypatch, call):
    real = getattr(os, call)
    for allowed in range(6):
        count = iter(range(100))

        def fail(*args, count=count, allowed=allowed):
            if next(count) >= allowed:
                raise OSError("no space left on device")
            return real(*args)

        monkeypatch.setattr(os, call, fail)
        with contextlib.suppress(OSError):
            saved.save(checkpoint(100 + allowed))
        monkeypatch.setattr(os, call, real)
        got = saved.latest()
        np.testing.assert_array_equal(got.arrays["w"], checkpoint(got.step).arrays["w"])


def test_what_is_not_finite_is_not_saved(saved):
    bad = Checkpoint(15, {"w": np.array([np.nan], "float32")}, {})
    with pytest.raises(CheckpointError, match="must be finite"):
        saved.save(bad)
    assert saved.latest().step == 10


def test_a_record_is_never_overwritten(tmp_path):
    path = tmp_path / "record.json"
    records.write(path, {"value": 1})
    with pytest.raises(FileExistsError):
        records.write(path, {"value": 2})
    assert records.read(path) == {"schema": records.SCHEMA, "value": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["record.json"]


def test_the_hash_of_a_configuration_knows_no_order():
    assert records.config_hash({"a": 1, "b": 2}) == records.config_hash({"b": 2, "a": 1})
    assert records.config_hash({"a": 1}) != records.config_hash({"a": 2})
