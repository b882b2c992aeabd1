"""Models by name; every one takes normalised images and gives logits."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from trainers.models.cnn import cnn
from trainers.models.mobilenet import mobilenet_v2
from trainers.models.resnet import resnet
from trainers.models.vgg import vgg16
from trainers.models.wide_resnet import wide_resnet

__all__ = ["get", "names"]

_BY_NAME: dict[str, Callable[[tuple[int, int, int], int], keras.Model]] = {
    "cnn2": functools.partial(cnn, 2),
    "cnn3": functools.partial(cnn, 3),
    "resnet8": functools.partial(resnet, 8),
    "resnet20": functools.partial(resnet, 20),
    "resnet38": functools.partial(resnet, 38),
    "resnet56": functools.partial(resnet, 56),
    **{
        f"resnet{depth}_projected": functools.partial(resnet, depth, shortcut="projected")
        for depth in (20, 38, 74, 110, 152)
    },
    "mobilenet_v2": mobilenet_v2,
    "vgg16": vgg16,
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
