"""Models that foretell the next word of each of a row of words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from trainers.models.adaptive_softmax import AdaptiveSoftmax
from trainers.models.lstm import CarriedLSTM
from trainers.models.transformer import decoder

__all__ = ["EMBEDDING", "OUTPUT", "Words", "lstm", "transformer"]

# The layer of what stands for a word, and the one that gives the logits of words, or their cross
# entropy if it is adaptive.
EMBEDDING, OUTPUT = "embedding", "output"


@dataclasses.dataclass(frozen=True)
class Words:
    """How words come into a network, and out of it.

    Args:
        vocabulary: Number of words.
        embedding: Numbers that stand for a word.
        initial_range: Weights are drawn from up to this, and minus it.
        is_tied: Whether words come out by the numbers by which they come in.
        cutoffs: Those of an adaptive softmax; none for a softmax of all words.
    """

    vocabulary: int
    embedding: int
    initial_range: float
    is_tied: bool = False
    cutoffs: Sequence[int] = ()

    def model(self, length: int, inner: Any, begins: Any = None) -> keras.Model:
        """Return a model of rows of `length` words.

        Args:
            length: Words of a row.
            inner: Returns what is between, of what stands for the words.
            begins: The input that says which rows begin, if there is one.

        Returns:
            A model of the words, of `begins` if it is given, and with an adaptive softmax of the
            words that follow. It gives logits of shape `(rows, words, vocabulary)`, or with an
            adaptive softmax the cross entropy of those that follow.
        """
        words = keras.layers.Input((length,), dtype="int32", name="words")
        inputs = [words] if begins is None else [words, begins]
        draw = keras.initializers.RandomUniform(-self.initial_range, self.initial_range)
        kind = keras.layers.ReversibleEmbedding if self.is_tied else keras.layers.Embedding
        embed = kind(self.vocabulary, self.embedding, embeddings_initializer=draw, name=EMBEDDING)
        x = inner(embed(words))
        if self.cutoffs:
            following = keras.layers.Input((length,), dtype="int32", name="following")
            last = AdaptiveSoftmax(self.vocabulary, self.cutoffs, self.initial_range, name=OUTPUT)
            return keras.Model([*inputs, following], last(x, following))
        given = words if begins is None else inputs
        if self.is_tied:
            if x.shape[-1] != self.embedding:
                x = keras.layers.Dense(self.embedding, name="projection")(x)
            return keras.Model(given, embed(x, reverse=True))
        last = keras.layers.Dense(self.vocabulary, kernel_initializer=draw, name=OUTPUT)
        return keras.Model(given, last(x))


def lstm(
    words: Words,
    length: int,
    streams: int,
    layers: int,
    units: int,
    dropout: float,
    recurrent_range: float | None,
) -> keras.Model:
    """Return a model of LSTM layers, with dropout before, between and after them.

    Args:
        words: How words come in and out.
        length: Words of a row.
        streams: Rows of a batch, at most; each has a state that stays for the next batch.
        layers: Number of LSTM layers.
        units: Numbers that each gives for a word.
        dropout: Share of the numbers that is dropped, at each word anew.
        recurrent_range: Weights of the LSTM are drawn from up to this, and minus it; None for
            1 / sqrt(units).

    References:
        Zaremba, Sutskever and Vinyals, "Recurrent Neural Network Regularization" (arXiv 1409.2329).
    """
    begins = keras.layers.Input((), dtype="bool", name="begins")

    def inner(x: Any) -> Any:
        x = keras.layers.Dropout(dropout)(x)
        for _ in range(layers):
            x = CarriedLSTM(units, streams, recurrent_range)(x, begins)
            x = keras.layers.Dropout(dropout)(x)
        return x

    return words.model(length, inner, begins)


def transformer(
    words: Words,
    length: int,
    layers: int,
    units: int,
    heads: int,
    feedforward: int,
    dropout: float,
) -> keras.Model:
    """Return a Transformer, which sees the words of the same row that are before; see `decoder`."""

    def inner(x: Any) -> Any:
        if words.embedding != units:
            x = keras.layers.Dense(units, use_bias=False, name="projection_in")(x)
        return decoder(x, layers, units, heads, feedforward, dropout)

    return words.model(length, inner)
