"""A small detector of blood cells: `configs/bccd.py`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals.loop import Pictures, looped

__all__ = ["make", "network"]

BATCH, COUNT, HEIGHT, WIDTH, CLASSES, BOXES = 8, 205, 240, 320, 3, 20
STRIDE, CHANNELS = 8, 16
ANCHORS = ((20, 20), (50, 52), (92, 104))


class Block(nn.Module):
    def __init__(self, size: int, dilation: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(size, size, 3, 1, dilation, dilation, bias=False)
        self.two = nn.Conv2d(size, size, 3, 1, 1, bias=False)
        self.norm_one, self.norm_two = nn.BatchNorm2d(size), nn.BatchNorm2d(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = functional.relu(self.norm_one(self.one(x)))
        return functional.relu(x + self.norm_two(self.two(out)))


def network() -> nn.Module:
    """Return the network."""
    layers, before = [], 3
    for stage in range(3):
        after = CHANNELS * 2**stage
        conv = nn.Conv2d(before, after, 3, 2, 1, bias=False)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
        layers += [Block(after, 1)] if stage else []
        before = after
    layers += [Block(before, dilation) for dilation in (2, 4, 8)]
    return nn.Sequential(*layers, nn.Conv2d(before, len(ANCHORS) * (5 + CLASSES), 1))


def make() -> Callable[[int], None]:
    """Return its training; every image has as many boxes, and is cut and mirrored with them."""
    model = network().to(memory_format=torch.channels_last)
    data = Pictures((HEIGHT, WIDTH, 3), COUNT, BATCH)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    side = torch.tensor([1 / rows, 1 / columns])
    places = torch.stack(
        torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), -1
    )
    corners = (places.reshape(-1, 2) * side).repeat_interleave(len(ANCHORS), 0)
    shapes = torch.tensor(ANCHORS) / torch.tensor([HEIGHT, WIDTH])
    anchors = shapes.repeat(rows * columns, 1)
    middles = 0.2 + 0.6 * torch.rand(COUNT, BOXES, 2)
    sizes = shapes[torch.randint(0, 3, (COUNT, BOXES))] * (0.8 + 0.4 * torch.rand(COUNT, BOXES, 2))
    labels = torch.randint(0, CLASSES, (COUNT, BOXES))

    def loss(step: int) -> torch.Tensor:
        images, _ = data.batch(step)
        index = torch.arange(step * BATCH, (step + 1) * BATCH) % COUNT
        scale = 0.7 + 0.3 * torch.rand(BATCH, 2)
        begin = torch.rand(BATCH, 2) * (1 - scale)
        theta = torch.zeros(BATCH, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = scale[:, 1], scale[:, 0]
        theta[:, 0, 2], theta[:, 1, 2] = (2 * begin + scale - 1).flip(1).unbind(1)
        grid = functional.affine_grid(theta, images.shape, align_corners=False)
        images = functional.grid_sample(images, grid, align_corners=False)
        middle = (middles[index] - begin[:, None]) / scale[:, None]
        shape = sizes[index] / scale[:, None]
        for axis in (0, 1):
            turned = torch.rand(BATCH) < 0.5
            images = torch.where(turned[:, None, None, None], images.flip(2 + axis), images)
            middle[..., axis] = torch.where(
                turned[:, None], 1 - middle[..., axis], middle[..., axis]
            )
        contrast = 1 + 0.2 * (2 * torch.rand(BATCH, 1, 1, 1) - 1)
        images = (images - 0.5) * contrast + 0.5 + 0.1 * (2 * torch.rand(BATCH, 1, 1, 1) - 1)
        images = images.clamp(0, 1).to(memory_format=torch.channels_last)
        there = ((middle > 0) & (middle < 1)).all(-1)
        raw = model(images).permute(0, 2, 3, 1).reshape(BATCH, -1, 5 + CLASSES)
        both = torch.minimum(shape[:, :, None], shapes).prod(-1)
        best = (both / (shape.prod(-1)[..., None] + shapes.prod(-1) - both)).argmax(-1)
        cell = (middle.clamp(0, 0.9999) * torch.tensor([rows, columns])).long()
        own = (cell[..., 0] * columns + cell[..., 1]) * len(ANCHORS) + best
        own = torch.where(there, own, 0)
        says = raw.gather(1, own[..., None].expand(-1, -1, 5 + CLASSES))
        share = (middle - corners[own]) / side
        bce = functional.binary_cross_entropy_with_logits
        box = bce(says[..., :2], share, reduction="none").sum(-1)
        box = box + 0.5 * ((says[..., 2:4] - (shape / anchors[own]).log()) ** 2).sum(-1)
        named = functional.one_hot(labels[index], CLASSES).float()
        classes = bce(says[..., 5:], named, reduction="none").sum(-1)
        with torch.no_grad():
            at = corners + side * torch.sigmoid(raw[..., :2])
            half = 0.5 * anchors * raw[..., 2:4].exp()
            low = torch.maximum((at - half)[:, :, None], (middle - shape / 2)[:, None])
            high = torch.minimum((at + half)[:, :, None], (middle + shape / 2)[:, None])
            inner = (high - low).clamp(min=0).prod(-1)
            outer = (4 * half.prod(-1))[:, :, None] + shape.prod(-1)[:, None] - inner
            overlap = (inner / outer.clamp(min=1e-9) * there[:, None]).amax(-1)
            target = torch.zeros(raw.shape[:2]).scatter(1, own, there.float())
            counts = torch.maximum(target, (overlap <= 0.5).float())
        objectness = counts * bce(raw[..., 4], target, reduction="none")
        weight = there * (2 - shape.prod(-1))
        return ((weight * box + there * classes).sum(-1) + objectness.sum(-1)).mean()

    return looped(optimizer, loss)
