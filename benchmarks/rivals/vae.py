"""The autoencoder of MNIST: `configs/vae_mnist.py`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals.loop import Pictures, looped

__all__ = ["make", "network"]

BATCH, COUNT, LATENT = 100, 12_000, 2


def network() -> nn.ModuleDict:
    """Return encoder and decoder."""
    encoder = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU())
    decoder = [nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU()]
    return nn.ModuleDict(
        {
            "encoder": encoder,
            "mean": nn.Linear(256, LATENT),
            "log_variance": nn.Linear(256, LATENT),
            "decoder": nn.Sequential(*decoder, nn.Linear(512, 784)),
        }
    )


def make() -> Callable[[int], None]:
    """Return its training."""
    model = network()
    data = Pictures((28, 28, 1), COUNT, BATCH)
    optimizer = torch.optim.SGD(model.parameters(), 1e-5, momentum=0.9)

    def loss(step: int) -> torch.Tensor:
        pixels = data.batch(step)[0].flatten(1)
        hidden = model["encoder"](pixels)
        mean, log_variance = model["mean"](hidden), model["log_variance"](hidden)
        code = mean + torch.exp(0.5 * log_variance) * torch.randn(BATCH, LATENT)
        logits = model["decoder"](code)
        cross = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="none")
        kl = 0.5 * (log_variance.exp() + mean**2 - 1.0 - log_variance).sum(-1)
        return (cross.sum(-1) + kl).mean()

    return looped(optimizer, loss)
