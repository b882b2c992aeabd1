"""How long a share of a training is: one rule for the trainers and the sweeps."""

from __future__ import annotations

__all__ = ["trained_epochs"]


def trained_epochs(epochs: int, budget: float) -> int:
    """Return the whole epochs of a share `budget` of `epochs`: at least one."""
    return max(1, round(epochs * budget))
