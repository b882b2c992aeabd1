"""Small tasks of sentences, and the encoder that tests know by another implementation of it."""

from __future__ import annotations

import json
import pathlib

from configs.bert_topics import get_config
from trainers.datasets import word_pieces
from trainers.models import bert
from trainers.tasks.glue import SentenceJudgement

TINY = str(pathlib.Path(__file__).with_name("tiny_bert"))
SMALL = {"units": 8, "feedforward": 16, "vocabulary": 300, "epochs": 1, "train_share": 0.1}
EXPECTED = json.loads(pathlib.Path(TINY, "expected.json").read_text())["examples"]
OPTIONS = ("units", "feedforward", "vocabulary")


def task(**changes):
    values = {**get_config().to_dict(), **SMALL, **changes}
    if values["encoder"]:
        values = {**values, "length": min(values["length"], 32)}
        values = {key: x for key, x in values.items() if key not in OPTIONS}
    made = SentenceJudgement.of(values)
    made.data = SentenceJudgement.load(made.config)
    return made


def mine(tmp_path, rows, valid=None):
    """Return the folder of a task of one's own."""
    for name, part in (("train", rows), ("valid", valid or rows), ("test", valid or rows)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))
    return str(tmp_path)


def reference():
    """A small encoder, made and saved by transformers; see `tiny_bert/expected.json`."""
    return bert.pretrained(TINY, 0.1), word_pieces.of_folder(TINY)
