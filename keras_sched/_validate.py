"""Checks of arguments: what is wrong, what was received, what is expected. Nothing is repaired."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "boolean",
    "choice",
    "integer",
    "momentum",
    "norms",
    "not_above",
    "real",
    "sequence",
    "shown",
    "value",
]

# The largest number of float32, in which a schedule gives its values.
_MOST = float(np.finfo(np.float32).max)
# Up to here each whole number has its own float64.
_MOST_WHOLE = 2**53

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 300
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 20


def shown(value: Any) -> str:
    """Return a value as a message shows it: not more of it than a reader wants."""
    return _SHORT.repr(value)


def real(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a float, or raise unless it is a finite number in the interval.

    Args:
        name: The argument's name, for the message.
        value: A Python or NumPy number; ``bool`` is refused.
        low: Lowest value allowed.
        high: Highest value allowed.
        open_low: Whether `low` itself is refused.
        open_high: Whether `high` itself is refused.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If it is not finite or outside the interval.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a number. Received: {name}={shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    inside = (number > low if open_low else number >= low) and (
        number < high if open_high else number <= high
    )
    if not math.isfinite(number) or not inside:
        expected = _interval(low, high, open_low, open_high)
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={shown(value)}")
    return number


def _interval(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if low > -math.inf and high < math.inf:
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        return f"a finite number in {left}{low:g}, {high:g}{right}"
    if low > -math.inf:
        bound = f"above {low:g}" if open_low else f"of at least {low:g}"
        return "a positive finite number" if open_low and low == 0.0 else f"a finite number {bound}"
    if high < math.inf:
        bound = f"below {high:g}" if open_high else f"of at most {high:g}"
        return f"a finite number {bound}"
    return "a finite number"


def not_above(name: str, value: float, other: str, bound: float) -> None:
    """Check that one argument is not above another.

    Raises:
        ValueError: If it is.
    """
    if value > bound:
        raise ValueError(
            f"`{name}` must not be above `{other}`. Received: {name}={value}, {other}={bound}"
        )


def value(name: str, value: Any, *, low: float = 0.0) -> float:
    """Return a value of a schedule: a number of at least `low` that float32 can hold."""
    return real(name, value, low=low, high=_MOST)


def momentum(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1): at 1 a velocity never forgets and weights diverge."""
    return real(name, value, low=0.0, high=1.0, open_high=True)


def integer(name: str, value: Any, *, low: int = 0, high: int = _MOST_WHOLE) -> int:
    """Return `value` as an int in [`low`, `high`]; a float must be whole.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If it is not whole or outside the interval.
    """
    number = real(name, value)
    if number != math.floor(number) or not low <= number <= high:
        upper = "" if high == _MOST_WHOLE and number <= high else f" and at most {high}"
        raise ValueError(
            f"`{name}` must be a whole number of at least {low}{upper}. "
            f"Received: {name}={shown(value)}"
        )
    return int(value)


def boolean(name: str, value: Any) -> bool:
    """Return `value`, which must be True or False.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. Received: {name}={shown(value)}")
    return value


def sequence(name: str, value: Any) -> tuple[Any, ...]:
    """Return `value` as a tuple, which must be a list, a tuple or an array of one dimension.

    Raises:
        TypeError: If it is not.
    """
    is_array = isinstance(value, np.ndarray) and value.ndim == 1
    if isinstance(value, str | bytes) or not (isinstance(value, Sequence) or is_array):
        raise TypeError(f"`{name}` must be a sequence, as a list. Received: {name}={shown(value)}")
    return tuple(value)


def choice(name: str, value: Any, allowed: Any) -> Any:
    """Return `value` if it is one of `allowed`, or raise a ValueError that lists them."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, sorted(allowed)))}. "
            f"Received: {name}={shown(value)}"
        )
    return value


def norms(given: Any, *, least: int = 1) -> np.ndarray:
    """Return norms that were measured, checked, without NaN at the beginning; float64.

    Args:
        given: The norms.
        least: How many there must be.

    Raises:
        TypeError: If they are no numbers.
        ValueError: If they are not in one dimension, too few, or one is not above 0.
    """
    try:
        if isinstance(given, str):
            raise TypeError("a text is no numbers")
        found = np.asarray(given)
        if found.dtype.kind not in "fiu" and found.size:
            raise TypeError(f"{found.dtype} is no numbers")
        found = found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`norms` must be numbers, as a column of `StepLogger(norms=True).history`. Received: "
            f"norms={shown(given)}"
        ) from error
    if found.ndim == 1:
        known = np.flatnonzero(~np.isnan(found))
        found = found[known[0] if len(known) else len(found) :]
    is_good = np.isfinite(found) & (found > 0.0)
    if found.ndim != 1 or len(found) < least or not is_good.all():
        what = f"at least {least} numbers" if least > 1 else "numbers"
        wrong = ""
        if found.ndim == 1 and not is_good.all():
            place = int(np.flatnonzero(~is_good)[0])
            wrong = f", of which number {place} after the first update is {found[place]:g}"
        raise ValueError(
            f"`norms` must be {what} above 0, in one dimension; only before the first update they "
            f"may be NaN. Received: norms={shown(given)}{wrong}"
        )
    return found
