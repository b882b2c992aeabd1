"""Word pieces (Wu et al., arXiv 1609.08144): tokenizers of keras-hub, and pairs in one row."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainers.models import hub

__all__ = ["Pieces", "learnt", "of_folder", "packed", "pieces"]

# Texts that are cut in one call.
_AT_ONCE = 1_000


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Numbers of word pieces in rows, one after another.

    Attributes:
        numbers: int32 of shape `(all,)`.
        lengths: How many each row has, int32 of shape `(rows,)`.
        firsts: How many of these belong to the first text of a row, likewise.
    """

    numbers: np.ndarray
    lengths: np.ndarray
    firsts: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """Where each row starts, int64."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def of(self, chosen: np.ndarray) -> Pieces:
        """Return some rows, by number."""
        lengths, starts = self.lengths[chosen], self.starts[chosen]
        return Pieces(self.numbers[_places(starts, lengths)], lengths, self.firsts[chosen])


def of_folder(folder: str) -> Any:
    """Return the tokenizer of a pretrained encoder.

    Args:
        folder: The folder of the encoder.

    Raises:
        ValueError: If keras-hub is not installed, or cannot read it.
    """
    kind = hub.imported().models.BertTokenizer
    made = hub.loaded("encoder", folder, kind.from_preset, folder)
    said = hub.loaded("encoder", folder, _tokenizer_config, folder)
    strips = said.get("strip_accents")
    return kind(
        vocabulary=made.get_vocabulary(),
        lowercase=made.lowercase,
        # Where nothing else is said, accents go with capitals (Devlin et al., their code).
        strip_accents=made.lowercase if strips is None else bool(strips),
        split_on_cjk=bool(said.get("tokenize_chinese_chars", True)),
    )


def _tokenizer_config(folder: str) -> Mapping[str, Any]:
    """Return what a folder of Hugging Face says of its tokenizer; nothing of one of keras-hub."""
    path = pathlib.Path(folder) / "tokenizer_config.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def learnt(texts: Sequence[str], most: int) -> Any:
    """Return a tokenizer whose word pieces are learnt from texts, in small letters.

    Args:
        texts: The texts.
        most: Word pieces that it has at most.

    Raises:
        ValueError: If keras-hub is not installed, or there is no word.
    """
    found = hub.imported()
    if not any(text.strip() for text in texts):
        raise ValueError("The training examples must have words. Received: empty texts alone")
    vocabulary = found.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(list(texts)).batch(_AT_ONCE),
        vocabulary_size=most,
        lowercase=True,
        strip_accents=True,
        reserved_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    )
    # It learns about so many as are asked for, more frequent ones first.
    kind = found.models.BertTokenizer
    return kind(vocabulary=vocabulary[:most], lowercase=True, strip_accents=True)


def pieces(tokenizer: Any, texts: Sequence[str]) -> Pieces:
    """Return the word pieces of each of some texts, without those at the ends."""
    if not len(texts):
        none = np.zeros(0, np.int32)
        return Pieces(none, none, none)
    data = tf.data.Dataset.from_tensor_slices(list(texts)).batch(_AT_ONCE)
    found = list(data.map(tokenizer, num_parallel_calls=tf.data.AUTOTUNE))
    numbers = np.concatenate([each.flat_values.numpy() for each in found]).astype(np.int32)
    lengths = np.concatenate([each.row_lengths().numpy() for each in found]).astype(np.int32)
    return Pieces(numbers, lengths, lengths)


def packed(columns: Sequence[Pieces], most: int, begin: int, end: int) -> Pieces:
    """Return rows as BERT has them: ``[CLS] a [SEP]``, and of pairs ``[CLS] a [SEP] b [SEP]``.

    Of what is too long the end is cut off, from the longer text as long as it is the longer one.

    Args:
        columns: The texts of one column, or the first ones and the second ones of pairs.
        most: Most word pieces of a row.
        begin: The number of ``[CLS]``.
        end: The number of ``[SEP]``.
    """
    kept = _kept([each.lengths for each in columns], most - 1 - len(columns))
    lengths = 1 + np.sum([each + 1 for each in kept], axis=0)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    numbers = np.full(int(lengths.sum()), end, np.int32)
    numbers[starts] = begin
    places = starts + 1
    for each, count in zip(columns, kept, strict=True):
        numbers[_places(places, count)] = each.numbers[_places(each.starts, count)]
        places = places + count + 1
    return Pieces(numbers, lengths.astype(np.int32), (kept[0] + 2).astype(np.int32))


def _kept(lengths: Sequence[np.ndarray], room: int) -> list[np.ndarray]:
    """Return how much of each text is kept."""
    if len(lengths) == 1:
        return [np.minimum(lengths[0], room)]
    first, second = lengths
    half = room - room // 2  # The first one has what cannot be halved.
    cut_first = np.maximum(room - second, np.minimum(first, half))
    kept = np.minimum(first, cut_first)
    return [kept, np.minimum(second, room - kept)]


def _places(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the places of rows of some lengths from some places on, one after another."""
    ends = np.cumsum(lengths, dtype=np.int64)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return np.repeat(starts, lengths) + within
