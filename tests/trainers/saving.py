"""Checkpoints to save in tests, and saves that are killed at every line; without TensorFlow.

As a program, ``python -m tests.trainers.saving DIRECTORY [--numbered]``, it saves once for each
line that a save runs, in a process that is killed at this line, and prints what was left each time.
All of these processes have the number 1, as the first one of a container. With ``--numbered`` what
is being written has that number in its name, and stays: the negative control, which ends when a
save is refused for that.
"""

from __future__ import annotations

import argparse
import collections
import json
import linecache
import os
import pathlib
import shutil
import sys
import zipfile

import numpy as np

from trainers.loop import checkpoints, files
from trainers.loop.checkpoints import Checkpoint, Checkpoints, LoopState

# What a save does is done by the lines of these; of the last, those that write are counted.
WATCHED = (checkpoints.__file__, files.__file__, shutil.__file__, zipfile.__file__)
SAVED = (5, 10, 15)
NEXT = 20


def checkpoint(step, epochs=1):
    values = np.random.default_rng(step)
    arrays = {"w": values.normal(size=(20, 5)).astype("float32"), "n": np.array(step)}
    rows = [{"epoch": n, "step": step, "loss": 0.5, "val_loss": None} for n in range(epochs)]
    state = LoopState(
        config={"epochs": 4, "name": "made", "seed": 0},
        history=rows,
        means=[[1.5], [8.0]],
        seconds={"train": float(step), "evaluation": 0.5, "checkpoint": 0.25},
        callbacks=[None, {"best": 0.5}],
        versions={"python": "3"},
    )
    return Checkpoint(step, arrays, state)


def same(one, other):
    """Return whether two checkpoints agree to the bit."""
    return (
        (one.step, one.state, one.arrays.keys()) == (other.step, other.state, other.arrays.keys())
        and all(one.arrays[name].tobytes() == other.arrays[name].tobytes() for name in one.arrays)
        and all(one.arrays[name].dtype == other.arrays[name].dtype for name in one.arrays)
    )


def sign(path):
    """Make a manifest agree with files that were changed on purpose."""
    manifest = json.loads((path / "MANIFEST.json").read_text())
    del manifest["checksum"]
    manifest["files"] = {name: checkpoints._fingerprint(path / name) for name in manifest["files"]}
    write_manifest(path, manifest)


def write_manifest(path, manifest):
    manifest = {"checksum": files.digest(manifest), **manifest}
    (path / "MANIFEST.json").write_text(json.dumps(manifest))


def killed_save(directory, line):
    """Save in a process that is killed at a line; return whether it was."""
    child = os.fork()
    if child == 0:
        left = iter(range(line))

        def trace(frame, event, argument):
            if frame.f_code.co_filename not in WATCHED:
                return None
            if event == "line" and is_counted(frame) and next(left, None) is None:
                os._exit(9)  # Nothing more runs, and nothing that is buffered is written.
            return trace

        sys.settrace(trace)
        Checkpoints(directory).save(checkpoint(NEXT))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def is_counted(frame):
    name = frame.f_code.co_filename
    return name != zipfile.__file__ or "write(" in linecache.getline(name, frame.f_lineno)


def outcome(directory):
    """Go on in the next process of the same number, and say from what."""
    got = Checkpoints(directory).latest()
    if got is None or not same(got, checkpoint(got.step)):
        return "neither"
    try:
        files.clear(directory)
        Checkpoints(directory).save(checkpoint(NEXT))
        Checkpoints(directory).save(checkpoint(NEXT + 5))
    except FileExistsError:
        return "FileExistsError"
    left = sorted(path.name for path in directory.iterdir())
    whole = ["step_00000015", "step_00000020", "step_00000025"]
    return f"{'new' if got.step == NEXT else 'old'}{'' if left == whole else f' {left}'}"


def main(words=None):
    """Kill a save at each of its lines in turn, and print how often each outcome was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--numbered", action="store_true")
    arguments = parser.parse_args(words)
    os.getpid = lambda: 1
    if arguments.numbered:
        checkpoints.temporary = lambda where, name: where / f"{files.WRITING}{name}_{os.getpid()}"
        files.clear = lambda directory: None
    first = arguments.directory / "first"
    first.mkdir(parents=True)
    for step in SAVED:
        Checkpoints(first).save(checkpoint(step))
    seen, line, was_killed = collections.Counter(), 0, True
    while was_killed and "FileExistsError" not in seen:
        place = arguments.directory / f"killed_{line}"
        shutil.copytree(first, place)
        was_killed = killed_save(place, line)
        seen[outcome(place)] += 1
        shutil.rmtree(place)
        line += 1
    for what, count in seen.items():
        sys.stdout.write(f"{count} {what}\n")


if __name__ == "__main__":
    main()
