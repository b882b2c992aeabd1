"""What a schedule is over a whole run, in few points."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["Schedule", "points"]

# Steps, int64, to values.
Schedule = Callable[[np.ndarray], np.ndarray]

_MOST = 257
# Steps that are looked at; of a longer run, evenly spaced ones.
_SEEN = 4_097
# Of the range of values: what is nearer to a line need not be shown.
_NEAR = 1e-4


def points(schedule: Schedule, steps: int, most: int = _MOST) -> np.ndarray:
    """Return the points that straight lines join to the values of a schedule, or nearly.

    They are chosen one by one, each where the lines are furthest from the values (Ramer, Douglas
    and Peucker).

    Args:
        schedule: Gives the values at steps.
        steps: Steps of the run, at least 1.
        most: Points at most, at least 2.

    Returns:
        float32 of shape `(points, 2)`: the share of the run, from 0 to the last step's, and the
        value.
    """
    at = np.unique(np.linspace(0, steps - 1, min(steps, _SEEN)).astype(np.int64))
    values = np.asarray(schedule(at), np.float64)
    kept = _chosen(at.astype(np.float64), values, most)
    return np.stack([at[kept] / steps, values[kept]], axis=1).astype(np.float32)


def _chosen(at: np.ndarray, values: np.ndarray, most: int) -> Sequence[int]:
    """Return the places of the points, in order."""
    last = len(at) - 1
    kept = {0, last}
    near = _NEAR * (np.nanmax(values) - np.nanmin(values))
    heap: list[tuple[float, int, int, int]] = []

    def look(first: int, last: int) -> None:
        if last - first < 2:
            return
        inner = slice(first + 1, last)
        line = np.interp(at[inner], at[[first, last]], values[[first, last]])
        apart = np.abs(values[inner] - line)
        place = int(np.argmax(apart))
        if apart[place] > near:
            heapq.heappush(heap, (-float(apart[place]), first + 1 + place, first, last))

    look(0, last)
    while heap and len(kept) < most:
        _, place, first, last = heapq.heappop(heap)
        kept.add(place)
        look(first, place)
        look(place, last)
    return sorted(kept)
