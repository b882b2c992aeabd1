"""Sentences, or pairs of them, with a label each, in an order that is a function of seed and step.

Nothing here has a state: the batch of data step t is computed from t.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Self

import numpy as np
import tensorflow as tf

from trainers.datasets.images import HELD_OUT, check_split, evenly, full_batches
from trainers.datasets.word_pieces import Pieces

__all__ = ["PARTS", "Examples", "SentenceFacts", "Sentences"]

PARTS = ("train", "val", "test")
# Rows are padded to a multiple of this, so that few lengths differ.
_MULTIPLE = 8


@dataclasses.dataclass(frozen=True)
class SentenceFacts:
    """What is known of a task without having its sentences.

    Attributes:
        train: Number of training examples.
        test: Number of examples of the test part.
        val: Number of those held out; None where every tenth training example is.
        class_names: What the classes are called; empty for a rating.
        is_pair: Whether an example has two texts.
        scores: What the score is the mean of; see `trainers.tasks.glue_scores`.
        pieces: Word pieces that an example has, about.
    """

    train: int
    test: int
    val: int | None
    class_names: tuple[str, ...]
    is_pair: bool
    scores: tuple[str, ...]
    pieces: int

    @property
    def outputs(self) -> int:
        """Numbers that judge an example."""
        return max(1, len(self.class_names))

    def steps_per_epoch(self, split: str, batch_size: int, share: float = 1.0) -> int:
        """Return the full batches of an epoch.

        Raises:
            ValueError: If there is no batch.
        """
        is_held = split != "test" and self.val is None
        count = self.train - (-(-self.train // HELD_OUT) if is_held else 0)
        kept = math.floor(count * share)
        if not batch_size <= kept:
            raise ValueError(
                f"There must be a batch of examples to train on. Received: "
                f"batch_size={batch_size}, train_share={share:g} of {count} examples, which are "
                f"{kept}"
            )
        return full_batches(kept, batch_size)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of a part.

    Attributes:
        pieces: Their word pieces.
        labels: Classes, int32, or ratings, float32.
    """

    pieces: Pieces
    labels: np.ndarray

    def of(self, chosen: np.ndarray) -> Self:
        """Return some of them, by number."""
        return dataclasses.replace(self, pieces=self.pieces.of(chosen), labels=self.labels[chosen])

    @functools.cached_property
    def tensors(self) -> tuple[tf.Tensor, ...]:
        """Numbers, lengths, starts, lengths of the first texts, and labels."""
        found = self.pieces
        numbers = found.numbers if len(found.numbers) else np.zeros(1, np.int32)
        arrays = (numbers, found.lengths, found.starts, found.firsts, self.labels)
        with tf.init_scope():  # Whoever asks first may be a pipeline that is traced.
            return tuple(tf.constant(each) for each in arrays)

    def batch(
        self, rows: tf.Tensor, most: int, padding: int
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Return some rows, padded to the longest of them."""
        numbers, lengths, starts, firsts, labels = self.tensors
        count = tf.gather(lengths, rows)[:, None]
        longest = tf.reduce_max(count)
        width = tf.minimum(-(-longest // _MULTIPLE) * _MULTIPLE, most)
        place = tf.range(width)[None]
        is_there = place < count
        at = tf.gather(starts, rows)[:, None] + tf.cast(place, tf.int64)
        found = tf.gather(numbers, tf.minimum(at, len(numbers) - 1))
        is_second = (place >= tf.gather(firsts, rows)[:, None]) & is_there
        inputs = {
            "token_ids": tf.where(is_there, found, padding),
            "segment_ids": tf.cast(is_second, tf.int32),
            "padding_mask": tf.cast(is_there, tf.int32),
        }
        return inputs, tf.gather(labels, rows)


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Examples to train on, and to be evaluated with.

    Args:
        description: What it is, for people.
        facts: What is known of it.
        vocabulary: The word pieces by number.
        padding: The number of the one that fills rows.
        length: Most word pieces of a row.
        train: Examples to train on.
        val: Held-out ones; None where there are none.
        test: Those of the test part.
        encoder: The folder of the pretrained encoder whose word pieces these are; empty for none.
        is_made_up: Whether they stand in for those of a task, whatever its encoder is.
    """

    description: str
    facts: SentenceFacts
    vocabulary: tuple[str, ...] = dataclasses.field(repr=False)
    padding: int
    length: int
    train: Examples = dataclasses.field(repr=False)
    val: Examples | None = dataclasses.field(repr=False)
    test: Examples = dataclasses.field(repr=False)
    encoder: str = ""
    is_made_up: bool = False

    def split(self, name: str, share: float = 1.0) -> Self:
        """Return what to train on and what to be evaluated with.

        Args:
            name: "test" for all training examples, and the test part. "validation" for the part
                that is held out, or every tenth training example where there is none; no test
                example is there. "both" for the same, and the test part.
            share: Share of the training examples, evenly spaced.

        Raises:
            ValueError: If the name is unknown.
        """
        check_split(name)
        train, val = self.train, self.val
        if name != "test" and val is None:
            held = np.arange(len(train.labels)) % HELD_OUT == 0
            train, val = train.of(np.flatnonzero(~held)), train.of(np.flatnonzero(held))
        if share != 1.0:
            train = train.of(np.flatnonzero(evenly(len(train.labels), share)))
        kept = slice(None) if name != "validation" else slice(0)
        test = self.test.of(np.arange(len(self.test.labels))[kept])
        return dataclasses.replace(self, train=train, val=val, test=test)

    def batches(self, batch_size: int, seed: int, pool: int = 1, start: int = 0) -> tf.data.Dataset:
        """Return the endless batches of training, from a data step on.

        Args:
            batch_size: Examples of a batch.
            seed: Of their order.
            pool: Batches that are made at once: their examples are drawn at random, and batches
                made of those of like length.
            start: The data step.

        Returns:
            A data set of inputs, see `trainers.models.bert.judge`, and labels.

        Raises:
            ValueError: If `batch_size` is not between 1 and the number of examples.
        """
        count = len(self.train.labels)
        steps = full_batches(count, batch_size)
        lengths = tf.constant(self.train.pieces.lengths)

        def batch(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            epoch, position = step // steps, step % steps
            number = position // pool
            batches = tf.minimum(tf.cast(pool, tf.int64), steps - number * pool)
            index = number * pool * batch_size + tf.range(batches * batch_size)
            shuffle = tf.random.experimental.index_shuffle
            rows = shuffle(index, tf.stack([tf.constant(seed, tf.int64), epoch]), count - 1)
            order = tf.argsort(tf.gather(lengths, rows), stable=True)
            # Below 0, where no epoch is.
            pools = tf.stack([tf.constant(seed, tf.int64), -1 - epoch * steps - number])
            place = shuffle(position % pool, pools, batches - 1)
            chosen = tf.gather(rows, order)[place * batch_size :][:batch_size]
            inputs, labels = self.train.batch(chosen, self.length, self.padding)
            inputs = {key: tf.ensure_shape(x, (batch_size, None)) for key, x in inputs.items()}
            return inputs, tf.ensure_shape(labels, (batch_size,))

        numbers = tf.data.Dataset.range(start, tf.int64.max)
        return numbers.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4)

    def evaluated(self, part: str, batch_size: int, most: int | None = None) -> tf.data.Dataset:
        """Return the examples of "val" or "test" once, shorter ones first.

        Args:
            part: Which.
            batch_size: Examples of a batch.
            most: At most so many of them, evenly spaced; all if None.

        Raises:
            ValueError: If there are none.
        """
        examples = {"val": self.val, "test": self.test}.get(part)
        if examples is None or not len(examples.labels):
            raise ValueError(
                f"`part` must be one that has examples. Received: part={part!r} of "
                f"{self.description}"
            )
        order = np.argsort(examples.pieces.lengths, kind="stable")
        order = order[:: 1 if most is None else -(-len(order) // most)]
        rows = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return rows.map(lambda chosen: examples.batch(chosen, self.length, self.padding)).prefetch(
            4
        )

    def written(self, numbers: np.ndarray) -> str:
        """Return a row of word pieces as people read it, without those that say nothing."""
        said = [self.vocabulary[number] for number in numbers if number != self.padding]
        return " ".join(said[1:-1]).replace(" ##", "").replace("[SEP]", "|")
