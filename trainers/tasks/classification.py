"""Image classification: what `trainers.cifar`, `stl10` and `imagenet` train."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from trainers import models
from trainers.datasets import Labelled
from trainers.loop.task import Forward, Metric
from trainers.options.classification import Classification
from trainers.options.fields import check_known
from trainers.tasks.images import ImageTask
from trainers.tasks.pictures import captioned

__all__ = ["ImageClassification"]

# Of so many batches the images that are most wrong are shown, and so many of them.
_SEARCHED = 4
_SHOWN = 24
_COLUMNS = 8


class ImageClassification(ImageTask):
    """Classifies images; see `trainers.options.classification` for its options."""

    options = Classification
    config: Classification

    def __init__(self, config: Classification, data: Labelled | None = None) -> None:
        check_known("model", config.model, models.names(), "a model")
        self.goal = f"{config.training.evaluations[0]}_accuracy"
        self.training_metrics = ("accuracy",)
        self.metrics = {"accuracy": Metric("higher", is_share=True, printed="error", is_count=True)}
        self.artefacts_every = config.training.trained_epochs
        super().__init__(config, data)

    def network(self) -> keras.Model:
        """Return the model for the images of the data set."""
        return models.get(self.config.model, self.facts.input_shape, self.facts.classes)

    def forward(
        self, model: keras.Model, batch: tuple[tf.Tensor, tf.Tensor], evaluation: str | None
    ) -> Forward:
        """Return cross entropy and accuracy of each image."""
        images, labels = batch
        logits = tf.cast(model(images, training=evaluation is None), tf.float32)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        right = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
        return Forward({"cross_entropy": loss}, {"accuracy": right})

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, np.ndarray]:
        """Return the images whose wrong class is most certain, with both classes."""
        worst: list[tuple[float, int, int, np.ndarray]] = []
        for images, labels in self._evaluated(next(iter(self.evaluations))).take(_SEARCHED):
            logits = tf.cast(model(images, training=False), tf.float32)
            shares = tf.nn.softmax(logits).numpy()
            said, truth = shares.argmax(axis=-1), labels.numpy()
            wrong = np.flatnonzero(said != truth)
            surest = wrong[np.argsort(-shares[wrong, said[wrong]], kind="stable")][:_SHOWN]
            worst += [
                (shares[place, said[place]], said[place], truth[place], images[place].numpy())
                for place in surest
            ]
            worst = sorted(worst, key=lambda each: -each[0])[:_SHOWN]
        if not worst:
            return {}
        names = self.data.class_names or [str(number) for number in range(self.data.classes)]
        captions = [
            (f"{names[said]}, {100 * share:.0f} %", f"is {names[truth]}")
            for share, said, truth, _ in worst
        ]
        pixels = self.data.pixels(np.stack([image for *_, image in worst]))
        return {"wrong": captioned(pixels, captions, _COLUMNS)}
