"""Callbacks for `fit`, and for any loop that calls Keras callbacks."""

from keras_sched.callbacks.cost_logger import CostLogger
from keras_sched.callbacks.plateau import Plateau
from keras_sched.callbacks.precision_policy import PrecisionPolicy
from keras_sched.callbacks.progressive import ProgressivePrecision
from keras_sched.callbacks.scheduler import Scheduler
from keras_sched.callbacks.step_logger import StepLogger

__all__ = [
    "CostLogger",
    "Plateau",
    "PrecisionPolicy",
    "ProgressivePrecision",
    "Scheduler",
    "StepLogger",
]
