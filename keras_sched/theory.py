"""What a schedule is worth before any training: the bound of convex optimisation, and its rate.

The bound says how far the last iterate of subgradient descent can be from the optimum. From it
follow a ranking of schedules, and by how much a tuned learning rate is to change when the schedule
does. It knows nothing of noise in evaluations, of regularisation or of the task: docs/advice.md
says what of it was seen in trainings, and what was not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_sched import _validate
from keras_sched.duration import Run
from keras_sched.plotting import simulate
from keras_sched.schedules import Linear, Schedule

__all__ = ["KINDS", "Bound", "bound", "rate_factor"]

KINDS = ("l1", "l2")

# So many steps tell the schedules apart, and are many enough for a limit; more than the most change
# nothing.
_STEPS, _MOST = 100_000, 10_000_000
# Of the highest rate: what is less is none.
_NONE = 1e-30


class Bound(NamedTuple):
    """What theory says of a schedule, over the same of linear decay.

    Attributes:
        value: The bound at the best base rate: below 1 for a schedule that is better than linear
            decay.
        base_rate: The best base rate: the highest value of the schedule.
    """

    value: float
    base_rate: float


def bound(
    schedule: Schedule | Sequence[float] | np.ndarray,
    *,
    steps: int | Run | None = None,
    norms: Sequence[float] | np.ndarray | None = None,
    kind: str = "l2",
) -> Bound:
    r"""Return the last-iterate bound of a schedule, relative to linear decay.

    For a convex function, subgradients of norm :math:`G_t`, a start at distance :math:`D` from an
    optimum, rates :math:`\eta_1 \dots \eta_T` and :math:`S_k = \sum_{t \ge k} \eta_t`,

    .. math::
        E f(x_T) - f^* \le \frac{D^2}{2 S_1} + \frac{\sum_t \eta_t^2 G_t^2}{2 S_1}
        + \frac12 \sum_{k=1}^{T-1} \frac{\eta_k}{S_{k+1}}
        \frac{\sum_{t \ge k} \eta_t^2 G_t^2}{S_k}.

    With :math:`\eta_t = g s_t` it is :math:`a / g + b g`, least at :math:`g = \sqrt{a / b}`, where
    it is :math:`2 \sqrt{a b}`. Neither ratio depends on :math:`D`, on the scale of the norms or on
    that of the schedule.

    Args:
        schedule: The schedule; lengths that are open are counted on `steps`. Or the rates
            themselves, one for each step: at least 0, and above 0 somewhere. Steps at the end whose
            rate is below 1e-30 of the highest change nothing, and are left out.
        steps: Steps of the run, from 2 to 10 million; not used for rates. None for the schedule's
            own length if it has one, else 100,000.
        norms: Norms of the gradient over the run, evenly spaced from its first step to its last, as
            `StepLogger(norms=True)` logs them; they are stretched to `steps`. Above 0, finite, but
            for NaN at the beginning, of steps before the first update, which are left out. None for
            constant ones.
        kind: "l2" for L2 norms, as of SGD and its kin, or "l1" for L1 norms, as of Adam and its
            kin: in the formula :math:`G_t^2` is then the L1 norm itself.

    Returns:
        Both numbers over those of linear decay to 0, over as many steps and with the same norms.

    Raises:
        TypeError: If `schedule` is neither a schedule nor numbers, or `norms` are no numbers.
        ValueError: If a rate is negative or not finite, all are 0, or an argument is out of range.

    Example:
        >>> import keras_sched as ks
        >>> found = ks.bound(ks.REX(0.1))
        >>> round(found.value, 3), round(found.base_rate, 2)
        (1.008, 0.81)
        >>> round(ks.bound(ks.Constant(0.1)).value, 2)
        1.81
        >>> round(ks.bound(ks.REX(0.1, steps=500)).base_rate, 2)
        0.81

    References:
        Defazio, Cutkosky, Mehta and Mishchenko, 2023 (arXiv 2310.07831), theorem 10; at the best
        base rate as in Schaipp et al., 2025 (arXiv 2501.18965), equation 6.
    """
    rates = _rates(schedule, steps)
    squares = _squares(norms, kind, len(rates))
    own = _least(rates, squares)
    linear = _least(simulate(Linear(1.0), n=len(rates)).astype(np.float64), squares)
    return Bound(own.value / linear.value, own.base_rate / linear.base_rate)


def rate_factor(
    schedule: Schedule | Sequence[float] | np.ndarray,
    tuned: Schedule | Sequence[float] | np.ndarray,
    *,
    steps: int | Run | None = None,
    norms: Sequence[float] | np.ndarray | None = None,
    kind: str = "l2",
) -> float:
    """Return what to multiply a tuned learning rate by when the schedule changes.

    It is the ratio of the best base rates of two schedules, `bound(...).base_rate`. A learning rate
    is the highest value of its schedule. The factor is theory. Between schedules as near as Linear,
    Cosine, REX and WSD small trainings did as well with the same rate for all (docs/advice.md);
    large language models were seen to follow it (Schaipp et al., 2025, arXiv 2501.18965).

    Args:
        schedule: The schedule that a rate is wanted for; see `bound`.
        tuned: The schedule that the rate was tuned for.
        steps: Steps of the run; see `bound`.
        norms: Norms of the gradient; see `bound`.
        kind: Which norms they are; see `bound`.

    Raises:
        TypeError: See `bound`.
        ValueError: See `bound`.

    Example:
        >>> import keras_sched as ks
        >>> round(0.1 * ks.rate_factor(ks.REX(1.0), ks.Cosine(1.0)), 3)
        0.083
    """
    wanted, known = (bound(each, steps=steps, norms=norms, kind=kind) for each in (schedule, tuned))
    return wanted.base_rate / known.base_rate


def _rates(
    schedule: Schedule | Sequence[float] | np.ndarray, steps: int | Run | None
) -> np.ndarray:
    """Return the rates of all steps, checked, in units of the highest; float64."""
    if steps is not None and not isinstance(steps, Run):
        steps = _validate.integer("steps", steps, low=2, high=_MOST)
    if isinstance(schedule, Schedule):
        if steps is None:
            own = (schedule.span if schedule.is_resolved else None) or _STEPS
            steps = _validate.integer("steps", own, low=2, high=_MOST)
        found = simulate(schedule, n=steps).astype(np.float64)
    else:
        try:
            if np.iscomplexobj(schedule):
                raise TypeError("complex numbers are no rates")
            found = np.asarray(schedule, np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"`schedule` must be a schedule, or numbers. Received: "
                f"schedule={_validate.shown(schedule)}"
            ) from error
    if found.ndim != 1 or len(found) < 2:
        raise ValueError(
            f"`schedule` must have a rate for each of at least two steps. Received: "
            f"rates of shape {found.shape}"
        )
    if not np.isfinite(found).all() or found.min() < 0.0 or found.max() <= 0.0:
        raise ValueError(
            f"`schedule` must give rates that are finite, at least 0, and above 0 somewhere. "
            f"Received: rates from {found.min()} to {found.max()}"
        )
    return found / found.max()


def _squares(norms: Any, kind: str, steps: int) -> np.ndarray:
    """Return what takes the place of the squares of the norms at all steps, at most 1."""
    _validate.choice("kind", kind, KINDS)
    if norms is None:
        return np.ones(steps)
    found = _validate.norms(norms)
    at = np.linspace(0.0, 1.0, len(found)) if len(found) > 1 else np.zeros(1)
    stretched = np.interp(np.linspace(0.0, 1.0, steps), at, found)
    return (stretched / stretched.max()) ** (2.0 if kind == "l2" else 1.0)


def _least(rates: np.ndarray, squares: np.ndarray) -> Bound:
    """Return the least bound over all base rates, and where it is, for a distance of 1."""
    # Steps without a rate at the end leave the iterate where it is.
    end = int(np.flatnonzero(rates >= _NONE)[-1]) + 1
    rates, noise = rates[:end], rates[:end] ** 2 * squares[:end]
    sums, noises = (np.cumsum(each[::-1])[::-1] for each in (rates, noise))
    a = 1.0 / (2.0 * sums[0])
    last = rates[:-1] / sums[1:] * (noises[:-1] / sums[:-1])
    b = noises[0] / (2.0 * sums[0]) + 0.5 * math.fsum(last)
    return Bound(2.0 * math.sqrt(a * b), math.sqrt(a / b))
