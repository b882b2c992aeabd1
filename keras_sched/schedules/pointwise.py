"""Schedules combined value by value at every step: sum, product, minimum and maximum.

The parts share one clock and one room. A number among them stands for a constant.
"""

from __future__ import annotations

from collections import abc
from typing import Any, ClassVar

from keras_sched.schedules._written import call, operand
from keras_sched.schedules.base import Schedule, parts_of, register_schedule
from keras_sched.schedules.steps import Constant

__all__ = ["Maximum", "Minimum", "Product", "Sum", "at_least", "at_most", "product", "total"]


class _Pointwise(Schedule):
    """Schedules whose values are combined two by two, by an operator or a method of the first."""

    _operator: ClassVar[str] = ""
    _method: ClassVar[str] = ""
    schedules: abc.Sequence[Schedule]

    def __post_init__(self) -> None:
        parts = parts_of("schedules", self.schedules)
        if not parts:
            raise ValueError("`schedules` must have at least one part. Received: schedules=()")
        self._set("schedules", parts)

    def __repr__(self) -> str:
        if len(self.schedules) != 2:
            return call(self)
        first, second = self.schedules
        number = None
        if isinstance(second, Constant) and second.length is None:
            number = repr(second.value)
        if self._method:
            return f"{operand(first)}.{self._method}({number or repr(second)})"
        left = repr(first) if type(first) is type(self) else operand(first)
        return f"{left} {self._operator} {number or operand(second)}"

    @property
    def is_operation(self) -> bool:
        return bool(self._operator) and len(self.schedules) == 2

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Whether every part is."""
        return all(part.continuous for part in self.schedules)

    @property
    def fills_room(self) -> bool:
        return any(part.fills_room for part in self.schedules if not isinstance(part, Constant))

    @property
    def span(self) -> int | None:
        spans = [part.span for part in self.schedules if not isinstance(part, Constant)]
        return None if None in spans else max(spans, default=1)  # type: ignore[type-var]

    def _value(self, t: Any, xp: Any) -> Any:
        value = self.schedules[0]._value(t, xp)
        for part in self.schedules[1:]:
            value = self._combined(value, part._value(t, xp), xp)
        return value

    def _combined(self, left: Any, right: Any, xp: Any) -> Any:
        raise NotImplementedError


@register_schedule
class Product(_Pointwise):
    """Multiply schedules, step by step.

    Args:
        schedules: The factors; they share one clock and one room.

    Raises:
        TypeError: If a factor is not a schedule.
        ValueError: If there is none.

    Example:
        >>> import keras_sched as ks
        >>> float((ks.Linear(1.0, steps=4) * 0.1)(2))
        0.05000000074505806
    """

    _operator: ClassVar[str] = "*"
    schedules: abc.Sequence[Schedule]

    def _combined(self, left: Any, right: Any, xp: Any) -> Any:
        return left * right


@register_schedule
class Sum(_Pointwise):
    """Add schedules, step by step.

    Args:
        schedules: The summands; they share one clock and one room.

    Raises:
        TypeError: If a summand is not a schedule.
        ValueError: If there is none.

    Example:
        >>> import keras_sched as ks
        >>> wave = ks.Linear(0.5, steps=4).repeat() + ks.Linear(1.0, steps=8) + 0.25
        >>> [float(wave(t)) for t in (0, 2, 4, 6, 8)]
        [1.75, 1.25, 1.25, 0.75, 0.75]
    """

    _operator: ClassVar[str] = "+"
    schedules: abc.Sequence[Schedule]

    def _combined(self, left: Any, right: Any, xp: Any) -> Any:
        return left + right


@register_schedule
class Minimum(_Pointwise):
    """Take the lowest of schedules, step by step; `Schedule.at_most` makes it.

    Args:
        schedules: The schedules; they share one clock and one room.

    Raises:
        TypeError: If one is not a schedule.
        ValueError: If there is none.

    Example:
        >>> import keras_sched as ks
        >>> capped = ks.Linear(1.0, steps=4).at_most(0.5)
        >>> [float(capped(t)) for t in range(5)]
        [0.5, 0.5, 0.5, 0.25, 0.0]
    """

    _method: ClassVar[str] = "at_most"
    schedules: abc.Sequence[Schedule]

    def _combined(self, left: Any, right: Any, xp: Any) -> Any:
        return xp.minimum(left, right)


@register_schedule
class Maximum(_Pointwise):
    """Take the highest of schedules, step by step; `Schedule.at_least` makes it.

    Args:
        schedules: The schedules; they share one clock and one room.

    Raises:
        TypeError: If one is not a schedule.
        ValueError: If there is none.

    Example:
        >>> import keras_sched as ks
        >>> floored = ks.Exponential(1.0, steps=4).at_least(0.125)
        >>> [round(float(floored(t)), 4) for t in range(5)]
        [1.0, 0.4724, 0.2231, 0.125, 0.125]
    """

    _method: ClassVar[str] = "at_least"
    schedules: abc.Sequence[Schedule]

    def _combined(self, left: Any, right: Any, xp: Any) -> Any:
        return xp.maximum(left, right)


def product(schedule: Schedule, other: Schedule | float) -> Product:
    """Return `schedule` times another schedule or a number of at least 0."""
    return Product((schedule, _part(other)))


def total(schedule: Schedule, other: Schedule | float) -> Sum:
    """Return `schedule` plus another schedule or a number of at least 0."""
    return Sum((schedule, _part(other)))


def at_most(schedule: Schedule, other: Schedule | float) -> Minimum:
    """Return the lower of `schedule` and another schedule or a number of at least 0."""
    return Minimum((schedule, _part(other)))


def at_least(schedule: Schedule, other: Schedule | float) -> Maximum:
    """Return the higher of `schedule` and another schedule or a number of at least 0."""
    return Maximum((schedule, _part(other)))


def _part(value: Schedule | float) -> Schedule:
    return value if isinstance(value, Schedule) else Constant(value)
