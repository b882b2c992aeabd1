"""Why a training ends before its end."""

from __future__ import annotations

__all__ = ["DamagedDataError", "NonFiniteError", "Preempted", "StalledError"]


class DamagedDataError(ValueError):
    """Data cannot be read: it says which."""


class NonFiniteError(ArithmeticError):
    """A loss or a gradient is not finite: training has diverged."""

    status = "diverged"


class StalledError(ArithmeticError):
    """Loss scaling skipped so many updates in a row that the run would end without training."""

    status = "stalled"


class Preempted(SystemExit):
    """The process was asked to end; it has saved, and the same command goes on."""
