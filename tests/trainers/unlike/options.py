"""What they share: a configuration with nothing of its own, and data that are computed."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options
from trainers.options.optimization import Optimization
from trainers.options.precision import Precision
from trainers.options.training import Training
from trainers.tasks.configured import ConfiguredTask

STEPS_PER_EPOCH = 12


@dataclasses.dataclass(frozen=True)
class Small(Options):
    training: Training
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: Precision = dataclasses.field(default_factory=Precision)


class Computed(ConfiguredTask):
    """A task whose data are functions of the step: there is nothing to load."""

    options = Small

    @classmethod
    def load(cls, config, data_dir=None):
        return None

    stand_in = load

    @classmethod
    def data_key(cls, config):
        return ()

    def count_steps(self):
        return STEPS_PER_EPOCH
