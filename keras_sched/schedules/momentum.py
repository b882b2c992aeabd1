"""Schedules of momentum: every value is in [0, 1), where a velocity still forgets."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

from keras_sched import _validate, profiles
from keras_sched.schedules.base import register_schedule
from keras_sched.schedules.decay import Cosine, Decay, Exponential, Linear

__all__ = ["CosineMomentum", "Demon", "ExponentialMomentum", "LinearMomentum"]


class _Momentum(Decay):
    """Values that are momenta."""

    def _check(self) -> None:
        self._set("start", _validate.momentum("start", self.start))
        self._set("end", _validate.momentum("end", self.end))
        super()._check()


@register_schedule
class Demon(_Momentum):
    """Decay the momentum so that what a gradient still adds to all later updates falls evenly.

    ``end + (start - end) z / ((1 - start) + start z)`` with ``z = 1 - s``. With `end` 0 the sum
    beta / (1 - beta), a gradient's whole future weight, falls linearly from start to 0.

    Args:
        start: Momentum at step 0, in [0, 1).
        end: Momentum at the end and after, in [0, 1); the paper uses 0 throughout.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a momentum is outside [0, 1), or the length is zero.

    Example:
        >>> demon = Demon(0.9, steps=100)
        >>> [round(float(demon(t)), 4) for t in (0, 25, 50, 75, 99, 100)]
        [0.9, 0.871, 0.8182, 0.6923, 0.0826, 0.0]

    References:
        Chen, Wolfe, Li, Kyrillidis, "Demon: Improved Neural Network Training with Momentum Decay"
        (arXiv 1910.04952), equation 1; T counts iterations. The learning rate stays constant there.
    """

    start: float = 0.9
    _: KW_ONLY
    end: float = 0.0

    def _profile(self, s: Any) -> Any:
        return profiles.rex(s, self.start)


@register_schedule
class CosineMomentum(_Momentum, Cosine):
    """Decay the momentum as half a cosine wave: ``end + (start - end) (1 + cos(pi s)) / 2``.

    Args:
        start: Momentum at step 0, in [0, 1).
        end: Momentum at the end and after, in [0, 1).
        k: Exponent of the progress, as of `Cosine`.
        power: Exponent of the wave, as of `Cosine`.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a momentum is outside [0, 1), or the length is zero.

    Example:
        >>> [round(float(CosineMomentum(0.9, steps=4)(t)), 4) for t in (0, 2, 4)]
        [0.9, 0.45, 0.0]

    References:
        Demon (arXiv 1910.04952), section 5, one of its baselines.
    """

    start: float = 0.9
    _: KW_ONLY
    end: float = 0.0


@register_schedule
class LinearMomentum(_Momentum, Linear):
    """Decay the momentum at an even rate: ``end + (start - end) (1 - s)``.

    Args:
        start: Momentum at step 0, in [0, 1).
        end: Momentum at the end and after, in [0, 1).
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a momentum is outside [0, 1), or the length is zero.

    Example:
        >>> [round(float(LinearMomentum(0.9, steps=4)(t)), 4) for t in (0, 2, 4)]
        [0.9, 0.45, 0.0]

    References:
        Demon (arXiv 1910.04952), section 5, one of its baselines.
    """

    start: float = 0.9
    _: KW_ONLY
    end: float = 0.0


@register_schedule
class ExponentialMomentum(_Momentum, Exponential):
    """Decay the momentum by the same factor in equal times: ``end + (start - end) exp(-rate s)``.

    Args:
        start: Momentum at step 0, in [0, 1).
        end: Level it falls towards, in [0, 1).
        rate: Exponent at the end; must be positive. The paper does not state its own; at 5, 0.7 %
            are left.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a momentum is outside [0, 1), `rate` is not positive, or the length is zero.

    Example:
        >>> [round(float(ExponentialMomentum(0.9, steps=4)(t)), 4) for t in (0, 2, 4)]
        [0.9, 0.0739, 0.0061]

    References:
        Demon (arXiv 1910.04952), section 5, one of its baselines.
    """

    start: float = 0.9
    _: KW_ONLY
    end: float = 0.0
    rate: float = 5.0
