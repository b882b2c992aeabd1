"""Where data are looked for, and what is said where there are none; and where images come from.

What TensorFlow Datasets has is looked for in the folder that is given, else in that of the
environment variable KERAS_SCHED_DATA_DIR, else where TensorFlow Datasets keeps its own; the folders
of Tiny ImageNet, and of ImageNet if it is one, lie there too. scikit-learn's digits are always
there.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.datasets.encoded import Encoded, Records, folder_classes, folder_parts
from trainers.datasets.facts import Facts
from trainers.datasets.images import Images
from trainers.datasets.parts import Part
from trainers.datasets.streams import Stream
from trainers.options.paths import is_path

__all__ = [
    "DATA_DIR",
    "check",
    "check_there",
    "columns",
    "digits",
    "download",
    "from_tfds",
    "is_there",
    "made_up",
    "missing",
    "photograph",
    "place_of",
    "records",
    "streamed",
]

DATA_DIR = "KERAS_SCHED_DATA_DIR"
# Folders of images, as they are unpacked, and their names in TensorFlow Datasets.
_FOLDERS = {"imagenet": "imagenet", "tiny_imagenet": "tiny-imagenet-200"}
_IN_TFDS = {"imagenet": "imagenet2012"}
# Addresses, and MD5 sums of what is there.
_ARCHIVES = {
    "tiny_imagenet": (
        "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "90528d7ca1a48142e341f4ef8d21d0de",
    )
}
# What has to be done before.
_BY_HAND = {
    "imagenet": ", once its two archives, which image-net.org gives to who asks, are in "
    "downloads/manual there"
}
# Photographs of ImageNet have about this size.
_PHOTOGRAPH = (375, 500, 3)
_ROWS_AT_ONCE = 10_000


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
    """Check that a data set is there; nothing is read or downloaded.

    Raises:
        FileNotFoundError: If not, with the command that downloads it, and what works without.
    """
    folder = _folder(name, data_dir)
    if folder is not None and folder.is_dir():
        return
    places = [] if folder is None else [folder]
    if folder is None or name in _IN_TFDS:
        path = _builder(name, data_dir).data_path
        if path.exists():
            return
        places.append(path)
    raise missing(name, places, data_dir, "--dataset=digits")


def is_there(builder: str, data_dir: str | None = None) -> bool:
    """Return whether TensorFlow Datasets has a data set, of the name that it has there."""
    return bool(_builder(builder, data_dir).data_path.exists())


def check_there(name: str, path: pathlib.Path) -> None:
    """Check that there is something at the path that a data set is given by.

    Raises:
        FileNotFoundError: If not.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"`dataset` must be a path where there is something. Received: dataset={name!r}"
        )


def missing(
    name: str, places: Sequence[Any], data_dir: str | None, without: str, what: str = "data set"
) -> FileNotFoundError:
    """Return the error that a data set is in none of some places.

    Args:
        name: The data set.
        places: Where it was looked for.
        data_dir: The folder that was given.
        without: The flag with which it works without a download.
        what: What it is called in the error.
    """
    place = f" --data_dir={data_dir}" if data_dir else ""
    return FileNotFoundError(
        f"The {what} {name!r} is not in {' nor in '.join(map(str, places))}. Give the folder "
        f"that has it as `--data_dir` or in {DATA_DIR}, or download it"
        f"{_BY_HAND.get(name, '')}: python -m trainers.fetch {name}{place}. "
        f"Without a download works {without}, and in minutes the program without --config"
    )


def download(name: str, data_dir: str | None = None) -> str:
    """Download a data set, unless it is there, and return its place.

    Raises:
        ConnectionError: If it cannot be downloaded.
        OSError: If it cannot be written.
    """
    folder = _folder(name, data_dir)
    if folder is not None and folder.is_dir():
        return str(folder)
    try:
        if name in _ARCHIVES:
            return str(_unpacked(name, *_ARCHIVES[name], place_of(data_dir)))
        builder = _builder(name, data_dir)
        builder.download_and_prepare()
    except OSError:
        raise
    except Exception as error:  # Of a damaged download it raises one of its own.
        raise ConnectionError(f"{name!r} cannot be downloaded: {error}") from error
    return str(builder.data_path)


def _unpacked(name: str, address: str, digest: str, place: pathlib.Path) -> pathlib.Path:
    """Download an archive and unpack it; what is there is whole."""
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=f"{name}_unfinished_") as beside:
        keras.utils.get_file(
            "archive.zip",
            address,
            file_hash=digest,
            hash_algorithm="md5",
            cache_dir=beside,
            extract=True,
        )
        (found,) = pathlib.Path(beside).rglob(_FOLDERS[name])
        return found.rename(place / _FOLDERS[name])


def place_of(data_dir: str | None) -> pathlib.Path:
    """Return where data sets are looked for."""
    given = data_dir or os.environ.get(DATA_DIR) or "~/tensorflow_datasets"
    return pathlib.Path(given).expanduser()


def _folder(name: str, data_dir: str | None) -> pathlib.Path | None:
    """Return where a data set may be as a folder of images."""
    if is_path(name):
        return pathlib.Path(name).expanduser()
    return place_of(data_dir) / _FOLDERS[name] if name in _FOLDERS else None


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    place = data_dir or os.environ.get(DATA_DIR) or None
    known = _IN_TFDS.get(name, name)
    return tfds.builder(known, data_dir=os.path.expanduser(place) if place else None)


def streamed(name: str, known: Facts, data_dir: str | None = None) -> Stream:
    """Return a data set that is read while it is trained on.

    Args:
        name: Its name, or the path of a folder of images.
        known: What is known of it.
        data_dir: Where it is.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If there is a folder that is none of images.
    """
    folder = _folder(name, data_dir)
    parts: dict[str, Encoded]
    if folder is not None and folder.is_dir():
        parts = {**folder_parts(folder)}
        classes = folder_classes(folder)
    else:
        check(name, data_dir)
        classes = _builder(name, data_dir).info.features["label"].names
        parts = {
            part: records(name, split, data_dir)
            for part, split in (("train", "train"), ("val", "validation"))
        }
    found = _stream(name, known, parts["train"], parts["val"])
    return dataclasses.replace(found, class_names=tuple(classes))


def records(name: str, split: str, data_dir: str | None = None) -> Records:
    """Return the files of a split of TensorFlow Datasets, to be read by number."""
    found = _builder(name, data_dir).info.splits[split]
    return Records([str(path) for path in found.filepaths], found.shard_lengths)


def columns(
    builder: str,
    split: str,
    row: Callable[[Mapping[str, Any]], tuple[tf.Tensor, ...]],
    data_dir: str | None = None,
) -> tuple[np.ndarray, ...]:
    """Return the columns of a table that is made of a split of TensorFlow Datasets.

    Args:
        builder: Its name there, as "glue/sst2".
        split: The split.
        row: What an example has in each column, a scalar.
        data_dir: Where it is.
    """
    data = _builder(builder, data_dir).as_dataset(split=split).map(row).batch(_ROWS_AT_ONCE)
    found = zip(*data.as_numpy_iterator(), strict=True)
    return tuple(np.concatenate(column) for column in found)


def made_up(name: str, known: Facts) -> Stream:
    """Return a stream of one random image, over and over, in the number of a data set."""
    encoded = photograph(_PHOTOGRAPH if known.is_cropped else known.input_shape)
    train, test = (_Repeated(encoded, count) for count in (known.num_train, known.num_test))
    return _stream(f"a random image in the number of {name}", known, train, test)


def photograph(shape: tuple[int, int, int] = _PHOTOGRAPH) -> bytes:
    """Return an encoded random image, smooth as photographs are: a JPEG of noise is longer."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    smooth = tf.image.resize(pixels[::16, ::16], shape[:2])
    encoded: bytes = tf.io.encode_jpeg(tf.cast(smooth, tf.uint8)).numpy()
    return encoded


class _Repeated:
    """One image, over and over."""

    def __init__(self, encoded: bytes, count: int) -> None:
        self._encoded = encoded
        self.shards = np.array([0, count])

    def read(self, number: int) -> tuple[bytes, int]:
        return self._encoded, 0

    def name(self, number: int) -> str:
        return "an image that is made up"


def _stream(name: str, known: Facts, train: Encoded, test: Encoded) -> Stream:
    parts = [Part(each, np.arange(each.shards[-1], dtype=np.int64)) for each in (train, test)]
    return Stream(
        description=f"{name} ({len(parts[0].numbers):,} to train, {len(parts[1].numbers):,} to "
        f"test)",
        train_part=parts[0],
        test_part=parts[1],
        input_shape=known.input_shape,
        classes=known.classes,
        flip=known.flip,
        shift=known.shift,
        is_cropped=known.is_cropped,
    )


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
        class_names=tuple(builder.info.features["label"].names),
    )
