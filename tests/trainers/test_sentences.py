"""Sentences as data: word pieces, rows of pairs, batches, sources, and files of one's own."""

import gzip
import itertools
import json
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from trainers.datasets import sentence_sources, sources, word_pieces
from trainers.datasets.sentences import Examples, SentenceFacts, Sentences
from trainers.datasets.word_pieces import Pieces
from trainers.options.glue import GLUE

TINY = pathlib.Path(__file__).with_name("tiny_bert")


@pytest.fixture(scope="module")
def tokenizer():
    """The tokenizer of a small encoder."""
    return word_pieces.of_folder(str(TINY))


# --- word pieces and rows -------------------------------------------------------------------------


def cut(lengths, room):
    """Return how much is kept of each text: piece after piece is cut off the longer one."""
    kept = list(lengths)
    while sum(kept) > room:
        kept[0 if len(kept) == 1 or kept[0] > kept[1] else 1] -= 1
    return kept


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=5),
    st.integers(4, 20),
    st.booleans(),
)
def test_rows_are_those_of_bert(lengths, most, is_pair):
    counts = np.array(lengths, np.int32)
    columns = [
        Pieces(
            np.concatenate([first + np.arange(n) for n in counts[:, place]]),
            *[counts[:, place]] * 2,
        )
        for place, first in enumerate((100, 200)[: 1 + is_pair])
    ]
    found = word_pieces.packed(columns, most, 1, 2)
    start = 0
    for row, (pair, length) in enumerate(zip(lengths, found.lengths, strict=True)):
        kept = cut(pair if is_pair else pair[:1], most - 1 - len(columns))
        expected = [1]
        for first, count in zip((100, 200), kept, strict=False):
            expected += [*range(first, first + count), 2]
        assert found.numbers[start : start + length].tolist() == expected
        assert found.firsts[row] == kept[0] + 2
        assert found.starts[row] == start
        start += length
    assert start == len(found.numbers)


HOSTILE = [
    "",
    " ",
    "a b c d e f g h",
    "...",
    "\u200b\ufeff",
    "\x00\x07",
    "\ud7ff",
    "x" * 500,
    "日本 語",
    "\U0001f600",
]


def test_any_text_has_word_pieces(tokenizer):
    found = word_pieces.pieces(tokenizer, HOSTILE)
    assert len(found.lengths) == len(HOSTILE) and found.lengths.min() == 0
    assert found.numbers.max() < tokenizer.vocabulary_size()
    rows = word_pieces.packed([found], 8, 2, 3)
    assert rows.lengths.min() == 2 and rows.lengths.max() == 8


def test_learnt_pieces_spell_what_they_do_not_know():
    texts = ["the film is dull", "the film is fun", "the plot is thin"] * 20
    tokenizer = word_pieces.learnt(texts, 40)
    vocabulary = tokenizer.get_vocabulary()
    assert vocabulary[0] == "[PAD]" and len(vocabulary) <= 40
    assert vocabulary == word_pieces.learnt(texts, 40).get_vocabulary()
    found = word_pieces.pieces(tokenizer, ["The FILM is thin", "hulm", "Zürich"])
    said = [vocabulary[number] for number in found.numbers]
    assert "".join(said[: found.lengths[0]]).replace("##", "") == "thefilmisthin"
    assert "[UNK]" not in said[: found.lengths[:2].sum()] and said[-1] == "[UNK]"


# --- batches --------------------------------------------------------------------------------------

COUNT, LENGTH = 23, 16


def sentences(count=COUNT, seed=0, is_rating=False):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, LENGTH + 1, count).astype(np.int32)
    # A row has its number in it, so that it is known again.
    numbers = np.repeat(np.arange(1, count + 1, dtype=np.int32), lengths)
    firsts = (lengths // 2).astype(np.int32)
    labels = np.arange(count).astype(np.float32 if is_rating else np.int32)
    examples = Examples(Pieces(numbers, lengths, firsts), labels)
    facts = SentenceFacts(count, count, None, tuple("abc"), True, ("accuracy",), 8)
    words = tuple(map(str, range(count + 1)))
    return Sentences("made up", facts, words, 0, LENGTH, examples, None, examples)


def taken(data, count):
    return [
        ({key: x.numpy() for key, x in inputs.items()}, labels.numpy())
        for inputs, labels in data.take(count)
    ]


@pytest.mark.parametrize("is_rating", [False, True])
def test_rows_of_a_batch_are_padded_to_the_longest(is_rating):
    data = sentences(is_rating=is_rating)
    for inputs, labels in taken(data.batches(4, seed=3), 5):
        pieces = data.train.pieces
        numbers = labels.astype(int)
        longest = pieces.lengths[numbers].max()
        assert inputs["token_ids"].shape == (4, min(LENGTH, -(-longest // 8) * 8))
        assert labels.dtype == (np.float32 if is_rating else np.int32)
        for row, number in enumerate(numbers):
            length, first = pieces.lengths[number], pieces.firsts[number]
            place = np.arange(inputs["token_ids"].shape[1])
            expected = {
                "token_ids": np.where(place < length, number + 1, 0),
                "segment_ids": (place >= first) & (place < length),
                "padding_mask": place < length,
            }
            for key, values in expected.items():
                assert inputs[key].dtype == np.int32
                np.testing.assert_array_equal(inputs[key][row], values)


@pytest.mark.parametrize("pool", [1, 2, 3, 100])
def test_a_batch_is_a_function_of_its_step(pool):
    data = sentences()
    steps = COUNT // 4
    all_of_them = taken(data.batches(4, 7, pool), 3 * steps)
    for start in (1, steps, 2 * steps + 1):
        again = taken(data.batches(4, 7, pool, start), 3)
        for (inputs, labels), (others, theirs) in zip(all_of_them[start:], again, strict=False):
            np.testing.assert_array_equal(labels, theirs)
            for key, x in inputs.items():
                np.testing.assert_array_equal(x, others[key])
    epochs = [
        np.concatenate([labels for _, labels in all_of_them[n * steps :][:steps]]) for n in range(3)
    ]
    for each in epochs:  # Each example once at most.
        assert len(set(each)) == 4 * steps
    for one, other in itertools.combinations(epochs, 2):
        assert not np.array_equal(one, other)
    elsewhere = np.concatenate([labels for _, labels in taken(data.batches(4, 8, pool), steps)])
    assert not np.array_equal(elsewhere, epochs[0])


def test_a_pool_has_less_to_pad_and_its_batches_come_in_any_order():
    data = sentences(400)

    def widths(pool):
        found = taken(data.batches(4, 0, pool), 100)
        return np.array([inputs["token_ids"].shape[1] for inputs, _ in found])

    assert widths(25).sum() < 0.9 * widths(1).sum()
    lengths = widths(25).reshape(4, 25)
    assert all((np.diff(each) < 0).any() and (np.diff(each) > 0).any() for each in lengths)


@pytest.mark.parametrize("part", ["val", "test"])
def test_evaluations_have_each_example_once(part):
    data = sentences().split("both")
    held = getattr(data, part)
    found = taken(data.evaluated(part, 4), 100)
    labels = np.concatenate([labels for _, labels in found])
    assert sorted(labels) == sorted(held.labels)
    widths = [inputs["token_ids"].shape[1] for inputs, _ in found]
    assert widths == sorted(widths)


def test_splits_keep_apart_what_is_held_out():
    data = sentences()
    both, validation, whole = (data.split(name) for name in ("both", "validation", "test"))
    assert len(whole.train.labels) == COUNT and whole.val is None
    assert sorted([*both.train.labels, *both.val.labels]) == list(range(COUNT))
    assert both.val.labels.tolist() == [0, 10, 20]
    assert both.test.labels.tolist() == data.test.labels.tolist()
    with pytest.raises(ValueError, match="must be one that has examples"):
        validation.evaluated("test", 4)
    with pytest.raises(ValueError, match="must be one that has examples"):
        whole.evaluated("val", 4)
    # What is there as a part of its own is held out, and training keeps all.
    own = sentences()
    own = Sentences(*(getattr(own, f) for f in ("description", "facts", "vocabulary", "padding")),
                    LENGTH, own.train, own.test, own.test)  # fmt: skip
    assert len(own.split("validation").train.labels) == COUNT
    half = data.split("test", 0.5)
    assert len(half.train.labels) == COUNT // 2 and len(half.test.labels) == COUNT
    place = half.train.pieces.starts[3]
    assert half.train.pieces.numbers[place] == half.train.labels[3] + 1


@pytest.mark.parametrize("split", ["test", "validation", "both"])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("has_val", [False, True])
def test_steps_are_known_without_the_data(split, share, has_val):
    data = sentences()
    val = data.test if has_val else None
    facts = SentenceFacts(COUNT, COUNT, COUNT if has_val else None, (), False, (), 8)
    parts = Sentences("", facts, (), 0, LENGTH, data.train, val, data.test).split(split, share)
    assert facts.steps_per_epoch(split, 4, share) == len(parts.train.labels) // 4


def test_what_people_read():
    data = sentences()
    words = ("[PAD]", "[CLS]", "[SEP]", "un", "##like", "film")
    read = Sentences("", data.facts, words, 0, 8, data.train, None, data.test)
    assert read.written(np.array([1, 3, 4, 2, 5, 2, 0, 0])) == "unlike | film"


# --- sources --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*GLUE, "xnli_de"])
def test_tasks_are_read_from_tensorflow_datasets(name, tmp_path, monkeypatch):
    """Random texts, and the number that was asked for: what is tested is that they are read."""
    monkeypatch.setattr(sources, "is_there", lambda builder, data_dir: True)
    with tfds.testing.mock_data(num_examples=6):
        data = sentence_sources.get(name, 32, str(TINY), data_dir=str(tmp_path))
    known = sentence_sources.facts(name)
    assert (data.facts.train, data.facts.test) == (6, 6)
    for builder in sentence_sources._builders(name):  # What TensorFlow Datasets says of the labels.
        label = tfds.builder(builder, data_dir=str(tmp_path)).info.features["label"]
        names = getattr(label, "names", [])
        assert tuple(names) == known.class_names
        assert (label.dtype == np.float32) == (not known.class_names)
    for part in (data.train, data.test):
        assert part.labels.dtype == (np.int32 if known.class_names else np.float32)
        is_second = part.pieces.firsts < part.pieces.lengths
        assert is_second.all() == known.is_pair
    if known.class_names:
        assert set(data.train.labels) <= set(range(len(known.class_names)))
    assert (data.val is None) == (known.val is None)


def test_what_is_not_there_is_named_with_the_command(tmp_path):
    said = f"python -m trainers.fetch rte --data_dir={tmp_path}"
    for look in (
        sentence_sources.check,
        lambda name, place: sentence_sources.get(name, 8, "", 9, place),
    ):
        with pytest.raises(FileNotFoundError, match=said):
            look("rte", str(tmp_path))
    with pytest.raises(ValueError, match=r"must be one of cola, .*Received: dataset='wnli'"):
        sentence_sources.facts("wnli")


def test_the_embedded_topics_are_apart():
    data = sentence_sources.get("topics", 32, str(TINY))
    known = sentence_sources.facts("topics")
    assert data.facts == known
    assert len(known.class_names) == 8 and known.train > 1_000
    for part in (data.train, data.val, data.test):
        counts = np.bincount(part.labels, minlength=8)
        assert counts.min() > 0 and counts.max() < 0.5 * counts.sum()


@pytest.mark.parametrize("name", ["sst2", "mrpc", "stsb", "topics"])
def test_stand_ins_have_the_shape_of_the_task(name):
    known = sentence_sources.facts(name)
    data = sentence_sources.random(name, 32, 50)
    assert len(data.train.labels) == known.train and len(data.test.labels) == known.test
    assert data.train.pieces.numbers.max() < 50
    assert data.train.pieces.lengths.max() <= 32
    inputs, _ = taken(data.batches(4, 0), 1)[0]
    assert inputs["segment_ids"].any() == known.is_pair


# --- files of one's own ---------------------------------------------------------------------------

GOOD = [{"text": "the film is fun", "label": "good"}, {"text": "...", "label": "bad"}] * 3


def folder(tmp_path, train=GOOD, valid=GOOD, test=GOOD, ending="jsonl"):
    place = tmp_path / "mine"
    place.mkdir()
    for name, rows in (("train", train), ("valid", valid), ("test", test)):
        lines = rows if isinstance(rows, bytes) else "\n".join(map(json.dumps, rows)).encode()
        opened = gzip.open if ending.endswith("gz") else open
        with opened(place / f"{name}.{ending}", "wb") as file:
            file.write(lines)
    return str(place)


def test_texts_without_a_word_have_no_pieces_to_learn(tmp_path):
    rows = [{"text": text, "label": label} for text, label in (("", 0), (" ", 1))]
    with pytest.raises(ValueError, match=r"must have words\. Received: empty texts alone"):
        sentence_sources.get(folder(tmp_path, rows, rows, rows), 16, "", 100)


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_classes_of_ones_own(tmp_path, ending):
    spaced = "\n\n".join(map(json.dumps, GOOD)).encode() + b"\n \n"  # Empty lines are nothing.
    data = sentence_sources.get(folder(tmp_path, spaced, ending=ending), 16, str(TINY))
    assert data.facts.class_names == ("bad", "good")
    assert data.train.labels.tolist() == [1, 0] * 3
    assert data.facts.scores == ("accuracy",) and not data.facts.is_pair


def test_pairs_and_ratings_of_ones_own(tmp_path):
    rows = [{"text": "a b", "second": "c", "label": 2.5}, {"text": "", "second": "", "label": 0.0}]
    data = sentence_sources.get(folder(tmp_path, rows, rows, rows), 16, str(TINY))
    assert data.facts.class_names == () and data.facts.is_pair
    np.testing.assert_array_equal(data.train.labels, np.float32([2.5, 0.0]))
    assert data.train.pieces.lengths.tolist() == [6, 3]


def changed(**changes):
    return [GOOD[0], {key: x for key, x in {**GOOD[1], **changes}.items() if x != "less"}]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"train": b'{"text": "a\xff", "label": 1}'}, r"train\.jsonl must be UTF-8\. .* of line 1"),
        ({"valid": b"no JSON"}, r"valid\.jsonl must be a JSON object\. Received: line 1"),
        ({"test": b"[1]"}, r"test\.jsonl must be a JSON object\. Received: \[1\] in line 1"),
        ({"test": b""}, r"Each part of a task must have examples\. .*test\.jsonl"),
        ({"train": changed(text="less")}, r"with a 'text', a string\. Received: None in line 2"),
        ({"train": changed(text=3)}, r"with a 'text', a string\. Received: 3 in line 2"),
        ({"train": changed(label="less")}, r"with a 'label': .* Received: None in line 2"),
        ({"train": changed(label=[1])}, r"with a 'label': .* in line 2"),
        ({"train": changed(label=float("nan"))}, r"with a 'label': .*nan in line 2"),
        ({"train": changed(label="good")}, r"at least two classes\. Received: 'label' is 'good'"),
        ({"train": changed(label=0.5)}, r"or each a rating with a point, .* Received: both"),
        ({"test": changed(label=0.5)}, r"must be one of .* Received: 0\.5 in line 2"),
        ({"valid": changed(label="so so")}, r"must be one of bad, good, .*'so so' in line 2"),
        ({"test": changed(label=1)}, r"must be one of bad, good, .*'1' in line 2"),
        ({"train": changed(label=1e300)}, r"with a 'label': .*1e\+300 in line 2"),
        ({"train": changed(text="fun \ud83d")}, r"train\.jsonl must be Unicode\. .*in line 2"),
        ({"test": [{**row, "second": "b"} for row in GOOD]}, r"train\.jsonl .*'second', a string"),
    ],
)
def test_what_cannot_be_learnt_is_refused_with_its_place(tmp_path, parts, said):
    with pytest.raises(ValueError, match=said):
        sentence_sources.facts(folder(tmp_path, **parts))


def test_pairs_must_be_pairs_throughout(tmp_path):
    pair = {"text": "a", "second": "b", "label": 1}
    for order, line in (((pair, GOOD[0]), 2), ((GOOD[0], pair), 1)):
        (tmp_path / str(line)).mkdir()
        said = rf"with a 'second', a string\. Received: None in line {line}"
        with pytest.raises(ValueError, match=said):
            sentence_sources.facts(folder(tmp_path / str(line), list(order)))


def test_what_changed_on_the_disk_is_read_again(tmp_path):
    place = folder(tmp_path)
    assert sentence_sources.facts(place).train == 6
    pathlib.Path(place, "train.jsonl").write_text("\n".join(map(json.dumps, GOOD[:2])))
    assert sentence_sources.facts(place).train == 2


def test_there_must_be_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be a path where there is something"):
        sentence_sources.facts(str(tmp_path / "nowhere"))
    (tmp_path / "file.jsonl").write_text("")
    with pytest.raises(ValueError, match="must be a folder with JSON Lines"):
        sentence_sources.facts(str(tmp_path / "file.jsonl"))
