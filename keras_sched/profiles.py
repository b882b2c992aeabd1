r"""Profiles: the shapes of schedules, as pure functions of progress.

A profile maps progress ``s`` in [0, 1] to a level that starts at 1 and decays; `growth` turns any
of them into one that starts at 0 and grows. A profile knows nothing of steps, epochs or ranges:
those are added by `keras_sched.duration` and `keras_sched.schedules`. It takes NumPy or Python
numbers and gives NumPy, or takes a tensor and gives a tensor.

Source: C. Wolfe, J. Chen, A. Kyrillidis et al., "REX: Revisiting Budgeted Training with an Improved
Schedule" (arXiv 2107.04197), section 3, which splits a schedule into profile and sampling rate.

Example:
    >>> [round(float(rex(s)), 4) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [1.0, 0.8571, 0.6667, 0.4, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras_sched._arrays import namespace, ratio

__all__ = [
    "PROFILES",
    "constant",
    "cosine",
    "delayed_linear",
    "exponential",
    "growth",
    "inverse_time",
    "k_decay",
    "linear",
    "polynomial",
    "rex",
    "sqrt",
    "square",
    "tanh",
]


def constant(s: Any) -> Any:
    """Stay at 1."""
    return 0.0 * s + 1.0


def linear(s: Any) -> Any:
    """Fall at an even rate: ``1 - s`` (Li et al., "Budgeted Training", arXiv 1905.04753)."""
    return 1.0 - s


def polynomial(s: Any, power: float = 2.0) -> Any:
    """Fall as ``(1 - s) ** power``; `power` 1 is `linear`, larger ones fall earlier."""
    return namespace(s).power(1.0 - s, power)


def cosine(s: Any) -> Any:
    """Fall as half a cosine wave: ``(1 + cos(pi s)) / 2`` (Loshchilov and Hutter, SGDR, eq. 5).

    Computed as ``sin(pi (1 - s) / 2) ** 2``: near the end the sum would cancel.
    """
    half = namespace(s).sin(0.5 * math.pi * (1.0 - s))
    return half * half


def tanh(s: Any, lower: float = -6.0, upper: float = 3.0) -> Any:
    """Fall as ``(1 - tanh(x)) / 2``, where x goes evenly from `lower` to `upper`.

    It begins and ends short of 1 and 0: the defaults, those of the paper, at 1 - 6e-6 and 0.0025.
    Computed as ``1 / (1 + exp(2 x))``: where the tangent is near 1 the difference would cancel.

    Source: Hsueh, Li, Wu, "Stochastic Gradient Descent with Hyperbolic-Tangent Decay on
    Classification" (arXiv 1806.01593), section 3.
    """
    return 1.0 / (1.0 + namespace(s).exp(2.0 * (lower * (1.0 - s) + upper * s)))


def k_decay(s: Any, k: float) -> Any:
    """Return the progress ``s ** k``: above 1 a profile is held longer, below 1 it falls sooner.

    Source: Zhang and Li, "k-decay: A New Method for Learning Rate Schedule" (arXiv 2004.05909).
    """
    return s if k == 1.0 else namespace(s).power(s, k)


def exponential(s: Any, rate: float = 3.0) -> Any:
    """Fall as ``exp(-rate s)``; it ends at ``exp(-rate)``, never at 0.

    REX, section 4.1, uses `rate` 3 for the learning rate; the authors' precision schedules use 4.
    """
    return namespace(s).exp(-rate * s)


def inverse_time(s: Any, rate: float = 1.0) -> Any:
    """Fall as ``1 / (1 + rate s)``; it ends at ``1 / (1 + rate)``, never at 0."""
    return 1.0 / (1.0 + rate * s)


def sqrt(s: Any) -> Any:
    """Fall as ``1 - sqrt(s)``: steep at first, the usual cooldown of WSD schedules."""
    return 1.0 - namespace(s).sqrt(s)


def square(s: Any) -> Any:
    """Fall as ``1 - s ** 2``: flat at first, steep at the end."""
    return (1.0 - s) * (1.0 + s)


def rex(s: Any, d: float = 0.5) -> Any:
    r"""Fall as ``z / ((1 - d) + d z)`` with ``z = 1 - s``: slowly at first, fast at the end.

    One family holds three of the papers' inventions: `d` = 1/2 is REX (arXiv 2107.04197, section
    4), `d` = 0.9 the "R" profile of cyclic precision training and of the authors' own later code,
    and `d` = beta_0 the shape of Demon (arXiv 1910.04952, equation 1). `d` = 0 is `linear`; as `d`
    goes to 1 the profile stays at 1 until the last moment.
    """
    z = 1.0 - s
    return z / ((1.0 - d) + d * z)


def delayed_linear(s: Any, delay: float = 0.5) -> Any:
    """Stay at 1 until ``s = delay``, then fall at an even rate (REX, section 3, figure 3)."""
    return namespace(s).minimum(1.0, ratio(1.0 - s, 1.0 - delay))


def growth(profile: Callable[..., Any]) -> Callable[..., Any]:
    """Return the profile mirrored in value, which grows from 0: ``1 - profile(s)``.

    Example:
        >>> grow = growth(linear)
        >>> grow(0.25)
        0.25
    """

    def grown(s: Any, **options: float) -> Any:
        return 1.0 - profile(s, **options)

    return grown


PROFILES: dict[str, Callable[..., Any]] = {
    "constant": constant,
    "linear": linear,
    "polynomial": polynomial,
    "cosine": cosine,
    "exponential": exponential,
    "inverse_time": inverse_time,
    "sqrt": sqrt,
    "square": square,
    "rex": rex,
    "delayed_linear": delayed_linear,
    "tanh": tanh,
}
"""Every profile by name."""
