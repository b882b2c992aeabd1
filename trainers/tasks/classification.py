"""Image classification: what `trainers.cifar` trains."""

from __future__ import annotations

import keras
import tensorflow as tf

from trainers import models
from trainers.datasets import Images
from trainers.loop.task import Forward, Metric
from trainers.options.classification import Classification
from trainers.options.fields import check_known
from trainers.tasks.images import ImageTask

__all__ = ["ImageClassification"]


class ImageClassification(ImageTask):
    """Classifies images; see `trainers.options.classification` for its options."""

    options = Classification
    config: Classification

    def __init__(self, config: Classification, data: Images | None = None) -> None:
        check_known("model", config.model, models.names(), "a model")
        self.goal = f"{config.training.evaluations[0]}_accuracy"
        self.metrics = {"accuracy": Metric("higher", is_share=True, printed="error", is_count=True)}
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
