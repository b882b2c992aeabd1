"""Checks of arguments that are lengths, and their counts once they are in steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_sched._validate import sequence
from keras_sched.duration import Duration, Span

__all__ = ["count", "counted", "points", "positive"]


def positive(name: str, length: Span) -> Duration:
    """Return `length` as a `Duration`, which must be positive.

    Raises:
        TypeError: If it is not a length.
        ValueError: If it is 0, or its text has no number or no unit.
    """
    parsed = Duration.parse(length, name=name)
    if parsed.value == 0:
        raise ValueError(f"`{name}` must be positive. Received: {name}='{parsed}'")
    return parsed


def points(name: str, lengths: Any) -> tuple[Duration, ...]:
    """Return points in time as lengths, checked to increase wherever their units are the same.

    Raises:
        TypeError: If `lengths` is not a sequence.
        ValueError: If a point does not come after the one before it.
    """
    parsed = tuple(Duration.parse(length, name=name) for length in sequence(name, lengths))
    for before, after in itertools.pairwise(parsed):
        if before.unit == after.unit and after.value <= before.value:
            raise ValueError(
                f"`{name}` must increase. Received: {name}={[str(length) for length in parsed]}"
            )
    return parsed


def count(length: Span | None) -> int:
    """Return the steps of a length that is resolved."""
    return int(Duration.parse(length).value)  # type: ignore[arg-type]  # `__call__` refused None


def counted(name: str, lengths: Iterable[Span]) -> np.ndarray:
    """Return resolved points as int64 steps; lengths of several units are compared only now.

    Raises:
        ValueError: If a point does not come after the one before it.
    """
    steps = np.array([count(length) for length in lengths], dtype=np.int64)
    if (np.diff(steps) <= 0).any():
        raise ValueError(f"`{name}` must increase. Received: {name}={steps.tolist()} steps")
    return steps
