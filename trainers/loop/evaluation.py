"""One evaluation of a model: means, outputs, and what the task judges by them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trainers.loop.compiled import Compiled
from trainers.loop.means import FOLDED_AFTER, prefixed
from trainers.loop.task import Task

__all__ = ["evaluate"]


def evaluate(
    compiled: Compiled, task: Task, evaluation: str
) -> tuple[dict[str, float], dict[str, int]]:
    """Evaluate a model.

    Returns:
        Losses and metrics, and of how many each count is; with the name of the evaluation in front.

    Raises:
        ValueError: If it has no batch, `Task.judge` returns what the task has not declared, or a
            metric with `is_count` is no count.
    """
    step = compiled.test_function(evaluation)
    compiled.means.reset(evaluation)
    outputs: dict[str, list[np.ndarray]] = {}
    number = 0
    with compiled.evaluated():
        data = compiled.distributed(task.evaluations[evaluation].data())
        for number, batch in enumerate(data, start=1):
            for part in step(batch):
                for name, value in part.items():
                    outputs.setdefault(name, []).append(value.numpy())
            if number % FOLDED_AFTER == 0:
                compiled.means.fold(evaluation)
    if number == 0:
        raise ValueError(f"An evaluation must have batches. Received: {evaluation!r} of none")
    means = compiled.means_of(evaluation)
    judged = {name: float(value) for name, value in task.judge(evaluation, means, outputs).items()}
    _check_judged(task, judged, means)
    logs = {prefixed(evaluation, name): value for name, value in {**means, **judged}.items()}
    goal = task.goal
    if goal not in logs and goal in {prefixed(evaluation, name) for name in task.metrics}:
        raise ValueError(
            f"`forward` or `judge` must return the task's `goal`. Received: goal={goal!r}, and "
            f"{', '.join(logs)}"
        )
    counted = compiled.means.counted(evaluation)
    return logs, {prefixed(evaluation, name): count for name, count in counted.items()}


def _check_judged(task: Task, judged: Mapping[str, float], means: Mapping[str, float]) -> None:
    unknown = [name for name in judged if name not in task.metrics]
    twice = [name for name in judged if name in means]
    if unknown or twice:
        raise ValueError(
            f"`judge` must return metrics that are among the task's `metrics`, and no means. "
            f"Received: {', '.join([*unknown, *twice])}"
        )
    if counts := [name for name in judged if task.metrics[name].is_count]:
        raise ValueError(
            f"A metric with `is_count` must be among the means of `forward`, where it is counted. "
            f"Received: {', '.join(counts)} from `judge`"
        )
