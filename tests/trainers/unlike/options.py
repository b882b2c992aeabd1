"""What their configurations say: nothing of their own."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options
from trainers.options.optimization import Optimization
from trainers.options.precision import Precision
from trainers.options.training import Training

STEPS_PER_EPOCH = 12


@dataclasses.dataclass(frozen=True)
class Small(Options):
    training: Training
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: Precision = dataclasses.field(default_factory=Precision)
