"""Durations: lengths of training in the unit people think in, turned into whole update steps.

This is the only room that knows epochs, samples, seconds and fractions; everything after it counts
update steps. A `Duration` says how long, a `Run` holds the facts that are needed to count it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from keras_sched import _validate

__all__ = ["UNITS", "Duration", "Run", "Span"]

_UNITS = {
    "steps": ("st", "step", "steps"),
    "epochs": ("ep", "epoch", "epochs"),
    "fraction": ("dur", "fraction"),
    "samples": ("sp", "sample", "samples"),
    "seconds": ("s", "sec", "second", "seconds"),
}
UNITS = tuple(_UNITS)
"""The units of lengths."""
_MULTIPLES = {
    "%": ("fraction", 0.01),
    "min": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    **{alias: (unit, 1.0) for unit, aliases in _UNITS.items() for alias in aliases},
}
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-zA-Z%]+)\s*\Z")
_EXAMPLES = (
    "'500st' (steps), '30ep' (epochs), '0.1dur' or '10%' (of the run), '1e6sp' (samples), "
    "'90s', '5min' or '2h'"
)


@dataclasses.dataclass(frozen=True)
class Run:
    """The facts of a training run that lengths are counted with.

    Args:
        steps: Update steps of the whole run, at least 1, or None where nobody knows: then lengths
            in samples, seconds and steps still count.
        steps_per_epoch: Update steps of an epoch, or None where nobody knows. It may be a fraction:
            15 batches of which 8 are accumulated are 1.875 updates. Lengths are rounded once, when
            they are counted.
        batch_size: Samples that one update step sees, or None where nobody knows.
        seconds_per_step: Measured seconds of one update step, or None. It is a fixed number: a
            schedule in seconds is counted once, at the start, and does not jump as speed varies.

    Raises:
        ValueError: If a number is not positive, or `steps` is not whole.

    Example:
        >>> run = Run(steps=1000, steps_per_epoch=100)
        >>> Duration.parse("0.5dur").steps(run), Duration.parse("3ep").steps(run)
        (500, 300)
    """

    steps: int | None = None
    _: dataclasses.KW_ONLY
    steps_per_epoch: float | None = None
    batch_size: float | None = None
    seconds_per_step: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None:
            object.__setattr__(self, "steps", _validate.integer("steps", self.steps, low=1))
        for name in ("steps_per_epoch", "batch_size", "seconds_per_step"):
            value = getattr(self, name)
            if value is not None:
                value = _validate.real(name, value, low=0.0, open_low=True)
                object.__setattr__(self, name, int(value) if value.is_integer() else value)

    @property
    def total(self) -> int:
        """Its `steps`, where they must be known.

        Raises:
            ValueError: If they are not.
        """
        if self.steps is None:
            raise ValueError(f"The run must know its `steps`. Received: run={self}")
        return self.steps


@dataclasses.dataclass(frozen=True)
class Duration:
    """A length of training with its unit.

    Args:
        value: How many; at least 0. Whole where the unit is steps.
        unit: "steps", "epochs", "fraction" (of the run), "samples" or "seconds".

    Raises:
        ValueError: If the value is negative or not finite, or the unit is unknown.

    Example:
        >>> Duration.parse("30ep")
        Duration(30.0, unit='epochs')
        >>> str(Duration(0.1, unit="fraction"))
        '0.1dur'
    """

    value: float
    _: dataclasses.KW_ONLY
    unit: str

    def __post_init__(self) -> None:
        _validate.choice("unit", self.unit, _UNITS)
        if self.unit == "steps":
            object.__setattr__(self, "value", _validate.integer("steps", self.value))
        else:
            object.__setattr__(self, "value", _validate.real(self.unit, self.value, low=0.0))

    @classmethod
    def parse(cls, length: Span, *, name: str = "length") -> Duration:
        """Read a length: a `Duration`, a whole number of steps, or a text with a unit.

        Args:
            length: A text as '500st', '30ep', '0.1dur', '10%', '1e6sp', '90s', '5min' or '2h'; a
                whole number counts steps. A number with a decimal point is refused: of what?
            name: The argument's name, for the message.

        Raises:
            TypeError: If it is neither text, whole number nor `Duration`.
            ValueError: If the text has no number, no unit or an unknown unit.
        """
        if isinstance(length, Duration):
            return length
        if isinstance(length, str):
            match = _TEXT.match(length)
            if match is None or match[2] not in _MULTIPLES:
                raise ValueError(
                    f"`{name}` must be a number with a unit. "
                    f"Received: {name}={_validate.shown(length)}. Expected one like {_EXAMPLES}."
                )
            unit, multiple = _MULTIPLES[match[2]]
            number = _validate.real(name, float(match[1]), low=0.0) * multiple
            if unit == "steps":
                number = _validate.integer(name, number)
            return cls(_validate.real(name, number), unit=unit)
        if isinstance(length, float) and length % 1.0 != 0.0:
            raise ValueError(
                f"`{name}` without a unit must be a whole number of steps. "
                f"Received: {name}={_validate.shown(length)}. Expected one like {_EXAMPLES}."
            )
        return cls(_validate.integer(name, length), unit="steps")

    @classmethod
    def of(cls, **forms: Any) -> Duration | None:
        """Return the one form that is given (`length=`, `steps=`, `epochs=` ...), or None.

        Raises:
            ValueError: If more than one form is given.
        """
        given = {name: value for name, value in forms.items() if value is not None}
        if len(given) > 1:
            shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise ValueError(f"A length must be given in one form only. Received: {shown}")
        for name, value in given.items():
            return cls.parse(value) if name == "length" else cls(value, unit=name)
        return None

    def steps(self, run: Run) -> int:
        """Count the length in update steps of `run`, rounded to the nearest (a half rounds up).

        Raises:
            ValueError: If `run` lacks the fact that the unit needs.
        """
        if self.unit == "steps":
            return int(self.value)
        missing = {
            "fraction": ("steps", run.steps),
            "epochs": ("steps_per_epoch", run.steps_per_epoch),
            "samples": ("batch_size", run.batch_size),
            "seconds": ("seconds_per_step", run.seconds_per_step),
        }
        name, fact = missing[self.unit]
        if fact is None:
            raise ValueError(
                f"The length '{self}' needs `{name}`, which this run does not know. "
                f"Received: run={run}. Give `{name}`, or the length in steps."
            )
        count = self.value * fact if self.unit in ("epochs", "fraction") else self.value / fact
        return self._nearest(count)

    def stretched(self, factor: float) -> Duration:
        """Return the length for a run `factor` times as long; a fraction stays what it is."""
        factor = _validate.real("factor", factor, low=0.0, open_low=True)
        if self.unit == "fraction":
            return self
        if self.unit == "steps":
            return Duration(self._nearest(self.value * factor), unit="steps")
        return Duration(self.value * factor, unit=self.unit)

    def _nearest(self, count: float) -> int:
        if not count < 2**53:
            raise ValueError(
                f"A length must be below 2**53 steps. Received: '{self}', which is {count:g} steps"
            )
        return math.floor(count + 0.5)

    def __repr__(self) -> str:
        return f"Duration({self.value!r}, unit={self.unit!r})"

    def __str__(self) -> str:
        whole = self.value == int(self.value) and self.value < 1e15
        return f"{int(self.value) if whole else self.value!r}{_UNITS[self.unit][0]}"


Span = str | int | Duration
"""What an argument that is a length takes: see `Duration.parse`."""
