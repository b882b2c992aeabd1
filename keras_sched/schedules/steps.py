"""Schedules given point by point: constant, stairs, and lines between points.

At a boundary b the value is the new one: step b - 1 has the old value, step b the new one, as in
PyTorch and optax. ``keras.optimizers.schedules.PiecewiseConstantDecay`` still returns the old value
at b; a boundary of b + 1 gives its convention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any, ClassVar

import numpy as np

from keras_sched import _validate
from keras_sched._arrays import FLOAT, between, reached
from keras_sched.duration import Duration, Run, Span
from keras_sched.schedules._arguments import count, counted, points, positive
from keras_sched.schedules.base import Schedule, register_schedule
from keras_sched.schedules.timed import Timed

__all__ = ["Constant", "MultiStep", "PiecewiseConstant", "PiecewiseLinear", "Step"]


@register_schedule
class Constant(Timed):
    """Stay at one value.

    Args:
        value: The value; at least 0.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`,
            which matters only before another schedule; without one, the run's.

    Raises:
        ValueError: If the value is negative or not finite, or the length is zero.

    Example:
        >>> float(Constant(0.5)(10))
        0.5
    """

    value: float

    def _check(self) -> None:
        self._set("value", _validate.value("value", self.value))

    @property
    def is_resolved(self) -> bool:
        """A constant has its value whatever its length."""
        return self.length is None or Duration.parse(self.length).unit == "steps"

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        """Stay open in a run of unknown length: the value is the same."""
        return self if self.length is None and room is None else super()._resolve(run, room)

    def _value(self, t: Any, xp: Any) -> Any:
        return 0.0 * xp.cast(t, FLOAT) + self.value


@register_schedule
class Step(Schedule):
    """Multiply by `factor` every so often: ``start * factor ** floor(t / every)``.

    Args:
        start: Value at step 0; at least 0.
        every: Length of a stair; must be positive.
        factor: Factor from stair to stair; must be positive.

    Raises:
        ValueError: If `start` is negative, `factor` is not positive, or `every` is zero.

    Example:
        >>> step = Step(1.0, every=10, factor=0.5)
        >>> [float(step(t)) for t in (0, 9, 10, 19, 20)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    continuous: ClassVar[bool] = False
    start: float
    _: KW_ONLY
    every: Span
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._set("start", _validate.value("start", self.start))
        self._set("every", positive("every", self.every))
        self._set("factor", _validate.real("factor", self.factor, low=0.0, open_low=True))

    def _value(self, t: Any, xp: Any) -> Any:
        stairs = xp.floor_divide(t, count(self.every))
        return self.start * xp.power(self.factor, xp.cast(stairs, FLOAT))


@register_schedule
class MultiStep(Timed):
    """Multiply by `factor` at each of the points `at`: the classic step decay.

    Args:
        start: Value at step 0; at least 0.
        factor: Factor at each point; must be positive.
        at: The points, increasing. A fraction is of this schedule's own length.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If `start` is negative, `factor` is not positive, or the points do not increase.

    Example:
        >>> step = MultiStep(1.0, steps=100)
        >>> [round(float(step(t)), 4) for t in (0, 49, 50, 74, 75, 100)]
        [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]

    References:
        REX (arXiv 2107.04197), section 4.1: a tenth at 50 % and again at 75 % of the epochs.
    """

    continuous: ClassVar[bool] = False
    start: float
    _: KW_ONLY
    factor: float = 0.1
    at: Sequence[Span] = ("0.5dur", "0.75dur")

    def _check(self) -> None:
        self._set("start", _validate.value("start", self.start))
        self._set("factor", _validate.real("factor", self.factor, low=0.0, open_low=True))
        self._set("at", points("at", self.at))

    @property
    def is_resolved(self) -> bool:
        """Points in steps have their values whatever the length."""
        lengths = self.at if self.length is None else (*self.at, self.length)
        return all(Duration.parse(length).unit == "steps" for length in lengths)

    @property
    def span(self) -> int | None:
        own = super().span
        if own is not None or not self.is_resolved:
            return own
        return max((count(point) for point in self.at), default=1)

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        if self.length is None and room is None:  # a run of unknown length
            return self._map(
                lambda length: Duration(length.steps(run), unit="steps"), lambda part: part
            )
        return super()._resolve(run, room)

    def _value(self, t: Any, xp: Any) -> Any:
        boundaries = counted("at", self.at)
        factors = self.start * self.factor ** np.arange(len(boundaries) + 1.0)
        return xp.take(xp.cast(factors, FLOAT), reached(boundaries, t, xp))


@register_schedule
class PiecewiseConstant(Schedule):
    """Hold each of `values` until the next boundary.

    Args:
        values: The values in turn; at least 0; one more than boundaries.
        boundaries: Where the next value begins, increasing; steps or lengths with a unit.

    Raises:
        ValueError: If the counts do not fit, boundaries do not increase, or a value is negative.

    Example:
        >>> stairs = PiecewiseConstant([1.0, 0.5, 0.1], boundaries=[10, 20])
        >>> [round(float(stairs(t)), 4) for t in (0, 9, 10, 11, 20)]
        [1.0, 1.0, 0.5, 0.5, 0.1]
    """

    continuous: ClassVar[bool] = False
    values: Sequence[float]
    _: KW_ONLY
    boundaries: Sequence[Span]

    def __post_init__(self) -> None:
        values = _validate.sequence("values", self.values)
        self._set("values", tuple(_validate.value("values", value) for value in values))
        self._set("boundaries", points("boundaries", self.boundaries))
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"`values` must be one more than `boundaries`. Received: {len(self.values)} values "
                f"and {len(self.boundaries)} boundaries"
            )

    @property
    def span(self) -> int | None:
        return count(self.boundaries[-1]) if self.boundaries else 1

    def _value(self, t: Any, xp: Any) -> Any:
        boundaries = counted("boundaries", self.boundaries)
        return xp.take(xp.cast(np.array(self.values), FLOAT), reached(boundaries, t, xp))


@register_schedule
class PiecewiseLinear(Schedule):
    """Go in straight lines from point to point, and hold the first and the last value outside.

    Args:
        points: Pairs (when, value): when increases, as steps or lengths with a unit; values are at
            least 0. At least two.

    Raises:
        ValueError: If there are fewer than two points, they do not increase, or one is negative.

    Example:
        >>> lines = PiecewiseLinear([(0, 0.0), (10, 1.0), (20, 0.5)])
        >>> [float(lines(t)) for t in (0, 5, 10, 15, 20, 99)]
        [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]
    """

    points: Sequence[tuple[Span, float]]

    def __post_init__(self) -> None:
        listed = _validate.sequence("points", self.points)
        pairs = [_validate.sequence("points", pair) for pair in listed]
        if len(pairs) < 2 or any(len(pair) != 2 for pair in pairs):
            raise ValueError(
                f"`points` must be two or more pairs (when, value). "
                f"Received: points={_validate.shown(self.points)}"
            )
        when = points("points", tuple(pair[0] for pair in pairs))
        values = tuple(_validate.value("points", pair[1]) for pair in pairs)
        self._set("points", tuple(zip(when, values, strict=True)))

    @property
    def span(self) -> int | None:
        return count(self.points[-1][0])

    def _value(self, t: Any, xp: Any) -> Any:
        knots = counted("points", tuple(when for when, _ in self.points))
        values = np.array([value for _, value in self.points])
        # The piece of a step: the last knot at or before it. Steps outside are held at the ends.
        inside = xp.minimum(xp.maximum(t, int(knots[0])), int(knots[-1]))
        piece = xp.minimum(reached(knots[1:], inside, xp), len(knots) - 2)
        left = xp.take(xp.cast(knots, t.dtype), piece)
        length = xp.take(xp.cast(np.diff(knots), FLOAT), piece)
        old = xp.take(xp.cast(values[:-1], FLOAT), piece)
        new = xp.take(xp.cast(values[1:], FLOAT), piece)
        return between(new, old, xp.cast(inside - left, FLOAT) / length)
