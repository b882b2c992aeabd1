"""Advice with its evidence: which schedule, at which rate, for this budget."""

from keras_sched.advice.answer import Advice, Recommendation
from keras_sched.advice.evidence import Evidence
from keras_sched.advice.recommend import recommend

__all__ = ["Advice", "Evidence", "Recommendation", "recommend"]
