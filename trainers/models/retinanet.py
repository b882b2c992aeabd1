"""RetinaNet (Lin et al., "Focal Loss for Dense Object Detection", arXiv 1708.02002).

The ResNet is that of keras-hub, which has weights for it that were trained on ImageNet. Pyramid and
heads are made here: those of keras-hub 0.32 take the width of coarse levels for their height, and
begin with the prior in the head of the boxes, where it belongs to that of the classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from trainers.models import hub

__all__ = [
    "LEVELS",
    "SHAPES",
    "STRIDE",
    "backbone",
    "detector",
    "freeze_normalization",
    "names",
]

# Blocks of the four stages, and what a block is.
_BLOCKS = {
    "retinanet18": ((2, 2, 2, 2), "basic_block"),
    "retinanet101": ((3, 4, 23, 3), "bottleneck_block"),
}
# Pixels by which the ResNet makes an image smaller.
STRIDE = 32
# Of the pyramid: a cell of level l has 2^l pixels to a side.
LEVELS = (3, 4, 5, 6, 7)
# Heights and widths of the anchors of a cell, in cells: three shapes, and three sizes in an octave.
SHAPES = tuple(
    (4.0 * scale * tall**0.5, 4.0 * scale / tall**0.5)
    for tall in (0.5, 1.0, 2.0)
    for scale in (1.0, 2.0 ** (1.0 / 3.0), 2.0 ** (2.0 / 3.0))
)
_CHANNELS, _CONVOLUTIONS, _PRIOR = 256, 4, 0.01
# Of the photographs of ImageNet, on which backbones are trained.
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def names() -> list[str]:
    """Return the names of the detectors, sorted."""
    return sorted(_BLOCKS)


def backbone(name: str, size: tuple[int, int]) -> keras.Model:
    """Return a new ResNet for images of a height and width.

    Args:
        name: One of `names()`: whose it is.
        size: Height and width of the images.

    Raises:
        ValueError: If the name is unknown, or keras-hub is not installed.
    """
    if name not in _BLOCKS:
        raise ValueError(f"`model` must be one of {', '.join(names())}. Received: model={name!r}")
    blocks, kind = _BLOCKS[name]
    return hub.imported().models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=list(blocks),
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=kind,
        image_shape=(*size, 3),
        name="resnet",
    )


def freeze_normalization(encoder: keras.Model) -> None:
    """Leave batch normalisation as it is: with the statistics, scales and offsets of ImageNet.

    The statistics of the few images of a batch would be noise.
    """
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def detector(encoder: keras.Model, size: tuple[int, int], classes: int) -> keras.Model:
    """Return a new detector on a ResNet.

    Args:
        encoder: What `backbone` returns, for images of this size.
        size: Height and width of the images, multiples of 32.
        classes: Number of classes.

    Returns:
        A model of images with pixels in [0, 1]. It gives an array of shape
        `(batch, anchors, 4 + classes)`: level after level, row after row, cell after cell
        and anchor after anchor, four numbers of the box and the logit of each class.
    """
    heads = (
        _head("box_head", 4, 0.0),
        _head("class_head", classes, -math.log((1.0 - _PRIOR) / _PRIOR)),
    )
    images = keras.layers.Input((*size, 3))
    scale = [1.0 / each for each in _SPREAD]
    shift = [-mean / spread for mean, spread in zip(_MEAN, _SPREAD, strict=True)]
    stages = keras.Model(encoder.inputs, encoder.pyramid_outputs, name=encoder.name)
    levels = _pyramid(stages(keras.layers.Rescaling(scale, shift)(images)))
    numbers = []
    for head in heads:
        each = head.output.shape[-1] // len(SHAPES)
        made = [keras.layers.Reshape((-1, each))(head(level)) for level in levels]
        numbers.append(keras.layers.Concatenate(axis=1)(made))
    # As the outputs of a model, they are float32 in any policy.
    outputs = keras.layers.Concatenate(axis=-1)(numbers)
    return keras.Model(images, outputs, name="retinanet")


def _pyramid(stages: Mapping[str, Any]) -> list[Any]:
    """Return the features of the levels, the finest first (section 4 and footnote 2)."""
    finest, middle, coarsest = (f"P{level}" for level in LEVELS[:3])
    merged: list[Any] = []
    for level in (coarsest, middle, finest):
        x = _convolution(f"lateral_{level}", _CHANNELS, kernel=1)(stages[level])
        if merged:
            x = keras.layers.Add()([x, keras.layers.UpSampling2D()(merged[0])])
        merged.insert(0, x)
    levels = zip((finest, middle, coarsest), merged, strict=True)
    found = [_convolution(f"pyramid_{level}", _CHANNELS)(x) for level, x in levels]
    found.append(_convolution("pyramid_P6", _CHANNELS, strides=2)(stages[coarsest]))
    x = keras.layers.ReLU()(found[-1])
    found.append(_convolution("pyramid_P7", _CHANNELS, strides=2)(x))
    return found


def _head(name: str, numbers: int, bias: float) -> keras.Model:
    """Return the head that all levels share: so many numbers of each anchor."""
    x = features = keras.layers.Input((None, None, _CHANNELS))
    for number in range(_CONVOLUTIONS):
        x = _convolution(f"{name}_{number}", _CHANNELS, initializer=_small())(x)
        x = keras.layers.ReLU()(x)
    filters = len(SHAPES) * numbers
    x = _convolution(f"{name}_last", filters, initializer=_small(), bias=bias)(x)
    return keras.Model(features, x, name=name)


def _small() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.01)  # Section 4.1.


def _convolution(
    name: str,
    filters: int,
    kernel: int = 3,
    strides: int = 1,
    initializer: Any = "glorot_uniform",
    bias: float = 0.0,
) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters,
        kernel,
        strides,
        padding="same",
        kernel_initializer=initializer,
        bias_initializer=keras.initializers.Constant(bias),
        name=name,
    )
