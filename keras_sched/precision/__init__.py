"""Numeric precision as a scheduled hyperparameter: bit widths, quantized training, and its cost.

`quantize` lets a model that exists compute with few bits, as many as a schedule says; the schedules
are those of cyclic precision training and its relatives. Callbacks that change precision (a dtype
policy by schedule, precision that grows when the loss stalls, the range test) are in
`keras_sched.callbacks`.
"""

from keras_sched.precision.attach import Quantized, find, quantize
from keras_sched.precision.bits import BitWidth
from keras_sched.precision.cost import Cost, LayerCost, predicted_cost
from keras_sched.precision.macs import LayerMacs, macs

__all__ = [
    "BitWidth",
    "Cost",
    "LayerCost",
    "LayerMacs",
    "Quantized",
    "find",
    "macs",
    "predicted_cost",
    "quantize",
]
