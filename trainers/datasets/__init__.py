"""Data sets by name."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from trainers.datasets import sources
from trainers.datasets.images import HELD_OUT, SPLITS, Images, full_batches
from trainers.datasets.sources import DATA_DIR, digits, from_tfds

__all__ = [
    "DATA_DIR",
    "SPLITS",
    "Facts",
    "Images",
    "check",
    "facts",
    "fetch",
    "get",
    "names",
    "random",
]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a data set without having it.

    Attributes:
        input_shape: Height, width and channels.
        classes: Number of classes.
        num_train: Number of training images.
        num_test: Number of test images.
        flip: Whether a mirrored image is an image of the same class.
        shift: Pixels by which a training image is shifted at most.
    """

    input_shape: tuple[int, int, int]
    classes: int
    num_train: int
    num_test: int
    flip: bool
    shift: int

    def steps_per_epoch(self, split: str, batch_size: int, share: float = 1.0) -> int:
        """Return the full batches of an epoch on a share of what a split trains on; see `Images`.

        Raises:
            ValueError: If `batch_size` is not between 1 and the number of images.
        """
        held = 0 if split == "test" else -(-self.num_train // HELD_OUT)
        count = math.floor((self.num_train - held) * share)
        if share < 1.0 and count < batch_size:
            raise ValueError(
                f"`train_share` must leave a batch of images. Received: train_share={share}, which "
                f"leaves {count} of {self.num_train - held}, and batch_size={batch_size}"
            )
        return full_batches(count, batch_size)


# STL-10 is shifted as by DeVries and Taylor (arXiv 1708.04552), section 4.1; the others by four
# pixels, as by He et al. (arXiv 1512.03385), section 4.2.
_FACTS: dict[str, Facts] = {
    "cifar10": Facts((32, 32, 3), 10, 50_000, 10_000, flip=True, shift=4),
    "cifar100": Facts((32, 32, 3), 100, 50_000, 10_000, flip=True, shift=4),
    "digits": Facts((32, 32, 1), 10, 1_437, 360, flip=False, shift=4),
    "digits8": Facts((8, 8, 1), 10, 1_437, 360, flip=False, shift=1),
    "fashion_mnist": Facts((28, 28, 1), 10, 60_000, 10_000, flip=True, shift=4),
    "mnist": Facts((28, 28, 1), 10, 60_000, 10_000, flip=False, shift=4),
    "stl10": Facts((96, 96, 3), 10, 5_000, 8_000, flip=True, shift=12),
}
_EMBEDDED = {"digits": 32, "digits8": 8}


def names() -> list[str]:
    """Return the names that `get` knows, sorted."""
    return sorted(_FACTS)


def facts(name: str) -> Facts:
    """Return what is known of a data set.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in _FACTS:
        raise ValueError(
            f"`dataset` must be one of {', '.join(names())}. Received: dataset={name!r}"
        )
    return _FACTS[name]


def get(name: str, data_dir: str | None = None) -> Images:
    """Return a data set.

    Args:
        name: One of `names()`; "digits" and "digits8" are embedded, the others come from
            TensorFlow Datasets.
        data_dir: Where those are; see `from_tfds`.

    Raises:
        ValueError: If the name is unknown, or what is there is not that data set.
        FileNotFoundError: If the data are not there, with the command that downloads them.
    """
    known = facts(name)
    if name in _EMBEDDED:
        return digits(_EMBEDDED[name])
    data = from_tfds(name, known.flip, known.shift, data_dir)
    found = (data.input_shape, data.classes, data.num_train, len(data.test_images))
    expected = (known.input_shape, known.classes, known.num_train, known.num_test)
    if found != expected:
        raise ValueError(
            f"{name!r} must have shape, classes, training and test images {expected}. "
            f"Received: {found}"
        )
    return data


def check(name: str, data_dir: str | None = None) -> None:
    """Check that a data set is there; nothing is read.

    Raises:
        ValueError: If the name is unknown.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    facts(name)
    if name not in _EMBEDDED:
        sources.check(name, data_dir)


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download a data set, unless it is there, and return where it is.

    Raises:
        ValueError: If the name is unknown.
        OSError: If it cannot be downloaded or written.
    """
    facts(name)
    return "comes with scikit-learn" if name in _EMBEDDED else sources.download(name, data_dir)


def random(name: str) -> Images:
    """Return random pixels and labels, in the shape and the number of a data set.

    What is computed from them takes as long as it would from the data set, and nothing else about
    it is true. Nothing is read or downloaded.

    Raises:
        ValueError: If the name is unknown.
    """
    known = facts(name)
    generator = np.random.default_rng(0)

    def images(count: int) -> np.ndarray:
        return generator.integers(0, 256, (count, *known.input_shape), np.uint8)

    def labels(count: int) -> np.ndarray:
        return generator.integers(0, known.classes, count, np.int32)

    return Images(
        description=f"random pixels in the shape of {name}",
        train_images=images(known.num_train),
        train_labels=labels(known.num_train),
        test_images=images(known.num_test),
        test_labels=labels(known.num_test),
        classes=known.classes,
        flip=known.flip,
        shift=known.shift,
    )
