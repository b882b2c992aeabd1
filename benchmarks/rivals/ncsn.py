"""A small score network of Fashion-MNIST: `configs/ncsn_fashion_mnist.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals.loop import Pictures, looped

__all__ = ["make", "network"]

BATCH, COUNT, CHANNELS, LEVELS = 32, 6_400, 16, 10


class Norm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(LEVELS, 3 * size)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        mean = x.mean((2, 3), keepdim=True)
        center, spread = mean.mean(1, keepdim=True), mean.var(1, keepdim=True, correction=0)
        scaled = functional.instance_norm(x, eps=1e-5)
        between = (mean - center) * torch.rsqrt(spread + 1e-5)
        gamma, alpha, beta = self.table(level)[:, :, None, None].chunk(3, 1)
        return gamma * (scaled + alpha * between) + beta


class Activated(nn.Module):
    """Norm, ELU and convolution."""

    def __init__(self, before: int, after: int, bias: bool = True) -> None:
        super().__init__()
        self.norm = Norm(before)
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=bias)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return self.conv(functional.elu(self.norm(x, level)))


class Residual(nn.Module):
    def __init__(self, before: int, after: int, begins: bool = False) -> None:
        super().__init__()
        self.one, self.two = Activated(before, before), Activated(before, after)
        self.short = nn.Conv2d(before, after, 1) if begins else None

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        out = self.two(self.one(x, level), level)
        if self.short is None:
            return x + out
        return functional.avg_pool2d(self.short(x), 2) + functional.avg_pool2d(out, 2)


class Unit(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.one, self.two = Activated(size, size, False), Activated(size, size, False)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return x + self.two(self.one(x, level), level)


class Refined(nn.Module):
    def __init__(self, before: Sequence[int], after: int, units: int) -> None:
        super().__init__()
        self.adapted = nn.ModuleList(nn.ModuleList([Unit(b), Unit(b)]) for b in before)
        self.fused = len(before) > 1
        if self.fused:
            self.norms = nn.ModuleList(Norm(b) for b in before)
            self.convs = nn.ModuleList(nn.Conv2d(b, after, 3, padding=1) for b in before)
        else:
            after = before[0]
        self.pool_norms = nn.ModuleList(Norm(after) for _ in range(2))
        self.pool_convs = nn.ModuleList(
            nn.Conv2d(after, after, 3, padding=1, bias=False) for _ in range(2)
        )
        self.units = nn.ModuleList(Unit(after) for _ in range(units))

    def forward(self, xs: Sequence[torch.Tensor], level: torch.Tensor) -> torch.Tensor:
        made = []
        for x, (one, two) in zip(xs, self.adapted, strict=True):
            made.append(two(one(x, level), level))
        if self.fused:
            size = made[0].shape[2:]
            for number, (norm, conv) in enumerate(zip(self.norms, self.convs, strict=True)):
                made[number] = conv(norm(made[number], level))
                if made[number].shape[2:] != size:
                    made[number] = functional.interpolate(made[number], size, mode="bilinear")
        x = path = functional.elu(sum(made))
        for norm, conv in zip(self.pool_norms, self.pool_convs, strict=True):
            path = conv(functional.avg_pool2d(norm(path, level), 5, 1, 2, count_include_pad=False))
            x = x + path
        for unit in self.units:
            x = unit(x, level)
        return x


class NCSN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        wide = 2 * CHANNELS
        self.begin = nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.first = nn.ModuleList([Residual(CHANNELS, CHANNELS), Residual(CHANNELS, CHANNELS)])
        self.second = nn.ModuleList([Residual(CHANNELS, wide, True), Residual(wide, wide)])
        self.coarse = Refined([wide], CHANNELS, 1)
        self.fine = Refined([CHANNELS, wide], CHANNELS, 3)
        self.end = Activated(CHANNELS, 1)

    def forward(self, x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        one = self.begin(2.0 * x - 1.0)
        for block in self.first:
            one = block(one, level)
        two = one
        for block in self.second:
            two = block(two, level)
        return self.end(self.fine([one, self.coarse([two], level)], level), level)


def network() -> nn.Module:
    """Return the network."""
    return NCSN()


def make() -> Callable[[int], None]:
    """Return its training."""
    model = network().to(memory_format=torch.channels_last)
    data = Pictures((28, 28, 1), COUNT, BATCH, flip=True)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    noises = torch.from_numpy(np.geomspace(1.0, 0.01, LEVELS).astype(np.float32))

    def loss(step: int) -> torch.Tensor:
        images, _ = data.batch(step)
        level = torch.randint(0, LEVELS, (BATCH,))
        spread, noise = noises[level][:, None, None, None], torch.randn(images.shape)
        noisy = (images + spread * noise).to(memory_format=torch.channels_last)
        return 0.5 * ((spread * model(noisy, level) + noise) ** 2).sum((1, 2, 3)).mean()

    return looped(optimizer, loss)
