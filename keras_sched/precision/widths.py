"""The bits of one quantized model: of weights, activations and gradients.

Each is a `BitWidth` or, in full precision, None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self, overload

import tensorflow as tf

from keras_sched import _validate
from keras_sched._driver import Source
from keras_sched.precision.bits import BitWidth
from keras_sched.precision.checks import BITS, argument_of, check_schedule, highest_of
from keras_sched.schedules import Schedule

__all__ = ["BitsAttachment", "WidthOf", "Widths"]


class BitsAttachment:
    """Schedules that bits follow; `detach` takes them off again."""

    def __init__(self, detach: Callable[[BitsAttachment], None]) -> None:
        self._detach = detach

    def detach(self) -> None:
        """Stop following the schedules, the bits being those set before; twice is allowed."""
        self._detach(self)


class Widths:
    """The bits of one model.

    Args:
        plan: A number, a schedule with its length in steps, or None, by "weight_bits",
            "activation_bits" and "gradient_bits"; of a schedule the highest number is taken.
        check: Raises a ValueError if a layer cannot tell so many bits apart; takes them by name.

    Attributes:
        by_name: All three, None in full precision.
        given: Those that are not.
    """

    def __init__(
        self,
        plan: Mapping[str, Schedule | int | None],
        check: Callable[[Mapping[str, int]], None],
    ) -> None:
        self.by_name: dict[str, BitWidth | None] = {}
        for name, bits in plan.items():
            number = highest_of(bits) if isinstance(bits, Schedule) else bits
            self.by_name[name] = None if number is None else BitWidth(name, number, check)
        self.given = [width for width in self.by_name.values() if width is not None]

    def attach(
        self,
        schedules: Mapping[str, Schedule],
        clock: Callable[[], Any],
        per: str,
        first_step: int | tf.Variable,
        attachment: BitsAttachment,
    ) -> bool:
        """Let bits follow schedules; see `Quantized.attach`. Return whether there are any."""
        plan: dict[str, Schedule] = {}
        free: list[BitWidth] = []
        for name, schedule in schedules.items():
            for each in BITS[:2] if name == "bits" else (name,):
                width = self._free(each, plan)
                check_schedule(each, schedule)
                width.check(highest_of(schedule))
                plan[each] = schedule
                free.append(width)
        for width in free:
            width.bind(Source(plan[width.name], per, first_step, attachment), clock)
        return bool(free)

    def detach(self, attachment: BitsAttachment | None) -> bool:
        """Stop following the schedules of an attachment, or all; return whether there were any."""
        released = [
            width
            for width in self.given
            if width.source is not None and attachment in (None, width.source.attachment)
        ]
        for width in released:
            width.release()
        return bool(released)

    def attached(self) -> dict[str, Schedule]:
        """Return the schedules that bits follow, by name."""
        return {w.name: w.source.schedule for w in self.given if w.source is not None}

    def replace(self, schedules: Mapping[str, Schedule], steps: int) -> None:
        """Let other schedules drive bits that follow one; see `Quantized.replace`."""
        if set(schedules) != set(self.attached()):
            raise ValueError(
                f"`schedules` must replace all that are attached. Received: {sorted(schedules)}. "
                f"Expected: {sorted(self.attached())}"
            )
        steps = _validate.integer("steps", steps, low=1)
        replaced = [width for width in self.given if width.name in schedules]
        for width in replaced:  # All are checked before the first is replaced.
            check_schedule(width.name, schedules[width.name])
            width.check(highest_of(schedules[width.name]))
        for width in replaced:
            width.replace(schedules[width.name], steps)

    def _free(self, name: str, plan: Mapping[str, Schedule]) -> BitWidth:
        """Return the bits of a name, if neither another schedule nor one of `plan` has them."""
        width = self.by_name[_validate.choice("name", name, BITS)]
        if width is None:
            raise ValueError(
                f"`{name}` cannot be scheduled, as it was left in full precision. Give "
                f"`quantize(..., {argument_of(name)}=8)` a number to begin with."
            )
        by = plan.get(name) if width.source is None else width.source.schedule
        if by is not None:
            raise ValueError(f"`{name}` is scheduled already, by {by!r}. Schedule it in one place.")
        return width


class WidthOf:
    """An attribute of a handle that is one of its `BitWidth`s; it is read, never replaced."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, handle: None, owner: type) -> Self: ...

    @overload
    def __get__(self, handle: Any, owner: type) -> BitWidth | None: ...

    def __get__(self, handle: Any, owner: type) -> Any:
        return self if handle is None else handle.widths.by_name[f"{self._name[:-1]}_bits"]

    def __set__(self, handle: Any, value: Any) -> None:
        expected = f"`handle.{self._name}.assign(8)`"
        if self.__get__(handle, type(handle)) is None:
            expected = f"`quantize(..., {self._name}=8)`, as they were left in full precision"
        raise AttributeError(
            f"`{self._name}` cannot be replaced, as it is in compiled steps. Received: {value!r}. "
            f"Expected, to set the number of bits: {expected}"
        )
