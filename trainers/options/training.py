"""What every training says of its name, its length, its batches and what it keeps."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from trainers.options.budget import trained_epochs
from trainers.options.fields import Options, option, shown
from trainers.options.paths import check_weights

__all__ = ["SPLITS", "Training"]

SPLITS = ("test", "validation", "both")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")


def _check_name(name: str, value: Any) -> None:
    """A name is a part of a path: it must not lead elsewhere, or be longer than a disk takes."""
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"`{name}` must be 1 to 64 letters, digits or any of _.+-, beginning with a letter or "
            f"a digit. Received: {name}={shown(value)}"
        )


@dataclasses.dataclass(frozen=True)
class Training(Options):
    """Name, length, batches, and what is kept of a training."""

    name: str = option(
        help="Name of the setting, and of the directory of its runs.",
        check=_check_name,
        traced=False,
    )
    epochs: int = option(
        300, "Epochs of the full budget.", low=1, high=10_000_000, traced=False, flag=True
    )
    budget: float = option(
        1.0,
        "Share of these epochs that are trained; the schedules stretch to it.",
        above=0.0,
        high=100.0,
        traced=False,
        flag=True,
    )
    uncounted_epochs: int = option(
        0,
        "Epochs that are trained besides, which no budget shortens, as those of a warmup.",
        low=0,
        high=10_000_000,
        traced=False,
    )
    batch_size: int = option(
        128, "Examples of a batch, over all replicas.", low=1, high=2**20, flag=True
    )
    split: str = option(
        "test",
        "What it is evaluated on: 'test' data; 'validation' data, held out of training, and then "
        "no test data are used; or 'both', so that a learning rate can follow the former.",
        choices=SPLITS,
        flag=True,
    )
    seed: int = option(
        0,
        "Seed of weights, order and augmentation.",
        low=0,
        high=2**32 - 1,
        traced=False,
        flag=True,
    )
    evaluate_every: int = option(
        1,
        "Epochs from one evaluation to the next; the last epoch always has one.",
        low=1,
        high=10_000_000,
        traced=False,
    )
    steps_per_call: int = option(
        10, "Data steps of a call of the compiled function.", low=1, high=100_000, traced=False
    )
    steps_per_checkpoint: int = option(
        0,
        "Data steps between checkpoints within an epoch; 0 for none.",
        low=0,
        high=2**40,
        traced=False,
    )
    seconds_per_checkpoint: float = option(
        10.0,
        "Least seconds between checkpoints at the ends of epochs: where epochs are shorter than "
        "a checkpoint is worth.",
        low=0.0,
        high=1e6,
        traced=False,
    )
    keep_weights: str = option(
        "none",
        "Which weights are kept as a file: those of the end, or of the epoch with the best goal.",
        choices=("none", "final", "best"),
        traced=False,
        flag=True,
    )
    initial_weights: str = option(
        "",
        "A file of weights, .weights.h5 or .keras, to begin with; empty for new ones.",
        check=check_weights,
        traced=False,
    )

    @property
    def evaluations(self) -> tuple[str, ...]:
        """The names of what it is evaluated on; the first one decides which epoch is the best."""
        return {"test": ("test",), "validation": ("val",), "both": ("val", "test")}[self.split]

    @property
    def trained_epochs(self) -> int:
        """Epochs that are trained: those of the budget, at least one, and the uncounted ones."""
        return trained_epochs(self.epochs, self.budget) + self.uncounted_epochs
