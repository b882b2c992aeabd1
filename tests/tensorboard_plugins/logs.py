"""Logs of runs that were never trained: what the writer makes, in milliseconds."""

from __future__ import annotations

import math

import numpy as np

from tensorboard_plugins.schedules import events, layout
from tensorboard_plugins.schedules.run_log import RunLog

SCHEDULES = {
    "None": lambda s: np.ones_like(s),
    "Linear": lambda s: 1.0 - s,
    "REX": lambda s: (1.0 - s) / (0.5 + 0.5 * (1.0 - s)),
}
STEPS = 100
# Of the quality, at the ends of epochs: the best is not the last.
SHARES = (0.9, 0.975, 0.998, 0.99375)


def quality(name, budget, seed):
    """What a run comes to: REX ahead where the budget is short."""
    ahead = {"None": 0.0, "Linear": 0.02, "REX": 0.03}[name]
    return 0.8 + 0.05 * budget + ahead * (1.0 - budget) + 0.002 * seed


def trial_of(name="REX", budget=1.0, seed=0, sweep="made_up", **changes):
    return {
        "id": f"{name}-{budget}-{seed}",
        "sweep": sweep,
        "phase": "measurement",
        "cell": f"{name}-{budget}",
        "setting": "digits",
        "schedule": name,
        "budget": budget,
        "full_epochs": 10,
        "epochs": max(1, round(10 * budget)),
        "steps": STEPS,
        "seed": seed,
        "learning_rate": 0.1,
        "goal": "test_accuracy",
        "mode": "max",
        "metrics": {"test_accuracy": {"mode": "max", "is_share": True}},
        "config": {"seed": seed, "schedule": name},
        **changes,
    }


def schedule_of(name):
    return lambda steps: 0.1 * SCHEDULES[name](np.asarray(steps) / STEPS)


def write(directory, trial=None, status="finished", drift_from=None, steps=STEPS, state=None):
    """Write the log of a run; return the directory."""
    trial = trial or trial_of()
    name = trial["schedule"]
    schedule = schedule_of(name)
    log = RunLog(directory, trial, STEPS, ["learning_rate"], {"learning_rate": schedule}, state)
    for step in range(steps):
        rate = float(np.float32(schedule(np.array([step]))[0]))
        rate *= 0.5 if drift_from is not None and step >= drift_from else 1.0
        log.step(step, {"learning_rate": rate}, 2.0 * math.exp(-step / STEPS))

    for epoch in range(1, 5):
        value = quality(name, trial.get("budget") or 1.0, trial.get("seed") or 0)
        measured = {"loss": 1.0 / epoch, "test_accuracy": value * SHARES[epoch - 1]}
        log.evaluation(steps * epoch // 4, epoch, measured)
    log.write_tables(status, relative_cost=1.0)
    log.close()
    return directory


def write_sweep(directory, budgets=(0.1, 1.0), seeds=(0, 1), left_out=(), statuses=None):
    """Write the logs of a sweep with its plan."""
    cells = {}
    for name in SCHEDULES:
        for budget in budgets:
            for seed in seeds:
                trial = trial_of(name, budget, seed)
                cell = cells.setdefault(
                    trial["cell"],
                    {
                        "cell": trial["cell"],
                        "setting": "digits",
                        "method": name,
                        "budget": budget,
                        "full_epochs": 10,
                        "trials": [],
                    },
                )
                cell["trials"].append(trial["id"])
                if trial["id"] not in left_out:
                    status = (statuses or {}).get(trial["id"], "finished")
                    write(directory / "trials" / trial["id"], trial, status)
    plan = {
        "name": "made_up",
        "goal": "test_accuracy",
        "mode": "max",
        "judged": "final",
        "cells": list(cells.values()),
    }
    file = events.EventFile(directory / "board")
    file.add([events.words(layout.SWEEP, layout.dumped(plan))], 1)
    file.close()
    return directory
