"""What a configuration of a score network says: its data, network, noise and samples."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option, shown
from trainers.options.images import ImageData
from trainers.options.optimization import Optimization
from trainers.options.paths import check_weights
from trainers.options.precision import Precision
from trainers.options.training import Training

__all__ = ["Scores"]


@dataclasses.dataclass(frozen=True)
class Scores(Options):
    """A setting of a noise-conditional score network; see `configs/ncsn_cifar10.py`."""

    training: Training
    images: ImageData = dataclasses.field(default_factory=ImageData)
    channels: int = option(
        128,
        "Channels of the first stage; later ones have twice as many.",
        low=1,
        high=4096,
        flag=True,
    )
    cascades: int = option(4, "Stages of the network.", low=1, high=8)
    levels: int = option(10, "Levels of noise, in geometric sequence.", low=2, high=10_000)
    noise_max: float = option(1.0, "Standard deviation of the most noise.", above=0.0, high=1e4)
    noise_min: float = option(0.01, "Standard deviation of the least.", above=0.0, high=1e4)
    samples: int = option(
        100,
        "Images that are drawn at the end, to look at and to be compared with test images; 0 for "
        "none.",
        low=0,
        high=1_000_000,
        flag=True,
    )
    sampling_steps: int = option(
        100, "Steps of Langevin dynamics at each level.", low=1, high=1_000_000, flag=True
    )
    sampling_rate: float = option(2e-5, "Length of a step at the least noise.", above=0.0, high=1.0)
    judge_model: str = option(
        "",
        "Classifier that judges samples: a model of `trainers.cifar`, trained on this data set, or "
        "'inception_v3'; empty for none.",
        traced=False,
    )
    judge_weights: str = option("", "File of its weights.", check=check_weights, traced=False)
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: Precision = dataclasses.field(default_factory=Precision)

    def check(self) -> None:
        if bool(self.judge_model) != bool(self.judge_weights):
            raise ValueError(
                f"`judge_model` and `judge_weights` must be given together. Received: "
                f"judge_model={shown(self.judge_model)}, judge_weights={shown(self.judge_weights)}"
            )
        if self.judge_model and not self.samples:
            raise ValueError(
                f"`judge_model` must be empty where no samples are drawn. Received: "
                f"judge_model={shown(self.judge_model)}, samples=0"
            )
        if self.samples == 1:
            raise ValueError("`samples` must be 0 for none, or at least 2. Received: samples=1")
        if self.noise_min >= self.noise_max:
            raise ValueError(
                f"`noise_min` must be below `noise_max`. Received: "
                f"noise_min={shown(self.noise_min)}, noise_max={shown(self.noise_max)}"
            )
