"""Noise-conditional score networks: what `trainers.ncsn` trains."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers import models
from trainers.datasets import Labelled
from trainers.loop.task import Evaluation, Forward, Metric
from trainers.models.ncsn import ncsn
from trainers.options.fields import check_known
from trainers.options.ncsn import Scores
from trainers.tasks.images import EVALUATION_SEED, ImageTask
from trainers.tasks.pictures import gallery
from trainers.tasks.samples import INCEPTION, Classifier, Normal, Pixels

__all__ = ["NCSN"]

SAMPLES = "samples"
_BATCH = 250
# So many samples are shown, and so many on their way from noise.
_SHOWN, _COLUMNS = 100, 10
_WAYS = 8
# With so many images samples are compared at most.
_COMPARED = 1000


class NCSN(ImageTask):
    """Learns the score of images with noise, and draws images by it; see `trainers.options.ncsn`.

    The loss of an image x with pixels in [0, 1], at a level of noise of standard deviation s that
    is drawn with the noise z::

        |s f(x + s z, s) + z|^2 / 2

    where f is the network. It is least where f is the gradient of the logarithm of the density of
    images with such noise. Levels are a geometric sequence from `noise_max` to `noise_min`.

    At the end images are drawn by annealed Langevin dynamics, from uniform noise and at each level
    for `sampling_steps` steps::

        x += a f(x, s) + sqrt(2 a) z,   a = sampling_rate (s / noise_min)^2

    The paper's algorithm 1 has half that a; this is what its released code does. "frechet" compares
    them with images that it is evaluated on by their pixels, "classifier_frechet" and
    "classifier_score" judge them by a trained classifier: see `trainers.tasks.samples`. They are
    undefined where what is drawn is not finite.

    References:
        Song and Ermon, "Generative Modeling by Estimating Gradients of the Data Distribution"
        (arXiv 1907.05600), equations 5 and 6, algorithm 1 and appendix B.
    """

    options = Scores
    config: Scores

    def __init__(self, config: Scores, data: Labelled | None = None) -> None:
        training = config.training
        self.goal = f"{training.evaluations[0]}_loss"
        self.metrics = {"frechet": Metric("lower")} if config.samples else {}
        self._judge = None
        if config.samples and config.judge_model:
            known = [INCEPTION, *models.names()]
            check_known("judge_model", config.judge_model, known, "a classifier")
            facts = self.facts_of(config)
            self._judge = Classifier(config.judge_model, config.judge_weights, facts)
            self.metrics |= {
                "classifier_frechet": Metric("lower"),
                "classifier_score": Metric("higher"),
            }
        self.artefacts_every = training.trained_epochs
        self._shown: dict[str, np.ndarray] = {}
        height, width, _ = self.facts_of(config).input_shape
        if height % 2 or width % 2:
            raise ValueError(
                f"Images must have even sides, as the network halves them. Received: "
                f"{height}x{width} of dataset={config.images.dataset!r}, "
                f"image_size={config.images.image_size}"
            )
        super().__init__(config, data)
        if config.samples:
            self.evaluations = {
                **self.evaluations,
                SAMPLES: Evaluation(self._starts, training.trained_epochs),
            }
            self.traced = self._traced()

    @classmethod
    def prepared(cls, data: Labelled) -> Labelled:
        """Return images as they are, with pixels in [0, 1], mirrored where that makes sense."""
        return dataclasses.replace(data.plain(), flip=data.flip)

    def followed(self) -> Mapping[str, str]:
        """Return what a learning rate may follow: losses, as metrics are of samples alone."""
        found = super().followed()
        return {name: mode for name, mode in found.items() if name.endswith("loss")}

    def check_flags(self, given: Collection[str]) -> None:
        """Check that each of some flags is used, whatever its value."""
        if "sampling_steps" in given and not self.config.samples:
            raise ValueError(
                "--sampling_steps is not used where no samples are drawn. Received: samples=0. "
                "Expected more, as --samples=64, or no such flag"
            )
        super().check_flags(given)

    @property
    def noises(self) -> np.ndarray:
        """Standard deviations of the noise, falling."""
        config = self.config
        found: np.ndarray = np.geomspace(config.noise_max, config.noise_min, config.levels)
        return found.astype(np.float32)

    def network(self) -> keras.Model:
        """Return the network for the images of the data set."""
        config = self.config
        return ncsn(self.facts.input_shape, config.levels, config.channels, config.cascades)

    def train(self, step: int) -> tf.data.Dataset:
        """Return batches of images, levels and noise, from a data step on."""
        return self.drawn(super().train(step), self.config.training.seed, step, self._noisy)

    def evaluate(self, name: str) -> tf.data.Dataset:
        """Return the batches of an evaluation, with noise that is the same in each."""
        return self.drawn(super().evaluate(name), EVALUATION_SEED, 0, self._noisy)

    def _noisy(
        self, images: tf.Tensor, _: tf.Tensor, seeds: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        keys = tf.random.split(seeds, 2)
        count = tf.shape(images)[:1]
        level = tf.random.stateless_uniform(count, keys[0], 0, self.config.levels, tf.int32)
        return (
            images,
            tf.ensure_shape(level, images.shape[:1]),
            tf.random.stateless_normal(tf.shape(images), keys[1]),
        )

    def _starts(self) -> tf.data.Dataset:
        """Return the uniform noise that samples begin with, and their numbers."""

        def start(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            shape = tf.concat([tf.shape(numbers), self.facts.input_shape], axis=0)
            noise = tf.random.stateless_uniform(shape, [EVALUATION_SEED, numbers[0]])
            return tf.ensure_shape(noise, [None, *self.facts.input_shape]), numbers

        return tf.data.Dataset.range(self.config.samples).batch(_BATCH).map(start)

    def forward(
        self, model: keras.Model, batch: tuple[tf.Tensor, ...], evaluation: str | None
    ) -> Forward:
        """Return the loss of each image; for samples, what is drawn."""
        if evaluation == SAMPLES:
            return Forward({}, outputs=self._sampled(model, *batch))
        images, level, noise = batch
        spread = tf.gather(self.noises, level)[:, None, None, None]
        score = model([images + spread * noise, level], training=evaluation is None)
        error = spread * tf.cast(score, tf.float32) + noise
        return Forward({"score_matching": 0.5 * tf.reduce_sum(tf.square(error), axis=(1, 2, 3))})

    def _sampled(
        self, model: keras.Model, start: tf.Tensor, numbers: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Return images that are drawn, and the first of them after each level."""
        config = self.config
        shape = tf.shape(start)
        noises = tf.constant(self.noises)
        lengths = config.sampling_rate * (noises / noises[-1]) ** 2

        def step(at: tf.Tensor, x: tf.Tensor, way: tf.Tensor) -> tuple[Any, ...]:
            level = at // config.sampling_steps
            length = lengths[level]
            seeds = tf.stack([EVALUATION_SEED + 1 + tf.cast(at, tf.int64), numbers[0]])
            noise = tf.random.stateless_normal(shape, seeds)
            score = model([x, tf.fill(shape[:1], level)], training=False)
            x = x + length * tf.cast(score, tf.float32) + tf.sqrt(2.0 * length) * noise
            # At each level the last of its steps stays.
            return at + 1, x, tf.tensor_scatter_nd_update(way, [[level]], [x[:_WAYS]])

        way = tf.repeat(start[None, :_WAYS], config.levels, axis=0)
        total = config.levels * config.sampling_steps
        _, drawn, way = tf.while_loop(
            lambda at, *_: at < total,
            step,
            (0, start, way),
            shape_invariants=(tf.TensorShape([]), start.shape, way.shape),
        )
        return {"drawn": drawn, "way": tf.concat([start[None, :_WAYS], way], axis=0)}

    def judge(
        self, evaluation: str, means: Mapping[str, float], outputs: Mapping[str, Sequence[Any]]
    ) -> Mapping[str, float]:
        """Return how far samples are from test images, and keep some to be shown."""
        if evaluation != SAMPLES:
            return {}
        drawn = np.concatenate([*outputs["drawn"]])
        if not np.isfinite(drawn).all():  # Langevin dynamics can diverge where the loss does not.
            self._shown = {}
            return dict.fromkeys(self.metrics, float("nan"))
        way = np.asarray(outputs["way"][0]).swapaxes(0, 1)
        self._shown = {
            "samples": gallery(drawn[:_SHOWN], _COLUMNS),
            "annealing": gallery(way.reshape(-1, *drawn.shape[1:]), way.shape[1]),
        }
        found = {"frechet": Pixels.of(self._compared).distance(drawn)}
        if self._judge is None:
            return found
        features, shares = self._judge.judged(self.data, drawn)
        expected, _ = self._judge.judged(self.data, self._compared)
        return {
            **found,
            "classifier_frechet": Normal.of(expected).distance(Normal.of(features)),
            "classifier_score": self._judge.score(shares),
        }

    @functools.cached_property
    def _compared(self) -> np.ndarray:
        """Images that samples are compared with: a thousand at most, evenly spaced."""
        name, *_ = (name for name in self.evaluations if name != SAMPLES)
        every = math.ceil(self.facts.count(name) / _COMPARED)
        kept, first = [], 0
        for images, *_ in self._evaluated(name).as_numpy_iterator():
            kept.append(images[-first % every :: every])
            first += len(images)
        return np.concatenate(kept)

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, np.ndarray]:
        """Return samples, and some of them on their way from noise, a row for each."""
        return self._shown
