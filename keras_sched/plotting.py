"""Look at schedules before training: their values as an array, and a picture of any number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_sched import _validate
from keras_sched._extras import load
from keras_sched.duration import Run
from keras_sched.schedules import Schedule, label
from keras_sched.schedules.base import part_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["new_axes", "plot", "simulate"]


def simulate(schedule: Schedule, *, n: int | Run = 1000) -> np.ndarray:
    """Return a schedule's values at the steps 0 to n - 1, without training.

    Args:
        schedule: The schedule; open lengths are counted on a run of `n` steps.
        n: Number of steps, at least 1, or the `Run` whose steps, epochs, samples or seconds count.

    Returns:
        float32 of shape `(n,)`.

    Raises:
        TypeError: If `schedule` is not a schedule.
        ValueError: If `n` is below 1, or a length needs a fact that the run lacks.

    Example:
        >>> import keras_sched as ks
        >>> simulate(ks.Linear(1.0), n=4).tolist()
        [1.0, 0.75, 0.5, 0.25]
    """
    part_of("schedule", schedule)
    run = n if isinstance(n, Run) else Run(steps=_validate.integer("n", n, low=1))
    resolved = schedule if schedule.is_resolved else schedule.resolve(run)
    return resolved(np.arange(run.total))


def plot(
    *schedules: Schedule,
    n: int | Run = 1000,
    ax: Axes | None = None,
    **labelled: Schedule,
) -> Axes:
    """Draw schedules over the steps of a run.

    Args:
        *schedules: Schedules, labelled by the call that makes them, shortened where it is long.
        n: Number of steps, at least 1, or a `Run`.
        ax: Axes to draw on; new ones if None.
        **labelled: Schedules under a label of your own.

    Returns:
        The axes; ``plot(...).figure.savefig("schedules.png")`` saves the picture.

    Raises:
        TypeError: If one of them is not a schedule.
        ValueError: If there is none, or a length needs a fact that the run lacks.

    Example:
        >>> import keras_sched as ks
        >>> axes = ks.plot(ks.REX(0.1), linear=ks.Linear(0.1), n=100)
        >>> [line.get_label() for line in axes.get_lines()]
        ['REX(0.1)', 'linear']
    """
    named = [(label(item), item) for item in schedules] + list(labelled.items())
    if not named:
        raise ValueError("`plot` needs at least one schedule. Received: none")
    curves: list[tuple[str, Any]] = [(name, simulate(item, n=n)) for name, item in named]
    ax = new_axes("`plot`") if ax is None else ax
    for name, values in curves:
        ax.plot(values, label=name, drawstyle="steps-post", linewidth=1.5)
    ax.set(xlabel="update step", ylabel="value")
    ax.margins(x=0.01)
    ax.grid(alpha=0.3)
    ax.legend(frameon=False)
    return ax


def new_axes(what: str) -> Axes:
    """Return axes on a figure of their own, for what draws on them."""
    figure = load("matplotlib.figure", what=what, extra="plot").Figure
    return figure(figsize=(8, 4.5), layout="constrained").add_subplot()
