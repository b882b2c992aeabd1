"""The judge of sentences: its scores by hand, and the task."""

import dataclasses
import math
import shutil
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.bert_topics import get_config
from tests.trainers.sentences import EXPECTED, OPTIONS, SMALL, TINY, mine, reference, task
from trainers.loop.evaluation import evaluate
from trainers.models import bert
from trainers.tasks.configured import experiment
from trainers.tasks.glue import SentenceJudgement
from trainers.tasks.glue_scores import SCORES


@pytest.fixture(scope="module")
def encoder():
    return reference()


# --- scores ---------------------------------------------------------------------------------------

TRUTH, FOUND = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.array([1, 1, 0, 0, 0, 1, 0, 1])
RATED, SAID = np.float32([0.0, 1.0, 2.0, 5.0]), np.float32([0.5, 0.25, 3.0, 4.0])


def pearson(x, y):
    x, y = x - np.mean(x), y - np.mean(y)
    return (x @ y) / math.sqrt((x @ x) * (y @ y))


def test_scores_are_those_by_hand():
    # Right: 3 of class 1, 3 of class 0; wrong: one each.
    assert SCORES["f1"](TRUTH, FOUND) == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    by_hand = (3 * 3 - 1 * 1) / math.sqrt(4 * 4 * 4 * 4)
    assert SCORES["matthews"](TRUTH, FOUND) == pytest.approx(by_hand)
    wide, other = RATED.astype(float), SAID.astype(float)
    assert SCORES["pearson"](RATED, SAID) == pytest.approx(pearson(wide, other))
    ranks = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 3.0, 4.0])
    assert SCORES["spearman"](RATED, SAID) == pytest.approx(pearson(*ranks))
    halved = np.array([1.5, 1.5, 3.0, 4.0])  # Those that are equal share their ranks.
    assert SCORES["spearman"](RATED, np.float32([1, 1, 3, 4])) == pytest.approx(
        pearson(ranks[0], halved)
    )


@pytest.mark.parametrize("name", ["f1", "matthews", "pearson", "spearman"])
def test_where_nothing_differs_a_score_is_zero(name):
    kind = np.float32 if name in ("pearson", "spearman") else np.int32
    same, differ = np.zeros(4, kind), np.arange(4).astype(kind) % 2
    for truth, found in ((same, differ), (differ, same), (same, same)):
        with warnings.catch_warnings():  # That of one class there is nothing to tell.
            warnings.simplefilter("ignore")
            assert SCORES[name](truth, found) == 0.0
    assert SCORES[name](differ, differ) == 1.0  # The control.


@pytest.mark.parametrize("name", SCORES)
def test_scores_do_not_depend_on_the_order(name):
    truth, found = (RATED, SAID) if name in ("pearson", "spearman") else (TRUTH, FOUND)
    order = np.random.default_rng(0).permutation(len(truth))
    score = SCORES[name]
    assert score(truth[order], found[order]) == pytest.approx(score(truth, found))


@pytest.mark.parametrize("name", ["cola", "mrpc", "stsb", "sst2"])
def test_an_evaluation_has_the_scores_of_its_task(name):
    """`judge` of a whole evaluation, in batches, is what the scores say of all of it."""
    values = {**get_config().to_dict(), **SMALL, "dataset": name}
    made = SentenceJudgement.of(values)
    truth, found = (RATED, SAID) if name == "stsb" else (TRUTH, FOUND)
    means = {} if name == "stsb" else {"accuracy": 6 / 8}
    outputs = {"truth": np.split(truth, 2), "found": np.split(found, 2)}
    judged = {**means, **made.judge("test", means, outputs)}
    scores = {each: SCORES[each](truth, found) for each in made.facts.scores if each in SCORES}
    for each, score in scores.items():
        assert judged[each] == pytest.approx(score)
    assert judged["score"] == pytest.approx(np.mean([judged[each] for each in made.facts.scores]))
    assert judged.keys() <= made.metrics.keys()
    assert made.goal == "test_score"


# --- the task -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["", TINY], ids=["new", "pretrained"])
@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_padding_changes_nothing(encoder, pooling):
    model = task(encoder=encoder, pooling=pooling).model()
    pieces = np.int32([[2, 39, 40, 5, 3]])
    short = {"token_ids": pieces, "segment_ids": 0 * pieces, "padding_mask": 0 * pieces + 1}
    long = {key: np.pad(x, ((0, 0), (0, 11))) for key, x in short.items()}
    np.testing.assert_allclose(model(short), model(long), atol=1e-6)
    assert ("pooled_dense/kernel" in {w.path for w in model.weights}) == (pooling == "first")


def test_the_encoder_begins_with_its_weights():
    model, body = task(encoder=TINY).model(), bert.pretrained(TINY, 0.0)
    theirs = {weight.path: weight.numpy() for weight in body.weights}
    for weight in model.weights:
        if weight.path in theirs:
            np.testing.assert_array_equal(weight, theirs[weight.path])
    assert {w.path for w in model.weights} - theirs.keys() >= {f"{bert.JUDGE}/kernel"}


def test_rates_and_decay_are_by_group():
    made = task(
        encoder=TINY,
        optimizer="adamw",
        weight_decay=0.5,
        decayed="matrices",
        clip_norm=0.0,
        learning_rate=0.1,
        schedule="constant",
        warmup="0ep",
        rate_factors={"transformer_layer_0/*": 0.5, "*embedding/*": 0.25},
    )
    model = made.model()
    optimizer = made.optimizer(model)
    before = {weight.path: weight.numpy() for weight in model.trainable_variables}
    optimizer.apply(
        [tf.zeros(w.shape) for w in model.trainable_variables], model.trainable_variables
    )
    seen = set()
    for weight in model.trainable_variables:
        kind = weight.path.rpartition("/")[2]
        factor = 0.25 if "embedding/" in weight.path else 1.0
        factor = 0.5 if weight.path.startswith("transformer_layer_0/") else factor
        is_decayed = kind in ("kernel", "embeddings", "position_embeddings")
        seen.add((kind, len(weight.shape)))
        left = 1.0 - 0.1 * factor * 0.5 if is_decayed else 1.0
        np.testing.assert_allclose(
            weight.numpy(), left * before[weight.path], rtol=1e-6, err_msg=weight.path
        )
    assert {("bias", 1), ("bias", 2), ("kernel", 3), ("gamma", 1)} <= seen


HOSTILE = ["", "...", "!?", "\u200b", "the", "x" * 300, "日本", "\U0001f600 \x07", "a b " * 60]


@pytest.mark.parametrize(("pooling", "is_pair"), [("first", True), ("mean", False)])
def test_hostile_texts_are_trained_through(tmp_path, pooling, is_pair):
    rows = [{"text": text, "label": number % 2} for number, text in enumerate(HOSTILE)]
    if is_pair:
        rows = [{**row, "second": HOSTILE[-1 - n]} for n, row in enumerate(rows)]
    made = task(
        dataset=mine(tmp_path, rows),
        encoder=TINY,
        pooling=pooling,
        batch_size=3,
        train_share=1.0,
        epochs=3,
    )
    record = experiment(made, tmp_path / "runs").run()
    assert record.status == "finished" and len(record.epochs) == 3
    for logged in record.epochs:
        assert all(math.isfinite(x) for x in logged.values())


def test_ratings_are_learnt(tmp_path):
    rows = [
        {"text": text, "second": "the film", "label": rating}
        for text, rating in (("fun", 5.0), ("dull", 0.5), ("not fun", 2.5), ("quiet", 4.0))
    ]
    made = task(
        dataset=mine(tmp_path, rows),
        encoder=TINY,
        batch_size=4,
        train_share=1.0,
        epochs=60,
        dropout=0.0,
        learning_rate=3e-2,
        evaluate_every=60,
    )
    record = experiment(made, tmp_path / "runs").run()
    last = record.epochs[-1]
    scores = last["test_pearson"], last["test_spearman"]
    assert last["test_score"] == pytest.approx(np.mean(scores)) and last["test_score"] > 0.9
    assert last["loss"] < 0.3


def test_an_evaluation_is_that_of_all_examples_at_once():
    made = task()
    run = experiment(made, "unused")
    run.compiled.begin(made, 0, 10)
    model, (found, _) = run.model, evaluate(run.compiled, made, "test")
    logits, labels = [], []
    for inputs, truth in made.data.evaluated("test", 1):
        logits.append(model(inputs, training=False).numpy()[0])
        labels.append(int(truth[0]))
    logits, labels = np.float64(logits), np.array(labels)
    shares = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    assert found["test_loss"] == pytest.approx(
        -shares[np.arange(len(labels)), labels].mean(), rel=1e-4
    )
    assert found["test_score"] == pytest.approx(np.mean(logits.argmax(-1) == labels), abs=1e-6)


def test_what_it_is_most_wrong_about_is_shown():
    made = task()
    model = made.model()
    lines = made.artefacts(model, 1)["wrong"].splitlines()
    names = made.facts.class_names
    shares = []
    for line in lines:
        share, _, rest = line.partition(" % ")
        said, _, rest = rest.partition(", is ")
        truth, _, text = rest.partition(": ")
        assert said in names and truth in names and said != truth and text
        shares.append(int(share))
    assert len(lines) == 20 and shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_some_examples_are_short_and_long_ones(most):
    data = task().data
    found = [inputs["padding_mask"] for inputs, _ in data.evaluated("test", 4, most)]
    lengths = [int(x) for mask in found for x in tf.reduce_sum(mask, -1)]
    every = sorted(data.test.pieces.lengths.tolist())
    assert len(lengths) <= most
    assert lengths == every[:: -(-len(every) // most)]
    assert len(lengths) > min(most, len(every)) // 2


def test_products_of_the_attention_are_quantized():
    def outputs(is_quantized):
        keras.utils.set_random_seed(0)
        made = task(
            encoder=TINY,
            precision_schedule="static",
            bits_max=3,
            quantized_products=is_quantized,
            quantized_layers="all_but_embeddings",
        )
        example = EXPECTED[1]
        pieces = np.int32([example["pieces"]])
        inputs = {
            "token_ids": pieces,
            "segment_ids": np.int32([example["segments"]]),
            "padding_mask": 0 * pieces + 1,
        }
        run = experiment(made, "unused")
        run.compiled.begin(made, 0, 10)
        return run.model(inputs, training=False).numpy()

    assert np.abs(outputs(True) - outputs(False)).max() > 1e-4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "bert_bas_en"}, "must be the name of a pretrained encoder.*Did you mean"),
        ({"encoder": "Bert!"}, "must be a name, .* or the path of a folder"),
        ({"encoder": "./nowhere"}, "must be a folder that is there"),
        ({"encoder": TINY, "layers": 3}, "`layers` must be left at its default, 2"),
        ({"encoder": TINY, "length": 33}, "`length` must be at most 32"),
        ({"units": 10}, "`units` must be a multiple of `heads`"),
        ({"length": 3}, "`length` must be a whole number, at least 4"),
        ({"dataset": "sst3"}, "`dataset` must be one of cola"),
        ({"batch_size": 5_000}, r"There must be a batch of examples .*batch_size=5000"),
        ({"train_share": 1e-4}, r"There must be a batch of examples .*train_share=0\.0001 of"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(changes, said):
    values = get_config().to_dict()
    if "encoder" in changes:
        values = {k: x for k, x in values.items() if k not in OPTIONS} | {"length": 32}
    with pytest.raises(ValueError, match=said):
        SentenceJudgement.of({**values, **changes})


@pytest.mark.parametrize(
    ("encoder", "changes", "said"),
    [
        ("", {"dataset": "sst2"}, r"'sst2' must have 67,349 examples, .* Received: 1,"),
        ("", {"length": 32}, "cut for length=32. Received: data of length 48"),
        (TINY, {"encoder": ""}, f"word pieces of encoder=''. Received: .*encoder='{TINY}'"),
        (
            "",
            {"encoder": TINY, "length": 48},
            f"pieces of encoder='{TINY}'. Received: .*encoder=''",
        ),
        ("", {"vocabulary": 200}, "at most 200 word pieces, .* Received: data in"),
    ],
)
def test_data_that_are_not_those_of_the_configuration_are_refused(encoder, changes, said):
    data = task(encoder=encoder).data
    if encoder:
        data = dataclasses.replace(data, length=48)
    values = {**get_config().to_dict(), **SMALL, **changes}
    if values["encoder"]:
        values = {key: x for key, x in values.items() if key not in OPTIONS}
    with pytest.raises(ValueError, match=said):
        SentenceJudgement.of(values, data)


def test_pretrained_weights_that_are_gone_are_missed(tmp_path):
    place = tmp_path / "encoder"
    shutil.copytree(TINY, place)
    made = task(encoder=str(place))
    shutil.rmtree(place)
    with pytest.raises(ValueError, match="`encoder` must be a folder that keras-hub can read"):
        made.model()
    stand_in = SentenceJudgement.of(
        made.config.flat() | {"encoder": TINY},
        SentenceJudgement.stand_in(task(encoder=TINY).config),
    )
    assert stand_in.model().count_params() > 0  # What a step takes can be measured without them.


@pytest.mark.parametrize("monitor", ["score", "matthews"])
def test_a_rate_cannot_follow_what_training_does_not_have(monitor):
    plateau = {"schedule": "plateau", "schedule_options": {"monitor": monitor}}
    values = {**get_config().to_dict(), **SMALL, "dataset": "cola", "split": "both", **plateau}
    with pytest.raises(ValueError, match=f"Received: monitor='{monitor}'.*Expected one of loss"):
        SentenceJudgement.of(values)
    SentenceJudgement.of(values | {"schedule_options": {"monitor": f"val_{monitor}"}})
