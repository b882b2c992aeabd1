"""Where encoded images lie: in a folder, or in the files of TensorFlow Datasets.

Any image is read by its number, without those before it. Nothing is held but where they are.
"""

from __future__ import annotations

import io
import os
import pathlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

__all__ = ["Encoded", "Folder", "Records", "folder_classes", "folder_parts"]

_SUFFIXES = {".jpeg", ".jpg", ".png", ".gif", ".bmp"}
_ANNOTATIONS = "val_annotations.txt"
# Of a record: its length, a checksum of that, the record and a checksum of it.
_HEAD = struct.Struct("<QI")
_FOOT = 4


class Encoded(Protocol):
    """Encoded images with their labels, by number."""

    @property
    def shards(self) -> np.ndarray:
        """Where parts begin that are quick to read as a whole, ascending from 0, and the end."""

    def read(self, number: int) -> tuple[bytes, int]:
        """Return an encoded image and its label.

        Raises:
            OSError: If it cannot be read.
            ValueError: If what is there is none.
        """

    def name(self, number: int) -> str:
        """Return where an image is, for people."""


class Folder:
    """Images in files.

    Args:
        files: Their paths.
        labels: Integers from 0, one for each.
    """

    def __init__(self, files: Sequence[str], labels: Sequence[int]) -> None:
        self._files = list(files)
        self._labels = np.asarray(labels, np.int32)

    @property
    def shards(self) -> np.ndarray:
        """It is one part: any file is read as quickly as the next one."""
        return np.array([0, len(self._files)])

    def read(self, number: int) -> tuple[bytes, int]:
        """Return the contents of a file and its label."""
        with open(self._files[number], "rb") as file:
            return file.read(), int(self._labels[number])

    def name(self, number: int) -> str:
        """Return the path of a file."""
        return self._files[number]


class Records:
    """Images in TFRecord files, each with the features "image" and "label".

    Where the records of a file begin is looked up when the first of them is read, by their lengths
    alone, and kept. Checksums are not looked at: what is no image any more is told of, a changed
    pixel is not.

    Args:
        files: Their paths.
        counts: How many records each has.
    """

    def __init__(self, files: Sequence[str], counts: Sequence[int]) -> None:
        self._files = list(files)
        self._shards = np.concatenate([[0], np.cumsum(counts)])
        self._begins: dict[int, np.ndarray] = {}

    @property
    def shards(self) -> np.ndarray:
        """Where files begin."""
        return self._shards

    def read(self, number: int) -> tuple[bytes, int]:
        """Return the image and the label of a record."""
        features = self.features(number)
        (image,) = features["image"].bytes_list.value
        (label,) = features["label"].int64_list.value
        return image, int(label)

    def features(self, number: int) -> Any:
        """Return the features of a record, by name."""
        shard, place = self._place(number)
        with open(self._files[shard], "rb", buffering=0) as file:
            if shard not in self._begins:
                count = int(self._shards[shard + 1] - self._shards[shard])
                self._begins[shard] = _begins(file, count)
            file.seek(int(self._begins[shard][place]))
            length, _ = _HEAD.unpack(file.read(_HEAD.size))
            record = file.read(length)
        try:
            return tf.train.Example.FromString(record).features.feature
        except DecodeError as error:
            raise ValueError(f"the record is damaged: {error}") from error

    def name(self, number: int) -> str:
        """Return the path of a file, and which of its records it is."""
        shard, place = self._place(number)
        return f"{self._files[shard]}, record {place}"

    def _place(self, number: int) -> tuple[int, int]:
        shard = int(np.searchsorted(self._shards, number, side="right")) - 1
        return shard, int(number - self._shards[shard])


def _begins(file: io.FileIO, count: int) -> np.ndarray:
    """Return where the records of a file begin.

    Raises:
        ValueError: If the file is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    begins: list[int] = []
    at = 0
    while at < size and len(begins) <= count:
        begins.append(at)
        file.seek(at)
        head = file.read(_HEAD.size)
        at += _HEAD.size + (_HEAD.unpack(head)[0] if len(head) == _HEAD.size else size) + _FOOT
    if at != size or len(begins) != count:
        raise ValueError(
            f"The file {file.name!s} is damaged, or no TFRecord file: it must have {count} whole "
            f"records in {size} bytes. Fetch the data set again, into another folder"
        )
    return np.array(begins, np.int64)


def folder_classes(folder: pathlib.Path) -> list[str]:
    """Return the classes of a folder of images: the names of the folders in its train/, sorted.

    Raises:
        ValueError: If there are none.
    """
    classes = _subfolders(folder / "train")
    if not classes:
        raise ValueError(
            f"A folder of images must have train/, with a folder for each class, and val/. "
            f"Received: {folder}"
        )
    return classes


def folder_parts(folder: pathlib.Path) -> dict[str, Folder]:
    """Return the images in train/ and val/ of a folder.

    Both have a folder for each class, and the images anywhere below it. A val/ may have all images
    in images/ instead, and the file `val_annotations.txt`, whose lines are the name of an image, a
    tab, and the class, as Tiny ImageNet has.

    Raises:
        ValueError: If they do not.
    """
    classes = {name: label for label, name in enumerate(folder_classes(folder))}
    annotations = folder / "val" / _ANNOTATIONS
    parts = {"train": _by_folders(folder / "train", classes)}
    if annotations.is_file():
        parts["val"] = _by_annotations(annotations, classes)
    else:
        parts["val"] = _by_folders(folder / "val", classes)
    return parts


def _subfolders(folder: pathlib.Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(each.name for each in os.scandir(folder) if each.is_dir())


def _by_folders(folder: pathlib.Path, classes: dict[str, int]) -> Folder:
    names = _subfolders(folder)
    if unknown := [name for name in names if name not in classes]:
        raise ValueError(
            f"{folder / unknown[0]} must be named after a class, that is after a folder of "
            f"{folder.parent / 'train'}. Received: {unknown[0]!r}"
        )
    found = [(path, classes[name]) for name in names for path in _images(folder / name)]
    if not found:
        raise ValueError(
            f"{folder} must have a folder of images for each class. Received: no image"
        )
    return Folder([path for path, _ in found], [label for _, label in found])


def _images(folder: pathlib.Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in _SUFFIXES:
                yield os.path.join(place, name)


def _by_annotations(path: pathlib.Path, classes: dict[str, int]) -> Folder:
    files, labels = [], []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        name, _, rest = line.partition("\t")
        label = rest.partition("\t")[0]
        if label not in classes:
            raise ValueError(
                f"{path}, line {number}, must be an image, a tab and a class, which is a folder of "
                f"{path.parents[1] / 'train'}. Received: {line!r}"
            )
        files.append(str(path.parent / "images" / name))
        labels.append(classes[label])
    there = set(_images(path.parent / "images"))
    if there != set(files):
        (one, *_) = sorted(there ^ set(files))
        raise ValueError(f"{path} must name every image in images/ and no other. Received: {one}")
    return Folder(files, labels)
