"""Checkpoints: what is saved comes back to the bit, whatever fails and wherever it is killed."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tracemalloc

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from tests.trainers.saving import SAVED, checkpoint, same, sign, write_manifest
from trainers.loop import checkpoints, state
from trainers.loop.checkpoints import CheckpointError, Checkpoints, LoopState

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def saved(tmp_path):
    held = Checkpoints(tmp_path / "checkpoints")
    for step in SAVED:
        held.save(checkpoint(step))
    return held


def directory(held, step):
    return held._directory / f"step_{step:08d}"


def names(held):
    return sorted(path.name for path in held._directory.iterdir())


# --- what is saved --------------------------------------------------------------------------------


def test_it_comes_back_as_it_was(saved):
    got = saved.latest()
    assert got.step == 15
    assert same(got, checkpoint(15))
    assert not same(got, dataclasses.replace(checkpoint(15), step=16))
    assert not same(got, dataclasses.replace(checkpoint(15), arrays=checkpoint(10).arrays))


def test_nothing_else_is_stored(saved):
    """Before NumPy 2.1 an option of `savez` was stored as an array of its name."""
    with np.load(directory(saved, 15) / "arrays.npz") as file:
        assert sorted(file.files) == ["n", "w"]


def test_where_none_was_saved_there_is_none(tmp_path):
    assert Checkpoints(tmp_path / "nothing").latest() is None
    (tmp_path / "empty").mkdir()
    assert Checkpoints(tmp_path / "empty").latest() is None


def test_only_the_newest_are_kept(tmp_path):
    held = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        held.save(checkpoint(step))
    assert names(held) == ["step_00000003", "step_00000004"]


def test_steps_are_in_the_order_of_numbers(tmp_path):
    held = Checkpoints(tmp_path, keep=2)
    for step in (99_999_999, 100_000_000, 100_000_001):
        held.save(checkpoint(step))
    assert held.latest().step == 100_000_001
    assert names(held) == ["step_100000000", "step_100000001"]


def test_one_of_the_same_step_is_left_as_it_is(saved):
    before = os.stat(directory(saved, 15)).st_ino
    assert saved.save(checkpoint(15)) == directory(saved, 15)
    assert os.stat(directory(saved, 15)).st_ino == before


@pytest.mark.parametrize(
    "bad",
    [
        np.array([1.0, np.nan], "float32"),
        np.array([np.inf]),
        np.array([np.nan], "float16"),
        np.array([np.nan], ml_dtypes.bfloat16),
        np.array([complex(0.0, np.inf)]),
        np.array([None]),
    ],
    ids=lambda bad: str(bad.dtype),
)
def test_what_is_not_finite_or_no_number_is_not_saved(saved, bad):
    arrays = {**checkpoint(20).arrays, "bad": bad}
    with pytest.raises(CheckpointError, match="`bad`"):
        saved.save(dataclasses.replace(checkpoint(20), arrays=arrays))
    assert names(saved) == ["step_00000005", "step_00000010", "step_00000015"]
    assert same(saved.latest(), checkpoint(15))


@pytest.mark.parametrize("keep", [0, -1])
def test_at_least_one_is_kept(tmp_path, keep):
    with pytest.raises(ValueError, match=f"Received: keep={keep}"):
        Checkpoints(tmp_path, keep=keep)


@pytest.mark.parametrize(
    "changed",
    [
        {"history": [{"epoch": 0}]},
        {"history": [{"step": 5}]},
        {"history": [{"epoch": 1, "step": 5}]},
        {"seconds": {"train": 1.0}},
        {"seconds": {"train": -1.0, "evaluation": 0.0, "checkpoint": 0.0}},
        {"seconds": {"train": float("nan"), "evaluation": 0.0, "checkpoint": 0.0}},
    ],
    ids=str,
)
def test_a_state_that_says_nothing_sensible_is_refused(changed):
    with pytest.raises(ValueError, match="Received"):
        dataclasses.replace(checkpoint(5).state, **changed)


# --- what fails while it saves --------------------------------------------------------------------


def kill_at_every_line(where, *flags):
    program = [sys.executable, "-m", "tests.trainers.saving", str(where), *flags]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = (line.split(" ", 1) for line in done.stdout.splitlines())
    return {what: int(count) for count, what in lines}


def test_killed_at_any_line_of_a_save_the_old_or_the_new_one_is_left(tmp_path):
    """And the next process of the same number, as in a container, can save."""
    seen = kill_at_every_line(tmp_path)
    assert seen.keys() == {"old", "new"}
    assert min(seen.values()) > 30
    assert not list(tmp_path.glob("killed*/.writing*"))


def test_named_by_the_number_of_the_process_it_could_not(tmp_path):
    """The negative control."""
    assert "FileExistsError" in kill_at_every_line(tmp_path, "--numbered")


CALLS = ("fsync", "rename", "mkdir", "open", "rmdir", "unlink")


@pytest.mark.parametrize("call", CALLS)
def test_a_save_that_fails_at_any_call_leaves_the_one_before(saved, monkeypatch, call):
    """And nothing half written, for the disk may be full."""
    real, failed, allowed = getattr(os, call), True, 0
    while failed:
        count, failed, step = iter(range(1000)), False, 100 + allowed

        def fail(*args, count=count, allowed=allowed, **named):
            nonlocal failed
            if next(count) == allowed:
                failed = True
                raise OSError(28, "No space left on device")
            return real(*args, **named)

        before = saved.latest()
        monkeypatch.setattr(os, call, fail)
        try:
            saved.save(checkpoint(step))
            raised = False
        except OSError:
            raised = True
        monkeypatch.setattr(os, call, real)
        assert failed or not raised
        got = saved.latest()
        assert same(got, before) or same(got, checkpoint(step))
        if call in ("fsync", "mkdir"):
            assert not list(saved._directory.glob(".writing_*"))
        allowed += 1
    assert allowed > 1, "no such call is made"


def test_a_file_may_be_of_any_size_but_the_disk_has_its_own(saved, monkeypatch):
    """A write that fails: that of the arrays, or of the state."""
    real = checkpoints.sync
    for allowed in (0, 1, 2):
        count = iter(range(10))

        def fail(file, count=count, allowed=allowed):
            if next(count) == allowed:
                raise OSError(28, "No space left on device")
            real(file)

        monkeypatch.setattr(checkpoints, "sync", fail)
        with pytest.raises(OSError, match="No space"):
            saved.save(checkpoint(20))
        assert names(saved) == ["step_00000005", "step_00000010", "step_00000015"]


def test_it_does_not_make_the_directory_of_the_run_again(saved):
    shutil.rmtree(saved._directory.parent)
    with pytest.raises(FileNotFoundError):
        saved.save(checkpoint(20))
    assert not saved._directory.parent.exists()


def test_many_saves_take_no_more_files_or_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    held = Checkpoints(tmp_path, keep=2)
    made = checkpoint(0)
    big = {"w": np.random.default_rng(0).normal(size=20_000)}

    def save(steps):
        for step in steps:
            held.save(dataclasses.replace(made, step=step, arrays=big))
            assert held.latest().step == step

    def held_now():
        gc.collect()
        return tracemalloc.get_traced_memory()[0], len(os.listdir("/proc/self/fd"))

    tracemalloc.start()
    try:
        save(range(20))
        memory, descriptors = held_now()
        save(range(20, 220))
        assert held_now()[1] == descriptors
        grown = held_now()[0] - memory
    finally:
        tracemalloc.stop()
    assert grown < 100_000, "less than one checkpoint, after 200 of 160,000 bytes"
    assert names(held) == ["step_00000218", "step_00000219"]


# --- what is damaged ------------------------------------------------------------------------------

NO_MANIFESTS = {
    "list": "[]",
    "null": "null",
    "number": "3",
    "text": '"step"',
    "empty": "",
    "mapping": "{}",
    "deep": "[" * 200_000,
    "deep mapping": '{"a":' * 100_000,
    "long number": "9" * 5_000,
    "no UTF-8": b"\xff\xfe{}",
    "NaN": '{"checksum": "", "step": NaN}',
}


@pytest.mark.parametrize("text", NO_MANIFESTS.values(), ids=NO_MANIFESTS)
def test_a_manifest_that_is_none_is_damage(saved, text):
    data = text if isinstance(text, bytes) else text.encode()
    (directory(saved, 15) / "MANIFEST.json").write_bytes(data)
    assert same(saved.latest(), checkpoint(10))
    assert "step_00000015.corrupt" in names(saved)


NO_STATES = {
    "list": [],
    "null": None,
    "number": 1,
    "no config": {"config": None},
    "no history": {"history": {}},
    "history of numbers": {"history": [1]},
    "epochs out of turn": {"history": [{"epoch": 3, "step": 5}]},
    "no means": {"means": 1.0},
    "means of text": {"means": [["a"]]},
    "means of truth": {"means": [[True]]},
    "seconds of text": {"seconds": {"train": "1"}},
    "no clocks": {"seconds": {}},
    "no callbacks": {"callbacks": {"best": 1}},
    "unknown": {"surplus": 1},
    **{f"without {name}": name for name in ("config", "history", "means", "seconds", "callbacks")},
}


@pytest.mark.parametrize("changed", NO_STATES.values(), ids=NO_STATES)
def test_a_state_that_is_none_is_damage_even_if_its_manifest_agrees(saved, changed):
    path = directory(saved, 15) / "state.json"
    held = json.loads(path.read_text())
    if isinstance(changed, dict):
        changed = {**held, **changed}
    elif isinstance(changed, str):
        changed = {name: value for name, value in held.items() if name != changed}
    path.write_text(json.dumps(changed))
    sign(path.parent)
    assert same(saved.latest(), checkpoint(10))
    assert "step_00000015.corrupt" in names(saved)


def test_signed_as_it_was_it_is_sound(saved):
    """The negative control: it is not the signature that is refused."""
    sign(directory(saved, 15))
    assert same(saved.latest(), checkpoint(15))


@pytest.mark.parametrize("kind", ["empty", "torn", "zeros", "no archive", "bit"])
def test_arrays_that_are_none_are_damage_even_if_their_manifest_agrees(saved, kind):
    path = directory(saved, 15) / "arrays.npz"
    data = bytearray(path.read_bytes())
    at = data.index(b"\x93NUMPY") + 150  # A number of an array: the archive has a checksum, too.
    data[at] ^= 1
    torn = {"empty": b"", "torn": data[:at], "zeros": bytes(100), "no archive": b"PK\5\6" * 9}
    path.write_bytes(torn.get(kind, data))
    sign(path.parent)
    assert same(saved.latest(), checkpoint(10))


def test_pickled_objects_are_not_read(saved):
    path = directory(saved, 15) / "arrays.npz"
    np.savez(path, w=np.array([{"a": 1}], dtype=object))
    sign(path.parent)
    assert same(saved.latest(), checkpoint(10))


def test_a_second_damage_of_the_same_step_is_set_aside_too(saved):
    for number in (1, 2, 3):
        (directory(saved, 15) / "arrays.npz").write_bytes(b"%d" % number)
        assert same(saved.latest(), checkpoint(10))
        saved.save(checkpoint(15))
    aside = [f"step_00000015.corrupt{tail}" for tail in ("", "-2", "-3")]
    kept = [(saved._directory / name / "arrays.npz").read_bytes() for name in aside]
    assert kept == [b"1", b"2", b"3"], "nothing is deleted"
    assert same(saved.latest(), checkpoint(15))


def test_one_that_holds_another_step_is_damage(saved):
    os.rename(directory(saved, 15), directory(saved, 88))
    assert same(saved.latest(), checkpoint(10))
    assert "step_00000088.corrupt" in names(saved)


@pytest.mark.parametrize("name", ["step_000000088", "step_88", "step_००००००८८", "step_00000088 "])
def test_another_name_is_no_name_of_a_checkpoint(saved, name):
    os.rename(directory(saved, 15), saved._directory / name)
    assert same(saved.latest(), checkpoint(10))
    assert name in names(saved)


@pytest.mark.parametrize("kind", ["file", "link to nothing", "link to itself", "empty directory"])
def test_what_is_no_directory_of_a_checkpoint_is_damage(saved, kind):
    path = directory(saved, 20)
    if kind == "file":
        path.write_text("")
    elif kind == "empty directory":
        path.mkdir()
    else:
        path.symlink_to("nothing" if kind == "link to nothing" else path)
    assert same(saved.latest(), checkpoint(15))
    assert "step_00000020.corrupt" in names(saved)
    saved.save(checkpoint(20))
    assert same(saved.latest(), checkpoint(20))


def test_one_of_a_directory_in_the_place_of_a_file_is_damage(saved):
    for name, step in (("MANIFEST.json", 15), ("arrays.npz", 10)):
        (directory(saved, step) / name).unlink()
        (directory(saved, step) / name).mkdir()
    assert same(saved.latest(), checkpoint(5))


def test_what_is_too_old_is_removed_whatever_it_is(saved):
    (saved._directory / "step_00000001").write_text("no directory")
    (saved._directory / "step_00000002").symlink_to("nothing")
    saved.save(checkpoint(20))
    assert names(saved) == ["step_00000010", "step_00000015", "step_00000020"]


def test_with_all_damaged_it_stops(saved):
    for path in saved._directory.glob("*/arrays.npz"):
        path.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"No checkpoint is left.*step_00000005\.corrupt"):
            saved.latest()


def test_with_all_renamed_it_stops(saved):
    for path in saved._directory.iterdir():
        os.rename(path, path.with_name(f"old_{path.name}"))
    with pytest.raises(CheckpointError, match="old_step_00000005"):
        saved.latest()


def test_of_another_version_it_stops_and_sets_nothing_aside(saved):
    path = directory(saved, 15)
    manifest = json.loads((path / "MANIFEST.json").read_text())
    del manifest["checksum"]
    write_manifest(path, {**manifest, "schema": 99})
    with pytest.raises(CheckpointError, match="Received: schema=99"):
        saved.latest()
    assert names(saved) == ["step_00000005", "step_00000010", "step_00000015"]


@pytest.mark.parametrize("code", [5, 13, 24], ids=["EIO", "EACCES", "EMFILE"])
def test_what_the_disk_does_not_give_now_is_not_damaged(saved, monkeypatch, code):
    def fail(path):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(checkpoints, "_fingerprint", fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        saved.latest()
    monkeypatch.undo()
    assert same(saved.latest(), checkpoint(15))


# --- variables ------------------------------------------------------------------------------------


def variables():
    return {
        "weight": keras.Variable(np.ones((2, 3)), dtype="float32"),
        "half": keras.Variable(np.ones(2), dtype="bfloat16"),
        "seed": keras.Variable(np.zeros(2), dtype="uint32", trainable=False),
        "step": tf.Variable(7, dtype=tf.int64),
    }


def test_variables_come_back_with_their_values_and_types(tmp_path):
    made, expected = variables(), state.snapshot(variables())
    held = Checkpoints(tmp_path)
    held.save(dataclasses.replace(checkpoint(1), arrays=expected))
    for variable in made.values():
        variable.assign(np.zeros(variable.shape, "int64"))
    assert any(state.snapshot(made)[name].tobytes() != expected[name].tobytes() for name in made)
    state.restore(made, held.latest().arrays)
    for name, array in state.snapshot(made).items():
        assert array.dtype == expected[name].dtype
        assert array.tobytes() == expected[name].tobytes()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": None}, r"Missing: \['seed'\]"),
        ({"surplus": np.zeros(1)}, r"unknown: \['surplus'\]"),
        ({"weight": np.zeros((3, 2), "float32")}, r"another shape: \['weight'\]"),
        ({"weight": np.zeros((1, 3), "float32")}, r"another shape: \['weight'\]"),
        ({"weight": np.zeros((2, 3), "float64")}, r"another type: \['weight'\]"),
        ({"step": np.array(0, "int32")}, r"another type: \['step'\]"),
        ({"half": np.zeros(2, "float16")}, r"another type: \['half'\]"),
    ],
    ids=["missing", "surplus", "turned", "would be spread", "double", "short", "half"],
)
def test_what_does_not_fit_is_refused_and_nothing_is_assigned(changed, said):
    made = variables()
    before = state.snapshot(made)
    zeros = {name: np.zeros_like(array) for name, array in before.items()}
    arrays = {name: array for name, array in {**zeros, **changed}.items() if array is not None}
    with pytest.raises(CheckpointError, match=said):
        state.restore(made, arrays)
    after = state.snapshot(made)
    assert all(after[name].tobytes() == before[name].tobytes() for name in before)
    state.restore(made, zeros)
    assert not any(array.any() for array in state.snapshot(made).values())


def test_the_state_of_the_loop_is_what_json_can_hold(saved):
    text = json.dumps(dataclasses.asdict(checkpoint(15).state))
    assert LoopState(**json.loads(text)) == checkpoint(15).state
