"""What the rivals share: the loop, and images with their augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

__all__ = ["Pictures", "looped", "parameters"]


class Pictures:
    """Random images in memory, drawn in batches, shifted and mirrored.

    Args:
        shape: Height, width and channels.
        count: How many.
        batch_size: Images of a batch.
        shift: Pixels by which each is shifted at most.
        flip: Whether half of them are mirrored.
    """

    def __init__(
        self, shape: Sequence[int], count: int, batch_size: int, shift: int = 0, flip: bool = False
    ) -> None:
        draw = np.random.default_rng(0)
        pixels = torch.from_numpy(draw.integers(0, 256, (count, *shape), dtype=np.uint8))
        self._pixels = pixels.permute(0, 3, 1, 2).contiguous()
        self._labels = torch.from_numpy(draw.integers(0, 10, count))
        self._order = torch.randperm(count)
        self._batch_size, self._shift, self._flip = batch_size, shift, flip

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images with pixels in [0, 1] and labels."""
        size = self._batch_size
        index = self._order[(step * size) % (len(self._order) - size) :][:size]
        images = self._pixels[index]
        if self._shift or self._flip:
            height, width = images.shape[2:]
            shift = self._shift
            images = functional.pad(images, (shift, shift, shift, shift))
            rows = torch.arange(height)[None] + torch.randint(0, 2 * shift + 1, (size, 1))
            columns = torch.arange(width)[None] + torch.randint(0, 2 * shift + 1, (size, 1))
            if self._flip:
                columns = torch.where(torch.rand(size, 1) < 0.5, columns.flip(1), columns)
            every = torch.arange(size)[:, None, None]
            cropped = images[every, :, rows[:, :, None], columns[:, None, :]]
            images = cropped.permute(0, 3, 1, 2)
        return images.float() / 255.0, self._labels[index]


def looped(
    optimizer: torch.optim.Optimizer, loss: Callable[[int], torch.Tensor]
) -> Callable[[int], None]:
    """Return the usual loop, by the number of its steps."""

    def train(steps: int) -> None:
        for step in range(steps):
            found = loss(step)
            optimizer.zero_grad()
            found.backward()
            optimizer.step()
            found.item()

    return train


def parameters(model: Any) -> int:
    """Return the number of weights that are trained."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
