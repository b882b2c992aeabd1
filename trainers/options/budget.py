"""How long a share of a training is: one rule for the trainers and the sweeps."""

from __future__ import annotations

import math

__all__ = ["trained_epochs"]


def trained_epochs(epochs: int, budget: float) -> int:
    """Return the whole epochs of a share `budget` of `epochs`: at least one, halves rounded up."""
    return max(1, math.floor(epochs * budget + 0.5))
