"""Data sets by name."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from trainers.datasets import sources
from trainers.datasets.facts import EMBEDDED, Facts, facts, names
from trainers.datasets.images import SPLITS, Images
from trainers.datasets.sources import DATA_DIR
from trainers.datasets.streams import Stream
from trainers.options.paths import is_path

__all__ = [
    "DATA_DIR",
    "SPLITS",
    "Facts",
    "Images",
    "Labelled",
    "Stream",
    "check",
    "facts",
    "fetch",
    "get",
    "names",
    "random",
]

# Images with labels, in memory or not.
Labelled: TypeAlias = Images | Stream


def get(name: str, data_dir: str | None = None, size: int = 0) -> Labelled:
    """Return a data set.

    Args:
        name: One of `names()`; "digits" and "digits8" are embedded, the others come from
            TensorFlow Datasets or from folders of images. Or the path of such a folder.
        data_dir: Where those are; see `trainers.datasets.sources`.
        size: As for `facts`.

    Raises:
        ValueError: If the name is unknown, or what is there is not that data set.
        FileNotFoundError: If the data are not there, with the command that downloads them.
    """
    known = facts(name, size)
    if name in EMBEDDED:
        return sources.digits(EMBEDDED[name])
    data: Labelled
    if known.is_streamed:
        data = sources.streamed(name, known, data_dir)
        tests = len(data.test_part.numbers)
    else:
        data = sources.from_tfds(name, known.flip, known.shift, data_dir)
        tests = len(data.test_images)
    found = (data.input_shape, data.classes, data.num_train, tests)
    expected = (known.input_shape, known.classes, known.num_train, known.num_test)
    if found != expected:
        raise ValueError(
            f"{name!r} must have shape, classes, training and test images {expected}. "
            f"Received: {found}"
        )
    return data


def check(name: str, data_dir: str | None = None) -> None:
    """Check that a data set is there; no image is read.

    Raises:
        ValueError: If the name is unknown.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    facts(name)
    if name not in EMBEDDED and not is_path(name):
        sources.check(name, data_dir)


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download a data set, unless it is there, and return where it is.

    Raises:
        ValueError: If the name is unknown.
        OSError: If it cannot be downloaded or written.
    """
    facts(name)
    return "comes with scikit-learn" if name in EMBEDDED else sources.download(name, data_dir)


def random(name: str, size: int = 0) -> Labelled:
    """Return images that are made up, in the shape and the number of a data set.

    Of data in memory pixels and labels are random, of a stream one image comes over and over. What
    is computed from them takes as long as it would from the data set, and nothing else about it is
    true. Nothing is read or downloaded.

    Raises:
        ValueError: If the name is unknown.
    """
    known = facts(name, size)
    if known.is_streamed:
        return sources.made_up(name, known)
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
