"""The four suggestions that fastai reads off a range test, written from their definitions."""

from __future__ import annotations

import numpy as np

__all__ = ["all_four", "minimum", "slide", "steep", "valley"]


def all_four(rates: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """Return every suggestion by name, from increasing learning rates and smoothed losses."""
    return {rule.__name__: rule(rates, losses) for rule in (minimum, slide, steep, valley)}


def minimum(rates: np.ndarray, losses: np.ndarray) -> float:
    """Return a tenth of the learning rate of the lowest loss."""
    return float(rates[np.argmin(losses)] / 10)


def steep(rates: np.ndarray, losses: np.ndarray) -> float:
    """Return the learning rate where the loss falls fastest over the logarithm of the rate."""
    slope = np.diff(losses) / np.diff(np.log(rates))
    return float(rates[np.argmin(slope)])


def valley(rates: np.ndarray, losses: np.ndarray) -> float:
    """Return the point halfway into the longest descent.

    The descent is the longest strictly falling subsequence; its length, counted back from its last
    element, is the valley, and the suggestion is one third and half a third into it.
    """
    lengths = np.ones(len(losses), np.int64)
    for i in range(1, len(losses)):
        higher = lengths[:i][losses[:i] > losses[i]]
        if len(higher):
            lengths[i] = higher.max() + 1
    bottom = int(np.argmax(lengths))
    length = int(lengths[bottom])
    third = length / 3
    return float(rates[max(bottom - length + int(third) + int(third / 2), 0)])


def slide(
    rates: np.ndarray, losses: np.ndarray, width: int = 15, threshold: float = 0.005
) -> float:
    """Return the rate at the left of a window that slides down from the explosion.

    The window moves left while the slopes of the loss at its two ends differ by more than
    `threshold`; the suggestion is where its left end last stood while they did.
    """
    slope = np.gradient(losses)
    left = max(len(losses) - 1 - width, 0)
    found = left
    while left >= 0 and abs(slope[min(left + width, len(slope) - 1)] - slope[left]) > threshold:
        found = left
        left -= 1
    return float(rates[found])
