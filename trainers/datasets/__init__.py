"""Data sets by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

from trainers.datasets.images import Images
from trainers.datasets.sources import DATA_DIR, digits, from_tfds

__all__ = ["DATA_DIR", "Images", "get", "names"]

_DOWNLOADED: dict[str, Callable[..., Images]] = {
    "cifar10": functools.partial(from_tfds, "cifar10", True),
    "cifar100": functools.partial(from_tfds, "cifar100", True),
    "fashion_mnist": functools.partial(from_tfds, "fashion_mnist", True),
}


def names() -> list[str]:
    """Return the names that `get` knows, sorted."""
    return sorted([*_DOWNLOADED, "digits"])


def get(name: str, data_dir: str | None = None) -> Images:
    """Return a data set.

    Args:
        name: One of `names()`; "digits" is embedded, the others come from TensorFlow Datasets.
        data_dir: Where those are; see `from_tfds`.

    Raises:
        ValueError: If the name is unknown.
        FileNotFoundError: If the data are not there and cannot be downloaded.
    """
    if name == "digits":
        return digits()
    if name not in _DOWNLOADED:
        raise ValueError(
            f"`dataset` must be one of {', '.join(names())}. Received: dataset={name!r}"
        )
    return _DOWNLOADED[name](data_dir=data_dir)
