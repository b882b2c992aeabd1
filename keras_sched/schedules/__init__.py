"""Schedules: a profile, a range, a length and a sampling rate, as a function of the update step."""

from keras_sched.schedules._check import check
from keras_sched.schedules._written import label
from keras_sched.schedules.base import Combinators, Report, Schedule, register_schedule
from keras_sched.schedules.combinators import (
    Cooldown,
    Rounded,
    Sequence,
    Shift,
    Warmup,
    join,
    warmed,
)
from keras_sched.schedules.cyclic import (
    CosineRestarts,
    Cycles,
    ExpRange,
    PolynomialRestarts,
    Triangular,
    Triangular2,
)
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
    Tanh,
)
from keras_sched.schedules.function import Lambda
from keras_sched.schedules.momentum import (
    CosineMomentum,
    Demon,
    ExponentialMomentum,
    LinearMomentum,
)
from keras_sched.schedules.parts import Skip, Until
from keras_sched.schedules.phased import WSD, OneCycle, OneCycleMomentum
from keras_sched.schedules.pointwise import (
    Maximum,
    Minimum,
    Product,
    Sum,
    at_least,
    at_most,
    product,
    total,
)
from keras_sched.schedules.powers import InversePower, Power
from keras_sched.schedules.refined import Refined
from keras_sched.schedules.registry import arguments, get, names
from keras_sched.schedules.repeating import Mirrored, Repeat, Sampled
from keras_sched.schedules.steps import (
    Constant,
    MultiStep,
    PiecewiseConstant,
    PiecewiseLinear,
    Step,
)
from keras_sched.schedules.timed import Profiled, Timed

__all__ = [
    "REX",
    "WSD",
    "Constant",
    "Cooldown",
    "Cosine",
    "CosineMomentum",
    "CosineRestarts",
    "Cycles",
    "DelayedLinear",
    "Demon",
    "ExpRange",
    "Exponential",
    "ExponentialMomentum",
    "InversePower",
    "InverseSqrt",
    "InverseTime",
    "Lambda",
    "Linear",
    "LinearMomentum",
    "Maximum",
    "Minimum",
    "Mirrored",
    "MultiStep",
    "Noam",
    "OneCycle",
    "OneCycleMomentum",
    "PiecewiseConstant",
    "PiecewiseLinear",
    "Polynomial",
    "PolynomialRestarts",
    "Power",
    "Product",
    "Profiled",
    "Refined",
    "Repeat",
    "Report",
    "Rounded",
    "Sampled",
    "Schedule",
    "Sequence",
    "Shift",
    "Skip",
    "Step",
    "Sum",
    "Tanh",
    "Timed",
    "Triangular",
    "Triangular2",
    "Until",
    "Warmup",
    "arguments",
    "get",
    "join",
    "label",
    "names",
    "register_schedule",
]

Schedule.combinators = Combinators(
    warmup=warmed,
    cooldown=Cooldown,
    join=join,
    product=product,
    total=total,
    at_least=at_least,
    at_most=at_most,
    skip=Skip,
    until=Until,
    shift=Shift,
    rounded=Rounded,
    repeat=Repeat,
    cycles=Cycles,
    mirrored=Mirrored,
    sampled=Sampled,
    check=check,
)
