"""Directories of sweeps with results that are made up by a formula, for tests and for a look.

``python -m tests.reports.synthetic DIRECTORY [precision|loss|partial]`` writes one.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from configs.sweeps import base
from trainers.loop.records import Record
from trainers.sweeps.grid import Grid, Trial
from trainers.sweeps.results import Result

SCHEDULES = ("None", "Exp", "Step", "Plateau", "OneCycle", "Linear", "Cosine", "REX")
PAPER = ("RN20-CIFAR10-SGDM", "RN20-CIFAR10-Adam")

# How the metrics of the tests are shown.
METRICS = {
    "accuracy": {"better": "higher", "is_share": True, "printed": "error", "is_count": True},
    "elbo": {"better": "lower", "is_share": False, "printed": "generalization loss"},
    "map": {"better": "higher", "is_share": True, "printed": "mAP"},
}

# Value, or status, of a trial; None leaves it without a result.
Outcome = Callable[[Trial], float | str | None]


def sweep(
    settings: Mapping[str, float] | None = None,
    schedules: Iterable[str] = SCHEDULES,
    workloads: Mapping[str, str] | None = None,
    configs: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Grid:
    """Return a grid; `settings` are epochs by name, `configs` settings in their place."""
    configs = configs or {
        name: {
            "config": {"epochs": epochs},
            "learning_rates": [0.1],
            "workload": (workloads or {}).get(name, ""),
        }
        for name, epochs in (settings or dict.fromkeys(PAPER, 300)).items()
    }
    keyed = {name: {"schedule": name} for name in schedules}
    given = {"protocol": "shared", "source": "REX table 4", **changes}
    return Grid.of(base.sweep("made_up", settings=configs, schedules=keyed, **given))


def write(
    directory: pathlib.Path,
    grid: Grid,
    outcome: Outcome,
    cost: Callable[[Trial], float] | None = None,
    rate: float = 0.1,
) -> pathlib.Path:
    """Write the directory of a sweep as its workers do; `rate` is that of tuned trials."""
    (directory / "results").mkdir(parents=True)
    (directory / "grid.jsonl").write_text(grid.to_lines())
    for trial in grid.trials:
        found = outcome(trial)
        if found is not None:
            record = _record(grid, trial, found, None if cost is None else cost(trial))
            own = trial.config["learning_rate"]
            used = rate if own is None else own
            result = Result.made(grid, trial, used, record, {"attempts": 1})
            (directory / "results" / f"{trial.id}.json").write_text(result.to_json())
    return directory


def _record(grid: Grid, trial: Trial, found: float | str, cost: float | None) -> Record:
    """Return the record of a trial that had a value at its end, or a status."""
    metric = grid.metric(trial.phase)
    epochs = [] if isinstance(found, str) else [{metric: found}]
    return Record(
        name=grid.name,
        config=trial.config,
        seed=trial.coordinates["seed"],
        status=found if isinstance(found, str) else "finished",
        steps=1,
        updates=1,
        skipped_updates=0,
        epochs=epochs,
        final=epochs[-1] if epochs else None,
        best=epochs[-1] if epochs else None,
        goal=metric,
        metrics=METRICS,
        counted={metric: 10_000_000} if grid.goal == "accuracy" else {},
        parameters=1,
        cost=None if cost is None else {"quantized_layers": {"relative_to_fp32": cost}},
    )


def accuracy(trial: Trial) -> float:
    """Return what a training might have come to: more budget, less error, and noise by its seed."""
    place = trial.coordinates
    worse = {"none": 1.75, "exp": 1.2, "step": 1.12, "plateau": 1.2, "onecycle": 1.22, "rex": 0.97}
    schedule = place["schedule"].casefold()
    error = worse.get(schedule, 1.0) * (0.07 + 0.0023 / place["budget"] ** 0.98)
    if schedule == "step":
        error *= 0.93 + 0.12 * (1 - place["budget"])
    if place["setting"].endswith("Adam"):
        error *= 1.06
    generator = np.random.default_rng([int(trial.id, 16) % 2**32, place["seed"]])
    return float(1 - error * generator.normal(1, 0.018))


def main(directory: str, kind: str = "full") -> None:
    """Write a directory to look at a report of it."""
    place = pathlib.Path(directory)
    if kind == "precision":
        widths = {"float32": 32, "static 8": 8, "static 6": 6, "CR": 5.8, "RR": 4.5, "ER": 7.3}
        grid = sweep(
            {"RN74-CIFAR10": 160, "RN74-CIFAR100": 160},
            schedules=("Step",),
            precisions={name: {"bits": name} for name in widths},
            budgets=(1.0,),
            source="",
        )

        def worse(trial: Trial) -> float:
            bits = widths[trial.coordinates["precision"]]
            return accuracy(trial) - 0.09 / bits**1.6

        write(place, grid, worse, lambda trial: (widths[trial.coordinates["precision"]] / 32) ** 2)
    elif kind == "loss":
        grid = sweep(
            {"VAE-MNIST-Adam": 200},
            goal="loss",
            goal_mode="min",
            source="REX table 7",
            momenta={"constant": {}, "Demon": {"momentum_schedule": "demon"}},
            schedules=("None", "Linear", "REX"),
        )
        write(place, grid, lambda trial: 130 + 100 * (1 - accuracy(trial)))
    elif kind == "partial":
        settings = dict.fromkeys([*PAPER, "WRN-STL10-SGDM", "digits"], 300)

        def some(trial: Trial) -> float | str | None:
            number = int(trial.id, 16)
            if trial.coordinates["schedule"] == "OneCycle" and number % 9 == 0:
                return "diverged"
            return None if number % 11 == 0 else accuracy(trial)

        write(place, sweep(settings), some)
        torn = next((place / "results").glob("*.json"))
        torn.write_text(torn.read_text()[:40])
    else:
        write(place, sweep(), accuracy)


if __name__ == "__main__":
    main(*sys.argv[1:])
