"""A small capsule network on Fashion-MNIST: `configs/caps_fmnist_reduced.py`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals.loop import Pictures, looped

__all__ = ["make", "network"]

BATCH, COUNT = 128, 12_800
CHANNELS, PRIMARY, CLASSES, WIDE, ROUTING = 32, 8, 10, 16, 3
EPSILON = 1e-7


def squashed(x: torch.Tensor) -> torch.Tensor:
    square = (x**2).sum(-1, keepdim=True)
    return x * ((square + EPSILON).sqrt() / (1.0 + square))


class CapsNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, CHANNELS, 9)
        self.two = nn.Conv2d(CHANNELS, 8 * PRIMARY, 9, stride=2)
        self.kernel = nn.Parameter(0.1 * torch.randn(36 * PRIMARY, 8, CLASSES * WIDE))
        layers = [nn.Linear(CLASSES * WIDE, 512), nn.ReLU(), nn.Linear(512, 1024), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, nn.Linear(1024, 784))

    def forward(self, images: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.two(functional.relu(self.one(images)))
        x = squashed(x.permute(0, 2, 3, 1).reshape(len(images), -1, 8))
        votes = (x.transpose(0, 1) @ self.kernel).reshape(-1, len(images), CLASSES, WIDE)
        out = squashed(votes.sum(0) / CLASSES)
        logits: torch.Tensor | float = 0.0
        for _ in range(ROUTING - 1):
            logits = logits + (votes * out).sum(-1, keepdim=True)
            out = squashed((torch.softmax(logits, 2) * votes).sum(0))
        return out, self.decoder((out * mask[..., None]).flatten(1))


def network() -> nn.Module:
    """Return the network."""
    return CapsNet()


def make() -> Callable[[int], None]:
    """Return its training."""
    model = network().to(memory_format=torch.channels_last)
    data = Pictures((28, 28, 1), COUNT, BATCH, shift=2)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)

    def loss(step: int) -> torch.Tensor:
        images, labels = data.batch(step)
        mask = functional.one_hot(labels, CLASSES).float()
        capsules, logits = model(images, mask)
        norm = ((capsules**2).sum(-1) + EPSILON).sqrt()
        missed = mask * functional.relu(0.9 - norm) ** 2
        wrong = 0.5 * (1.0 - mask) * functional.relu(norm - 0.1) ** 2
        error = ((images.flatten(1) - torch.sigmoid(logits)) ** 2).sum(-1)
        return ((missed + wrong).sum(-1) + 0.0005 * error).mean()

    return looped(optimizer, loss)
