"""Where images come from: scikit-learn's digits, always there, and TensorFlow Datasets."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from trainers.datasets.images import Images

__all__ = ["DATA_DIR", "check", "digits", "download", "from_tfds"]

DATA_DIR = "KERAS_SCHED_DATA_DIR"


def digits(side: int = 32) -> Images:
    """Return scikit-learn's 1,797 handwritten digits, of 8x8 pixels or enlarged.

    Every fifth image is a test image. E. Alpaydin and C. Kaynak, "Optical Recognition of
    Handwritten Digits", UCI Machine Learning Repository.

    Args:
        side: Height and width, a multiple of 8. At 8 they are shifted by one pixel at most.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    times = side // 8
    images = (data.images * (255.0 / 16.0)).astype(np.uint8)
    images = images.repeat(times, axis=1).repeat(times, axis=2)[..., None]
    labels = data.target.astype(np.int32)
    test = np.arange(len(images)) % 5 == 0
    return Images(
        description=f"scikit-learn's handwritten digits at {side}x{side} "
        f"({np.sum(~test):,} to train, {np.sum(test)} to test)",
        train_images=images[~test],
        train_labels=labels[~test],
        test_images=images[test],
        test_labels=labels[test],
        classes=10,
        flip=False,
        shift=4 if times > 1 else 1,
    )


def check(name: str, data_dir: str | None = None) -> None:
    """Check that a data set of TensorFlow Datasets is there; nothing is read or downloaded.

    Raises:
        FileNotFoundError: If not, with the command that downloads it.
    """
    builder = _builder(name, data_dir)
    if not builder.data_path.exists():
        place = f" --data_dir={data_dir}" if data_dir else ""
        raise FileNotFoundError(
            f"The data set {name!r} is not in {builder.data_path}. Give the folder that has it as "
            f"`--data_dir` or in {DATA_DIR}, or download it: python -m trainers.fetch {name}{place}"
        )


def download(name: str, data_dir: str | None = None) -> str:
    """Download a data set of TensorFlow Datasets, unless it is there, and return its place.

    Raises:
        ConnectionError: If it cannot be downloaded.
        OSError: If it cannot be written.
    """
    builder = _builder(name, data_dir)
    try:
        builder.download_and_prepare()
    except OSError:
        raise
    except Exception as error:  # Of a damaged download it raises one of its own.
        raise ConnectionError(f"{name!r} cannot be downloaded: {error}") from error
    return str(builder.data_path)


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    place = data_dir or os.environ.get(DATA_DIR) or None
    return tfds.builder(name, data_dir=os.path.expanduser(place) if place else None)


def from_tfds(name: str, flip: bool, shift: int, data_dir: str | None = None) -> Images:
    """Return a data set of TensorFlow Datasets that has images of one size and a test split.

    Args:
        name: Its name there, as "cifar10".
        flip: Whether a mirrored image is an image of the same class.
        shift: Pixels by which a training image is shifted at most.
        data_dir: Where it is; by default the environment variable KERAS_SCHED_DATA_DIR, else the
            place that TensorFlow Datasets uses.

    Raises:
        FileNotFoundError: If it is not there.
    """
    import tensorflow_datasets as tfds

    check(name, data_dir)
    builder = _builder(name, data_dir)
    parts = {
        split: tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, as_supervised=True))
        for split in ("train", "test")
    }
    (train_images, train_labels), (test_images, test_labels) = parts["train"], parts["test"]
    return Images(
        description=f"{name} ({len(train_images):,} to train, {len(test_images):,} to test)",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=builder.info.features["label"].num_classes,
        flip=flip,
        shift=shift,
    )
