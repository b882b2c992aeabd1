"""Where images come from: scikit-learn's digits, always there, and TensorFlow Datasets."""

from __future__ import annotations

import os

import numpy as np

from trainers.datasets.images import Images

__all__ = ["DATA_DIR", "digits", "from_tfds"]

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


def from_tfds(name: str, flip: bool, shift: int, data_dir: str | None = None) -> Images:
    """Return a data set of TensorFlow Datasets that has images of one size and a test split.

    Args:
        name: Its name there, as "cifar10".
        flip: Whether a mirrored image is an image of the same class.
        shift: Pixels by which a training image is shifted at most.
        data_dir: Where it is, or is to be downloaded to; by default the environment variable
            KERAS_SCHED_DATA_DIR, else the place that TensorFlow Datasets uses.

    Raises:
        FileNotFoundError: If it is not there and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    place = data_dir or os.environ.get(DATA_DIR) or None
    place = os.path.expanduser(place) if place else None
    builder = tfds.builder(name, data_dir=place)
    if not builder.data_path.exists():
        try:
            builder.download_and_prepare()
        except (OSError, RuntimeError, ValueError, tfds.download.DownloadError) as error:
            raise FileNotFoundError(
                f"The data set {name!r} is not in {builder.data_path} and could not be downloaded. "
                f"Give the folder that has it as `--data_dir` or in {DATA_DIR}; on a machine with "
                f"internet, `tfds build {name}` makes one."
            ) from error
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
