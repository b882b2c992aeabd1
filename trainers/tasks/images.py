"""What tasks share whose data are labelled images."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import Any, Protocol

import tensorflow as tf

from trainers import datasets
from trainers.datasets import Labelled
from trainers.loop.task import Evaluation
from trainers.options.images import ImageData
from trainers.tasks.configured import Configuration, ConfiguredTask

__all__ = ["EVALUATION_SEED", "ImageTask"]

# The random numbers of evaluations are the same in each: no seed of a training is as large.
EVALUATION_SEED = 2**40


class ImageConfiguration(Configuration, Protocol):
    """What a configuration has besides: which images."""

    @property
    def images(self) -> ImageData: ...


class ImageTask(ConfiguredTask, abc.ABC):
    """A task that trains on a data set of images, and is evaluated on them.

    A family sets `metrics` and `goal` before it calls this.
    """

    config: ImageConfiguration
    data: Labelled

    def __init__(self, config: Any, data: Labelled | None = None) -> None:
        training = config.training
        self.evaluations = {
            name: Evaluation(functools.partial(self._evaluated, name), training.evaluate_every)
            for name in training.evaluations
        }
        self._held: dict[str, tf.data.Dataset] = {}
        super().__init__(config, data)

    @classmethod
    def prepared(cls, data: Labelled) -> Labelled:
        """Return images as the family trains on them: shifted, mirrored and normalised, or not."""
        return data

    @classmethod
    def load(cls, config: ImageConfiguration, data_dir: str | None = None) -> Labelled:
        """Return the images that it trains on and is evaluated with."""
        images = config.images
        return cls._split(datasets.get(images.dataset, data_dir, images.image_size), config)

    @classmethod
    def check_data(cls, config: ImageConfiguration, data_dir: str | None = None) -> None:
        """Check that the data set is there."""
        datasets.check(config.images.dataset, data_dir)

    @classmethod
    def stand_in(cls, config: ImageConfiguration) -> Labelled:
        """Return random images in the shape and number of the data set."""
        return cls._split(datasets.random(config.images.dataset, config.images.image_size), config)

    @classmethod
    def _split(cls, data: Labelled, config: ImageConfiguration) -> Labelled:
        return cls.prepared(data).split(config.training.split).thinned(config.images.train_share)

    @classmethod
    def data_key(cls, config: ImageConfiguration) -> tuple[Any, ...]:
        """Return what the images depend on."""
        images = config.images
        return images.dataset, images.image_size, config.training.split, images.train_share

    @classmethod
    def facts_of(cls, config: ImageConfiguration) -> datasets.Facts:
        """Return what is known of the data set of a configuration without having it."""
        return datasets.facts(config.images.dataset, config.images.image_size)

    @property
    def facts(self) -> datasets.Facts:
        """What is known of the data set without having it."""
        return self.facts_of(self.config)

    def count_steps(self) -> int:
        """Return the full batches of an epoch."""
        training = self.config.training
        share = self.config.images.train_share
        return self.facts.steps_per_epoch(training.split, training.batch_size, share)

    def train(self, step: int) -> tf.data.Dataset:
        """Return batches of images and labels, shuffled, from a data step on."""
        training = self.config.training
        return self.data.train(training.batch_size, training.seed, step)

    def evaluate(self, name: str) -> tf.data.Dataset:
        """Return the batches of an evaluation, once."""
        times = 1 if self.facts.is_streamed else 4  # Photographs are large.
        return self.data.evaluate(times * self.config.training.batch_size, name)

    def drawn(
        self,
        data: tf.data.Dataset,
        seed: int,
        start: int,
        draw: Callable[..., tuple[tf.Tensor, ...]],
    ) -> tf.data.Dataset:
        """Return batches with random numbers, which are a function of seed and step.

        Args:
            data: Pairs of images and labels.
            seed: A seed; that of `EVALUATION_SEED` is no training's.
            start: The step of the first batch.
            draw: Returns what becomes of images, labels and the seeds of a batch, two numbers.
        """

        def with_seeds(batch: tuple[tf.Tensor, tf.Tensor], step: tf.Tensor) -> Any:
            return draw(*batch, tf.stack([tf.constant(seed, tf.int64), step]))

        steps = tf.data.Dataset.range(start, tf.int64.max)
        return tf.data.Dataset.zip((data, steps)).map(with_seeds)

    def damage(self, step: int, evaluation: str | None) -> str | None:
        """Return which image cannot be read, and why."""
        if not isinstance(self.data, datasets.Stream) or evaluation not in (None, "test", "val"):
            return None
        training = self.config.training
        return self.data.damage(training.batch_size, training.seed, step, evaluation)

    def _evaluated(self, name: str) -> tf.data.Dataset:
        if name not in self._held:  # Made once: each would keep its own copy of the images.
            self._held[name] = self.evaluate(name)
        return self._held[name]
