"""Where images with boxes come from: digits scattered on a page, and TensorFlow Datasets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainers.datasets import sources
from trainers.datasets.encoded import Records
from trainers.datasets.images import HELD_OUT, full_batches
from trainers.datasets.scenes import Boxes, Pictures, ScenePart, Scenes

__all__ = ["EMBEDDED", "SceneFacts", "check", "facts", "fetch", "get", "names", "random"]

EMBEDDED = "scattered_digits"
# On a page of this size, of digits enlarged so many times.
_PAGE, _TIMES, _MOST_DIGITS = 64, 2, 4
# Boxes of an image that is made up.
_BOXES = 20
# Bytes of pixels that are held; of more each image is read when it is needed.
_IN_MEMORY = 2**29


@dataclasses.dataclass(frozen=True)
class SceneFacts:
    """What is known of a data set without having it.

    Attributes:
        class_names: What its classes are called.
        num_train: Number of training images.
        num_test: Number of test images.
        flips: As of `Scenes`.
        train_splits: What is trained on: pairs of a name in TensorFlow Datasets and a split.
        test_splits: What it is tested on.
    """

    class_names: tuple[str, ...]
    num_train: int
    num_test: int
    flips: tuple[int, ...]
    train_splits: tuple[tuple[str, str], ...] = ()
    test_splits: tuple[tuple[str, str], ...] = ()

    def steps_per_epoch(self, split: str, batch_size: int) -> int:
        """Return the full batches of an epoch.

        Raises:
            ValueError: If `batch_size` is not between 1 and the number of images.
        """
        held = 0 if split == "test" else -(-self.num_train // HELD_OUT)
        return full_batches(self.num_train - held, batch_size)


_VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_FACTS = {
    "bccd": SceneFacts(
        ("RBC", "WBC", "Platelets"), 205, 72, (1, 2), (("bccd", "train"),), (("bccd", "test"),)
    ),
    EMBEDDED: SceneFacts(tuple("0123456789"), 600, 120, ()),
    # Trained on VOC 2007 and 2012, tested on 2007, as is usual.
    "voc": SceneFacts(
        _VOC,
        16_551,
        4_952,
        (2,),
        tuple((f"voc/{year}", part) for year in (2007, 2012) for part in ("train", "validation")),
        (("voc/2007", "test"),),
    ),
    "voc2012": SceneFacts(
        _VOC, 5_717, 5_823, (2,), (("voc/2012", "train"),), (("voc/2012", "validation"),)
    ),
}


def names() -> list[str]:
    """Return the names of the known data sets, sorted."""
    return sorted(_FACTS)


def facts(name: str) -> SceneFacts:
    """Return what is known of a data set.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in _FACTS:
        raise ValueError(
            f"`dataset` must be one of {', '.join(names())}. Received: dataset={name!r}"
        )
    return _FACTS[name]


def check(name: str, data_dir: str | None = None) -> None:
    """Check that a data set is there; no image is read.

    Raises:
        ValueError: If the name is unknown.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    if lacking := [each for each in _builders(name) if not sources.is_there(each, data_dir)]:
        places = [sources.place_of(data_dir) / each for each in lacking]
        raise sources.missing(name, places, data_dir, f"--dataset={EMBEDDED}")


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download a data set, unless it is there, and return where it is.

    Raises:
        ValueError: If the name is unknown.
        OSError: If it cannot be downloaded or written.
    """
    places = [sources.download(each, data_dir) for each in _builders(name)]
    return ", ".join(places) or "comes with scikit-learn"


def _builders(name: str) -> list[str]:
    """Return the names in TensorFlow Datasets of what a data set is made of."""
    known = facts(name)
    return list(dict.fromkeys(each for each, _ in (*known.train_splits, *known.test_splits)))


def get(name: str, size: tuple[int, int], data_dir: str | None = None) -> Scenes:
    """Return a data set, with images of a height and width.

    Raises:
        ValueError: If the name is unknown, or what is there is not that data set.
        FileNotFoundError: If the data are not there, with the command that downloads them.
    """
    known = facts(name)
    check(name, data_dir)
    if name == EMBEDDED:
        parts = [
            _scattered(count, is_test, size)
            for count, is_test in ((known.num_train, False), (known.num_test, True))
        ]
    else:
        parts = [
            _Tfds.part(splits, known, size, data_dir)
            for splits in (known.train_splits, known.test_splits)
        ]
    found, expected = [len(part.numbers) for part in parts], [known.num_train, known.num_test]
    if found != expected:
        raise ValueError(
            f"{name!r} must have {expected} training and test images. Received: {found}"
        )
    return _scenes(name, known, size, *parts)


def random(name: str, size: tuple[int, int]) -> Scenes:
    """Return one random image over and over, in the number of a data set, with some boxes.

    Raises:
        ValueError: If the name is unknown.
    """
    known = facts(name)
    corners = np.random.default_rng(1).uniform(0.0, 0.7, (_BOXES, 2))
    boxes = np.concatenate([corners, corners + 0.2], axis=1)
    truth = Boxes.of(boxes, [0] * _BOXES, classes=len(known.class_names))
    parts = [
        ScenePart.whole(_made_up(count, size), [truth] * count)
        for count in (known.num_train, known.num_test)
    ]
    return _scenes(f"a random image in the number of {name}", known, size, *parts)


def _made_up(count: int, size: tuple[int, int]) -> Pictures:
    """Return a random image, held in memory or decoded each time as so many true ones would be."""
    if count * size[0] * size[1] * 3 > _IN_MEMORY:
        return _Repeated(sources.photograph(), size)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    return _Held(np.broadcast_to(pixels, (count, *pixels.shape)), "an image that is made up")


def _scenes(
    name: str, known: SceneFacts, size: tuple[int, int], train: ScenePart, test: ScenePart
) -> Scenes:
    return Scenes(
        description=f"{name} ({len(train.numbers):,} to train, {len(test.numbers):,} to test)",
        train_part=train,
        test_part=test,
        size=size,
        class_names=known.class_names,
        flips=known.flips,
    )


@dataclasses.dataclass(frozen=True)
class _Held:
    """Images in memory."""

    images: np.ndarray
    what: str

    def pixels(self, number: int) -> np.ndarray:
        found: np.ndarray = self.images[number]
        return found

    def name(self, number: int) -> str:
        return f"{self.what}, number {number}"


def _scattered(count: int, is_test: bool, size: tuple[int, int]) -> ScenePart:
    """Return pages with one to four of scikit-learn's digits each, none upon another."""
    digits = sources.digits(8)
    images = digits.test_images if is_test else digits.train_images
    labels = digits.test_labels if is_test else digits.train_labels
    draw = np.random.RandomState([1, is_test])
    side = 8 * _TIMES
    pages = draw.randint(0, 60, (count, _PAGE, _PAGE, 1)).astype(np.uint8)
    truth = []
    for page in pages:
        # In cells of a grid, each moved by at most what is between two.
        cells = draw.permutation(4)[: draw.randint(1, _MOST_DIGITS + 1)]
        boxes, found = [], []
        for cell in cells:
            chosen = draw.randint(len(images))
            corner = np.array(divmod(cell, 2)) * _PAGE // 2 + draw.randint(0, _PAGE // 2 - side, 2)
            top, left = (int(each) for each in corner)
            digit = images[chosen].repeat(_TIMES, axis=0).repeat(_TIMES, axis=1)
            there = page[top : top + side, left : left + side]
            there[:] = np.maximum(there, digit)
            boxes.append([top, left, top + side, left + side])
            found.append(labels[chosen])
        truth.append(Boxes.of(np.array(boxes) / _PAGE, found, classes=10))
    colours = np.broadcast_to(pages, (count, _PAGE, _PAGE, 3))
    if size != (_PAGE, _PAGE):
        resized = tf.image.resize(colours, size)
        colours = tf.cast(tf.round(resized), tf.uint8).numpy()
    return ScenePart.whole(_Held(colours, "a page of digits"), truth)


@dataclasses.dataclass(frozen=True)
class _Repeated:
    """One encoded photograph, decoded again each time, as those of large data sets are."""

    encoded: bytes
    size: tuple[int, int]

    def pixels(self, number: int) -> np.ndarray:
        return _decoded(self.encoded, self.size)

    def name(self, number: int) -> str:
        return "an image that is made up"


def _decoded(encoded: bytes, size: tuple[int, int]) -> np.ndarray:
    with tf.device("CPU:0"):
        image = tf.io.decode_image(encoded, 3, expand_animations=False)
        resized = tf.image.resize(image, size, antialias=True)
        found: np.ndarray = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8).numpy()
    return found


class _Tfds:
    """Images of TensorFlow Datasets, made as large as is wanted when they are read."""

    def __init__(self, records: Sequence[Records], size: tuple[int, int]) -> None:
        self._records = records
        self._begins = np.cumsum([0, *(int(each.shards[-1]) for each in records)])
        self._size = size

    @classmethod
    def part(
        cls,
        splits: Sequence[tuple[str, str]],
        known: SceneFacts,
        size: tuple[int, int],
        data_dir: str | None,
    ) -> ScenePart:
        """Return images of some splits, and what is on them; the small sets are held in memory."""
        source = cls([sources.records(*each, data_dir) for each in splits], size)
        truth = [
            source.truth(number, len(known.class_names)) for number in range(source._begins[-1])
        ]
        held: Pictures = source
        if len(truth) * size[0] * size[1] * 3 <= _IN_MEMORY:
            images = np.stack([source.pixels(number) for number in range(len(truth))])
            held = _Held(images, f"an image of {splits[0][0]}")
        return ScenePart.whole(held, truth)

    def truth(self, number: int, classes: int) -> Boxes:
        """Return what is on an image."""
        features = self._features(number)
        return Boxes.of(
            features["objects/bbox"].float_list.value,
            features["objects/label"].int64_list.value,
            list(features["objects/is_difficult"].int64_list.value)
            if "objects/is_difficult" in features
            else None,
            classes=classes,
            name=self.name(number),
        )

    def pixels(self, number: int) -> np.ndarray:
        (encoded,) = self._features(number)["image"].bytes_list.value
        return _decoded(encoded, self._size)

    def name(self, number: int) -> str:
        records, place = self._place(number)
        return records.name(place)

    def _features(self, number: int) -> Any:
        records, place = self._place(number)
        return records.features(place)

    def _place(self, number: int) -> tuple[Records, int]:
        which = int(np.searchsorted(self._begins, number, side="right")) - 1
        return self._records[which], int(number - self._begins[which])
