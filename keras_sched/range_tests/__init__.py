"""Range tests: short trainings that find a learning rate or a range of bits, and leave no trace."""

from keras_sched.range_tests.bits import PrecisionRangeTest
from keras_sched.range_tests.bits_result import PrecisionRangeResult
from keras_sched.range_tests.learning_rate import LRRangeTest, RangeTestResult

__all__ = ["LRRangeTest", "PrecisionRangeResult", "PrecisionRangeTest", "RangeTestResult"]
