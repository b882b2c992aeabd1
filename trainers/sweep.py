"""Run a sweep: `python -m trainers.sweep --config=configs/sweeps/NAME.py --results=DIR`.

The same command goes on with a sweep that was interrupted, and any number of them may work on one
directory: each trial is recorded once. Where the grid is frozen already `--config` can be left out.
A configuration with more settings, methods, budgets, seeds or rates makes the sweep grow: what is
recorded is kept. `--extend_rates=N` adds rates where the best one lies at an edge, and
`--propose_rates=N` rates in between that Optuna proposes.

It ends with 0 if all trials are recorded, 1 if some cannot be (see `--status`), 2 if it was called
wrongly, and 143 if it was asked to end, or 130 before it has begun; the same command goes on.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence

import rich.console
from absl import app, flags
from ml_collections import config_flags

from trainers.loop.progress import counted, screen
from trainers.loop.records import Record
from trainers.options.flags import parse
from trainers.sweeps import cost, engines, growth, programs, proposals, status, table
from trainers.sweeps import store as stores
from trainers.sweeps.grid import TUNING, Grid, Trial
from trainers.sweeps.progress import View
from trainers.sweeps.store import Store
from trainers.sweeps.worker import BAD_USAGE, part

_CONFIG = config_flags.DEFINE_config_file("config", None, "The sweep.", lock_config=True)
_RESULTS = flags.DEFINE_string("results", None, "Directory of the sweep.")
_WORKERS = flags.DEFINE_integer("workers", 1, "Processes here; jobs or tasks elsewhere.")
_SHARD = flags.DEFINE_string("shard", "0/1", "I/N: only the I-th of N parts of the cells.")
_BEGIN = flags.DEFINE_string("begin", "0/1", "I/N: the I-th of N parts first, then the rest.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TensorFlow Datasets finds its data.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Measure what it will cost; write nothing.")
_STATUS = flags.DEFINE_bool("status", False, "Show where it stands; 0 only if complete.")
_RETRY = flags.DEFINE_bool("retry_quarantined", False, "Try trials in quarantine again.")
_ENGINE = flags.DEFINE_enum("engine", "local", engines.ENGINES, "Where the workers run.")
_EXTEND = flags.DEFINE_integer(
    "extend_rates",
    0,
    "How many learning rates to add to a cell, at most, while its best is the lowest or highest.",
    lower_bound=0,
)
_PROPOSE = flags.DEFINE_integer(
    "propose_rates",
    0,
    "How many learning rates to add to a cell between its lowest and highest, as Optuna proposes.",
    lower_bound=0,
)
_IMPORT = flags.DEFINE_bool(
    "import_program",
    False,
    "Import the program that the grid names, whatever it is of: an import runs its code.",
)
_OPTIONS = flags.DEFINE_list("engine_options", [], "Options of the engine, as key=value,...")


def main(arguments: Sequence[str]) -> int:
    """Run the sweep that the flags describe, and return the exit code."""
    console = screen()
    try:
        if len(arguments) > 1:
            raise ValueError(f"Unknown arguments: {' '.join(arguments[1:])}")
        shard = part(_SHARD.value)
        if sum(flag.value for flag in (_STATUS, _DRY_RUN, _RETRY)) > 1:
            raise ValueError("Only one of --status, --dry_run and --retry_quarantined can be given")
        more = [flag.name for flag in (_EXTEND, _PROPOSE) if flag.value]
        if more and (_STATUS.value or _DRY_RUN.value or shard != (0, 1)):
            raise ValueError(
                f"--{more[0]} needs the results of the whole sweep: it can't be given with "
                f"--status, --dry_run or --shard"
            )
        if _PROPOSE.value:
            proposals.check()
        if _STATUS.value:
            return _show(Store.open(_directory()), shard, console)
        run = engines.Run(
            _WORKERS.value,
            _DATA_DIR.value,
            shard,
            part(_BEGIN.value),
            engines.options(_OPTIONS.value),
            _IMPORT.value,
        )
        engines.check(_ENGINE.value, run)
        grid = _grid()
        if more and grid.protocol != "tuned":
            raise ValueError(
                f"--{more[0]} needs a sweep with the protocol 'tuned'. Received: {grid.protocol!r}"
            )
        programs.check(grid.program, run.import_program)
        if _DRY_RUN.value:
            _foretell(grid, run, console)
            return 0
        engines.verify(_ENGINE.value, run)
        store = _store(grid, console)
        if _RETRY.value:
            _forgive(store, shard)
        code, trouble = _run(store, run, console)
        while not code and more and (wider := _wider(store)) is not None:
            store = _store(wider, console)
            code, trouble = _run(store, run, console)
    except KeyboardInterrupt:  # Workers have their own way to end: this is what comes before them.
        sys.stderr.write("Interrupted before any worker was started: nothing is lost.\n")
        return 128 + signal.SIGINT
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_USAGE
    except OSError as error:
        sys.stderr.write(f"`--results` must be a directory that can be written: {error}\n")
        return BAD_USAGE
    written = table.write(store)
    finished = _show(store, shard, console)
    console.print(f"All results as a table: {written}", highlight=False, soft_wrap=True)
    if trouble:
        sys.stderr.write(f"{trouble}\n")
    return code or finished


def _grid() -> Grid:
    """Return the grid of `--config`, or without one that which is frozen in the directory."""
    if _CONFIG.value is None:
        return Store.open(_directory()).grid
    try:
        return Grid.of(_CONFIG.value)
    except OSError as error:  # A file that cannot be loaded is told of when it is first used.
        raise ValueError(f"`--config` cannot be read: {error}") from error


def _directory() -> str:
    if not _RESULTS.value:
        raise ValueError("`--results` must be the directory of a sweep. Received: none")
    return _RESULTS.value


def _foretell(grid: Grid, run: engines.Run, console: rich.console.Console) -> None:
    """Show what is left to do, and what it will cost; nothing is written."""
    done: set[str] = set()
    again = 0
    mine = grid.shard(*run.shard)
    if _RESULTS.value and stores.is_sweep(_RESULTS.value):
        grid = stores.grown(_RESULTS.value, grid)
        mine = grid.shard(*run.shard)
        store = Store(pathlib.Path(_RESULTS.value), grid)
        done = store.recorded()
        again = sum(t.id not in done and any(store.supersedes(t)) for t in mine)
    trials = tuple(trial for trial in mine if trial.id not in done)
    began = time.monotonic()
    _verify(grid, trials)
    checking = time.monotonic() - began
    if done:
        console.print(f"{len(mine) - len(trials)} of {counted(len(mine), 'trial')} are recorded.")
    if again:
        console.print(
            f"{counted(again, 'measurement')} of those that are left had a result before the sweep "
            f"grew, which is taken over where the choice of a rate stays: it may take less.",
            highlight=False,
            soft_wrap=True,
        )
    if trials or not done:
        # Workers elsewhere are taken to have a core each; those here share what there is.
        together = min(run.workers, _cores()) if _is_here() else run.workers
        together = max(1, min(together, len(trials)))
        beside = together - 1 if _is_here() else 0
        costs, tracing, start = cost.measure(
            grid, trials, run.data_dir, run.import_program, beside, console.print
        )
        # A sweep that begins is checked, as it was here.
        cost.show(grid, trials, costs, tracing, start + checking, run.workers, together, console)


def _verify(grid: Grid, trials: Sequence[Trial]) -> None:
    """Check that trials can be trained, and their data, if they are looked for on this machine."""
    here = _is_here()
    place = _DATA_DIR.value if here else None
    programs.verify(grid, _IMPORT.value, place, trials if here else ())


def _cores() -> int:
    """Return how many cores this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # Not on every system.
    return len(known(0)) if known is not None else os.cpu_count() or 1


def _is_here() -> bool:
    """Return whether workers run on this machine: others have their own data."""
    return _ENGINE.value in ("local", "inline")


def _store(given: Grid, console: rich.console.Console) -> Store:
    """Return the store of a grid; what is new of it is verified before anything is written."""
    directory = _directory()
    before = Store.open(directory) if stores.is_sweep(directory) else None
    grid = given if before is None else stores.grown(directory, given)
    if before is None or growth.added(grid, before.grid):
        done = set() if before is None else before.recorded()
        mine = [t for t in grid.shard(*part(_SHARD.value)) if t.id not in done]
        _verify(grid, mine)
    store = Store.create(directory, grid)
    if before is not None and growth.added(store.grid, before.grid):
        console.print(_grown(store.grid, before.grid), highlight=False, soft_wrap=True)
    elif growth.added(store.grid, given):
        console.print(
            f"The sweep has grown since this configuration: it goes on with all of its "
            f"{counted(len(store.grid.trials), 'trial')}.",
            highlight=False,
        )
    return store


def _grown(grid: Grid, before: Grid) -> str:
    """Say by how much a sweep has grown."""
    more = growth.added(grid, before)
    tuned = sum(trial.phase == TUNING for trial in more)
    parts = [counted(tuned, "trial") + " that tune"] if tuned else []
    if len(more) > tuned:
        parts.append(counted(len(more) - tuned, "measurement"))
    left = len(growth.added(before, grid))
    said = f"The sweep grows by {' and '.join(parts)}."
    if left:
        said += (
            f" {counted(left, 'measurement')} of before {'is' if left == 1 else 'are'} superseded: "
            f"rates are chosen from more; where the choice stays, so does the result."
        )
    return said


def _run(store: Store, run: engines.Run, console: rich.console.Console) -> tuple[int, str | None]:
    """Run all that is left of a sweep; return the code, and what was wrong."""
    view = View(store.grid.shard(*run.shard), store.recorded(), _unit(), console, store.taken)
    return engines.start(_ENGINE.value, store, run, view)


def _wider(store: Store) -> Grid | None:
    """Return the grid with more rates by what is recorded; None if no rate is to be added."""
    records = _records(store)
    wider = growth.extended(store.grid, records, _EXTEND.value)
    if not growth.added(wider, store.grid) and _PROPOSE.value:
        wider = proposals.proposed(store.grid, records, _PROPOSE.value)
    return wider if growth.added(wider, store.grid) else None


def _records(store: Store) -> dict[str, Record]:
    results, _, _ = store.sound(store.grid.trials)
    return {name: result.record for name, result in results.items()}


def _forgive(store: Store, shard: tuple[int, int]) -> None:
    for trial in status.Status.of(store, shard).quarantined:
        with store.claim(trial, wait=True) as claim:
            if claim is not None and claim.attempts.quarantine():
                claim.attempts.forgive()


def _show(store: Store, shard: tuple[int, int], console: rich.console.Console) -> int:
    found = status.Status.of(store, shard)
    status.show(found, store, console)
    return 0 if found.complete else 1


def _unit() -> str:
    return {"local": "worker", "ray": "task"}.get(_ENGINE.value, "job")


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
