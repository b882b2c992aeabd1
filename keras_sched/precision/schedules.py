r"""Bit-width schedules: how many bits a quantized training computes with, step by step.

The ten of cyclic precision training are the core's profiles, repeated and rounded. With q_min and
q_max the fewest and most bits, D = q_max - q_min, and u in [0, 1) the progress within a cycle of P
steps, a profile grows as

| | growth from q_min to q_max |
|---|---|
| L | ``q_min + D u`` |
| C | ``q_min + D (1 - cos(pi u)) / 2`` |
| R | ``q_max - D (1 - u) / (0.1 + 0.9 (1 - u))``: low for long, then up |
| E | ``q_max - D exp(-4 u)``: up at once, then high |

The second letter says how cycles follow each other: R(epeated), each grows and the next begins at
q_min; T(riangular), cycles fall and grow in turn, beginning with a fall from q_max. For the
profiles that are not symmetric the fall is mirrored H(orizontally), the growth read backwards in
time, or V(ertically), ``q_min + q_max - growth``. The value is rounded to a whole number, halves to
even.

All take the run's length. A cycle has ``P = T // cycles + 1`` steps ("up"), as in the authors'
trainings, or ``T // cycles`` ("floor"), as in CPT's: where that leaves a rest, the run ends with
the beginning of another cycle. An odd number of triangular cycles ends at q_min.

Source: Wolfe and Kyrillidis, "Better Schedules for Low Precision Training of Deep Neural Networks"
(arXiv 2403.02243), released code; Fu et al., "CPT" (arXiv 2101.09868); Fu et al., "FracTrain"
(arXiv 2012.13113).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras_sched import _validate
from keras_sched.duration import Duration, Span
from keras_sched.precision.checks import rising_bits, whole_bits
from keras_sched.schedules import (
    REX,
    Constant,
    Cosine,
    Exponential,
    Linear,
    PiecewiseConstant,
    Schedule,
)
from keras_sched.schedules.registry import look_up

__all__ = [
    "CYCLIC",
    "cpt",
    "cr",
    "ct",
    "deficit",
    "er",
    "eth",
    "etv",
    "get",
    "lr",
    "lt",
    "names",
    "rr",
    "rth",
    "rtv",
    "rungs",
    "static",
]


def _cyclic(
    name: str,
    grow: Callable[..., Schedule],
    fall: str | None,
    title: str,
) -> Callable[..., Schedule]:
    """Return the function that makes the schedule of one of the ten names."""

    def make(
        bits_min: int,
        *,
        bits_max: int,
        cycles: int = 8,
        rounding: str = "up",
        steps: int | None = None,
    ) -> Schedule:
        low, high = _range(bits_min, bits_max)
        cycle = grow(high, end=low) if fall == "value" else grow(low, end=high)
        if fall == "time":
            cycle = cycle.mirrored()
        schedule = cycle.repeat(
            _validate.integer("cycles", cycles, low=1),
            triangular=fall is not None,
            mirror=fall or "time",
            rounding=rounding,
        ).rounded()
        return schedule if steps is None else schedule.resolve(steps)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""{title}

    Args:
        bits_min: Fewest bits, q_min, in [2, 16].
        bits_max: Most bits, q_max, in [`bits_min`, 16].
        cycles: Number of cycles in the run; at least 1. The papers have 8.
        rounding: Length of a cycle in a run of T steps: "up" is ``T // cycles + 1``, "floor" is
            ``T // cycles``.
        steps: Length of the run; the one that it is resolved for if None.

    Raises:
        TypeError: If a number is none.
        ValueError: If a number is not whole or out of range.
    """
    return make


def _r(start: float, *, end: float) -> Schedule:
    return REX(start, end=end, d=0.9)


def _e(start: float, *, end: float) -> Schedule:
    return Exponential(start, end=end, rate=4.0)


lr = _cyclic("lr", Linear, None, "Linear growth, repeated.")
cr = _cyclic("cr", Cosine, None, "Cosine growth, repeated: cyclic precision training (CPT).")
rr = _cyclic("rr", _r, None, "REX growth, repeated: low for most of a cycle, the cheapest.")
er = _cyclic("er", _e, None, "Exponential growth, repeated: high for most of a cycle, the dearest.")
lt = _cyclic("lt", Linear, "time", "Linear triangles.")
ct = _cyclic("ct", Cosine, "time", "Cosine triangles.")
rtv = _cyclic("rtv", _r, "value", "REX triangles, the fall mirrored in value: high, then down.")
rth = _cyclic("rth", _r, "time", "REX triangles, the fall mirrored in time: down at once.")
etv = _cyclic("etv", _e, "value", "Exponential triangles, the fall mirrored in value.")
eth = _cyclic("eth", _e, "time", "Exponential triangles, the fall mirrored in time.")


def cpt(bits_min: int, *, bits_max: int, cycles: int = 32, steps: int | None = None) -> Schedule:
    """The original cyclic precision training: `cr` with 32 cycles of ``T // cycles`` steps.

    Args:
        bits_min: Fewest bits, in [2, 16].
        bits_max: Most bits, in [`bits_min`, 16].
        cycles: Number of cycles; at least 1.
        steps: Length of the run; the one that it is resolved for if None.

    Example:
        >>> wave = cpt(3, bits_max=8, cycles=2, steps=20)
        >>> [int(wave(t)) for t in range(12)]
        [3, 3, 3, 4, 5, 6, 6, 7, 8, 8, 3, 3]

    References:
        Fu et al. (arXiv 2101.09868), released code. Where T is no multiple of `cycles` the last
        steps are the beginning of another cycle, at `bits_min`, as there.
    """
    return cr(bits_min, bits_max=bits_max, cycles=cycles, rounding="floor", steps=steps)


def static(bits: int) -> Schedule:
    """The same number of bits throughout: the baseline."""
    return Constant(whole_bits("bits", bits))


def rungs(bits: Sequence[int] = (3, 4, 6, 8), *, at: Sequence[Span] | None = None) -> Schedule:
    """Climb from rung to rung at given times; `ks.ProgressivePrecision` climbs by the loss.

    Args:
        bits: Bits of each rung, in [2, 16]; they never fall.
        at: Where each rung after the first begins, as ["0.25dur", "0.5dur", "0.75dur"]; equal parts
            of the run if None.

    Example:
        >>> stairs = rungs((3, 6, 8), at=[2, 4])
        >>> [int(stairs(t)) for t in range(6)]
        [3, 3, 6, 6, 8, 8]

    References:
        FracTrain (arXiv 2012.13113), figure 2: bits 3, 4, 6, 8, gradients 6, 6, 8, 8.
    """
    values = rising_bits("bits", bits)
    if at is None:
        at = [Duration(index / len(values), unit="fraction") for index in range(1, len(values))]
    return PiecewiseConstant(values, boundaries=tuple(Duration.parse(each) for each in at))


def deficit(bits_min: int, *, bits_max: int, length: Span, start: Span = 0) -> Schedule:
    """Impair a training for a while: `bits_min` in [start, start + length), else `bits_max`.

    From the start it asks whether a network recovers from an early deficit; later, at which time a
    deficit does most harm (critical learning periods).

    Args:
        bits_min: Bits in the deficit, in [2, 16].
        bits_max: Bits outside of it, in [`bits_min`, 16].
        length: Length of the deficit, above 0.
        start: Where it begins. If not 0 it must have the unit of `length`.

    Example:
        >>> probe = deficit(3, bits_max=8, length=2, start=3)
        >>> [int(probe(t)) for t in range(7)]
        [8, 8, 8, 3, 3, 8, 8]

    References:
        Wolfe and Kyrillidis (arXiv 2403.02243), section on critical learning periods.
    """
    low, high = _range(bits_min, bits_max)
    begin, lasting = Duration.parse(start), Duration.parse(length)
    if lasting.value == 0:
        raise ValueError(f"`length` must be above 0. Received: length={length!r}")
    if begin.value == 0:
        return PiecewiseConstant((low, high), boundaries=(lasting,))
    if begin.unit != lasting.unit:
        raise ValueError(
            f"`start` and `length` must have one unit. Received: start={start!r}, length={length!r}"
        )
    end = Duration(begin.value + lasting.value, unit=begin.unit)
    return PiecewiseConstant((high, low, high), boundaries=(begin, end))


CYCLIC: dict[str, Callable[..., Schedule]] = {
    make.__name__: make for make in (lr, cr, rr, er, lt, ct, rtv, rth, etv, eth, cpt)
}
"""The cyclic schedules by name, which take the fewest bits, the most, and a number of cycles."""

_BY_NAME: dict[str, Callable[..., Schedule]] = {
    **CYCLIC,
    "static": static,
    "rungs": rungs,
    "deficit": deficit,
}


def names() -> list[str]:
    """Return the names that `get` knows, sorted."""
    return sorted(_BY_NAME)


def get(name: str, *args: Any, **options: Any) -> Schedule:
    """Return the bit-width schedule of that name, as `keras_sched.get` does for the others.

    Raises:
        TypeError: If an argument is missing or has a wrong type.
        ValueError: If the name or an option is unknown, or an argument has a wrong value.

    Example:
        >>> [int(get("lr", 3, bits_max=8, cycles=1, steps=10)(t)) for t in (0, 5, 10)]
        [3, 5, 8]
    """
    return look_up(_BY_NAME, name, *args, **options)


def _range(bits_min: int, bits_max: int) -> tuple[int, int]:
    low, high = whole_bits("bits_min", bits_min), whole_bits("bits_max", bits_max)
    if low > high:
        raise ValueError(
            f"`bits_min` must not be above `bits_max`. Received: bits_min={low}, bits_max={high}"
        )
    return low, high
