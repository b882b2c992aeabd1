"""Trains the smallest setting of each family, as a process that can be killed."""

from __future__ import annotations

import importlib
import pathlib
import sys
from typing import NamedTuple

from tests.trainers.unlike.program import Announce
from trainers.sweeps.programs import TASKS
from trainers.tasks.configured import experiment

# A text of a thousand words.
TEXT = pathlib.Path(__file__).with_name("short.txt")
# The configuration that each program takes by itself, less what makes it long.
SMALLEST = {
    "capsnet": ("caps_digits", {"channels": 4, "primary": 1}),
    "classification": ("digits", {"dataset": "digits8", "model": "cnn2"}),
    "detection": (
        "scattered_digits",
        {"channels": 4, "height": 32, "width": 32, "anchors": [8, 8]},
    ),
    "glue": (
        "bert_topics",
        {"units": 8, "feedforward": 16, "layers": 1, "vocabulary": 300, "train_share": 0.1},
    ),
    "graphs": ("gcn_digits", {"units": 8, "passes_per_epoch": 9}),
    "lm": (
        "lstm_python",
        {"dataset": str(TEXT), "units": 16, "vocabulary": 100, "batch_size": 4, "length": 10},
    ),
    "ncsn": (
        "ncsn_digits",
        {"channels": 4, "cascades": 1, "samples": 2, "sampling_steps": 1},
    ),
    "vae": ("vae_digits", {"hidden": [20, 12]}),
}

# What is tried with these is tried with others too, sooner.
LONG = {"detection", "ncsn"}
# Other networks of a family, which take minutes: its name, and what is changed.
LARGE = {
    "retinanet18": (
        "detection",
        {
            "model": "retinanet18",
            "height": 128,
            "width": 128,
            "channels": 16,
            "anchors": [16, 16],
            "epochs": 2,
            "batch_size": 60,
            "policies": [],
            "policy_lengths": [],
        },
    ),
}


class Overfit(NamedTuple):
    """How one batch is learnt by heart: in calls of 50 steps, and to which share of its loss."""

    calls: int
    share: float
    changes: dict


OVERFIT = {
    "capsnet": Overfit(4, 0.1, {"learning_rate": 3e-3}),
    "classification": Overfit(4, 0.02, {"learning_rate": 1e-2}),
    "detection": Overfit(8, 0.2, {"learning_rate": 1e-2}),
    "glue": Overfit(4, 0.1, {"learning_rate": 1e-2, "dropout": 0.0, "units": 32}),
    "graphs": Overfit(4, 0.02, {"dropout": 0.0, "batch_size": 1}),
    "lm": Overfit(4, 0.1, {"learning_rate": 3e-2, "dropout": 0.0, "units": 64}),
    # The levels and the noise of the batch stay the same too.
    "ncsn": Overfit(12, 0.3, {"learning_rate": 1e-2, "channels": 8, "samples": 0}),
    # Grey pixels have a cross entropy of their own, and the code has noise.
    "vae": Overfit(20, 0.6, {"learning_rate": 1e-2, "hidden": [128, 64]}),
}


def family(name):
    """Return the class of a task."""
    name, _ = LARGE.get(name, (name, {}))
    module, _, attribute = TASKS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def values(name, **changes):
    """Return a configuration with all that a schedule can drive: rate, momentum, bits, dtype."""
    name, larger = LARGE.get(name, (name, {}))
    config, smaller = SMALLEST[name]
    given = importlib.import_module(f"configs.{config}").get_config().to_dict()
    return {
        **given,
        **smaller,
        "epochs": 4,
        "split": "validation",
        "evaluate_every": 1,
        "warmup": "0.1dur",
        "schedule": "rex",
        "momentum_schedule": "demon",
        "precision_schedule": "cr",
        "bits_min": 4,
        "cycles": 2,
        "evaluation_bits": "current",
        "policies": ["mixed_bfloat16", "float32"],
        "policy_lengths": ["0.5dur"],
        "steps_per_call": 5,
        "steps_per_checkpoint": 4,
        "seconds_per_checkpoint": 0.0,
        **larger,
        **changes,
    }


def main(name, logdir, changes):
    """Train a family to its end; the exit code is 0 if it finished."""
    announce = Announce()
    task = family(name).of(values(name, **changes))
    task.data = task.load(task.config)
    announce.run = experiment(task, logdir, callbacks=[announce])
    sys.exit(0 if announce.run.run().status == "finished" else 3)
