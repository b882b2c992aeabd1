"""What a configuration of a variational autoencoder says: its data and its network."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option
from trainers.options.images import ImageData
from trainers.options.optimization import Optimization
from trainers.options.precision import Precision
from trainers.options.training import Training

__all__ = ["VariationalAutoencoder"]


@dataclasses.dataclass(frozen=True)
class VariationalAutoencoder(Options):
    """A setting of a variational autoencoder; see `configs/vae_mnist.py` for the papers'."""

    training: Training
    images: ImageData = dataclasses.field(default_factory=ImageData)
    latent: int = option(2, "Dimensions of the code.", low=1, high=4096, flag=True)
    hidden: tuple[int, ...] = option(
        (512, 256),
        "Units of the hidden layers of the encoder, from the image on; the decoder has them in the "
        "other order.",
        low=1,
        high=65_536,
    )
    importance_samples: int = option(
        16,
        "Codes of an image that are drawn to estimate its likelihood where it is evaluated, all at "
        "once; 0 for no estimate.",
        low=0,
        high=256,
    )
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: Precision = dataclasses.field(default_factory=Precision)
