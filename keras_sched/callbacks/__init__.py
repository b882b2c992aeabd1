"""Callbacks for `fit` and for the trainers' loop."""

from keras_sched.callbacks.plateau import Plateau
from keras_sched.callbacks.scheduler import Scheduler

__all__ = ["Plateau", "Scheduler"]
