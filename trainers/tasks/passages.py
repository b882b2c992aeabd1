"""Passages that a language model writes, to be looked at."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.datasets.texts import Text
from trainers.models.adaptive_softmax import AdaptiveSoftmax
from trainers.models.language import EMBEDDING, OUTPUT
from trainers.models.lstm import CarriedLSTM

__all__ = ["passages"]

_PASSAGES = 3
_GIVEN = 8


def passages(model: keras.Model, text: Text, part: str, length: int, count: int, seed: int) -> str:
    """Return passages that a model writes, each after some words of a text.

    Args:
        model: A model of `trainers.models.language`.
        text: The text.
        part: The part of the text that they begin with: "val" or "test".
        length: Words of a row of the model.
        count: Words that it writes in each.
        seed: Of the words that are drawn.
    """
    words = getattr(text, part)
    carriers = [layer for layer in model.layers if isinstance(layer, CarriedLSTM)]
    number = min([_PASSAGES, *(layer.streams for layer in carriers)])  # Each has a state.
    given = min(_GIVEN, length, len(words))
    starts = np.linspace(0, len(words) - given, number).astype(np.int64)
    rows = np.stack([words[start : start + given] for start in starts])
    rows[rows >= len(text.words)] = 0
    noise = np.random.default_rng(seed)
    follow = _carried(model, rows) if carriers else _windowed(model, length)
    for _ in range(count):
        scores = follow(rows)
        scores[:, 0] = -np.inf  # Of unknown words none is written.
        drawn = np.argmax(scores + noise.gumbel(size=scores.shape), axis=-1)
        rows = np.concatenate([rows, drawn[:, None].astype(np.int32)], axis=-1)
    return "\n\n".join(f"{text.written(row[:given])} | {text.written(row[given:])}" for row in rows)


def _carried(model: keras.Model, rows: np.ndarray) -> Any:
    """Return what scores the next words, where the state is carried from word to word."""
    read = 0

    def follow(rows: np.ndarray) -> np.ndarray:
        nonlocal read
        for place in range(read, rows.shape[1]):
            scores = _through(model, rows[:, place : place + 1], place == 0)
        read = rows.shape[1]
        return scores[:, -1]

    return follow


def _through(model: keras.Model, words: np.ndarray, begins: bool) -> np.ndarray:
    """Return the scores after words of another length than the model's: layer by layer."""
    x: Any = tf.constant(words)
    at = tf.fill([len(words)], begins)
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(layer, AdaptiveSoftmax):
            x = layer.log_probabilities(x)
        else:
            x = layer(x, at) if isinstance(layer, CarriedLSTM) else layer(x)
    embed = model.get_layer(EMBEDDING)
    if isinstance(embed, keras.layers.ReversibleEmbedding):
        x = embed(x, reverse=True)
    return tf.cast(x, tf.float64).numpy()


def _windowed(model: keras.Model, length: int) -> Any:
    """Return what scores the next words, by as many words as the model sees."""
    last = model.layers[-1]
    hidden = None
    if isinstance(last, AdaptiveSoftmax):
        hidden = keras.Model(model.inputs[0], model.get_layer(OUTPUT).input[0])

    def follow(rows: np.ndarray) -> np.ndarray:
        seen = rows[:, -length:]
        padded = np.zeros((len(rows), length), np.int32)
        padded[:, : seen.shape[1]] = seen
        words = tf.constant(padded)
        found = model(words) if hidden is None else last.log_probabilities(hidden(words))
        return tf.cast(found[:, seen.shape[1] - 1], tf.float64).numpy()

    return follow
