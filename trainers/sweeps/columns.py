"""What the columns of tables of results mean: those of trials, and those of reports, in one list.

A name means the same in both, and has the same unit: of a goal that is a share both say 0.975.
"""

from __future__ import annotations

import dataclasses

__all__ = ["CELLS", "COLUMNS", "TRIALS", "Column"]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        kind: "string", "float64" or "int64".
        help: What it means.
        trials: Whether it is in ``results.parquet``, which has a row for each trial.
        cells: Whether it is in the report's CSV, which has a row for each cell.
    """

    kind: str
    help: str
    trials: bool = True
    cells: bool = True


def _of_trials(kind: str, text: str) -> Column:
    return Column(kind, text, cells=False)


def _of_cells(kind: str, text: str) -> Column:
    return Column(kind, text, trials=False)


COLUMNS = {
    "sweep": Column("string", "Name of the sweep."),
    "id": _of_trials("string", "The trial, as in `results/`."),
    "cell": Column("string", "What trials have in common that differ in rate and seed alone."),
    "phase": _of_trials("string", '"tuning" or "measurement".'),
    "setting": Column("string", "Name of the setting."),
    "program": _of_trials("string", "What trains: the name of a task, or a class."),
    "optimizer": _of_trials("string", "The optimizer."),
    "workload": Column("string", "What it trains; the setting, if no other one trains the same."),
    "method": _of_cells("string", "What the report calls schedule, momentum and precision."),
    "schedule": Column("string", "Name of the learning-rate schedule in the sweep."),
    "momentum": Column("string", "Name of the momentum schedule in the sweep."),
    "precision": Column("string", "Name of the precision in the sweep."),
    "budget": Column("float64", "Share of the setting's epochs."),
    "epochs": Column("int64", "Epochs that are trained."),
    "learning_rate": Column("float64", "The rate of the setting; a tuned one if it was chosen."),
    "seed": _of_trials("int64", "Seed."),
    "status": _of_trials("string", '"finished", "diverged", "stalled" or "undefined".'),
    "goal": Column(
        "string", 'What is judged: "val_accuracy" where rates are tuned, "test_accuracy" after it.'
    ),
    "goal_mode": Column("string", '"max" or "min": what is good.'),
    "value": _of_trials("float64", "The goal, as it is judged; none if it did not finish."),
    "right": _of_trials("int64", "How many were right, of a goal that is a count."),
    "count": _of_trials("int64", "Of how many."),
    "mean": _of_cells("float64", "Mean of the goal over the seeds that finished."),
    "std": _of_cells("float64", "Standard deviation of these, over n - 1."),
    "n": _of_cells("int64", "Seeds that finished."),
    "seeds": _of_cells("int64", "Seeds that are planned."),
    "diverged": _of_cells("int64", "Seeds whose training diverged."),
    "stalled": _of_cells("int64", "Seeds whose loss scaling found no end."),
    "undefined": _of_cells("int64", "Seeds whose goal is no number."),
    "missing": _of_cells("int64", "Seeds without a result."),
    "place": _of_cells("int64", "1 + how many methods are better in a complete column."),
    "rank": _of_cells("float64", "The rank there; equal methods share the mean of theirs."),
    "best": _of_trials("float64", "The best value that the goal had at the end of an epoch."),
    "loss": _of_trials("float64", "Loss of the last epoch of training."),
    "evaluated_loss": _of_trials("float64", "Loss of the last evaluation of the goal's data."),
    "steps": _of_trials("int64", "Data steps that were trained."),
    "parameters": _of_trials("int64", "Numbers in the weights of the model."),
    "relative_to_fp32": Column(
        "float64",
        "Bit operations of the quantized layers in training over those of as many steps in "
        "float32: 1 if nothing is quantized, none if they could not be counted.",
    ),
    "train_seconds": _of_trials("float64", "Seconds of training, of all starts."),
    "evaluation_seconds": _of_trials("float64", "Seconds of evaluation."),
    "restarts": _of_trials("int64", "How often the training was started again."),
    "attempts": _of_trials("int64", "How often a worker began the trial."),
    "paper_mean": _of_cells("float64", "The paper's mean, in the unit of the goal."),
    "paper_std": _of_cells("float64", "The paper's standard deviation."),
}
TRIALS = {name: column for name, column in COLUMNS.items() if column.trials}
CELLS = {name: column for name, column in COLUMNS.items() if column.cells}
