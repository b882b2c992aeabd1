"""Callbacks for `fit`, and for any loop that calls Keras callbacks."""

from keras_sched.callbacks.cost_logger import CostLogger
from keras_sched.callbacks.plateau import Plateau
from keras_sched.callbacks.precision_range_result import PrecisionRangeResult
from keras_sched.callbacks.precision_range_test import PrecisionRangeTest
from keras_sched.callbacks.progressive import ProgressivePrecision
from keras_sched.callbacks.range_test import LRRangeTest, RangeTestResult
from keras_sched.callbacks.scheduler import Scheduler
from keras_sched.callbacks.step_logger import StepLogger

__all__ = [
    "CostLogger",
    "LRRangeTest",
    "Plateau",
    "PrecisionRangeResult",
    "PrecisionRangeTest",
    "ProgressivePrecision",
    "RangeTestResult",
    "Scheduler",
    "StepLogger",
]
