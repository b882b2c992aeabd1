"""Variational autoencoders of images: what `trainers.vae` trains."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import keras
import numpy as np
import scipy.stats
import tensorflow as tf

from trainers.datasets import Labelled
from trainers.loop.task import Forward, Metric
from trainers.models.vae import DECODER, vae
from trainers.options.vae import VariationalAutoencoder
from trainers.tasks.images import EVALUATION_SEED, ImageTask
from trainers.tasks.pictures import gallery

__all__ = ["VAE"]

_SHOWN = 10
# Codes of the plane that is shown lie at as many quantiles of each dimension.
_QUANTILES = 15
# People look at about so many epochs.
_LOOKS = 10


class VAE(ImageTask):
    """Encodes images as few numbers; see `trainers.options.vae` for its options.

    The loss is the negative of the evidence lower bound (ELBO), in nats for each image::

        reconstruction + kl
        reconstruction = - sum_i [x_i log p_i + (1 - x_i) log(1 - p_i)]
        kl = sum_j [exp(v_j) + m_j^2 - 1 - v_j] / 2

    with pixels x in [0, 1], p what the decoder makes of a code ``m + exp(v / 2) noise``, and mean m
    and log variance v that the encoder gives. Of grey pixels it is a cross entropy, no likelihood
    of real numbers. "nll", where it is evaluated, is a tighter bound with K codes of each image::

        nll = - log (1 / K) sum_k p(x | z_k) p(z_k) / q(z_k | x)

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes" (arXiv 1312.6114), equation 10.
        Burda et al., "Importance Weighted Autoencoders" (arXiv 1509.00519), equation 8.
    """

    options = VariationalAutoencoder
    config: VariationalAutoencoder

    def __init__(self, config: VariationalAutoencoder, data: Labelled | None = None) -> None:
        self.goal = f"{config.training.evaluations[0]}_loss"
        self.metrics = {"nll": Metric("lower")} if config.importance_samples else {}
        self.artefacts_every = math.ceil(config.training.trained_epochs / _LOOKS)
        super().__init__(config, data)

    @classmethod
    def prepared(cls, data: Labelled) -> Labelled:
        """Return images as they are, with pixels in [0, 1]."""
        return data.plain()

    def network(self) -> keras.Model:
        """Return the autoencoder for the images of the data set."""
        return vae(self.facts.input_shape, self.config.latent, self.config.hidden)

    def train(self, step: int) -> tf.data.Dataset:
        """Return batches of images and of the noise of their codes, from a data step on."""
        return self._with_noise(super().train(step), self.config.training.seed, step, 1)

    def evaluate(self, name: str) -> tf.data.Dataset:
        """Return the batches of an evaluation, with noise that is the same in each."""
        count = max(1, self.config.importance_samples)
        return self._with_noise(super().evaluate(name), EVALUATION_SEED, 0, count)

    def _with_noise(
        self, data: tf.data.Dataset, seed: int, start: int, count: int
    ) -> tf.data.Dataset:
        latent = self.config.latent

        def noisy(images: tf.Tensor, _: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, ...]:
            shape = [tf.shape(images)[0], count, latent]
            noise = tf.random.stateless_normal(shape, seeds)
            return images, tf.ensure_shape(noise, [images.shape[0], count, latent])

        return self.drawn(data, seed, start, noisy)

    def forward(
        self, model: keras.Model, batch: tuple[tf.Tensor, tf.Tensor], evaluation: str | None
    ) -> Forward:
        """Return reconstruction and divergence of each image, and where it is evaluated "nll"."""
        images, noise = batch
        outputs = model([images, noise[:, 0]], training=evaluation is None)
        mean, log_variance, logits = (tf.cast(each, tf.float32) for each in outputs)
        pixels = tf.reshape(images, tf.shape(logits))
        kl = 0.5 * tf.reduce_sum(tf.exp(log_variance) + mean**2 - 1.0 - log_variance, axis=-1)
        means = {}
        if evaluation is not None and self.config.importance_samples:
            means["nll"] = _nll(model.get_layer(DECODER), pixels, mean, log_variance, noise)
        return Forward({"reconstruction": _cross_entropy(pixels, logits), "kl": kl}, means)

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, np.ndarray]:
        """Return images above their reconstructions, and what codes all over the plane decode to.

        Codes of more than two dimensions are drawn at random.
        """
        images = next(iter(self._evaluated(next(iter(self.evaluations)))))[0][:_SHOWN]
        noise = tf.zeros([len(images), self.config.latent])
        *_, logits = model([images, noise], training=False)
        both = np.concatenate([images.numpy(), self._pixels(logits)])
        codes = _plane() if self.config.latent == 2 else self._drawn()
        decoded = self._pixels(model.get_layer(DECODER)(codes, training=False))
        return {
            "reconstructions": gallery(both, len(images)),
            "plane" if self.config.latent == 2 else "samples": gallery(decoded, _QUANTILES),
        }

    def _pixels(self, logits: tf.Tensor) -> np.ndarray:
        found: np.ndarray = tf.sigmoid(tf.cast(logits, tf.float32)).numpy()
        return found.reshape(-1, *self.facts.input_shape)

    def _drawn(self) -> tf.Tensor:
        shape = [_QUANTILES**2, self.config.latent]
        return tf.random.stateless_normal(shape, [EVALUATION_SEED, 0])


@functools.cache
def _plane() -> np.ndarray:
    """Return codes at the quantiles of both dimensions: the first from left to right."""
    at = scipy.stats.norm.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES).astype(np.float32)
    first, second = np.meshgrid(at, at[::-1])
    return np.stack([first.ravel(), second.ravel()], axis=-1)


def _cross_entropy(pixels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    each = tf.nn.sigmoid_cross_entropy_with_logits(labels=pixels, logits=logits)
    return tf.reduce_sum(each, axis=-1)


def _nll(
    decoder: keras.Model,
    pixels: tf.Tensor,
    mean: tf.Tensor,
    log_variance: tf.Tensor,
    noise: tf.Tensor,
) -> tf.Tensor:
    """Return the importance-weighted bound of each image; noise is `(batch, codes, latent)`."""
    count = noise.shape[1]
    codes = mean[:, None] + tf.exp(0.5 * log_variance)[:, None] * noise
    logits = tf.cast(decoder(tf.reshape(codes, [-1, codes.shape[-1]]), training=False), tf.float32)
    repeated = tf.repeat(pixels, count, axis=0)
    likelihood = -tf.reshape(_cross_entropy(repeated, logits), [-1, count])
    # Of both normal densities the constant is the same, and goes.
    prior = -0.5 * tf.reduce_sum(codes**2, axis=-1)
    posterior = -0.5 * tf.reduce_sum(noise**2 + log_variance[:, None], axis=-1)
    weights = likelihood + prior - posterior
    return math.log(count) - tf.reduce_logsumexp(weights, axis=-1)
