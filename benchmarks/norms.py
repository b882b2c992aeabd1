"""Norms of gradients over runs at a constant rate and at one that decays, and what they say.

    python -m benchmarks.norms [--write] [PART ...]

For each part of configs/sweeps/refined.py it trains the task to the end three times at a constant
rate and three times with linear decay, each at the learning rate that was best for it in the sweep
of `docs/advice`, with `StepLogger(norms=True)`, and takes the median of the three, step by step. It
prints how the norms go, and how the stock schedules rank by the bound with these norms beside how
they ranked in the sweep. With --write the profiles of the schedules that are refined from them are
written beside the sweep.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import importlib
import json
import pathlib
import tempfile

import numpy as np
import pandas
import scipy.stats

import keras_sched as ks
from configs.sweeps.advice import get_config
from configs.sweeps.refined import PARTS, PROFILES, REFERENCES
from keras_sched.advice.methods import METHODS
from trainers.sweeps.grid import MEASUREMENT, Grid
from trainers.sweeps.programs import TASKS
from trainers.tasks.configured import ConfiguredTask, experiment

_ROOT = pathlib.Path(__file__).parents[1] / "docs" / "advice"
_KINDS = {"SGDM": "l2", "AdamW": "l1"}
_SEEDS = (100, 101, 102)
# Of the run: where the norms are printed.
_AT = (0.01, 0.1, 0.5, 0.9, 0.99)


def measured(part: str) -> pandas.DataFrame:
    """Return the measurements of a part's setting at all of its epochs."""
    table = pandas.read_parquet(_ROOT / part / "results.parquet")
    return table[
        (table["phase"] == MEASUREMENT)
        & (table["budget"] == 1.0)
        & (table["setting"] == f"{part}-{PARTS[part]}")
    ]


def norms(part: str, schedule: str) -> np.ndarray:
    """Return the median norms of the runs of a part with a schedule, by step."""
    mine = measured(part)
    rates = mine[mine["schedule"] == schedule]["learning_rate"].unique()
    grid = Grid.of(get_config(part))
    trial = next(
        trial
        for trial in grid.trials
        if trial.phase == MEASUREMENT
        and trial.coordinates["budget"] == 1.0
        and trial.coordinates["schedule"] == schedule
        and trial.coordinates["setting"] == f"{part}-{PARTS[part]}"
    )
    module, _, name = TASKS[grid.program].partition(":")
    family: type[ConfiguredTask] = getattr(importlib.import_module(module), name)
    found = []
    for seed in _SEEDS:
        config = {**trial.config, "learning_rate": float(rates[0]), "seed": seed}
        config["split"] = "validation"
        task = family.of(config)
        task.data = family.load(task.config)
        log = ks.StepLogger(norms=True)
        with tempfile.TemporaryDirectory() as directory:
            experiment(task, directory, callbacks=[log]).run()
        found.append(log.history["grad_norm" if PARTS[part] == "SGDM" else "grad_l1"])
    return np.median(found, axis=0)


def said(part: str, given: np.ndarray, schedule: str) -> None:
    """Print how norms go, and how they rank schedules."""
    smooth = pandas.Series(given).rolling(len(given) // 10, center=True, min_periods=1).median()
    middle = float(smooth.median())
    places = ", ".join(
        f"{smooth.iloc[int(at * (len(given) - 1))] / middle:.2f} at {at:.0%}" for at in _AT
    )
    print(f"{part}-{PARTS[part]}, norms with {schedule}: {places} (median 1, {len(given)} steps)")
    table = measured(part)
    sign = -1.0 if (table["goal_mode"] == "max").all() else 1.0
    found = sign * table.groupby(["schedule", "momentum"])["value"].mean()
    rows = []
    for (name, momentum), loss in found.items():
        if name in METHODS and momentum == "constant":
            flat = METHODS[name].bound
            rates = METHODS[name].effective(len(given))
            mine = ks.bound(rates, norms=given, kind=_KINDS[PARTS[part]])
            rows.append((name, flat.value, mine.value, float(loss)))
    for name, flat_value, value, loss in sorted(rows, key=lambda row: row[2]):
        print(f"   {name}: bound {value:.3f}, with constant norms {flat_value:.3f}; {loss:.4g}")
    losses = [row[3] for row in rows]
    for what, at in (("constant", 1), ("these", 2)):
        rank = scipy.stats.spearmanr([row[at] for row in rows], losses).statistic
        print(f"   rank correlation of the bound with {what} norms and the results: {rank:.2f}")


def main() -> None:
    """Train, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {PROFILES.name}")
    parser.add_argument("parts", nargs="*", help="parts; all by default")
    options = parser.parse_args()
    profiles = json.loads(PROFILES.read_text()) if PROFILES.exists() else {}
    for part in options.parts or PARTS:
        profiles[part] = {}
        for schedule in REFERENCES.values():
            found = norms(part, schedule)
            said(part, found, schedule)
            refined = ks.Refined.from_norms(1.0, found, kind=_KINDS[PARTS[part]])
            profiles[part][schedule] = [float(f"{value:.4g}") for value in refined.profile]
    if options.write:
        PROFILES.write_text(json.dumps(profiles, indent=1) + "\n")


if __name__ == "__main__":
    main()
