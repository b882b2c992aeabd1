"""Train an image classifier: `python -m trainers.cifar [--config=configs/rn20_cifar10.py]`.

Without flags it trains a small ResNet on data that come with the installation. The same command
continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

import pathlib
import sys

from absl import app, flags
from ml_collections import config_flags

from trainers.classification import Config, experiment
from trainers.progress import Progress

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    str(pathlib.Path(__file__).parent.parent / "configs" / "digits.py"),
    "The setting; its values can be changed, as --config.batch_size=64.",
    lock_config=True,
)
_SCHEDULE = flags.DEFINE_string("schedule", None, "Schedule of the learning rate, as rex.")
_MOMENTUM = flags.DEFINE_string("momentum_schedule", None, "Schedule of the momentum, as demon.")
_BUDGET = flags.DEFINE_float("budget", None, "Share of the setting's epochs to train.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.", lower_bound=0)
_LOGDIR = flags.DEFINE_string("logdir", "runs", "Where run directories are made.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TensorFlow Datasets finds its data.")

_EXIT = {"finished": 0, "diverged": 3, "stalled": 3}


def main(arguments: list[str]) -> None:
    """Run the experiment that the flags describe."""
    if len(arguments) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(arguments[1:])}")
    try:
        values = _CONFIG.value.to_dict()
        given = {"schedule": _SCHEDULE, "momentum_schedule": _MOMENTUM, "budget": _BUDGET}
        values |= {name: flag.value for name, flag in given.items() if flag.value is not None}
        config = Config(**values, seed=_SEED.value)
        run = experiment(config, _LOGDIR.value, _DATA_DIR.value)
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise app.UsageError(str(error)) from error
    progress = Progress(run.total_steps)
    if config.dataset == "digits":
        progress.say(
            "Data: scikit-learn's embedded digits at 32x32, a reduced-scale setting. "
            "For CIFAR-10: --config=configs/rn20_cifar10.py"
        )
    progress.say(f"{config.model}, {config.trained_epochs} epochs, into {run.plan.directory}")
    record = run.run()
    final = record["final"] or {}
    shown = ("val_accuracy", "val_loss", "accuracy", "loss")
    progress.table(
        f"{config.name}: {record['status']}",
        {name: final[name] for name in shown if name in final}
        | {
            "best val_accuracy": (record["best"] or {}).get("val_accuracy", "none"),
            "seconds of training": round(record["seconds"]["train"], 1),
            "record": run.plan.directory / "record.json",
        },
    )
    if record["reason"]:
        progress.say(record["reason"])
    sys.exit(_EXIT[record["status"]])


if __name__ == "__main__":
    app.run(main)
