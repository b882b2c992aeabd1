"""Texts: how they are read, cut and streamed, and what of them is refused."""

import gzip
import json

import numpy as np
import pytest

from trainers.datasets import text_sources
from trainers.datasets.texts import EOS, UNKNOWN, Text

WORDS = ["a", "b", "c", "d", "e", "f", "g"]


def text(count=100, val=23, test=2):
    draw = np.random.default_rng(0)
    parts = {
        part: draw.integers(0, len(WORDS) + 2, size).astype(np.int32)
        for part, size in (("train", count), ("val", val), ("test", test))
    }
    return Text("a text", (UNKNOWN, EOS, *WORDS), **parts)


def folder(path, train, valid="x\n", test="x\n"):
    for name, content in (("train", train), ("valid", valid), ("test", test)):
        (path / f"{name}.txt").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
    return f"{path}/"


def words(found, part="train"):
    return [found.words[number] for number in getattr(found, part)]


# --- streams -------------------------------------------------------------------------------------


def test_streams_go_on_from_batch_to_batch_and_foretell_the_next_word():
    given, streams, length = text(), 4, 5
    steps = given.facts.steps_per_epoch(streams, length)
    assert steps == (100 // 4 - 1) // 5 == 4
    found = list(given.batches(streams, length).take(2 * steps + 1).as_numpy_iterator())
    for step, (read, following, begins) in enumerate(found):
        np.testing.assert_array_equal(begins, [step % steps == 0] * streams)
        for row in range(streams):
            start = row * 25 + step % steps * length
            np.testing.assert_array_equal(read[row], given.train[start : start + length])
            np.testing.assert_array_equal(following[row], given.train[start + 1 :][:length])


@pytest.mark.parametrize("start", [0, 1, 3, 4, 9])
def test_a_batch_is_a_function_of_its_step(start):
    given = text()
    every = list(given.batches(4, 5).take(12).as_numpy_iterator())
    for found, expected in zip(given.batches(4, 5, start).take(3), every[start:], strict=False):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("streams", [1, 2, 3, 7, 22, 40])
@pytest.mark.parametrize("length", [1, 4, 30])
def test_an_evaluation_foretells_each_word_but_the_first_once(streams, length):
    given = text()
    counted = np.zeros(len(given.val), int)
    for number, batch in enumerate(given.evaluated("val", streams, length)):
        read, following, begins, weights = (np.asarray(each) for each in batch)
        assert begins.tolist() == [number == 0] * streams
        assert set(np.unique(weights)) <= {0.0, 1.0}
        each = -(-(len(given.val) - 1) // streams)
        for row, place in zip(*np.nonzero(weights), strict=True):
            at = row * each + number * length + place
            assert read[row, place] == given.val[at]
            assert following[row, place] == given.val[at + 1]
            counted[at + 1] += 1
    assert counted.tolist() == [0, *[1] * (len(given.val) - 1)]


def test_a_part_without_a_word_to_foretell_is_refused():
    with pytest.raises(ValueError, match=r"'test' of the text must have words.*1 of a text"):
        text(test=1).evaluated("test", 2, 3)
    with pytest.raises(ValueError, match="must have 4 streams of 6 words"):
        text(count=20).batches(4, 5)


def test_rare_words_are_unknown_in_a_smaller_vocabulary():
    given = text().limited(5)
    assert given.facts.vocabulary == 5
    read = np.concatenate([batch[0] for batch in given.batches(4, 5).take(4).as_numpy_iterator()])
    whole = np.concatenate([b[0] for b in text().batches(4, 5).take(4).as_numpy_iterator()])
    np.testing.assert_array_equal(read, np.where(whole < 5, whole, 0))
    assert (read == 0).sum() > (whole == 0).sum()


def test_words_lie_on_the_disk_where_they_are_many(tmp_path):
    given = text()
    (tmp_path / "made").mkdir()
    text_sources._keep(given, tmp_path / "made")
    kept = text_sources._kept("kept", tmp_path / "made")
    assert isinstance(kept.train, np.memmap)
    assert kept.words == given.words
    for one, other in zip(given.batches(4, 5).take(9), kept.batches(4, 5).take(9), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


# --- reading -------------------------------------------------------------------------------------


def test_words_are_numbered_by_how_often_they_are_trained_on(tmp_path):
    place = folder(tmp_path, "B a b.\n\nb c, a\n", "new a\n", "a\n")
    found = text_sources.get(place, "words")
    assert found.words == (UNKNOWN, EOS, "b", "a", ".", "c", ",")
    assert words(found) == ["b", "a", "b", ".", EOS, "b", "c", ",", "a", EOS]
    assert words(found, "val") == [UNKNOWN, "a", EOS]
    assert found.written(found.train[:6]) == "b a b . \n b"


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("words", ["it's", "a", "-", "b", "1", ".", "5", "é", EOS]),
        ("white_space", ["It's", "a-b", "1.5", "É", EOS, EOS]),
        ("characters", [*"It's a-b 1.5 É\n\n"]),
    ],
)
def test_a_text_is_cut(tokens, expected, tmp_path):
    place = folder(tmp_path, "It's a-b 1.5 É\n\n")
    assert words(text_sources.get(place, tokens)) == expected


def test_a_text_that_is_prepared_has_its_own_unknown_word(tmp_path):
    found = text_sources.get(folder(tmp_path, "a <unk> a\n"), "white_space")
    assert found.words == (UNKNOWN, EOS, "a")
    assert found.train.tolist() == [2, 0, 2, 1]


def test_of_ten_documents_eight_are_trained_on_one_is_held_out_and_one_tests(tmp_path):
    path = tmp_path / "speeches.jsonl.gz"
    with gzip.open(path, "wt") as file:
        for number in range(20):
            file.write(json.dumps({"file": "x", "text": f"w{number}"}) + "\n")
    found = text_sources.get(str(path), "words")
    numbers = [number for number in range(20) if number % 10 < 8]
    assert [word for word in words(found) if word != EOS] == [f"w{n}" for n in numbers]
    assert len(found.val) == len(found.test) == 4  # Two words, and two ends of lines.
    assert set(words(found, "val")) == {UNKNOWN, EOS}


def test_documents_do_not_run_together(tmp_path):
    path = tmp_path / "speeches.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"a{number}"}) for number in range(10)))
    assert "".join(words(text_sources.get(str(path), "characters"))).startswith("a0\na1\na2\n")


@pytest.mark.parametrize(
    "damage",
    [lambda held: held[:-9], lambda held: held[:20] + bytes(9) + held[29:], lambda _: b"no"],
)
def test_a_damaged_archive_is_refused(damage, tmp_path):
    path = tmp_path / "text.txt.gz"
    path.write_bytes(damage(gzip.compress("\n".join(map(str, range(99))).encode())))
    with pytest.raises(ValueError, match=r"text\.txt\.gz must be a whole gzip file"):
        text_sources.get(str(path), "words")


def test_a_plain_text_is_cut_at_eight_and_nine_tenths(tmp_path):
    path = tmp_path / "plain.txt"
    path.write_text("".join(f"w{number}\n" for number in range(20)))
    found = text_sources.get(str(path), "words")
    assert found.facts.train == 2 * 16
    assert found.facts.val == found.facts.test == 2 * 2


@pytest.mark.parametrize(
    "names",
    [
        ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
        ("train.txt", "val.txt", "test.txt"),
    ],
    ids="/".join,
)
def test_parts_are_found_by_the_names_that_others_give_them(names, tmp_path):
    for number, name in enumerate(names):
        (tmp_path / name).write_text("w " * (number + 1))
    found = text_sources.get(f"{tmp_path}/", "white_space")
    assert [found.facts.train, found.facts.val, found.facts.test] == [2, 3, 4]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (b"good\nb\xff\n", r"train\.txt must be UTF-8\. Received: byte 0xff at place 1 of line 2"),
        (b"", r"Each part of a text must have words\. Received: none to be 'train'"),
        (b"\n\n", r"must have words\. Received: none to be 'train'"),
    ],
    ids=["no UTF-8", "empty", "empty lines"],
)
def test_what_is_no_text_is_refused_with_its_place(train, message, tmp_path):
    place = folder(tmp_path, train)
    with pytest.raises(ValueError, match=message):
        text_sources.get(place, "words")


@pytest.mark.parametrize("line", ["[1]", "{}", '{"text": 3}', "no JSON", "null"])
def test_a_line_that_has_no_document_is_refused_with_its_number(line, tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "good"}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"some\.jsonl must be .*line 2"):
        text_sources.get(str(path), "words")


def test_a_folder_must_have_each_part_once(tmp_path):
    (tmp_path / "train.txt").write_text("x")
    with pytest.raises(ValueError, match=r"must have one file for 'val'.*Received: none"):
        text_sources.get(f"{tmp_path}/", "words")
    for name in ("valid.txt", "dev.txt", "test.txt"):
        (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match=r"Received: dev\.txt, valid\.txt"):
        text_sources.get(f"{tmp_path}/", "words")


def test_a_text_that_has_changed_is_read_again(tmp_path):
    place = folder(tmp_path, "a\n")
    assert text_sources.facts(place, "words").train == 2
    folder(tmp_path, "a b c\n")
    assert text_sources.facts(place, "words").train == 4


def test_what_is_not_there_says_so_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"`dataset` must be one of ptb, python, wikitext103"):
        text_sources.facts("unheard", "words")
    with pytest.raises(ValueError, match="must be 'white_space': it is cut into words already"):
        text_sources.facts("ptb", "words")
    with pytest.raises(FileNotFoundError, match=r"python -m trainers\.fetch ptb --data_dir="):
        text_sources.check("ptb", "white_space", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="`dataset` must be a path where there is"):
        text_sources.facts(f"{tmp_path}/none.txt", "words")


def test_a_folder_with_the_name_of_a_text_must_be_that_text(tmp_path):
    (tmp_path / "ptb").mkdir()
    folder(tmp_path / "ptb", "too short\n")
    with pytest.raises(ValueError, match=r"ptb must have TextFacts.*929589"):
        text_sources.get("ptb", "white_space", 0, str(tmp_path))


def test_a_text_is_downloaded_checked_and_kept(tmp_path, monkeypatch):
    import hashlib

    source = tmp_path / "from"
    source.mkdir()
    files = {"x.train.txt": "a b\n", "x.valid.txt": "a\n", "x.test.txt": "b\n"}
    addresses = []
    for name, content in files.items():
        (source / name).write_text(content)
        md5 = hashlib.md5(content.encode()).hexdigest()
        addresses.append(((source / name).as_uri(), md5))
    known = text_sources._Known(text_sources.TextFacts(4, 3, 2, 2), tuple(addresses))
    monkeypatch.setitem(text_sources._KNOWN, "small", known)
    place = text_sources.fetch("small", str(tmp_path / "data"))
    assert text_sources.fetch("small", str(tmp_path / "data")) == place
    assert words(text_sources.get("small", "white_space", 0, str(tmp_path / "data"))) == [
        "a",
        "b",
        EOS,
    ]
    # Of another content nothing is kept.
    wrong = known._replace(archives=((addresses[0][0], "0" * 32),))
    monkeypatch.setitem(text_sources._KNOWN, "small", wrong)
    with pytest.raises(OSError, match="cannot be downloaded"):
        text_sources.fetch("small", str(tmp_path / "other"))
    assert list((tmp_path / "other").iterdir()) == []


def test_random_words_are_as_many_and_as_uneven_as_those_of_a_text():
    known = text_sources.facts("ptb", "white_space")
    found = text_sources.random("ptb", "white_space")
    assert found.facts == known
    counts = np.bincount(found.train, minlength=known.vocabulary)
    assert counts[:100].sum() > 0.3 * len(found.train)
