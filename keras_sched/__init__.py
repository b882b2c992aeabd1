"""Schedules of learning rate, momentum and numeric precision for Keras 3 and TensorFlow.

A schedule is a profile, a range, a length and a sampling rate; the same object drives any
hyperparameter of any Keras optimizer, exactly, at every step.

Example:
    >>> import keras_sched as ks
    >>> [round(float(ks.REX(0.1, steps=100)(t)), 4) for t in (0, 50, 100)]
    [0.1, 0.0667, 0.0]
"""

from keras_sched import hyperparameters, optimizers, precision, profiles
from keras_sched.callbacks import (
    CostLogger,
    LRRangeTest,
    Plateau,
    ProgressivePrecision,
    RangeTestResult,
    Scheduler,
    StepLogger,
)
from keras_sched.duration import Duration, Run
from keras_sched.plotting import plot, simulate
from keras_sched.precision import PrecisionPolicy
from keras_sched.schedules import (
    REX,
    WSD,
    Constant,
    Cooldown,
    Cosine,
    CosineMomentum,
    CosineRestarts,
    DelayedLinear,
    Demon,
    Exponential,
    ExponentialMomentum,
    ExpRange,
    InverseSqrt,
    InverseTime,
    Linear,
    LinearMomentum,
    Mirrored,
    MultiStep,
    Noam,
    OneCycle,
    OneCycleMomentum,
    PiecewiseConstant,
    PiecewiseLinear,
    Polynomial,
    Product,
    Repeat,
    Rounded,
    Sampled,
    Schedule,
    Sequence,
    Shift,
    Step,
    Triangular,
    Triangular2,
    Warmup,
    get,
    join,
    names,
)

__version__ = "0.1.0"

__all__ = [
    "REX",
    "WSD",
    "Constant",
    "Cooldown",
    "Cosine",
    "CosineMomentum",
    "CosineRestarts",
    "CostLogger",
    "DelayedLinear",
    "Demon",
    "Duration",
    "ExpRange",
    "Exponential",
    "ExponentialMomentum",
    "InverseSqrt",
    "InverseTime",
    "LRRangeTest",
    "Linear",
    "LinearMomentum",
    "Mirrored",
    "MultiStep",
    "Noam",
    "OneCycle",
    "OneCycleMomentum",
    "PiecewiseConstant",
    "PiecewiseLinear",
    "Plateau",
    "Polynomial",
    "PrecisionPolicy",
    "Product",
    "ProgressivePrecision",
    "RangeTestResult",
    "Repeat",
    "Rounded",
    "Run",
    "Sampled",
    "Schedule",
    "Scheduler",
    "Sequence",
    "Shift",
    "Step",
    "StepLogger",
    "Triangular",
    "Triangular2",
    "Warmup",
    "get",
    "hyperparameters",
    "join",
    "names",
    "optimizers",
    "plot",
    "precision",
    "profiles",
    "simulate",
]
