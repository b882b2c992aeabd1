"""A schedule that a function gives, for the quick case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from keras_sched import _validate
from keras_sched._arrays import FLOAT
from keras_sched.schedules.base import Schedule, register_schedule

__all__ = ["Lambda"]


@register_schedule
class Lambda(Schedule):
    """Follow a function of the step: ``fn(t)``.

    It takes a warmup and all that other schedules take, and works inside the compiled step. It
    has no end: `until` gives it one. It cannot be saved, as a function has no name to load it by:
    to save it, write a class with `ks.register_schedule`. Such a class can have a length too.

    Args:
        fn: Function of the step, a whole number in float64 of any shape, NumPy or a tensor. It
            returns the value, a finite number, in the same shape. It is written with operators, or
            with ``keras.ops``, which both take; it must not depend on anything that changes.

    Raises:
        TypeError: If `fn` is not a function, or returns no numbers.
        ValueError: If it gives another shape, or a number that is not finite.

    Example:
        >>> import keras_sched as ks
        >>> quick = ks.Lambda(lambda t: 0.1 / (1 + t // 2))
        >>> [round(float(quick(t)), 5) for t in range(5)]
        [0.1, 0.1, 0.05, 0.05, 0.03333]
    """

    continuous: ClassVar[bool] = False
    fn: Callable[[Any], Any]

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise TypeError(f"`fn` must be a function. Received: fn={_validate.shown(self.fn)}")
        try:
            values = np.asarray(self.fn(np.array([0.0, 1.0])))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`fn` must take many steps at once, as an array or a tensor. Received: "
                f"fn={self.fn!r}, which raises {error!r}. Write `if` as "
                f"`keras.ops.where(t < 2, 0.1, 0.01)`."
            ) from error
        if values.dtype.kind not in "fiu":
            raise TypeError(f"`fn` must return numbers. Received: {_validate.shown(values)}")
        if values.shape not in ((), (2,)) or not np.isfinite(values).all():
            raise ValueError(
                f"`fn` must return a finite number for each step. "
                f"Received: {_validate.shown(values)} for the steps 0 and 1"
            )

    def __repr__(self) -> str:
        return f"Lambda({getattr(self.fn, '__name__', type(self.fn).__name__)})"

    def stretched(self, factor: float) -> Schedule:
        """Return the schedule for a run `factor` times as long."""
        factor = _validate.real("factor", factor, low=0.0, open_low=True)
        return self if factor == 1.0 else Lambda(lambda t: self.fn(t / factor))

    def _value(self, t: Any, xp: Any) -> Any:
        step = xp.cast(t, FLOAT)
        return xp.cast(self.fn(step), FLOAT) + 0.0 * step

    @property
    def can_be_saved(self) -> bool:
        return False

    def get_config(self) -> dict[str, Any]:
        """Raise a NotImplementedError: a function cannot be saved."""
        raise NotImplementedError(
            f"`Lambda` cannot be saved, as its function has no name to load it by. "
            f"Received: {self!r}. To save it, write a class with `ks.register_schedule`."
        )
