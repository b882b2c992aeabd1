"""Schedules with a length of their own, and those that are a function of their progress alone."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import TYPE_CHECKING, Any

from keras_sched._arrays import FLOAT, ratio
from keras_sched.duration import UNITS, Duration, Run, Span
from keras_sched.schedules._arguments import count, positive
from keras_sched.schedules._fields import map_leaves
from keras_sched.schedules.base import Schedule

__all__ = ["Profiled", "Timed"]


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Timed(Schedule):
    """A schedule with a length of its own, given in any unit; without one it takes the run's.

    Args:
        length: A text as '30ep' or '0.1dur', or a whole number of steps; see `Duration.parse`.
        steps: The length in update steps.
        epochs: The length in epochs.
        fraction: The length as a fraction of the run.
        samples: The length in samples.
        seconds: The length in seconds.
    """

    length: Span | None = None
    # Arguments and attributes, but no fields: `length` has them all. See `_take_units`.
    if TYPE_CHECKING:
        steps: int | None = None
        epochs: float | None = None
        fraction: float | None = None
        samples: float | None = None
        seconds: float | None = None

    def __post_init__(self) -> None:
        length = None if self.length is None else positive("length", self.length)
        self._set("length", length)
        self._check()
        if length is not None and length.unit == "steps":
            self._count_fractions(int(length.value))

    @classmethod
    def _registered(cls) -> None:
        _take_units(cls)

    def _check(self) -> None:
        """Check and convert the fields of the subclass; called once, while it is built."""

    def _count_fractions(self, steps: int) -> None:
        """Turn fractions in the other fields into steps of this schedule's own length."""
        own = Run(steps=steps)

        def counted(length: Duration) -> Duration:
            fraction = length.unit == "fraction"
            return Duration(length.steps(own), unit="steps") if fraction else length

        for name, value in self._fields().items():
            if name != "length":
                self._set(name, map_leaves(value, counted, lambda part: part))

    @property
    def span(self) -> int | None:
        return None if self.length is None else count(self.length)

    @property
    def fills_room(self) -> bool:
        return self.length is None

    @property
    def is_resolved(self) -> bool:
        return self.length is not None and super().is_resolved

    @property
    def _n(self) -> int:
        """The resolved length in steps."""
        return count(self.length)

    def _resolve(self, run: Run, room: int | None) -> Schedule:
        steps = room if self.length is None else Duration.parse(self.length).steps(run)
        if steps is None:
            raise ValueError(
                f"A schedule without a length needs `steps`, which this run does not know. "
                f"Received: {self!r}, run={run}. Give the schedule a length, as `steps=1000`, or "
                f"the run its `steps`."
            )
        if steps < 1:
            raise ValueError(
                f"{type(self).__name__} is left with no steps. Received: length="
                f"{'the room it is in' if self.length is None else self.length} "
                f"({steps} steps) in {run}"
            )
        own = dataclasses.replace(run, steps=steps)
        inner = self._map(
            lambda length: Duration(length.steps(own), unit="steps"),
            lambda part: part.resolve(own, room=steps),
        )
        return dataclasses.replace(inner, length=Duration(steps, unit="steps"))

    def _progress(self, t: Any, xp: Any) -> Any:
        """Return s = t / T in [0, 1], float64; 1 from the schedule's end onwards."""
        return ratio(xp.cast(xp.minimum(t, self._n), FLOAT), float(self._n))


def _take_units(cls: Any) -> None:
    """Let a class take its length as `steps=`, `epochs=` and so on, which are no fields of it."""
    build = cls.__init__

    @functools.wraps(build)
    def __init__(self: Any, *args: Any, **arguments: Any) -> None:
        forms = {unit: arguments.pop(unit) for unit in UNITS if unit in arguments}
        if forms:
            length = Duration.of(length=arguments.get("length"), **forms)
            for unit in [unit for unit, value in forms.items() if value is not None]:
                positive(unit, length)  # type: ignore[arg-type]  # the one form that is given
            arguments["length"] = length
        build(self, *args, **arguments)

    signature = inspect.signature(build)
    added = [inspect.Parameter(u, inspect.Parameter.KEYWORD_ONLY, default=None) for u in UNITS]
    parameters = [*signature.parameters.values(), *added]
    __init__.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    cls.__init__ = __init__


def _unit(name: str) -> property:
    """Return the attribute that is the length in one unit, or None if it is in another."""

    def value(self: Timed) -> float | None:
        length = self.length
        return length.value if isinstance(length, Duration) and length.unit == name else None

    value.__doc__ = f"The length in {name}, or None if it is open or in another unit."
    return property(value)


for _name in UNITS:
    setattr(Timed, _name, _unit(_name))


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Profiled(Timed):
    """A schedule that is a function of its progress alone: it keeps its form at any length."""

    def _value(self, t: Any, xp: Any) -> Any:
        return self._at(self._progress(t, xp), xp)

    def _at(self, s: Any, xp: Any) -> Any:
        """Return the value in float64 at the progress `s` in [0, 1]."""
        raise NotImplementedError
