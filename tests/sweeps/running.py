"""Running sweeps of the test program as a person does, and looking at what they left."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from trainers.loop.records import Record

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "sweeps" / "config.py"
# Seconds until what hangs is given up; a busy machine is no error.
PATIENCE = 900.0


def made_record(status="finished", epochs=(), **changed):
    """Return the record of a training that had these metrics at the ends of its epochs."""
    facts = {
        "name": "made up",
        "config": {},
        "seed": 0,
        "steps": 10,
        "updates": 10,
        "skipped_updates": 0,
        "best": None,
        "goal": "test_accuracy",
        "metrics": {"accuracy": {"better": "higher", "is_share": True, "printed": "error"}},
        "parameters": 4,
    }
    epochs = list(epochs)
    final = epochs[-1] if epochs else None
    return Record(**{**facts, "status": status, "epochs": epochs, "final": final, **changed})


def command(results, *flags, grid=None):
    """Return the command line; the program of the tests is of no installed package."""
    config = [] if grid is None else [f"--config={CONFIG}"]
    given = ["--import_program", *config, f"--results={results}", *flags]
    return [sys.executable, "-m", "trainers.sweep", *given]


def environment(grid=None, sleep=0.0):
    return {
        **os.environ,
        "GRID": json.dumps(grid or {}),
        "TOY_SLEEP": str(sleep),
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }


def start(results, *flags, grid=None, sleep=0.0):
    return subprocess.Popen(
        command(results, *flags, grid=grid),
        cwd=ROOT,
        env=environment(grid, sleep),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(results, *flags, grid=None, sleep=0.0, expected=0):
    """Run a sweep to its end and return what it said."""
    with start(results, *flags, grid=grid, sleep=sleep) as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == expected, out
    return out


def children(process):
    """Return the processes that a process has started and that are left."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        text = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [int(each) for each in text.split()]
    return []


def kill(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_for(condition):
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.02)


def contents(results):
    """Return the bytes of all results without what is volatile, by file name."""
    found = {}
    for path in (pathlib.Path(results) / "results").iterdir():
        read = json.loads(path.read_bytes())
        read.pop("timing")
        found[path.name] = json.dumps(read, indent=1, sort_keys=True).encode()
    return found


def timings(results):
    paths = (pathlib.Path(results) / "results").glob("*.json")
    return [json.loads(path.read_bytes())["timing"] for path in paths]


def attempts(results):
    """Return the entries of all attempts, by the id of their trial."""
    found = {}
    for path in sorted(pathlib.Path(results).glob("trials/*/attempts/????.json")):
        found.setdefault(path.parts[-3], []).append(json.loads(path.read_text()))
    return found


def at_work(results):
    """Return the processes that are in the middle of a trial."""
    found = set()
    for entries in attempts(results).values():
        if entries[-1]["status"] == "begun":
            found.add(entries[-1]["pid"])
    return found


def starts(results):
    """Return how often the program began each trial, by its id."""
    return {
        path.parts[-3]: len(path.read_text().splitlines())
        for path in pathlib.Path(results).glob("trials/*/*/starts")
    }
