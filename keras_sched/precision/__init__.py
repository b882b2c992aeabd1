"""Numeric precision as a scheduled hyperparameter: bit widths, quantized training, and its cost.

`quantize` lets a model that exists compute with few bits, as many as a schedule says; the schedules
are those of cyclic precision training and its relatives. `PrecisionPolicy` lets the dtype itself
follow a schedule. Callbacks that quantize by what they see (precision that climbs when the loss
stalls, the range test) are in `keras_sched.callbacks`.
"""

from keras_sched.precision.attach import Quantized, find, quantize
from keras_sched.precision.bits import BitWidth
from keras_sched.precision.cost import EMULATED, Cost, LayerCost, predicted_cost
from keras_sched.precision.macs import LayerMacs, macs
from keras_sched.precision.policy import PrecisionPolicy
from keras_sched.precision.rules import PRESETS
from keras_sched.precision.schedules import (
    CYCLIC,
    cpt,
    cr,
    ct,
    deficit,
    er,
    eth,
    etv,
    get,
    lr,
    lt,
    names,
    rr,
    rth,
    rtv,
    rungs,
    static,
)

__all__ = [
    "CYCLIC",
    "EMULATED",
    "PRESETS",
    "BitWidth",
    "Cost",
    "LayerCost",
    "LayerMacs",
    "PrecisionPolicy",
    "Quantized",
    "cpt",
    "cr",
    "ct",
    "deficit",
    "er",
    "eth",
    "etv",
    "find",
    "get",
    "lr",
    "lt",
    "macs",
    "names",
    "predicted_cost",
    "quantize",
    "rr",
    "rth",
    "rtv",
    "rungs",
    "static",
]
