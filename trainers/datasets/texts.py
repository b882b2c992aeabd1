"""Texts as numbers of words, in streams that go on from batch to batch.

Nothing here has a state: the batch of data step t is computed from t, so that training goes on from
any step. Numbers are read from where they lie, in memory or in a file of any size.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Self

import numpy as np
import tensorflow as tf

__all__ = ["EOS", "PARTS", "UNKNOWN", "Text", "TextFacts"]

# The first words of every vocabulary: what is not in it, and the end of a line.
UNKNOWN, EOS = "<unk>", "<eos>"
PARTS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class TextFacts:
    """What is known of a text without having it.

    Attributes:
        vocabulary: Number of words that differ.
        train: Number of words to train on.
        val: Number of words held out.
        test: Number of words of the test part.
    """

    vocabulary: int
    train: int
    val: int
    test: int

    def steps_per_epoch(self, streams: int, length: int) -> int:
        """Return the full batches of an epoch; see `Text`."""
        return max(0, (self.train // streams - 1) // length)


@dataclasses.dataclass(frozen=True)
class Text:
    """A text in three parts, as numbers of words.

    A part is cut into as many streams as a batch has rows, each of words that follow one another.
    A batch has the next words of each stream, and the one after each of them, which is to be
    foretold. With the first batch of an epoch the streams begin anew.

    Args:
        description: What it is, for people.
        words: The vocabulary by number: `UNKNOWN`, `EOS`, and the others, more frequent ones first.
        train: Numbers of the words to train on.
        val: Numbers of the words held out.
        test: Numbers of the words of the test part.
        separator: What stands between two words.
    """

    description: str
    words: tuple[str, ...] = dataclasses.field(repr=False)
    train: np.ndarray = dataclasses.field(repr=False)
    val: np.ndarray = dataclasses.field(repr=False)
    test: np.ndarray = dataclasses.field(repr=False)
    separator: str = dataclasses.field(default=" ", kw_only=True)

    @property
    def facts(self) -> TextFacts:
        """What is known of it without having it."""
        return TextFacts(len(self.words), *(len(getattr(self, part)) for part in PARTS))

    def limited(self, most: int) -> Self:
        """Return the text with a vocabulary of so many words at most, 0 for all."""
        words = self.words[:most] if most else self.words
        return dataclasses.replace(self, words=words)

    def batches(self, streams: int, length: int, start: int = 0) -> tf.data.Dataset:
        """Return the endless batches of training, from a data step on.

        Args:
            streams: Rows of a batch.
            length: Words of a row.
            start: The data step.

        Returns:
            A data set of `(words, following, begins)`: int32 of shape `(streams, length)` twice,
            and whether the streams begin anew, of shape `(streams,)`.

        Raises:
            ValueError: If the text has no batch.
        """
        each = len(self.train) // streams
        steps = self.facts.steps_per_epoch(streams, length)
        if steps < 1:
            raise ValueError(
                f"The text must have {streams} streams of {length + 1} words. Received: "
                f"{len(self.train)} words to train on"
            )
        starts = np.arange(streams, dtype=np.int64) * each

        def read(step: np.ndarray) -> np.ndarray:
            return self._read(self.train, starts + step % steps * length, length + 1)

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            words = tf.ensure_shape(
                tf.numpy_function(read, [step], tf.int32, stateful=False), (streams, length + 1)
            )
            return words[:, :-1], words[:, 1:], tf.fill([streams], step % steps == 0)

        numbers = tf.data.Dataset.range(start, tf.int64.max)
        return numbers.map(batch).prefetch(tf.data.AUTOTUNE)

    def evaluated(self, part: str, streams: int, length: int) -> tf.data.Dataset:
        """Return the batches of an evaluation, in which each word but the first is foretold once.

        Args:
            part: "val" or "test".
            streams: Rows of a batch, which begin without a past: more are sooner read, and a
                little worse foretold.
            length: Words of a row.

        Returns:
            A data set of `(words, following, begins, weights)`, as `batches` gives them; weights
            are 0 where the text is over.

        Raises:
            ValueError: If the part has no word to foretell.
        """
        words = getattr(self, part)
        if len(words) < 2:
            raise ValueError(
                f"The part {part!r} of the text must have words to foretell. Received: "
                f"{len(words)} of {self.description}"
            )
        each = -(-(len(words) - 1) // streams)  # Of a stream, the last of which may be shorter.
        steps = -(-each // length)
        starts = np.arange(streams, dtype=np.int64) * each
        read = functools.partial(self._evaluated, words, starts, each, length)

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found, weights = tf.numpy_function(read, [step], [tf.int32, tf.float32], stateful=False)
            found = tf.ensure_shape(found, (streams, length + 1))
            weights = tf.ensure_shape(weights, (streams, length))
            return found[:, :-1], found[:, 1:], tf.fill([streams], step == 0), weights

        return tf.data.Dataset.range(steps).map(batch).prefetch(tf.data.AUTOTUNE)

    def _evaluated(
        self, words: np.ndarray, starts: np.ndarray, each: int, length: int, step: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        first = step * length
        places = starts[:, None] + first + np.arange(length)
        ends = np.minimum(starts + each, len(words) - 1)
        weights = (places < ends[:, None]).astype(np.float32)
        return self._read(words, starts + first, length + 1), weights

    def _read(self, words: np.ndarray, starts: np.ndarray, count: int) -> np.ndarray:
        """Return so many words from each of some places on; 0 beyond the end."""
        found = np.zeros((len(starts), count), np.int32)
        for row, start in zip(found, starts, strict=True):
            part = words[start : start + count]
            row[: len(part)] = part
        found[found >= len(self.words)] = 0
        return found

    def written(self, numbers: np.ndarray) -> str:
        """Return words by their numbers as a text that people read."""
        words = ["\n" if self.words[n] == EOS else self.words[n] for n in numbers]
        return self.separator.join(words)
