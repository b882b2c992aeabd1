"""Schedules: a profile, a range, a length and a sampling rate, as a function of the update step."""

from keras_sched.schedules._check import check
from keras_sched.schedules.base import Combinators, Report, Schedule, register_schedule
from keras_sched.schedules.combinators import (
    Cooldown,
    Product,
    Rounded,
    Sequence,
    Shift,
    Warmup,
    join,
    product,
    warmed,
)
from keras_sched.schedules.cyclic import CosineRestarts, ExpRange, Triangular, Triangular2
from keras_sched.schedules.decay import (
    REX,
    Cosine,
    DelayedLinear,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    Noam,
    Polynomial,
)
from keras_sched.schedules.momentum import (
    CosineMomentum,
    Demon,
    ExponentialMomentum,
    LinearMomentum,
)
from keras_sched.schedules.phased import WSD, OneCycle, OneCycleMomentum
from keras_sched.schedules.registry import get, names
from keras_sched.schedules.repeating import Mirrored, Repeat, Sampled
from keras_sched.schedules.steps import (
    Constant,
    MultiStep,
    PiecewiseConstant,
    PiecewiseLinear,
    Step,
)

__all__ = [
    "REX",
    "WSD",
    "Constant",
    "Cooldown",
    "Cosine",
    "CosineMomentum",
    "CosineRestarts",
    "DelayedLinear",
    "Demon",
    "ExpRange",
    "Exponential",
    "ExponentialMomentum",
    "InverseSqrt",
    "InverseTime",
    "Linear",
    "LinearMomentum",
    "Mirrored",
    "MultiStep",
    "Noam",
    "OneCycle",
    "OneCycleMomentum",
    "PiecewiseConstant",
    "PiecewiseLinear",
    "Polynomial",
    "Product",
    "Repeat",
    "Report",
    "Rounded",
    "Sampled",
    "Schedule",
    "Sequence",
    "Shift",
    "Step",
    "Triangular",
    "Triangular2",
    "Warmup",
    "get",
    "join",
    "names",
    "register_schedule",
]

Schedule.combinators = Combinators(
    warmup=warmed,
    cooldown=Cooldown,
    join=join,
    product=product,
    shift=Shift,
    rounded=Rounded,
    repeat=Repeat,
    mirrored=Mirrored,
    sampled=Sampled,
    check=check,
)
