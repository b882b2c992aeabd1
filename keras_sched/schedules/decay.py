"""Schedules that follow one profile over one range: ``end + (start - end) * profile(s)``.

Here s = t / T is the progress of step t = 0, 1, 2 ... through a length of T steps. The convention
of all of them: step 0 has `start`; the last step of the length, T - 1, is still one step short of
`end`; `end` itself is reached at step T and held for ever. Libraries disagree here (PyTorch's
1cycle reaches its end at T - 1): a length of T - 1 steps gives their convention.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

from keras_sched import _validate, profiles
from keras_sched._arrays import FLOAT, between, namespace
from keras_sched.duration import Span
from keras_sched.schedules._arguments import count, positive
from keras_sched.schedules.base import Schedule, register_schedule
from keras_sched.schedules.timed import Profiled

__all__ = [
    "REX",
    "Cosine",
    "Decay",
    "DelayedLinear",
    "Exponential",
    "InverseSqrt",
    "InverseTime",
    "Linear",
    "Noam",
    "Polynomial",
    "Tanh",
]


# A curve that starts or ends as a lower power of time changes by half within a step, however short.
_GENTLE = 0.25


class Decay(Profiled):
    """A profile between `start` and `end`."""

    start: float
    end: float

    def _check(self) -> None:
        self._set("start", _validate.value("start", self.start))
        self._set("end", _validate.value("end", self.end))

    def _profile(self, s: Any) -> Any:
        raise NotImplementedError

    def _at(self, s: Any, xp: Any) -> Any:
        return between(self.start, self.end, self._profile(s))


@register_schedule
class Linear(Decay):
    """Go from `start` to `end` at an even rate: ``end + (start - end) (1 - s)``.

    Args:
        start: Value at step 0; at least 0.
        end: Value at the end and after; at least 0. Above `start` it grows.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or not finite, or the length is zero.

    Example:
        >>> linear = Linear(1.0, steps=4)
        >>> [float(linear(t)) for t in (0, 1, 3, 4, 5)]
        [1.0, 0.75, 0.25, 0.0, 0.0]

    References:
        Li, Yumer, Ramanan, "Budgeted Training" (arXiv 1905.04753); REX (arXiv 2107.04197),
        section 4.1. t counts from 0, as in the authors' code.
    """

    start: float
    _: KW_ONLY
    end: float = 0.0

    def _profile(self, s: Any) -> Any:
        return profiles.linear(s)


@register_schedule
class Polynomial(Decay):
    """Fall as a power of what is left: ``end + (start - end) (1 - s ** k) ** power``.

    Args:
        start: Value at step 0; at least 0.
        end: Value at the end and after; at least 0.
        power: Exponent; must be positive. 1 is `Linear`.
        k: Exponent of the progress (k-decay); must be positive. Above 1 the start is held longer.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or not finite, `power` or `k` is not positive, or the
            length is 0.

    Example:
        >>> polynomial = Polynomial(1.0, power=2.0, steps=4)
        >>> [float(polynomial(t)) for t in (0, 1, 2, 4)]
        [1.0, 0.5625, 0.25, 0.0]
        >>> held = Polynomial(1.0, power=1.0, k=2.0, steps=4)
        >>> [float(held(t)) for t in (0, 1, 2, 4)]
        [1.0, 0.9375, 0.75, 0.0]

    References:
        Zhang and Li, "k-decay" (arXiv 2004.05909), equation 6, for `k`.
    """

    start: float
    _: KW_ONLY
    end: float = 0.0
    power: float = 2.0
    k: float = 1.0

    def _check(self) -> None:
        super()._check()
        self._set("power", _validate.real("power", self.power, low=0.0, open_low=True))
        self._set("k", _validate.real("k", self.k, low=0.0, open_low=True))

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Whether neither end is so steep that nothing tells it from a jump."""
        return min(self.power, self.k) >= _GENTLE

    def _profile(self, s: Any) -> Any:
        return profiles.polynomial(profiles.k_decay(s, self.k), self.power)


@register_schedule
class Cosine(Decay):
    """Fall as half a cosine wave: ``end + (start - end) ((1 + cos(pi s ** k)) / 2) ** power``.

    Args:
        start: Value at step 0; at least 0.
        end: The floor, reached at the end and held; at least 0. Keras' `alpha` is end / start.
        k: Exponent of the progress (k-decay); must be positive. Above 1 the start is held longer.
        power: Exponent of the wave, optax' `exponent`; must be positive. Above 1 it falls sooner.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or not finite, `k` or `power` is not positive, or the
            length is 0.

    Example:
        >>> cosine = Cosine(1.0, steps=4)
        >>> [round(float(cosine(t)), 4) for t in (0, 1, 2, 4, 9)]
        [1.0, 0.8536, 0.5, 0.0, 0.0]
        >>> [round(float(Cosine(1.0, k=2.0, steps=4)(t)), 4) for t in (0, 1, 2, 4)]
        [1.0, 0.9904, 0.8536, 0.0]

    References:
        Loshchilov and Hutter, "SGDR" (arXiv 1608.03983), equation 5, without restarts;
        Zhang and Li, "k-decay" (arXiv 2004.05909), for `k`.
    """

    start: float
    _: KW_ONLY
    end: float = 0.0
    k: float = 1.0
    power: float = 1.0

    def _check(self) -> None:
        super()._check()
        self._set("k", _validate.real("k", self.k, low=0.0, open_low=True))
        self._set("power", _validate.real("power", self.power, low=0.0, open_low=True))

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Whether neither end is so steep that nothing tells it from a jump."""
        return 2.0 * min(self.power, self.k) >= _GENTLE

    def _profile(self, s: Any) -> Any:
        wave = profiles.cosine(profiles.k_decay(s, self.k))
        return wave if self.power == 1.0 else namespace(wave).power(wave, self.power)


@register_schedule
class Tanh(Decay):
    """Fall as a hyperbolic tangent: ``end + (start - end) (1 - tanh(x)) / 2``.

    Here x goes evenly from `lower` to `upper`. The value is a little short of `start` at first, and
    at the end ``1 / (1 + exp(2 upper))`` of the way is left, 0.25 % for the default.

    Args:
        start: Value it falls from; at least 0.
        end: Value it falls towards; at least 0.
        lower: x at step 0; below `upper`, at least -100. The lower, the longer `start` is held.
        upper: x at the end; at most 100.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or not finite, `lower` is not below `upper`, or the
            length is 0.

    Example:
        >>> tanh = Tanh(1.0, steps=9)
        >>> [round(float(tanh(t)), 4) for t in (0, 5, 6, 7, 9, 10)]
        [1.0, 0.8808, 0.5, 0.1192, 0.0025, 0.0025]

    References:
        Hsueh, Li, Wu (arXiv 1806.01593), section 3: HTD(-6, 3) is their best; timm has -7 and 3.
    """

    start: float
    _: KW_ONLY
    end: float = 0.0
    lower: float = -6.0
    upper: float = 3.0

    def _check(self) -> None:
        super()._check()
        self._set("upper", _validate.real("upper", self.upper, low=-100.0, high=100.0))
        self._set("lower", _validate.real("lower", self.lower, low=-100.0, high=100.0))
        if self.lower >= self.upper:
            raise ValueError(
                f"`lower` must be below `upper`. Received: lower={self.lower}, upper={self.upper}"
            )

    def _profile(self, s: Any) -> Any:
        return profiles.tanh(s, self.lower, self.upper)


@register_schedule
class Exponential(Decay):
    """Fall by the same factor in equal times: ``end + (start - end) exp(-rate s)``.

    `end` is the level it falls towards; after the length it holds ``exp(-rate)`` of the way, 5 %
    for the default. A decay of `r` every `k` steps has ``rate = -log(r) T / k``; read it with
    ``.sampled(every=k)`` for the staircase.

    Args:
        start: Value at step 0; at least 0.
        end: Level it falls towards; at least 0.
        rate: Exponent at the end; must be positive. REX uses 3, the authors' later code 4.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or not finite, `rate` is not positive, or the length 0.

    Example:
        >>> exponential = Exponential(1.0, steps=4)
        >>> [round(float(exponential(t)), 4) for t in (0, 2, 4, 5)]
        [1.0, 0.2231, 0.0498, 0.0498]

    References:
        REX (arXiv 2107.04197), section 4.1: "gamma = -3 yields the best performance".
    """

    start: float
    _: KW_ONLY
    end: float = 0.0
    rate: float = 3.0

    def _check(self) -> None:
        super()._check()
        self._set("rate", _validate.real("rate", self.rate, low=0.0, open_low=True))

    def _profile(self, s: Any) -> Any:
        return profiles.exponential(s, self.rate)


@register_schedule
class InverseTime(Decay):
    """Fall as the inverse of time: ``end + (start - end) / (1 + rate s)``.

    Args:
        start: Value at step 0; at least 0.
        end: Level it falls towards; at least 0.
        rate: Above 0; at the end ``1 / (1 + rate)`` is left. Keras' `decay_rate` every
            `decay_steps` is ``rate = decay_rate * T / decay_steps``.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or not finite, `rate` is not positive, or the length 0.

    Example:
        >>> inverse = InverseTime(1.0, rate=4.0, steps=4)
        >>> [float(inverse(t)) for t in (0, 1, 3, 4)]
        [1.0, 0.5, 0.25, 0.20000000298023224]
    """

    start: float
    _: KW_ONLY
    end: float = 0.0
    rate: float = 1.0

    def _check(self) -> None:
        super()._check()
        self._set("rate", _validate.real("rate", self.rate, low=0.0, open_low=True))

    def _profile(self, s: Any) -> Any:
        return profiles.inverse_time(s, self.rate)


@register_schedule
class REX(Decay):
    """Reflected exponential: hold the value long, drop it late; best at short budgets.

    ``end + (start - end) z / ((1 - d) + d z)`` with ``z = 1 - s``.

    Args:
        start: Value at step 0; at least 0.
        end: Value at the end and after; at least 0.
        d: Bend in [0, 1). 1/2 is the paper's REX, 0 is `Linear`, and 0.9 what the authors' later
            code and most ports call "REX" (0.909 at half time, where the paper's has 0.667).
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or not finite, `d` is outside [0, 1), or the length is 0.

    Example:
        >>> rex = REX(0.1, steps=100)
        >>> [round(float(rex(t)), 5) for t in (0, 25, 50, 75, 99, 100, 101)]
        [0.1, 0.08571, 0.06667, 0.04, 0.00198, 0.0, 0.0]

    References:
        Chen, Wolfe, Kyrillidis, "REX: Revisiting Budgeted Training with an Improved Schedule"
        (arXiv 2107.04197), section 4: ``(1 - s) / (1/2 + 1/2 (1 - s))``.
    """

    start: float
    _: KW_ONLY
    end: float = 0.0
    d: float = 0.5

    def _check(self) -> None:
        super()._check()
        self._set("d", _validate.real("d", self.d, low=0.0, high=1.0, open_high=True))

    def _profile(self, s: Any) -> Any:
        return profiles.rex(s, self.d)


@register_schedule
class DelayedLinear(Decay):
    """Hold `start` for a share of the length, then fall at an even rate.

    ``start`` until ``s = delay``, then ``end + (start - end) (1 - s) / (1 - delay)``.

    Args:
        start: Value until the delay is over; at least 0.
        end: Value at the end and after; at least 0.
        delay: Share of the length in [0, 1); 0 is `Linear`.
        length: Length with its unit, or `steps=`, `epochs=`, `fraction=`, `samples=`, `seconds=`;
            without one, the run's.

    Raises:
        ValueError: If a value is negative or not finite, `delay` is outside [0, 1), or the length
            is 0.

    Example:
        >>> delayed = DelayedLinear(1.0, delay=0.5, steps=4)
        >>> [float(delayed(t)) for t in (0, 2, 3, 4)]
        [1.0, 1.0, 0.5, 0.0]

    References:
        REX (arXiv 2107.04197), section 3 and figure 3 (X = 50 % and 75 %).
    """

    start: float
    _: KW_ONLY
    end: float = 0.0
    delay: float = 0.5

    def _check(self) -> None:
        super()._check()
        self._set("delay", _validate.real("delay", self.delay, low=0.0, high=1.0, open_high=True))

    def _profile(self, s: Any) -> Any:
        return profiles.delayed_linear(s, self.delay)


@register_schedule
class InverseSqrt(Schedule):
    """Fall as the inverse square root of time, without end: ``start sqrt(k / (k + t))``.

    Args:
        start: Value at step 0; at least 0.
        timescale: k, the length after which ``1 / sqrt(2)`` is left; must be positive. With a
            warmup of the same length, ``InverseSqrt(peak, w).warmup(w)`` is the usual
            ``peak sqrt(w / t)``.

    Raises:
        ValueError: If `start` is negative or not finite, or `timescale` is zero.

    Example:
        >>> schedule = InverseSqrt(1.0, timescale=100)
        >>> [round(float(schedule(t)), 4) for t in (0, 100, 300, 9900)]
        [1.0, 0.7071, 0.5, 0.1]
    """

    start: float
    _: KW_ONLY
    timescale: Span

    def __post_init__(self) -> None:
        self._set("start", _validate.value("start", self.start))
        self._set("timescale", positive("timescale", self.timescale))

    def _value(self, t: Any, xp: Any) -> Any:
        k = float(count(self.timescale))
        return self.start * xp.sqrt(k / (k + xp.cast(t, FLOAT)))


@register_schedule
class Noam(Schedule):
    """The Transformer's schedule: climb evenly for `warmup_length`, then fall as ``1 / sqrt(n)``.

    ``scale dim ** -0.5 min(n ** -0.5, n w ** -1.5)`` with n = t + 1 and w the warmup: the paper
    counts steps from 1.

    Args:
        dim: Width of the model, d_model; at least 1.
        warmup_length: Length of the climb; must be positive.
        scale: Factor on the whole; at least 0.

    Raises:
        ValueError: If `dim` is not a positive whole number, `warmup_length` is zero, or `scale` is
            negative.

    Example:
        >>> noam = Noam(dim=512, warmup_length=4000)
        >>> [f"{float(noam(t)):.3e}" for t in (0, 3999, 15999)]
        ['1.747e-07', '6.988e-04', '3.494e-04']

    References:
        Vaswani et al., "Attention Is All You Need" (arXiv 1706.03762), equation 3.
    """

    dim: int
    _: KW_ONLY
    warmup_length: Span
    scale: float = 1.0

    def __post_init__(self) -> None:
        self._set("dim", _validate.integer("dim", self.dim, low=1))
        self._set("warmup_length", positive("warmup_length", self.warmup_length))
        self._set("scale", _validate.value("scale", self.scale))

    def _value(self, t: Any, xp: Any) -> Any:
        n = xp.cast(t, FLOAT) + 1.0
        climb = n * float(count(self.warmup_length)) ** -1.5
        return self.scale * self.dim**-0.5 * xp.minimum(1.0 / xp.sqrt(n), climb)
