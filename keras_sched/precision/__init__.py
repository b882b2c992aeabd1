"""Numeric precision as a scheduled hyperparameter: bit widths, quantized training, and its cost.

`quantize` lets a model that exists compute with few bits, as many as a schedule says; the schedules
are those of cyclic precision training and its relatives. What trains by them is elsewhere: in
`keras_sched.callbacks` the dtype by schedule (`PrecisionPolicy`) and precision that climbs when the
loss stalls, in `keras_sched.range_tests` the test of which bits to use.
"""

from keras_sched.precision.attach import Quantized, find, quantize
from keras_sched.precision.bits import BitWidth
from keras_sched.precision.cost import EMULATED, Cost, LayerCost, predicted_cost
from keras_sched.precision.macs import LayerMacs, macs
from keras_sched.precision.phases import Phase
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
    "Phase",
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
