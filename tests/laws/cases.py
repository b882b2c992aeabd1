"""Every schedule once, on a run of 1,000 steps, beside its formula written anew in plain Python.

The oracles know nothing of the library: a step goes in, a float64 comes out. `steps` are those at
which something happens; the laws look at the step before, at and after each.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import keras_sched as ks

T = 1000


@dataclasses.dataclass(frozen=True)
class Case:
    """A schedule, its formula, where something happens, and what its curve promises."""

    schedule: ks.Schedule
    oracle: Callable[[int], float]
    low: float
    high: float
    knots: tuple[int, ...] = ()
    falls: bool = False
    scales: bool = True


def left(t, length=T):
    return max(length - t, 0) / length


def rex(t, peak=1.0, d=0.5, length=T):
    return peak * left(t, length) / ((1 - d) + d * left(t, length))


def cosine(t, start=1.0, end=0.0, length=T):
    return end + (start - end) * (1 + math.cos(math.pi * min(t / length, 1))) / 2


def lines(t, points):
    if t <= points[0][0]:
        return points[0][1]
    for (a, u), (b, v) in itertools.pairwise(points):
        if t <= b:
            return u + (v - u) * (t - a) / (b - a)
    return points[-1][1]


def triangle(t, half):
    cycle = math.floor(1 + t / (2 * half))
    return max(0.0, 1 - abs(t / half - 2 * cycle + 1)), cycle


def phases(t, knots, length=T):
    s = min(t / length, 1.0)
    for (a, u), (b, v) in itertools.pairwise(knots):
        if s <= b:
            return v + (u - v) * (1 + math.cos(math.pi * (s - a) / (b - a))) / 2
    return knots[-1][1]


def restarts(t, period, stretch, scale, start, end):
    begin, i = 0, 0
    while True:
        length = math.floor(period * stretch**i + 0.5)
        if t < begin + length:
            wave = (1 + math.cos(math.pi * (t - begin) / length)) / 2
            return end + scale**i * (start - end) * wave
        begin, i = begin + length, i + 1


def wsd(t, warm=100, cool=200):
    if t < warm:
        return (t + 1) / warm
    if t < T - cool:
        return 1.0
    return 1 - math.sqrt(min((t - (T - cool)) / cool, 1.0))


def warmed_rex(t):
    return (t + 1) / 100 if t < 100 else rex(t - 100, length=900)


def cooled_cosine(t):
    at = cosine(min(t, 800), 1.0, 0.5)
    return at if t < 800 else at * (1 - min((t - 800) / 200, 1.0))


def back_and_forth(t, length=125):
    cycle, u = divmod(t, length)
    return rex(u if cycle % 2 == 0 else length - u, length=length)


def upside_down(t, length=250):
    cycle, u = divmod(t, length)
    value = rex(u, length=length)
    return value if cycle % 2 == 0 else 1 - value


def one_cycle(t):
    return phases(t, [(0.0, 0.04), (0.3, 1.0), (1.0, 4e-6)])


def one_cycle_three(t):
    return phases(t, [(0.0, 0.04), (0.3, 1.0), (0.6, 0.04), (1.0, 4e-6)])


def one_cycle_momentum(t):
    return phases(t, [(0.0, 0.95), (0.3, 0.85), (1.0, 0.95)])


def _demon(beta):
    return lambda t: beta * left(t) / ((1 - beta) + beta * left(t))


def scaled_back_and_forth(t, half, start, middle, scale):
    height, cycle = triangle(t, half)
    return start + (middle - start) * height * scale ** (cycle - 1)


def shrinking_peaks(t, period=125, scale=0.75, end=0.25):
    peak = max(scale ** (t // period), end)
    return cosine(t % period, peak, end, period)


def refined(t):
    """From a half up to 1 at half time, and down to 0."""
    s = 1 - left(t)
    return 0.5 + s if s < 0.5 else 2 * (1 - s)


def tanh(t, lower=-6.0, upper=3.0):
    return (1 - math.tanh(lower * left(t) + upper * (1 - left(t)))) / 2


def polynomial_restarts(t, period=300):
    turn = max(math.ceil(Fraction(t, period)), 1)
    return 0.1 + 0.9 * (1 - t / (turn * period)) ** 2


def cycles(t, times, triangular):
    """Exactly, as a boundary between cycles may lie between two steps, or at one."""
    turn, share = divmod(times * Fraction(t, T), 1)
    return float(share) if triangular and turn % 2 else 1 - float(share)


def power_law(t, a=4.6, b=-0.51):
    return min(0.3, 8 * a * (t * 100) ** b) if t else 0.3


_down = {"low": 0.0, "high": 1.0, "falls": True, "knots": (T,)}

ALL_SCHEDULES: dict[str, Case] = {
    "constant": Case(ks.Constant(0.3), lambda t: 0.3, 0.3, 0.3),
    "linear": Case(ks.Linear(1.0, steps=T), left, **_down),
    "linear_up": Case(ks.Linear(0.0, end=1.0, steps=T), lambda t: 1 - left(t), 0.0, 1.0, (T,)),
    "polynomial": Case(ks.Polynomial(1.0, power=3.0, steps=T), lambda t: left(t) ** 3, **_down),
    "cosine": Case(ks.Cosine(1.0, steps=T), cosine, **_down),
    "cosine_floor": Case(
        ks.Cosine(1.0, end=0.1, steps=T), lambda t: cosine(t, 1.0, 0.1), 0.1, 1.0, (T,), True
    ),
    "exponential": Case(
        ks.Exponential(1.0, steps=T), lambda t: math.exp(-3 * (1 - left(t))), **_down
    ),
    "inverse_time": Case(
        ks.InverseTime(1.0, rate=4.0, steps=T), lambda t: 1 / (1 + 4 * (1 - left(t))), **_down
    ),
    "inverse_sqrt": Case(
        ks.InverseSqrt(1.0, timescale=100), lambda t: math.sqrt(100 / (100 + t)), 0.0, 1.0, (), True
    ),
    "noam": Case(
        ks.Noam(512, warmup_length=400),
        lambda t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 400**-1.5),
        0.0,
        1.0,
        (400,),
        scales=False,
    ),
    "rex": Case(ks.REX(1.0, steps=T), rex, **_down),
    "rex_of_the_ports": Case(ks.REX(1.0, d=0.9, steps=T), lambda t: rex(t, d=0.9), **_down),
    "delayed_linear": Case(
        ks.DelayedLinear(1.0, delay=0.75, steps=T), lambda t: min(1.0, left(t) / 0.25), **_down
    ),
    "step": Case(
        ks.Step(1.0, every=300, factor=0.5),
        lambda t: 0.5 ** (t // 300),
        0.0,
        1.0,
        (300, 600, 900),
        True,
    ),
    "multistep": Case(
        ks.MultiStep(1.0, steps=T),
        lambda t: 0.1 ** ((t >= 500) + (t >= 750)),
        0.0,
        1.0,
        (500, 750),
        True,
    ),
    "piecewise_constant": Case(
        ks.PiecewiseConstant([0.5, 1.0, 0.25], boundaries=[200, 700]),
        lambda t: 0.5 if t < 200 else 1.0 if t < 700 else 0.25,
        0.25,
        1.0,
        (200, 700),
    ),
    "piecewise_linear": Case(
        ks.PiecewiseLinear([(100, 0.2), (400, 1.0), (900, 0.0)]),
        lambda t: lines(t, [(100, 0.2), (400, 1.0), (900, 0.0)]),
        0.0,
        1.0,
        (100, 400, 900),
    ),
    "one_cycle": Case(ks.OneCycle(1.0, steps=T), one_cycle, 0.0, 1.0, (300, T)),
    "one_cycle_three": Case(
        ks.OneCycle(1.0, three_phase=True, steps=T), one_cycle_three, 0.0, 1.0, (300, 600, T)
    ),
    "one_cycle_triangle": Case(
        ks.OneCycle.triangle(1.0, steps=T),
        lambda t: lines(t, [(0, 0.1), (500, 1.0), (T, 0.1)]),
        0.1,
        1.0,
        (500, T),
    ),
    "one_cycle_momentum": Case(
        ks.OneCycleMomentum(steps=T), one_cycle_momentum, 0.85, 0.95, (300, T)
    ),
    "wsd": Case(
        ks.WSD(1.0, warmup_length=100, cooldown_length=200, steps=T),
        wsd,
        0.0,
        1.0,
        (100, 800, T),
        scales=False,
    ),
    "cosine_restarts": Case(
        ks.CosineRestarts(1.0, period=100, stretch=2.0, scale=0.5, end=0.1),
        lambda t: restarts(t, 100, 2.0, 0.5, 1.0, 0.1),
        0.1,
        1.0,
        (100, 300, 700),
    ),
    "triangular": Case(
        ks.Triangular(0.1, peak=1.0, half_period=125),
        lambda t: 0.1 + 0.9 * triangle(t, 125)[0],
        0.1,
        1.0,
        (125, 250),
    ),
    "triangular2": Case(
        ks.Triangular2(0.1, peak=1.0, half_period=125),
        lambda t: 0.1 + 0.9 * triangle(t, 125)[0] / 2 ** (triangle(t, 125)[1] - 1),
        0.1,
        1.0,
        (125, 250, 500),
    ),
    "exp_range": Case(
        ks.ExpRange(0.1, peak=1.0, half_period=125, gamma=0.999),
        lambda t: 0.1 + 0.9 * triangle(t, 125)[0] * 0.999**t,
        0.1,
        1.0,
        (125, 250),
    ),
    "demon": Case(ks.Demon(0.9, steps=T), _demon(0.9), **_down),
    "demon_95": Case(ks.Demon(0.95, steps=T), _demon(0.95), **_down),
    "cosine_momentum": Case(ks.CosineMomentum(0.9, steps=T), lambda t: cosine(t, 0.9), **_down),
    "linear_momentum": Case(ks.LinearMomentum(0.9, steps=T), lambda t: 0.9 * left(t), **_down),
    "exponential_momentum": Case(
        ks.ExponentialMomentum(0.9, steps=T), lambda t: 0.9 * math.exp(-5 * (1 - left(t))), **_down
    ),
    "lambda": Case(
        ks.Lambda(lambda t: 1.0 / (1 + t // 100)),
        lambda t: 1.0 / (1 + t // 100),
        0.0,
        1.0,
        (100, 200, T),
        True,
    ),
    "warmup": Case(
        ks.REX(1.0, steps=900).warmup(100), warmed_rex, 0.0, 1.0, (100, T), scales=False
    ),
    "cooldown": Case(
        ks.Cosine(1.0, end=0.5, steps=T).cooldown(200), cooled_cosine, 0.0, 1.0, (800, T), True
    ),
    "sequence": Case(
        ks.Linear(0.0, end=1.0, steps=300).then(ks.Cosine(0.5, steps=700)),
        lambda t: t / 300 if t < 300 else cosine(t - 300, 0.5, length=700),
        0.0,
        1.0,
        (300, T),
    ),
    "product": Case(
        ks.Linear(1.0, steps=T) * ks.MultiStep(1.0, steps=T) * 0.5,
        lambda t: 0.5 * left(t) * 0.1 ** ((t >= 500) + (t >= 750)),
        0.0,
        0.5,
        (500, 750, T),
        True,
    ),
    "shift": Case(
        ks.Linear(1.0, steps=600).shift(400),
        lambda t: left(max(t - 400, 0), 600),
        0.0,
        1.0,
        (400, T),
        True,
    ),
    "repeat": Case(
        ks.REX(1.0, steps=125).repeat(),
        lambda t: rex(t % 125, length=125),
        0.0,
        1.0,
        (125, 250, 500),
    ),
    "repeat_triangular": Case(
        ks.REX(1.0, steps=125).repeat(triangular=True), back_and_forth, 0.0, 1.0, (125, 250)
    ),
    "repeat_mirrored_in_value": Case(
        ks.REX(1.0, steps=250).repeat(triangular=True, mirror="value"),
        upside_down,
        0.0,
        1.0,
        (250, 500),
    ),
    "mirrored": Case(ks.REX(1.0, steps=T).mirrored(), lambda t: rex(max(T - t, 0)), 0.0, 1.0, (T,)),
    "rounded": Case(
        ks.Linear(3.0, end=8.0, steps=T).rounded(),
        lambda t: float(round(3 + Fraction(5 * min(t, T), T))),
        3.0,
        8.0,
        (100, 300, 500, 700, 900, T),
    ),
    "cyclic_precision": Case(
        ks.precision.cr(3, bits_max=8, cycles=8, steps=T),
        lambda t: float(round(cosine(t % 126, 3.0, 8.0, 126))),
        3.0,
        8.0,
        (126, 252),
        scales=False,
    ),
    "sampled_every": Case(
        ks.Linear(1.0, steps=T).sampled(every=100),
        lambda t: left(t // 100 * 100),
        0.0,
        1.0,
        (100, 500, T),
        True,
    ),
    "sampled_at": Case(
        ks.REX(1.0, steps=T).sampled(at=[500, 750]),
        lambda t: rex(750 if t >= 750 else 500 if t >= 500 else 0),
        0.0,
        1.0,
        (500, 750),
        True,
    ),
}

# Each is what another library has: tests/peers says which.
ALL_SCHEDULES |= {
    "refined": Case(
        ks.Refined(1.0, profile=[0.5, 1.0, 0.0], end=0.1, steps=T),
        lambda t: 0.1 + 0.9 * refined(t),
        0.1,
        1.0,
        (T // 2, T),
    ),
    "tanh": Case(ks.Tanh(1.0, steps=T), tanh, **_down),
    "cosine_k_decay": Case(
        ks.Cosine(1.0, end=0.1, k=3.0, steps=T),
        lambda t: 0.1 + 0.45 * (1 + math.cos(math.pi * (1 - left(t)) ** 3)),
        0.1,
        1.0,
        (T,),
        True,
    ),
    "cosine_power": Case(ks.Cosine(1.0, power=1.5, steps=T), lambda t: cosine(t) ** 1.5, **_down),
    "polynomial_k_decay": Case(
        ks.Polynomial(1.0, power=2.0, k=0.5, steps=T),
        lambda t: (1 - math.sqrt(1 - left(t))) ** 2,
        **_down,
    ),
    "polynomial_restarts": Case(
        ks.PolynomialRestarts(1.0, end=0.1, period=300),
        polynomial_restarts,
        0.1,
        1.0,
        (300, 600, 900),
    ),
    "inverse_power": Case(
        ks.InversePower(1.0, timescale=100, power=0.8),
        lambda t: (100 / (100 + t)) ** 0.8,
        0.0,
        1.0,
        (),
        True,
    ),
    "power": Case(
        ks.Power(0.3, batch_size=8, tokens_per_step=100), power_law, 0.0, 0.3, (1, 126), True
    ),
    "one_cycle_last": Case(
        ks.OneCycle(1.0, rise=0.3, last=0.1, three_phase=True, steps=T),
        lambda t: phases(t, [(0.0, 0.04), (0.3, 1.0), (0.9, 0.04), (1.0, 4e-6)]),
        0.0,
        1.0,
        (300, 900, T),
    ),
    "one_cycle_momentum_last": Case(
        ks.OneCycleMomentum(rise=0.3, last=0.2, three_phase=True, steps=T),
        lambda t: phases(t, [(0.0, 0.95), (0.3, 0.85), (0.8, 0.95), (1.0, 0.95)]),
        0.85,
        0.95,
        (300, 800, T),
    ),
    "triangular_trough": Case(
        ks.Triangular(0.9, peak=0.1, half_period=125),
        lambda t: scaled_back_and_forth(t, 125, 0.9, 0.1, 1.0),
        0.1,
        0.9,
        (125, 250),
    ),
    "triangular2_trough": Case(
        ks.Triangular2(0.9, peak=0.1, half_period=125),
        lambda t: scaled_back_and_forth(t, 125, 0.9, 0.1, 0.5),
        0.1,
        0.9,
        (125, 250, 500),
    ),
    "exp_range_trough": Case(
        ks.ExpRange(0.9, peak=0.1, half_period=125, gamma=0.999),
        lambda t: 0.9 - 0.8 * triangle(t, 125)[0] * 0.999**t,
        0.1,
        0.9,
        (125, 250),
    ),
    "repeat_below_a_ceiling": Case(
        ks.Cosine(0.9, end=0.1, steps=125).repeat(scale=0.5, anchor="high"),
        lambda t: 0.9 - (0.9 - cosine(t % 125, 0.9, 0.1, 125)) * 0.5 ** (t // 125),
        0.1,
        0.9,
        (125, 250, 500),
    ),
    "repeat_above_a_floor": Case(
        ks.Cosine(1.0, end=0.25, steps=125).repeat(scale=0.75, anchor="floor"),
        shrinking_peaks,
        0.25,
        1.0,
        (125, 250, 500, 625),
    ),
    "cycles": Case(
        ks.Linear(1.0, steps=T).cycles(3), lambda t: cycles(t, 3, False), 0.0, 1.0, (334, 667, T)
    ),
    "cycles_triangular": Case(
        ks.Linear(1.0, steps=T).cycles(2.4, triangular=True),
        lambda t: cycles(t, Fraction(12, 5), True),
        0.0,
        1.0,
        (417, 833, T),
    ),
    "sum": Case(
        ks.Linear(0.5, steps=250).repeat() + ks.Linear(0.5, steps=T) + 0.25,
        lambda t: 0.5 * left(t % 250, 250) + 0.5 * left(t) + 0.25,
        0.25,
        1.25,
        (250, 500, T),
    ),
    "minimum": Case(
        ks.Linear(1.0, steps=T).at_most(ks.Linear(0.2, end=0.6, steps=T)),
        lambda t: min(left(t), 0.6 - 0.4 * left(t)),
        0.0,
        0.6,
        (571, T),
    ),
    "maximum": Case(
        ks.REX(1.0, steps=T).at_least(0.5), lambda t: max(rex(t), 0.5), 0.5, 1.0, (667, T), True
    ),
    "skip": Case(
        ks.Cosine(1.0, steps=1300).skip(300),
        lambda t: cosine(t + 300, length=1300),
        0.0,
        1.0,
        (T,),
        True,
    ),
    "until": Case(
        ks.REX(1.0, steps=125).repeat().until(500),
        lambda t: rex(min(t, 500) % 125, length=125),
        0.0,
        1.0,
        (125, 500),
    ),
}
