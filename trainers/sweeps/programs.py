"""The program of a sweep, which trains its trials: the name of a task, or "module:Class".

The class is either a task, derived from `trainers.tasks.configured.ConfiguredTask`, or a `Program`
of its own. It is imported only if it is of these trainers or of an installed package, or if whoever
runs the sweep says so: a grid is a file, which may come from anywhere, and an import runs code.

As a module it checks the grid that it reads from its standard input, so that the process that asks
imports nothing heavy.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from trainers.loop.records import Record, Timing, Workload
from trainers.sweeps.grid import EVALUATIONS, Grid, Trial

__all__ = ["TASKS", "Program", "check", "load", "verify", "with_rate"]

TASKS = {
    "capsnet": "trainers.tasks.capsnet:CapsNet",
    "classification": "trainers.tasks.classification:ImageClassification",
    "detection": "trainers.tasks.detection:Detection",
    "glue": "trainers.tasks.glue:SentenceJudgement",
    "graphs": "trainers.tasks.graphs:NodeClassification",
    "lm": "trainers.tasks.lm:LanguageModel",
    "ncsn": "trainers.tasks.ncsn:NCSN",
    "vae": "trainers.tasks.vae:VAE",
}
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_OWN = "trainers"
_BAD = 2


class Program(Protocol):
    """What trains the trials of a sweep; a process makes one, as ``Class(data_dir, threads)``."""

    def goals(self, config: Mapping[str, Any]) -> Mapping[str, str]:
        """Return "max" or "min" by the names of the metrics that a trial can be judged by."""

    def verify(self, config: Mapping[str, Any]) -> None:
        """Raise a ValueError if a configuration cannot be trained; no data, no directory."""

    def check_data(self, config: Mapping[str, Any]) -> None:
        """Raise a FileNotFoundError if the data of a trial are not there, with what to do."""

    def plan(self, config: Mapping[str, Any]) -> Workload:
        """Return how much there is to do; those of one group have the same evaluations."""

    def measure(self, config: Mapping[str, Any]) -> Timing:
        """Return what a trial takes here; nothing is written."""

    def run(
        self, config: Mapping[str, Any], logdir: pathlib.Path, place: Mapping[str, Any]
    ) -> Record:
        """Train a trial, or go on with it, and return its record.

        Args:
            config: Its configuration.
            logdir: Where it keeps what it needs to go on.
            place: What the sweep compares it by, for TensorBoard; it decides nothing.
        """


def check(name: str, import_program: bool) -> None:
    """Check that a program is known, or may be imported; nothing is imported.

    Args:
        name: The grid's `program`.
        import_program: Whether one may be imported that is of no installed package.

    Raises:
        ValueError: With what to do.
    """
    if name in TASKS:
        return
    if not _CLASS.fullmatch(name):
        raise ValueError(
            f"`program` must be the name of a task, {', '.join(TASKS)}, or a class, as "
            f"'package.module:Class'. Received: program={name!r}"
        )
    if not import_program and not _is_installed(name.partition(".")[0].partition(":")[0]):
        raise ValueError(
            f"`program` must be a task, {', '.join(TASKS)}, or of an installed package: another "
            f"one is imported, which runs its code, only with --import_program. "
            f"Received: program={name!r}"
        )


def load(name: str, data_dir: str | None, threads: int, import_program: bool = False) -> Program:
    """Import the program of a grid, and make it.

    Args:
        name: The grid's `program`.
        data_dir: Where it finds its data.
        threads: Threads of this process; 0 for what TensorFlow takes.
        import_program: Whether one may be imported that is of no installed package.

    Raises:
        ValueError: If it must not be imported, or there is none of this name.
    """
    check(name, import_program)
    module, _, attribute = TASKS.get(name, name).partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"`program` must be a class that can be imported. Received: program={name!r} ({error})"
        ) from error
    if hasattr(found, "goals"):
        program: Program = found(data_dir, threads)
        return program
    from trainers.sweeps.trials import Trials

    return Trials(found, data_dir, threads)


def _is_installed(package: str) -> bool:
    """Return whether a package is of these trainers or was installed, and is where it was put."""
    if package == _OWN:
        return True
    spec = importlib.util.find_spec(package)
    if spec is None:
        return False
    places = [*(spec.submodule_search_locations or []), *filter(None, [spec.origin])]
    return any(
        pathlib.Path(place).resolve().is_relative_to(root)
        for name in set(importlib.metadata.packages_distributions().get(package, ()))
        for distribution in importlib.metadata.distributions(name=name)
        for root in _roots(distribution, package)
        for place in places
    )


def _roots(distribution: importlib.metadata.Distribution, package: str) -> list[pathlib.Path]:
    """Return where the modules of a package are that a distribution installed."""
    text = distribution.read_text("direct_url.json")
    origin = json.loads(text) if text else {}
    if origin.get("dir_info", {}).get("editable"):
        return [pathlib.Path(urllib.parse.unquote(urllib.parse.urlparse(origin["url"]).path))]
    if distribution.read_text("RECORD") is None:  # What a build leaves in its directory.
        return []
    place = pathlib.Path(str(distribution.locate_file(""))).resolve()
    return [place / package, place / f"{package}.py"]


def with_rate(trial: Trial, rate: float | None = None) -> dict[str, Any]:
    """Return the configuration of a trial with a learning rate: if None, the first it may get."""
    if rate is None:
        rate = trial.config["learning_rate"]
    if rate is None:
        rate = float(next(iter(trial.candidates)))
    return {**trial.config, "learning_rate": rate}


def verify(
    grid: Grid,
    import_program: bool = False,
    data_dir: str | None = None,
    data_of: Iterable[Trial] = (),
) -> None:
    """Check that a program may be imported, knows the goal, and trains every trial of a grid.

    Args:
        grid: The grid.
        import_program: Whether a program may be imported that is of no installed package.
        data_dir: Where it finds its data.
        data_of: Trials whose data must be here.

    Raises:
        ValueError: With what is wrong.
    """
    check(grid.program, import_program)
    process = subprocess.run(
        [
            *(sys.executable, "-m", "trainers.sweeps.programs", *flags(import_program)),
            *([] if data_dir is None else [f"--data_dir={data_dir}"]),
        ],
        input=json.dumps({"grid": grid.to_lines(), "data_of": [trial.id for trial in data_of]}),
        capture_output=True,
        text=True,
    )
    if process.returncode == _BAD:
        raise ValueError(process.stdout.strip())
    if process.returncode:
        raise ValueError(f"The program {grid.program} cannot be run:\n{process.stderr.strip()}")


def flags(import_program: bool) -> list[str]:
    """Return what processes of a sweep are told of the permission to import a program."""
    return ["--import_program"] if import_program else []


def _main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m trainers.sweeps.programs", description=__doc__)
    parser.add_argument("--import_program", action="store_true")
    parser.add_argument("--data_dir")
    given = parser.parse_args(arguments)
    received = json.loads(sys.stdin.read())
    grid, data_of = Grid.from_lines(received["grid"]), set(received["data_of"])
    try:
        program = load(grid.program, given.data_dir, grid.threads, given.import_program)
        _check_trials(grid, program)
        for trial in grid.trials:
            if trial.id in data_of:
                program.check_data(with_rate(trial))
    except (ValueError, FileNotFoundError) as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(_BAD)


def _check_trials(grid: Grid, program: Program) -> None:
    seen = set()
    for trial in grid.trials:
        config = with_rate(trial)
        # Which seed it is makes nothing right or wrong.
        if (key := json.dumps({**config, "seed": 0}, sort_keys=True)) in seen:
            continue
        seen.add(key)
        try:
            program.verify(config)
            _check_goal(grid, program.goals(config))
            evaluations = program.plan(config).evaluations
        except (TypeError, ValueError) as error:
            raise ValueError(f"A trial cannot be run: {trial.name}\n{error}") from error
        if (needed := EVALUATIONS[trial.phase]) not in evaluations:
            raise ValueError(
                f"A trial of the phase {trial.phase!r} must have the evaluation {needed!r}. "
                f"Received: {', '.join(evaluations) or 'none'} in {trial.name}"
            )


def _check_goal(grid: Grid, goals: Mapping[str, str]) -> None:
    if grid.goal not in goals:
        raise ValueError(
            f"`goal` must be one of {', '.join(sorted(goals))}. Received: goal={grid.goal!r}"
        )
    if goals[grid.goal] != grid.goal_mode:
        raise ValueError(
            f"`goal_mode` must be {goals[grid.goal]!r} for such a goal. "
            f"Received: goal={grid.goal!r}, goal_mode={grid.goal_mode!r}"
        )


if __name__ == "__main__":
    _main(sys.argv[1:])
