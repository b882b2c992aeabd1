"""ResNet-20 on CIFAR-10: `configs/rn20_cifar10.py`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals.loop import Pictures, looped

__all__ = ["make", "network"]

BATCH, COUNT = 128, 12_800


class Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm_one, self.norm_two = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.stride, self.added = stride, width - before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        short = x
        if self.stride != 1:
            half = self.added // 2
            short = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.added - half))
        x = functional.relu(self.norm_one(self.one(x)))
        return functional.relu(self.norm_two(self.two(x)) + short)


def network() -> nn.Module:
    """Return the network."""
    widths = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)]
    blocks = [Block(*width) for width in [*widths, *[(64, 64, 1)] * 2]]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*stem, *blocks, *ends)


def make() -> Callable[[int], None]:
    """Return its training."""
    model = network().to(memory_format=torch.channels_last)
    data = Pictures((32, 32, 3), COUNT, BATCH, shift=4, flip=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)

    def loss(step: int) -> torch.Tensor:
        images, labels = data.batch(step)
        pixels = ((images - 0.5) / 0.29).to(memory_format=torch.channels_last)
        return functional.cross_entropy(model(pixels), labels)

    return looped(optimizer, loss)
