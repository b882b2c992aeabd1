"""Capsule networks for images: what `trainers.capsnet` trains."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from trainers.datasets import Labelled
from trainers.loop.task import Forward, Metric, Weighted
from trainers.models.capsnet import DECODER, LEAST_SIDE, capsnet, lengths
from trainers.options.capsnet import Capsules
from trainers.tasks.images import ImageTask
from trainers.tasks.pictures import gallery

__all__ = ["CapsNet"]

_PRESENT, _ABSENT, _DOWN = 0.9, 0.1, 0.5
_SHIFT = 2
_SHOWN = 10
# People look at about so many epochs.
_LOOKS = 10


class CapsNet(ImageTask):
    """Classifies images by the lengths of capsules; see `trainers.options.capsnet`.

    The loss of an image of class k, with lengths n_j of the capsules of classes j::

        margin = max(0, 0.9 - n_k)^2 + 0.5 sum_(j != k) max(0, n_j - 0.1)^2
        reconstruction = weight * sum_i (x_i - y_i)^2

    with pixels x in [0, 1], and y what the decoder makes of the capsule of class k alone, where it
    is evaluated too. Images are shifted by up to two pixels and not mirrored.

    References:
        Sabour et al., "Dynamic Routing Between Capsules" (arXiv 1710.09829), equation 4, section
        4.1 and, for the shift, section 5.
    """

    options = Capsules
    config: Capsules

    def __init__(self, config: Capsules, data: Labelled | None = None) -> None:
        self.goal = f"{config.training.evaluations[0]}_accuracy"
        self.training_metrics = ("accuracy",)
        self.metrics = {"accuracy": Metric("higher", is_share=True, printed="error", is_count=True)}
        self.artefacts_every = math.ceil(config.training.trained_epochs / _LOOKS)
        height, width, _ = self.facts_of(config).input_shape
        if min(height, width) < LEAST_SIDE:
            raise ValueError(
                f"Images must have sides of at least {LEAST_SIDE}. Received: {height}x{width} of "
                f"dataset={config.images.dataset!r}, image_size={config.images.image_size}"
            )
        super().__init__(config, data)

    @classmethod
    def prepared(cls, data: Labelled) -> Labelled:
        """Return images with pixels in [0, 1], shifted and not mirrored."""
        return dataclasses.replace(data.plain(), shift=min(data.shift, _SHIFT))

    def network(self) -> keras.Model:
        """Return the capsule network for the images of the data set."""
        config, facts = self.config, self.facts
        return capsnet(
            facts.input_shape, facts.classes, config.channels, config.primary, config.routing
        )

    def forward(
        self, model: keras.Model, batch: tuple[tf.Tensor, tf.Tensor], evaluation: str | None
    ) -> Forward:
        """Return both losses and the accuracy of each image."""
        images, labels = batch
        mask = tf.one_hot(labels, self.facts.classes)
        outputs = model([images, mask], training=evaluation is None)
        capsules, logits = (tf.cast(each, tf.float32) for each in outputs)
        found = lengths(capsules)
        missed = mask * tf.square(tf.nn.relu(_PRESENT - found))
        wrong = (1.0 - mask) * tf.square(tf.nn.relu(found - _ABSENT))
        losses: dict[str, Weighted] = {"margin": tf.reduce_sum(missed + _DOWN * wrong, axis=-1)}
        if weight := self.config.reconstruction:
            error = tf.reshape(images, tf.shape(logits)) - tf.sigmoid(logits)
            losses["reconstruction"] = weight * tf.reduce_sum(tf.square(error), axis=-1)
        right = tf.argmax(found, axis=-1, output_type=labels.dtype) == labels
        return Forward(losses, {"accuracy": tf.cast(right, tf.float32)})

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, np.ndarray]:
        """Return images above what the longest of their capsules is decoded to."""
        if not self.config.reconstruction:
            return {}
        images = next(iter(self._evaluated(next(iter(self.evaluations)))))[0][:_SHOWN]
        every = tf.ones([len(images), self.facts.classes])
        capsules, _ = model([images, every], training=False)
        longest = tf.argmax(lengths(tf.cast(capsules, tf.float32)), axis=-1)
        kept = capsules * tf.one_hot(longest, self.facts.classes, dtype=capsules.dtype)[..., None]
        logits = model.get_layer(DECODER)(tf.reshape(kept, [len(images), -1]), training=False)
        pixels = tf.sigmoid(tf.cast(logits, tf.float32)).numpy().reshape(images.shape)
        return {"reconstructions": gallery(np.concatenate([images.numpy(), pixels]), len(images))}
