"""Trials an hour of the digits sweep: workers that trace once, beside what people do without them.

    python -m benchmarks.sweep [--rounds=3]

A round has one trial of the sweep for each budget, each with another schedule. Three sides train
the same trials, taking turns, each with one thread:
  sweep      a worker's program, one process for all of them: schedules are data of one trace
  process    a process for each trial, which imports, traces, trains and ends
  rebuild    one process with a plain Keras loop: a new model, `compile` and `fit` for each trial
Counted are seconds of wall time from the beginning to the end of a trial. The first trial of a side
is not counted where one process trains them all: in the sweep of 504 trials it is one. The coupled
weight decay of the setting is left out on all sides, as `compile` has no word for it. Reported is
how many times as many trials an hour the sweep trains: ratios of a round's seconds, the median
over the rounds.
"""

from __future__ import annotations

import trainers  # isort: skip  # noqa: F401  # sets what TensorFlow reads when it is imported

import argparse
import multiprocessing
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import rich.console
import rich.table

from configs.sweeps.digits_rex import get_config
from trainers.sweeps.grid import MEASUREMENT, Grid
from trainers.sweeps.programs import with_rate

Train = Callable[[Mapping[str, Any], pathlib.Path], float]


def sweep() -> Train:
    """Return how a worker of the sweep trains."""
    from trainers.sweeps.trials import Trials
    from trainers.tasks.classification import ImageClassification

    program = Trials(ImageClassification, threads=1)

    def train(config: Mapping[str, Any], logdir: pathlib.Path) -> float:
        record = program.run(config, logdir, {})
        return record.value(record.goal)

    return train


def rebuild() -> Train:
    """Return how a loop over trials trains that knows nothing but Keras."""
    import keras
    import tensorflow as tf

    from trainers.tasks.classification import ImageClassification

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    held: dict[str, Any] = {}

    def train(config: Mapping[str, Any], logdir: pathlib.Path) -> float:
        task = ImageClassification.of(dict(config))
        training, steps = task.config.training, task.steps_per_epoch
        if training.split not in held:
            held[training.split] = task.load(task.config)
        images = held[training.split]
        keras.backend.clear_session()
        keras.utils.set_random_seed(training.seed)
        model = task.network()
        model.compile(
            task.optimizer(model),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=steps,
        )
        history = model.fit(
            images.train(training.batch_size, training.seed, 0),
            epochs=training.trained_epochs,
            steps_per_epoch=steps,
            validation_data=images.evaluate(4 * training.batch_size),
            verbose=0,
        )
        return history.history["val_accuracy"][-1]

    return train


class Side:
    """A process that trains what it is sent, and sends back seconds and accuracy."""

    def __init__(self, make: Callable[[], Train]) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, there), daemon=True)
        self._process.start()

    def __call__(self, config: Mapping[str, Any]) -> tuple[float, float]:
        self._here.send(config)
        return self._here.recv()

    def close(self) -> None:
        """End the process."""
        self._here.send(None)
        self._process.join()


def _serve(make: Callable[[], Train], there: Connection) -> None:
    train = make()
    while (config := there.recv()) is not None:
        with tempfile.TemporaryDirectory() as logdir:
            began = time.monotonic()
            accuracy = train(config, pathlib.Path(logdir))
            there.send((time.monotonic() - began, accuracy))


def alone(config: Mapping[str, Any]) -> tuple[float, float]:
    """Train in a process of its own; return its seconds from start to end, and the accuracy."""
    began = time.monotonic()
    side = Side(sweep)
    _, accuracy = side(config)
    side.close()
    return time.monotonic() - began, accuracy


def rounds(count: int) -> list[list[dict[str, Any]]]:
    """Return the configurations of each round: a trial for each budget, of schedules in turn."""
    grid = Grid.of(get_config())
    trials = [trial for trial in grid.trials if trial.phase == MEASUREMENT]
    names = list(dict.fromkeys(trial.coordinates["schedule"] for trial in trials))
    budgets = sorted({trial.coordinates["budget"] for trial in trials})
    found = {(t.coordinates["schedule"], t.coordinates["budget"]): t for t in trials}
    return [
        [
            {**with_rate(found[names[(index + number) % len(names)], budget]), "l2": 0.0}
            for number, budget in enumerate(budgets)
        ]
        for index in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    plan = rounds(options.rounds)
    sides = {"sweep": Side(sweep), "process": alone, "rebuild": Side(rebuild)}
    for name in ("sweep", "rebuild"):
        sides[name](plan[0][0])
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    accuracies: dict[str, list[float]] = {name: [] for name in sides}
    for index, configs in enumerate(plan):
        spent = dict.fromkeys(sides, 0.0)
        for config in configs:
            for name, side in sides.items():
                took, accuracy = side(config)
                spent[name] += took
                accuracies[name].append(accuracy)
        for name, value in spent.items():
            seconds[name].append(value)
        rich.console.Console().print(f"round {index + 1} of {options.rounds}", spent)
    for name in ("sweep", "rebuild"):
        sides[name].close()
    _report(seconds, accuracies, len(plan[0]))


def _report(
    seconds: Mapping[str, list[float]], accuracies: Mapping[str, list[float]], trials: int
) -> None:
    table = rich.table.Table(title="Trials of the digits sweep, one thread", title_justify="left")
    for column in ("side", "n", "trials an hour", "mean accuracy"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for name, spent in seconds.items():
        hourly = 3600.0 * trials / statistics.median(spent)
        accuracy = statistics.fmean(accuracies[name])
        table.add_row(name, str(trials * len(spent)), f"{hourly:.0f}", f"{accuracy:.3f}")
    rich.console.Console().print(table)
    for name in ("process", "rebuild"):
        ratios = [a / b for a, b in zip(seconds[name], seconds["sweep"], strict=True)]
        print(f"trials_an_hour_over_{name}: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
