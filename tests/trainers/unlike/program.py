"""Trains one of them, as a process that can be killed: prints where it began."""

from __future__ import annotations

import sys

import keras

from tests.trainers.unlike.masked import Masked
from tests.trainers.unlike.ranked import Ranked
from tests.trainers.unlike.sequence import STREAMS, Sequence
from trainers.tasks.configured import experiment

TASKS = {"masked": Masked, "sequence": Sequence, "ranked": Ranked}


class Announce(keras.callbacks.Callback):
    """Says where a process began, once its first call is over."""

    run = None
    began = None

    def on_train_begin(self, logs=None):
        self.began = self.run.step

    def on_train_batch_end(self, batch, logs=None):
        if self.began is not None:
            sys.stdout.write(f"START {self.began}\n")
            sys.stdout.flush()
            self.began = None


def values(name, **changes):
    """Return a configuration with all that a schedule can drive: rate, momentum, bits, dtype."""
    return {
        "name": name,
        "epochs": 12,
        "budget": 0.5,
        "split": "validation",
        "batch_size": STREAMS,
        "learning_rate": 0.05,
        "warmup": "0.1dur",
        "momentum_schedule": "demon",
        "precision_schedule": "cr",
        "bits_min": 4,
        "cycles": 2,
        "quantized_layers": "all_but_last",
        "evaluation_bits": "current",
        "policies": ["mixed_bfloat16", "float32"],
        "policy_lengths": ["0.5dur"],
        "steps_per_call": 5,
        "steps_per_checkpoint": 7,
        **changes,
    }


def main(name, logdir, changes):
    """Train one of the tasks to its end; the exit code is 0 if it finished."""
    announce = Announce()
    task = TASKS[name].of(values(name, **changes))
    announce.run = experiment(task, logdir, callbacks=[announce])
    sys.exit(0 if announce.run.run().status == "finished" else 3)
