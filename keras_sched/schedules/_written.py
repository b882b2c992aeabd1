"""How a schedule is written: the call that makes it, which is its `repr`, and a short label."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from keras_sched.duration import Duration

__all__ = ["call", "label", "method", "operand"]


def call(schedule: Any) -> str:
    """Return the call of the schedule's class; arguments that are the defaults are left out."""
    return f"{type(schedule).__name__}({_arguments(schedule, _positional(schedule))})"


def method(schedule: Any, name: str, first: str | None = None, *, without: str = "") -> str:
    """Return the call of a method of the schedule that this one is made of.

    Args:
        schedule: A schedule with the field `schedule`.
        name: The method.
        first: The field that is the method's first argument, if one is.
        without: A field that the method has no argument for.
    """
    left_out = ("schedule", without)
    return f"{operand(schedule.schedule)}.{name}({_arguments(schedule, first, left_out)})"


def operand(schedule: Any) -> str:
    """Return the schedule as it is written beside a dot or an operator."""
    return f"({schedule!r})" if schedule.is_operation else repr(schedule)


def label(schedule: Any, *, width: int = 60) -> str:
    """Return the schedule as it is written, its middle left out where that is longer than `width`.

    Example:
        >>> import keras_sched as ks
        >>> label(ks.REX(0.1, steps=100))
        'REX(0.1, steps=100)'
        >>> label(ks.REX(0.1, steps=100).warmup("1ep").cooldown("2ep"), width=30)
        "REX(0.1, steps...oldown('2ep')"
    """
    text = repr(schedule)
    if len(text) <= width:
        return text
    half = (width - 3) // 2
    return f"{text[: width - 3 - half]}...{text[-half:]}"


def _arguments(schedule: Any, first: str | None, left_out: Collection[str] = ()) -> str:
    # The first argument is given by position, the length of a schedule comes last.
    names = [field.name for field in dataclasses.fields(schedule)]
    defaults = _defaults(schedule)
    shown = []
    for name in sorted(names, key=lambda name: (name != first, name == "length")):
        if name in left_out:
            continue
        value = getattr(schedule, name)
        if name in defaults and value == defaults[name]:
            continue
        if name == first:
            shown.append(_value(value))
        elif name == "length" and isinstance(value, Duration) and value.unit == "steps":
            # Only the length of the schedule itself can be given as `steps`.
            key = "steps" if hasattr(type(schedule), "steps") else name
            shown.append(f"{key}={value.value}")
        else:
            shown.append(f"{name}={_value(value)}")
    return ", ".join(shown)


def _positional(schedule: Any) -> str | None:
    for field in dataclasses.fields(schedule):
        if not field.kw_only:
            return field.name
    return None


def _defaults(schedule: Any) -> dict[str, Any]:
    """Return the fields with a default as they are where nothing else is given."""
    fields = dataclasses.fields(schedule)
    defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
    needed = {f.name: getattr(schedule, f.name) for f in fields if f.name not in defaults}
    if "length" in defaults:
        needed["length"] = schedule.length
    try:
        bare = type(schedule)(**needed)
    except (TypeError, ValueError):
        return defaults
    return {**{name: getattr(bare, name) for name in defaults}, "length": defaults.get("length")}


def _value(value: Any) -> str:
    if isinstance(value, Duration):
        return repr(value.value) if value.unit == "steps" else repr(str(value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_item, value))}]"
    return repr(value)


def _item(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_item, value))})"
    return _value(value)
