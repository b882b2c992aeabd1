"""Checks of arguments: what is wrong, what was received, what is expected. Nothing is repaired."""

from __future__ import annotations

import math
import numbers
from typing import Any

__all__ = ["choice", "integer", "momentum", "real"]


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
        raise TypeError(f"`{name}` must be a number. Received: {name}={value!r}")
    number = float(value)
    inside = (number > low if open_low else number >= low) and (
        number < high if open_high else number <= high
    )
    if not math.isfinite(number) or not inside:
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        expected = (
            "a finite number"
            if low == -math.inf and high == math.inf
            else f"a finite number in {left}{low:g}, {high:g}{right}"
        )
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}")
    return number


def momentum(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1): at 1 a velocity never forgets and weights diverge."""
    return real(name, value, low=0.0, high=1.0, open_high=True)


def integer(name: str, value: Any, *, low: int = 0) -> int:
    """Return `value` as an int that is at least `low`; a float must be whole.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If it is not whole or below `low`.
    """
    number = real(name, value)
    if number != math.floor(number) or number < low:
        raise ValueError(
            f"`{name}` must be a whole number of at least {low}. Received: {name}={value!r}"
        )
    return int(value)


def choice(name: str, value: Any, allowed: Any) -> Any:
    """Return `value` if it is one of `allowed`, or raise a ValueError that lists them."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, sorted(allowed)))}. "
            f"Received: {name}={value!r}"
        )
    return value
