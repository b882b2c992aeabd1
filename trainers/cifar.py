"""Train an image classifier: `python -m trainers.cifar [--config=configs/rn20_cifar10.py]`.

Without flags it trains a small ResNet on data that come with the installation. The same command
continues an interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

import pathlib
import sys

from absl import app, flags
from ml_collections import config_flags

from trainers import precision
from trainers.classification import Config, experiment
from trainers.datasets import SPLITS
from trainers.progress import Progress

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    str(pathlib.Path(__file__).parent.parent / "configs" / "digits.py"),
    "The setting; its values can be changed, as --config.batch_size=64.",
    lock_config=True,
)
# Flags for what is changed most often; they go before the configuration.
_GIVEN = {
    flag.name: flag
    for flag in (
        flags.DEFINE_string("schedule", None, "Schedule of the learning rate, as rex."),
        flags.DEFINE_string(
            "sampling", None, "When it is read, as every:0.1dur; '' for each step."
        ),
        flags.DEFINE_string("optimizer", None, "As adam; the momentum is its beta_1 then."),
        flags.DEFINE_string("momentum_schedule", None, "Schedule of the momentum, as demon."),
        flags.DEFINE_string("precision_schedule", None, "Schedule of the bits, as cr."),
        flags.DEFINE_integer("bits_min", None, "Fewest bits of that schedule, 2 to 16."),
        flags.DEFINE_integer("bits_max", None, "Most bits of that schedule, 2 to 16."),
        flags.DEFINE_integer("gradient_bits", None, "Bits of gradients; 0 for full precision."),
        flags.DEFINE_integer("cycles", None, "Cycles of that schedule."),
        flags.DEFINE_string("policy", None, "As mixed_bfloat16:0.9,float32:0.1."),
        flags.DEFINE_enum("split", None, SPLITS, "What it is evaluated on."),
        flags.DEFINE_float("weight_decay", None, "Decoupled weight decay, as of AdamW."),
        flags.DEFINE_float("budget", None, "Share of the setting's epochs to train."),
    )
}
_SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.", lower_bound=0)
_LOGDIR = flags.DEFINE_string("logdir", "runs", "Where run directories are made.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TensorFlow Datasets finds its data.")

_EXIT = {"finished": 0, "diverged": 3, "stalled": 3}


def main(arguments: list[str]) -> None:
    """Run the experiment that the flags describe."""
    if len(arguments) > 1:
        raise app.UsageError(f"Unknown arguments: {' '.join(arguments[1:])}")
    try:
        given = {name: flag.value for name, flag in _GIVEN.items() if flag.value is not None}
        config = Config(**(_CONFIG.value.to_dict() | given), seed=_SEED.value)
        run = experiment(config, _LOGDIR.value, _DATA_DIR.value)
        if unread := precision.unread(config, given):
            raise ValueError(
                f"--{unread[0]} says nothing to precision_schedule={config.precision_schedule!r}. "
                f"Expected a schedule that reads it, as --precision_schedule=cr, or no such flag"
            )
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
    quantized = (record["cost"] or {}).get("quantized_layers") or {}
    if quantized.get("relative_to_fp32") is not None:
        progress.say(
            f"Bit operations of the quantized layers: {100 * quantized['relative_to_fp32']:.1f} % "
            f"of float32, as at {quantized['effective_bits']:.2f} bits. {record['cost']['note']}"
        )
    if record["reason"]:
        progress.say(record["reason"])
    sys.exit(_EXIT[record["status"]])


if __name__ == "__main__":
    app.run(main)
