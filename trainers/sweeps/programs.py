"""The program of a sweep, "module:Class", which trains its trials.

It has::

    __init__(data_dir, threads)  # once in a process
    GOALS                        # names of the measures that a record has at the end
    verify(config)               # static: refuse a bad configuration; no data, no directory
    plan(config)                 # static: how much there is to do, and what shares a trace
    run(config, logdir)          # train one trial, or go on with it; return its record
    measure(config)              # what a step, an evaluation and the trace take here

As a module it verifies the grid that it reads from its standard input, so that the process that
asks imports nothing heavy.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, cast

from trainers.sweeps.grid import Grid, Trial

__all__ = ["Program", "load", "verify", "with_rate"]

_BAD = 2


class Program(Protocol):
    """What trains the trials of a sweep."""

    GOALS: ClassVar[frozenset[str]]

    def __init__(self, data_dir: str | None, threads: int) -> None: ...

    @staticmethod
    def verify(config: Mapping[str, Any]) -> None: ...

    @staticmethod
    def plan(config: Mapping[str, Any]) -> dict[str, Any]: ...

    def run(self, config: Mapping[str, Any], logdir: pathlib.Path) -> dict[str, Any]: ...

    def measure(self, config: Mapping[str, Any]) -> dict[str, Any]: ...


def load(name: str) -> type[Program]:
    """Return the class that a grid's `program` names.

    Raises:
        ValueError: If there is none of this name.
    """
    module, _, attribute = name.partition(":")
    try:
        return cast(type[Program], getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"`program` must be a class that can be imported, as 'trainers.sweeps.trials:Classification'."
            f" Received: program={name!r} ({error})"
        ) from error


def with_rate(trial: Trial, rate: float | None = None) -> dict[str, Any]:
    """Return the configuration of a trial with a learning rate: if None, the first it may get."""
    if rate is None:
        rate = trial.config["learning_rate"]
    if rate is None:
        rate = float(next(iter(trial.candidates)))
    return {**trial.config, "learning_rate": rate}


def verify(grid: Grid) -> None:
    """Refuse a grid whose program is unknown, has no such goal, or refuses a trial.

    Raises:
        ValueError: With what the program said.
    """
    process = subprocess.run(
        [sys.executable, "-m", "trainers.sweeps.programs"],
        input=grid.to_lines(),
        capture_output=True,
        text=True,
    )
    if process.returncode == _BAD:
        raise ValueError(process.stdout.strip())
    if process.returncode:
        raise ValueError(f"The program {grid.program} cannot be run:\n{process.stderr.strip()}")


def _main() -> None:
    grid = Grid.from_lines(sys.stdin.read())
    try:
        program = load(grid.program)
    except ValueError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(_BAD)
    if grid.goal not in program.GOALS:
        known = ", ".join(sorted(program.GOALS))
        sys.stdout.write(f"`goal` must be one of {known}. Received: goal={grid.goal!r}\n")
        sys.exit(_BAD)
    seen = set()
    for trial in grid.trials:
        config = with_rate(trial)
        # Which seed it is makes nothing right or wrong.
        if (key := json.dumps({**config, "seed": 0}, sort_keys=True)) in seen:
            continue
        seen.add(key)
        try:
            program.verify(config)
        except (TypeError, ValueError) as error:
            sys.stdout.write(f"A trial cannot be run: {trial.name}\n{error}\n")
            sys.exit(_BAD)


if __name__ == "__main__":
    _main()
