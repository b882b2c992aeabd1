"""How like images samples are, by their pixels and by a classifier.

Neither is an FID or an inception score, which are of one certain Inception network. A score can be
compared with those of the same classifier only.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import keras
import numpy as np

from trainers import models
from trainers.datasets import Facts, Labelled
from trainers.methods import networks

__all__ = ["INCEPTION", "Classifier", "Normal", "Pixels"]

# The one of `keras.applications`: another one than the inception score's.
INCEPTION = "inception_v3"
_INCEPTION_SIDE = 299
_COMPONENTS = 64
_BATCH = 100


@dataclasses.dataclass(frozen=True)
class Normal:
    """A normal distribution.

    Attributes:
        mean: Of shape `(n,)`.
        covariance: Of shape `(n, n)`.
    """

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray) -> Self:
        """Return that of at least two points, of shape `(count, n)`."""
        return cls(points.mean(axis=0), np.atleast_2d(np.cov(points, rowvar=False)))

    def distance(self, other: Self) -> float:
        """Return the squared Fréchet distance to another one::

            |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))

        References:
            Dowson and Landau, "The Fréchet distance between multivariate normal distributions",
            Journal of Multivariate Analysis 12 (1982).
        """
        values, vectors = np.linalg.eigh(self.covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        # It is symmetric, and its root has the trace of that of C C'.
        product = np.linalg.eigvalsh(root @ other.covariance @ root)
        cross = np.sqrt(np.maximum(product, 0.0)).sum()
        traces = np.trace(self.covariance) + np.trace(other.covariance)
        return float(np.square(self.mean - other.mean).sum() + traces - 2.0 * cross)


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Real images, by the normal distribution of their principal components.

    Attributes:
        center: The mean image, flat.
        axes: The components of most variance, 64 at most, of shape `(pixels, components)`.
        images: The distribution of the images in them.
    """

    center: np.ndarray
    axes: np.ndarray
    images: Normal

    @classmethod
    def of(cls, images: np.ndarray) -> Self:
        """Return those of at least two images, of shape `(n, height, width, channels)`."""
        flat = images.reshape(len(images), -1).astype(np.float64)
        center = flat.mean(axis=0)
        *_, axes = np.linalg.svd(flat - center, full_matrices=False)
        kept = axes[:_COMPONENTS].T
        return cls(center, kept, Normal.of((flat - center) @ kept))

    def distance(self, samples: np.ndarray) -> float:
        """Return the Fréchet distance of at least two samples.

        Of few samples it is large for their number alone: it is compared among equal numbers.
        """
        flat = samples.reshape(len(samples), -1).astype(np.float64)
        return self.images.distance(Normal.of((flat - self.center) @ self.axes))


class Classifier:
    """A trained classifier that judges samples.

    Args:
        name: "inception_v3", or a model of `trainers.models`, trained by `trainers.cifar` on the
            same data set.
        weights: The file of its weights.
        facts: What is known of the data set.

    Raises:
        ValueError: If the name is unknown, or the file of weights is not there or of another model.
    """

    def __init__(self, name: str, weights: str, facts: Facts) -> None:
        networks.check(weights, "judge_weights")
        self._is_inception = name == INCEPTION
        if self._is_inception:
            model = keras.applications.InceptionV3(weights=None)
        else:
            model = models.get(name, facts.input_shape, facts.classes)
        networks.load(model, weights, "judge_weights")
        last = model.layers[-1]
        self._model = keras.Model(model.input, [last.input, last.output])

    def judged(self, data: Labelled, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features and probabilities of classes, of images with pixels in [0, 1]."""
        features, shares = [], []
        for first in range(0, len(images), _BATCH):
            found = self._model(
                self._prepared(data, images[first : first + _BATCH]), training=False
            )
            feature, output = (np.asarray(each, np.float64) for each in found)
            features.append(feature)
            shares.append(output if self._is_inception else _softmax(output))
        return np.concatenate(features), np.concatenate(shares)

    def _prepared(self, data: Labelled, images: np.ndarray) -> Any:
        if not self._is_inception:
            return data.normalised(images)
        channels = np.broadcast_to(images, (*images.shape[:3], 3))
        resized = keras.ops.image.resize(channels, (_INCEPTION_SIDE, _INCEPTION_SIDE))
        return 2.0 * resized - 1.0

    @staticmethod
    def score(shares: np.ndarray) -> float:
        """Return the exponential of the mean divergence of classes of a sample from those of all.

        References:
            Salimans et al., "Improved Techniques for Training GANs" (arXiv 1606.03498), section 4.
        """
        mean = shares.mean(axis=0, keepdims=True)
        each = shares * (np.log(np.maximum(shares, 1e-30)) - np.log(np.maximum(mean, 1e-30)))
        return float(np.exp(each.sum(axis=1).mean()))


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = exponents / exponents.sum(axis=1, keepdims=True)
    return found
