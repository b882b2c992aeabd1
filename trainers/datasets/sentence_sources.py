"""Where sentences that are judged come from.

Passages of Python's own help, whose topic is to be told, are always there. The tasks of GLUE (Wang
et al., arXiv 1804.07461) and of XNLI (Conneau et al., arXiv 1809.05053) come from TensorFlow
Datasets, anyone's own as JSON Lines.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from trainers.datasets import sources
from trainers.datasets.sentences import PARTS, Examples, SentenceFacts, Sentences
from trainers.datasets.text_files import TENTHS, help_topics, objects, parts_of, text_of
from trainers.datasets.word_pieces import Pieces, learnt, of_folder, packed, pieces
from trainers.options.paths import is_path

__all__ = ["EMBEDDED", "check", "facts", "fetch", "get", "names", "random"]

EMBEDDED = "topics"
_ENTAILMENT = ("entailment", "neutral", "contradiction")
_ACCURACY = ("accuracy",)
_LANGUAGES = (
    "ar",
    "bg",
    "de",
    "el",
    "en",
    "es",
    "fr",
    "hi",
    "ru",
    "sw",
    "th",
    "tr",
    "ur",
    "vi",
    "zh",
)
_WORD = re.compile(r"[a-z]+(?:['\u2019][a-z]+)*")
# Of the help there are so many topics, in passages of so many words. A topic that has so many
# characters from the middle of another one has all of it, and is left out.
_TOPICS, _PASSAGE, _EXCERPT = 8, 20, 200


class Table(NamedTuple):
    """Texts of a part, in one column or two, with their labels."""

    columns: tuple[Sequence[str], ...]
    labels: np.ndarray


class _Known(NamedTuple):
    """A task of TensorFlow Datasets: its facts, the texts of an example, and its splits."""

    facts: SentenceFacts
    columns: tuple[str, ...]
    splits: Mapping[str, tuple[str, str]]


def _glue(
    name: str,
    columns: tuple[str, ...],
    counts: tuple[int, int],
    classes: tuple[str, ...],
    scores: tuple[str, ...],
    pieces: int,
    validation: str = "validation",
) -> _Known:
    """Return a task of GLUE: its labelled validation split is tested on, its test has no labels."""
    known = SentenceFacts(*counts, None, classes, len(columns) == 2, scores, pieces)
    splits = {"train": (f"glue/{name}", "train"), "test": (f"glue/{name}", validation)}
    return _Known(known, columns, splits)


# Those of GLUE have the metrics of Wang et al., table 1.
_PAIR = ("sentence1", "sentence2")
_HALVES = ("entailment", "not_entailment")
_KNOWN = {
    "cola": _glue(
        "cola",
        ("sentence",),
        (8_551, 1_043),
        ("unacceptable", "acceptable"),
        ("matthews",),
        12,
    ),
    "mnli": _glue(
        "mnli",
        ("premise", "hypothesis"),
        (392_702, 9_815),
        _ENTAILMENT,
        _ACCURACY,
        40,
        "validation_matched",
    ),
    "mrpc": _glue(
        "mrpc", _PAIR, (3_668, 408), ("not_equivalent", "equivalent"), ("accuracy", "f1"), 54
    ),
    "qnli": _glue("qnli", ("question", "sentence"), (104_743, 5_463), _HALVES, _ACCURACY, 51),
    "qqp": _glue(
        "qqp",
        ("question1", "question2"),
        (363_846, 40_430),
        ("not_duplicate", "duplicate"),
        ("accuracy", "f1"),
        31,
    ),
    "rte": _glue("rte", _PAIR, (2_490, 277), _HALVES, _ACCURACY, 71),
    "sst2": _glue("sst2", ("sentence",), (67_349, 872), ("negative", "positive"), _ACCURACY, 14),
    "stsb": _glue("stsb", _PAIR, (5_749, 1_500), (), ("pearson", "spearman"), 32),
    **{
        f"xnli_{language}": _Known(
            SentenceFacts(392_570, 5_010, 2_490, _ENTAILMENT, True, _ACCURACY, 45),
            (f"premise/{language}", f"hypothesis/{language}"),
            {
                "train": ("xtreme_xnli", "train"),
                "val": ("xnli", "validation"),
                "test": ("xnli", "test"),
            },
        )
        for language in _LANGUAGES
    },
}


def names() -> list[str]:
    """Return the names of the tasks, sorted."""
    return sorted([*_KNOWN, EMBEDDED])


def facts(name: str) -> SentenceFacts:
    """Return what is known of a task; one that is given by a path is read for it.

    Raises:
        ValueError: If the name is unknown, or what is in the folder is no task.
        FileNotFoundError: If there is no such folder.
    """
    if name in _KNOWN:
        return _KNOWN[name].facts
    if name == EMBEDDED or is_path(name):
        return _read(name)[0]
    raise ValueError(
        f"`dataset` must be one of {', '.join(names())}, or the path of a folder of JSON Lines. "
        f"Received: dataset={name!r}"
    )


def check(name: str, data_dir: str | None = None) -> None:
    """Check that a task is there.

    Raises:
        ValueError: As for `facts`.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    facts(name)
    if lacking := [each for each in _builders(name) if not sources.is_there(each, data_dir)]:
        places = [sources.place_of(data_dir) / each for each in lacking]
        raise sources.missing(name, places, data_dir, f"--dataset={EMBEDDED}")


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download a task, unless it is there, and return where it is.

    Raises:
        OSError: If it cannot be downloaded or written.
    """
    places = [sources.download(each, data_dir) for each in _builders(name)]
    return ", ".join(places) or "comes with Python"


def _builders(name: str) -> list[str]:
    splits = _KNOWN[name].splits.values() if name in _KNOWN else ()
    return list(dict.fromkeys(builder for builder, _ in splits))


def get(
    name: str, length: int, encoder: str = "", vocabulary: int = 0, data_dir: str | None = None
) -> Sentences:
    """Return a task.

    Args:
        name: One of `names()`, or the path of a folder.
        length: Most word pieces of an example.
        encoder: The folder of a pretrained encoder whose word pieces are taken; empty for those
            that are learnt from the training examples.
        vocabulary: How many of these there are at most.
        data_dir: Where the task is.

    Raises:
        ValueError: As for `facts`, if the encoder cannot be read, or if keras-hub is not installed.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    check(name, data_dir)
    tables: Mapping[str, Table]
    if name in _KNOWN:
        known = _KNOWN[name].facts
        tables = {
            part: _table(_KNOWN[name].columns, *split, data_dir)
            for part, split in _KNOWN[name].splits.items()
        }
    else:
        known, tables = _read(name)
    texts = [text for column in tables["train"].columns for text in column]
    tokenizer = of_folder(encoder) if encoder else learnt(texts, vocabulary)
    ends = tokenizer.cls_token_id, tokenizer.sep_token_id
    examples = {}
    for part, table in tables.items():
        columns = [pieces(tokenizer, column) for column in table.columns]
        examples[part] = Examples(packed(columns, length, *ends), table.labels)
    counts = {part: len(each.labels) for part, each in examples.items()}
    return Sentences(
        description=f"{_what(name)} ({counts['train']:,} examples to train, "
        f"{counts['test']:,} to test)",
        facts=dataclasses.replace(
            known, train=counts["train"], test=counts["test"], val=counts.get("val")
        ),
        vocabulary=tuple(tokenizer.get_vocabulary()),
        padding=tokenizer.pad_token_id,
        length=length,
        train=examples["train"],
        val=examples.get("val"),
        test=examples["test"],
        encoder=encoder,
    )


def random(name: str, length: int, vocabulary: int) -> Sentences:
    """Return random word pieces, in the number of a task and about as long.

    What is computed from them takes as long as it would from the task, and nothing else is true.

    Args:
        name: One of `names()`, or the path of a folder.
        length: Most word pieces of an example.
        vocabulary: How many word pieces differ.
    """
    known = facts(name)
    generator = np.random.default_rng(0)

    def made(count: int) -> Examples:
        lengths = generator.uniform(0.4, 1.6, count) * known.pieces
        lengths = np.clip(lengths.astype(np.int32), 3 + known.is_pair, length)
        numbers = generator.integers(1, vocabulary, lengths.sum(), np.int32)
        firsts = lengths // 2 if known.is_pair else lengths
        labels = (
            generator.integers(0, len(known.class_names), count, np.int32)
            if known.class_names
            else generator.uniform(0.0, 5.0, count).astype(np.float32)
        )
        return Examples(Pieces(numbers, lengths, firsts), labels)

    return Sentences(
        description=f"random word pieces in the number of {name}",
        facts=known,
        vocabulary=tuple(map(str, range(vocabulary))),
        padding=0,
        length=length,
        train=made(known.train),
        val=None if known.val is None else made(known.val),
        test=made(known.test),
        is_made_up=True,
    )


def _what(name: str) -> str:
    return "topics of Python's help" if name == EMBEDDED else name


# --- TensorFlow Datasets --------------------------------------------------------------------------


def _table(columns: Sequence[str], builder: str, split: str, data_dir: str | None) -> Table:
    """Return a split of TensorFlow Datasets."""

    def row(example: Mapping[str, Any]) -> tuple[tf.Tensor, ...]:
        return (*(_column(example, name) for name in columns), example["label"])

    found = sources.columns(builder, split, row, data_dir)
    *texts, labels = found
    kind = np.float32 if np.issubdtype(labels.dtype, np.floating) else np.int32
    decoded = tuple([text.decode("utf-8") for text in column] for column in texts)
    return Table(decoded, labels.astype(kind))


def _column(example: Mapping[str, Any], name: str) -> tf.Tensor:
    """Return a text of an example; "premise/de" is that of a language."""
    name, _, language = name.partition("/")
    found = example[name]
    if not language:
        return found
    if language in found:
        return found[language]
    return found["translation"][tf.argmax(tf.cast(found["language"] == language, tf.int32))]


# --- what comes with Python, and files ------------------------------------------------------------


def _read(name: str) -> tuple[SentenceFacts, Mapping[str, Table]]:
    """Read a task, once for as long as its files stay what they are."""
    if name == EMBEDDED:
        return _topics()
    path = pathlib.Path(name).expanduser()
    sources.check_there(name, path)
    if not path.is_dir():
        raise ValueError(
            f"`dataset` must be a folder with JSON Lines for train, valid and test. "
            f"Received: dataset={name!r}, which is a file"
        )
    files = parts_of(path)
    stamps = tuple((each.stat().st_mtime_ns, each.stat().st_size) for each in files.values())
    return _read_folder(path, stamps)


@functools.lru_cache(maxsize=4)
def _read_folder(
    path: pathlib.Path, stamps: tuple[tuple[int, int], ...]
) -> tuple[SentenceFacts, Mapping[str, Table]]:
    files = parts_of(path)
    rows = {part: list(objects(files[part])) for part in PARTS}
    if empty := [part for part in PARTS if not rows[part]]:
        raise ValueError(
            f"Each part of a task must have examples. Received: none in {files[empty[0]]}"
        )
    is_pair = any("second" in row for part in PARTS for _, row in rows[part])
    keys = ("text", "second") if is_pair else ("text",)
    columns = {
        part: tuple(
            [text_of(row, key, files[part], number) for number, row in rows[part]] for key in keys
        )
        for part in PARTS
    }
    said = {
        part: [_label(row, files[part], number) for number, row in rows[part]] for part in PARTS
    }
    classes, labels = _coded(said, rows, files)
    count = {part: len(rows[part]) for part in PARTS}
    words = sum(len(text.split()) for column in columns["train"] for text in column)
    known = SentenceFacts(
        count["train"],
        count["test"],
        count["val"],
        classes,
        is_pair,
        _ACCURACY if classes else ("pearson", "spearman"),
        # A word has about one piece and a third.
        pieces=round(4 / 3 * words / count["train"]) + 2 + is_pair,
    )
    return known, {part: Table(columns[part], labels[part]) for part in PARTS}


def _is_rating(label: float) -> bool:
    """Return whether a number is finite in float32."""
    return abs(label) <= float(np.finfo(np.float32).max)


def _label(row: Mapping[str, Any], path: pathlib.Path, number: int) -> str | float:
    """Return a label: the name of a class, or a rating, which is no whole number."""
    label = row.get("label")
    if isinstance(label, bool | int):
        label = str(label)
    if not isinstance(label, str) and not (isinstance(label, float) and _is_rating(label)):
        raise ValueError(
            f"Each line of {path} must be a JSON object with a 'label': a text, a whole number, or "
            f"a finite one with a point. Received: {label!r:.50} in line {number}"
        )
    return label


def _coded(
    said: Mapping[str, Sequence[str | float]],
    rows: Mapping[str, Sequence[tuple[int, Any]]],
    files: Mapping[str, pathlib.Path],
) -> tuple[tuple[str, ...], Mapping[str, np.ndarray]]:
    """Return the classes, none if labels are ratings, and the labels of each part as numbers."""
    kinds = {isinstance(each, float) for each in said["train"]}
    if len(kinds) > 1:
        raise ValueError(
            f"Each 'label' of {files['train']} must be the name of a class, or each a rating with "
            f"a point, as 2.5. Received: both"
        )
    (is_rating,) = kinds
    classes = () if is_rating else tuple(sorted({str(each) for each in said["train"]}))
    if len(classes) == 1:
        raise ValueError(
            f"A task must have at least two classes. Received: 'label' is {classes[0]!r} in all of "
            f"{files['train']}"
        )
    numbers = {name: number for number, name in enumerate(classes)}
    labels = {}
    for part, given in said.items():
        for (line, _), label in zip(rows[part], given, strict=True):
            if isinstance(label, float) != is_rating or not (is_rating or label in numbers):
                kind = "numbers with a point" if is_rating else f"one of {', '.join(classes)}"
                raise ValueError(
                    f"Each 'label' of {files[part]} must be {kind}, as in {files['train']}. "
                    f"Received: {label!r} in line {line}"
                )
        labels[part] = (
            np.array(given, np.float32)
            if is_rating
            else np.array([numbers[str(label)] for label in given], np.int32)
        )
    return classes, labels


@functools.cache
def _topics() -> tuple[SentenceFacts, Mapping[str, Table]]:
    """Return passages of the longest topics of Python's help, with the topic of each."""
    chosen: dict[str, str] = {}
    for name, text in sorted(help_topics().items(), key=lambda each: (-len(each[1]), each[0])):
        middle = text[len(text) // 2 :][:_EXCERPT]
        if not any(middle in other for other in chosen.values()):  # Some are parts of others.
            chosen[name] = text
        if len(chosen) == _TOPICS:
            break
    passages: list[tuple[str, int]] = []
    for label, text in enumerate(chosen.values()):
        words = _WORD.findall(text.lower())
        starts = range(0, len(words) - _PASSAGE + 1, _PASSAGE)
        passages += [(" ".join(words[start:][:_PASSAGE]), label) for start in starts]
    tables = {}
    for part, tenths in TENTHS.items():
        mine = [each for number, each in enumerate(passages) if number % 10 in tenths]
        labels = np.array([label for _, label in mine], np.int32)
        tables[part] = Table(([text for text, _ in mine],), labels)
    train, val, test = (len(tables[part].labels) for part in PARTS)
    length = round(4 / 3 * _PASSAGE) + 2
    return SentenceFacts(train, test, val, tuple(chosen), False, _ACCURACY, length), tables
