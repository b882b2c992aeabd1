"""Image classification: what `trainers.cifar` trains."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

from trainers import datasets, models
from trainers.datasets import Images
from trainers.loop.task import Evaluation, Forward, Metric
from trainers.options.classification import Classification
from trainers.tasks.configured import ConfiguredTask

__all__ = ["ImageClassification"]


class ImageClassification(ConfiguredTask):
    """Classifies images; see `trainers.options.classification` for its options."""

    options = Classification
    config: Classification
    data: Images

    def __init__(self, config: Classification, data: Images | None = None) -> None:
        if config.model not in models.names():
            raise ValueError(
                f"`model` must be one of {', '.join(models.names())}. "
                f"Received: model={config.model!r}"
            )
        training = config.training
        self.goal = f"{training.evaluations[0]}_accuracy"
        self.metrics = {"accuracy": Metric("higher", is_share=True, printed="error", is_count=True)}
        self.evaluations = {
            name: Evaluation(functools.partial(self._evaluated, name), training.evaluate_every)
            for name in training.evaluations
        }
        self._held: dict[str, tf.data.Dataset] = {}
        super().__init__(config, data)

    @classmethod
    def load(cls, config: Classification, data_dir: str | None = None) -> Images:
        """Return the images that it trains on and is evaluated with."""
        data = datasets.get(config.dataset, data_dir).split(config.training.split)
        return data.thinned(config.train_share)

    @classmethod
    def check_data(cls, config: Classification, data_dir: str | None = None) -> None:
        """Check that the data set is there."""
        datasets.check(config.dataset, data_dir)

    @classmethod
    def stand_in(cls, config: Classification) -> Images:
        """Return random images in the shape and number of the data set."""
        data = datasets.random(config.dataset).split(config.training.split)
        return data.thinned(config.train_share)

    @classmethod
    def data_key(cls, config: Classification) -> tuple[Any, ...]:
        """Return what the images depend on."""
        return config.dataset, config.training.split, config.train_share

    def count_steps(self) -> int:
        """Return the full batches of an epoch."""
        training = self.config.training
        facts = datasets.facts(self.config.dataset)
        share = self.config.train_share
        return facts.steps_per_epoch(training.split, training.batch_size, share)

    def network(self) -> keras.Model:
        """Return the model for the images of the data set."""
        facts = datasets.facts(self.config.dataset)
        return models.get(self.config.model, facts.input_shape, facts.classes)

    def train(self, step: int) -> tf.data.Dataset:
        """Return batches of images and labels, shuffled and augmented."""
        training = self.config.training
        return self.data.train(training.batch_size, training.seed, step)

    def _evaluated(self, name: str) -> tf.data.Dataset:
        if name not in self._held:  # Made once: each would keep its own copy of the images.
            self._held[name] = self.data.evaluate(4 * self.config.training.batch_size, name)
        return self._held[name]

    def forward(
        self, model: keras.Model, batch: tuple[tf.Tensor, tf.Tensor], evaluation: str | None
    ) -> Forward:
        """Return cross entropy and accuracy of each image."""
        images, labels = batch
        logits = tf.cast(model(images, training=evaluation is None), tf.float32)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        right = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
        return Forward({"cross_entropy": loss}, {"accuracy": right})
