"""Models by name; every one takes normalised images and gives logits."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from trainers.models.cnn import cnn
from trainers.models.large_resnet import DEPTHS, large_resnet
from trainers.models.mobilenet import mobilenet_v2
from trainers.models.resnet import resnet
from trainers.models.vgg import vgg16
from trainers.models.wide_resnet import wide_resnet

__all__ = ["get", "names"]

_DEPTHS = (8, 20, 38, 56, 74, 110, 152)
_BY_NAME: dict[str, Callable[[tuple[int, int, int], int], keras.Model]] = {
    "cnn2": functools.partial(cnn, 2),
    "cnn3": functools.partial(cnn, 3),
    **{f"resnet{depth}": functools.partial(resnet, depth) for depth in _DEPTHS},
    **{
        f"resnet{depth}_projected": functools.partial(resnet, depth, shortcut="projected")
        for depth in _DEPTHS
    },
    **{f"resnet{depth}": functools.partial(large_resnet, depth) for depth in DEPTHS},
    "mobilenet_v2": mobilenet_v2,
    "vgg16": vgg16,
    "wide_resnet10_1": functools.partial(wide_resnet, 10, 1),
    "wide_resnet16_8": functools.partial(wide_resnet, 16, 8),
}


def names() -> list[str]:
    """Return the names that `get` knows, sorted."""
    return sorted(_BY_NAME)


def get(name: str, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return a new model.

    Args:
        name: One of `names()`.
        input_shape: Height, width and channels.
        classes: Number of logits.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in _BY_NAME:
        raise ValueError(f"`model` must be one of {', '.join(names())}. Received: model={name!r}")
    return _BY_NAME[name](input_shape, classes)
