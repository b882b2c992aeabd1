"""Whether cyclic precision keeps the quality of static 8 bits, and at what cost: real trainings.

    python -m benchmarks.precision [--dataset=cifar10 --data_dir=DIR] [--model=resnet8] [--epochs=4]

A small network learns a data set under each schedule of bits, with the same seeds, learning rate
and steps; gradients have 8 bits, evaluation is at 8 bits on the test images after the last step.
The table has the mean and the standard deviation (ddof 1) over seeds, the BitOPs of the quantized
layers over those of static 8 bits, and a paired t-test against it. It is a reduced-scale run: a
small network, few epochs, few seeds (`--seeds=3`). Interrupted, the same command goes on.
"""

from __future__ import annotations

from trainers.tasks.classification import ImageClassification  # isort: skip  # before TensorFlow

import argparse
import dataclasses
import math

import numpy as np
import rich.console
import rich.table
import scipy.stats

import keras_sched as ks
from configs.base import setting
from trainers.datasets import Images
from trainers.loop.compiled import Compiled
from trainers.tasks.configured import experiment

STATIC = "static"
SCHEDULES = (STATIC, "er", "cr", "rr")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the trainings of one schedule came to, seed by seed."""

    accuracies: np.ndarray
    costs: np.ndarray


def task(options: argparse.Namespace, schedule: str, seed: int) -> ImageClassification:
    """Return what one training trains, without its data."""
    values = setting(
        name=f"precision_{options.dataset}_{schedule}",
        dataset=options.dataset,
        model=options.model,
        epochs=options.epochs,
        precision_schedule=schedule,
        evaluation_bits=8,
        steps_per_checkpoint=200,
        seed=seed,
    ).to_dict()
    return ImageClassification.of(values)


def trained(options: argparse.Namespace, schedule: str, data: Images) -> Outcome:
    """Train all seeds of one schedule, by one trace; trainings that are over are read."""
    compiled = Compiled(reusable=True)
    accuracies, costs = [], []
    for seed in range(options.seeds):
        made = task(options, schedule, seed)
        made.data = data
        record = experiment(made, options.logdir, compiled=compiled).run()
        if record.status != "finished":
            raise RuntimeError(f"{schedule}, seed {seed}: {record.status}, {record.reason}")
        accuracies.append(record.value(record.goal))
        costs.append(record.cost["quantized_layers"]["relative_to_fp32"])
    return Outcome(np.array(accuracies), np.array(costs))


def table(outcomes: dict[str, Outcome]) -> rich.table.Table:
    """Return the comparison."""
    base = outcomes[STATIC]
    found = rich.table.Table(title="Static 8 bits beside cycles of 3 to 8", title_justify="left")
    for name in ("schedule", "n", "test accuracy %", "BitOPs of static 8", "p, paired t"):
        found.add_column(name, justify="left" if name == "schedule" else "right")
    for name, outcome in outcomes.items():
        percent = 100 * outcome.accuracies
        n = len(percent)
        spread = f" ± {percent.std(ddof=1):.2f}" if n > 1 else ""
        p = math.nan
        if n > 1 and name != STATIC:
            p = scipy.stats.ttest_rel(outcome.accuracies, base.accuracies).pvalue
        found.add_row(
            name,
            str(n),
            f"{percent.mean():.2f}{spread}",
            f"{outcome.costs.mean() / base.costs.mean():.3f}",
            "" if math.isnan(p) else f"{p:.2f}",
        )
    found.caption = f"Reduced scale. {ks.precision.EMULATED}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data_dir")
    parser.add_argument("--model", default="resnet8")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--logdir", default="runs")
    options = parser.parse_args()
    data = ImageClassification.load(task(options, STATIC, 0).config, options.data_dir)
    outcomes = {name: trained(options, name, data) for name in SCHEDULES}
    rich.console.Console().print(table(outcomes))
    base = outcomes[STATIC]
    for name, outcome in outcomes.items():
        if name != STATIC:
            print(f"{name}_cost_over_static: {outcome.costs.mean() / base.costs.mean():.3f}")
            gain = outcome.accuracies.mean() / base.accuracies.mean()
            print(f"{name}_accuracy_over_static: {gain:.4f}")


if __name__ == "__main__":
    main()
