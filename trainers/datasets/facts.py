"""What is known of data sets without having them."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib

from trainers.datasets.encoded import folder_classes, folder_parts
from trainers.datasets.images import HELD_OUT, full_batches
from trainers.options.paths import is_path

__all__ = ["EMBEDDED", "Facts", "facts", "names"]

_SIDE_OF_FOLDERS = 224


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
        is_streamed: Whether images are read while they are trained on, not held in memory.
        is_cropped: Whether they are photographs of any size, of which parts are trained on.
    """

    input_shape: tuple[int, int, int]
    classes: int
    num_train: int
    num_test: int
    flip: bool
    shift: int
    is_streamed: bool = False
    is_cropped: bool = False

    def count(self, evaluation: str) -> int:
        """Return the number of images of "test" or "val"."""
        return self.num_test if evaluation == "test" else -(-self.num_train // HELD_OUT)

    def steps_per_epoch(self, split: str, batch_size: int, share: float = 1.0) -> int:
        """Return the full batches of an epoch on a share of what a split trains on; see `Images`.

        Raises:
            ValueError: If `batch_size` is not between 1 and the number of images.
        """
        held = 0 if split == "test" else self.count("val")
        count = math.floor((self.num_train - held) * share)
        if share < 1.0 and count < batch_size:
            raise ValueError(
                f"`train_share` must leave a batch of images. Received: train_share={share}, which "
                f"leaves {count} of {self.num_train - held}, and batch_size={batch_size}"
            )
        return full_batches(count, batch_size)


# STL-10 is shifted as by DeVries and Taylor (arXiv 1708.04552), section 4.1, Tiny ImageNet as far
# for its size; the others by four pixels, as by He et al. (arXiv 1512.03385), section 4.2.
_FACTS: dict[str, Facts] = {
    "cifar10": Facts((32, 32, 3), 10, 50_000, 10_000, flip=True, shift=4),
    "cifar100": Facts((32, 32, 3), 100, 50_000, 10_000, flip=True, shift=4),
    "digits": Facts((32, 32, 1), 10, 1_437, 360, flip=False, shift=4),
    "digits8": Facts((8, 8, 1), 10, 1_437, 360, flip=False, shift=1),
    "fashion_mnist": Facts((28, 28, 1), 10, 60_000, 10_000, flip=True, shift=4),
    "imagenet": Facts(
        (224, 224, 3), 1_000, 1_281_167, 50_000, True, 0, is_streamed=True, is_cropped=True
    ),
    "mnist": Facts((28, 28, 1), 10, 60_000, 10_000, flip=False, shift=4),
    "stl10": Facts((96, 96, 3), 10, 5_000, 8_000, flip=True, shift=12),
    "tiny_imagenet": Facts((64, 64, 3), 200, 100_000, 10_000, True, 8, is_streamed=True),
}
# Those that come with scikit-learn, and the side of their images.
EMBEDDED = {"digits": 32, "digits8": 8}


def names() -> list[str]:
    """Return the names of the known data sets, sorted."""
    return sorted(_FACTS)


def facts(name: str, size: int = 0) -> Facts:
    """Return what is known of a data set.

    Args:
        name: One of `names()`, or the path of a folder of images, which is looked through.
        size: Height and width that streamed images are cut to; 0 for the data set's own, which is
            224 of a folder.

    Raises:
        ValueError: If the name is unknown, the folder is none of images, or `size` is given for
            images in memory.
    """
    if is_path(name):
        known = _of_folder(name)
    elif name in _FACTS:
        known = _FACTS[name]
    else:
        raise ValueError(
            f"`dataset` must be one of {', '.join(names())}, or the path of a folder of images. "
            f"Received: dataset={name!r}"
        )
    if not size:
        return known
    if not known.is_streamed:
        raise ValueError(
            f"`image_size` must be 0 for images that are held in memory, which stay as they are. "
            f"Received: image_size={size}, dataset={name!r}"
        )
    return dataclasses.replace(known, input_shape=(size, size, 3))


@functools.cache
def _of_folder(path: str) -> Facts:
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
        raise ValueError(f"`dataset` must be a folder that is there. Received: dataset={path!r}")
    counts = {name: int(part.shards[-1]) for name, part in folder_parts(folder).items()}
    return Facts(
        input_shape=(_SIDE_OF_FOLDERS, _SIDE_OF_FOLDERS, 3),
        classes=len(folder_classes(folder)),
        num_train=counts["train"],
        num_test=counts["val"],
        flip=True,
        shift=0,
        is_streamed=True,
        is_cropped=True,
    )
