"""Language models: LSTM, Transformer and adaptive softmax by NumPy and PyTorch, and the task."""

import importlib
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from configs.lstm_python import get_config
from tests.trainers import families
from tests.trainers.test_replicas import replicas
from trainers.loop.evaluation import evaluate
from trainers.models.adaptive_softmax import AdaptiveSoftmax
from trainers.models.language import Words, transformer
from trainers.models.lstm import CarriedLSTM, StepDense
from trainers.tasks.configured import experiment
from trainers.tasks.lm import LanguageModel
from trainers.tasks.passages import passages

SMALL = {
    "dataset": str(families.TEXT),
    "units": 12,
    "length": 6,
    "batch_size": 4,
    "epochs": 1,
    "samples": 5,
    "vocabulary": 50,
}
RNG = np.random.default_rng(0)


def task(**changes):
    made = LanguageModel.of({**get_config().to_dict(), **SMALL, **changes})
    made.data = LanguageModel.load(made.config)
    return made


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


# --- LSTM ----------------------------------------------------------------------------------------


def built(units=5, width=3, rows=4, words=6):
    keras.utils.set_random_seed(0)
    layer = CarriedLSTM(units, rows)
    x = RNG.normal(size=(rows, words, width)).astype(np.float32)
    layer.build(x.shape, (rows,))
    return layer, x


def by_hand(layer, x, hidden, cell):
    """What an LSTM gives, in float64, and the state that it ends with."""
    kernel, bias = (np.float64(w) for w in layer.of_inputs.get_weights())
    (own,) = (np.float64(w) for w in layer.of_state.get_weights())
    outputs = []
    for t in range(x.shape[1]):
        i, f, o, g = np.split(x[:, t] @ kernel + bias + hidden @ own, 4, axis=-1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs, axis=1), hidden, cell


def test_the_state_is_carried_and_reset_row_by_row():
    layer, x = built()
    hidden = cell = np.zeros((4, 5))
    for begins in ([True] * 4, [False] * 4, [False, True, False, True]):
        keep = ~np.array(begins)[:, None]
        expected, hidden, cell = by_hand(layer, np.float64(x), keep * hidden, keep * cell)
        np.testing.assert_allclose(layer(x, tf.constant(begins)), expected, atol=1e-6)
        for variable, state in zip(layer.carried, (hidden, cell), strict=True):
            np.testing.assert_allclose(variable, state, atol=1e-6)


def test_fewer_rows_leave_the_state_of_the_others():
    layer, x = built()
    layer(x, tf.fill([4], True))
    before = [v.numpy() for v in layer.carried]
    layer(x[:2, :3], tf.fill([2], True))
    for variable, old in zip(layer.carried, before, strict=True):
        np.testing.assert_array_equal(variable.numpy()[2:], old[2:])
        assert (variable.numpy()[:2] != old[:2]).all()


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_outputs_and_gradients_are_pytorchs(compiled):
    layer, x = built()
    other = torch.nn.LSTM(3, 5, batch_first=True)
    kernel, bias = layer.of_inputs.get_weights()
    (own,) = layer.of_state.get_weights()
    order = np.concatenate([np.arange(5) + 5 * part for part in (0, 1, 3, 2)])  # i, f, g, o
    with torch.no_grad():
        other.weight_ih_l0.copy_(torch.from_numpy(kernel.T[order]))
        other.weight_hh_l0.copy_(torch.from_numpy(own.T[order]))
        other.bias_ih_l0.copy_(torch.from_numpy(bias[order]))
        other.bias_hh_l0.zero_()
    given = torch.from_numpy(x).requires_grad_()
    expected, _ = other(given)
    weight = RNG.normal(size=expected.shape).astype(np.float32)
    (expected * torch.from_numpy(weight)).sum().backward()
    inputs = tf.Variable(x)

    def gradients():
        with tf.GradientTape() as tape:
            outputs = layer(inputs, tf.fill([4], True))
            loss = tf.reduce_sum(outputs * weight)
        weights = [v.value for v in layer.trainable_variables]
        return outputs, tape.gradient(loss, [inputs, *weights])

    outputs, (of_x, of_kernel, of_bias, of_own) = (
        tf.function(gradients) if compiled else gradients
    )()
    np.testing.assert_allclose(outputs, expected.detach(), atol=1e-6)
    back = np.argsort(order)
    for found, wanted in (
        (of_x, given.grad),
        (of_kernel, other.weight_ih_l0.grad[back].T),
        (of_bias, other.bias_ih_l0.grad[back]),
        (of_own, other.weight_hh_l0.grad[back].T),
    ):
        np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_the_gradient_of_steps_is_that_of_single_calls():
    keras.utils.set_random_seed(0)
    layer = StepDense(3, use_bias=False)
    layer.build((None, 3))
    x = tf.constant(RNG.normal(size=(2, 3)), tf.float32)

    def gradient(many):
        h = x
        with tf.GradientTape(persistent=True) as tape:
            if many:
                with layer.steps():
                    for _ in range(4):
                        h = tf.tanh(layer(h))
            else:
                for _ in range(4):
                    h = tf.tanh(layer(h))
            loss = tf.reduce_sum(h)
        first, second = (tape.gradient(loss, layer.kernel.value) for _ in range(2))
        np.testing.assert_array_equal(first, second)  # Nothing is left of the first.
        return first

    np.testing.assert_allclose(gradient(True), gradient(False), rtol=1e-5)


# --- adaptive softmax ----------------------------------------------------------------------------


def adaptive(vocabulary=20, cutoffs=(6, 12), units=16):
    keras.utils.set_random_seed(0)
    layer = AdaptiveSoftmax(vocabulary, cutoffs, 0.5)
    layer.build((None, None, units))
    return layer, tf.constant(RNG.normal(size=(3, 4, units)), tf.float32)


def test_the_adaptive_softmax_is_pytorchs_and_a_distribution():
    layer, hidden = adaptive()
    other = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [6, 12])
    with torch.no_grad():
        # Its groups come after the first words, as ours do.
        other.head.weight.copy_(torch.from_numpy(layer.head.get_weights()[0].T))
        for tail, down, out in zip(other.tail, layer.downs, layer.outs, strict=True):
            tail[0].weight.copy_(torch.from_numpy(down.get_weights()[0].T))
            tail[1].weight.copy_(torch.from_numpy(out.get_weights()[0].T))
    rows = torch.from_numpy(hidden.numpy().reshape(12, 16))
    expected = other.log_prob(rows).detach().numpy().reshape(3, 4, 20)
    found = layer.log_probabilities(hidden).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, rtol=1e-5)
    words = RNG.integers(0, 20, (3, 4)).astype(np.int32)
    entropy = -np.take_along_axis(found, words[..., None], -1)[..., 0]
    np.testing.assert_allclose(layer(hidden, tf.constant(words)), entropy, atol=1e-5)


def test_groups_without_a_word_have_no_gradient_and_no_harm():
    layer, hidden = adaptive()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(hidden, tf.zeros((3, 4), tf.int32)))
    gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
    of_head, *of_tails = gradients
    assert np.abs(of_head).max() > 0.0
    assert all(each is None or not np.any(each) for each in of_tails)


def test_weights_of_a_file_are_those_of_any_batch_size(tmp_path):
    """What is carried is of a batch: it is in checkpoints, and in no file of weights."""
    path = str(tmp_path / "lstm.weights.h5")
    first, second = task(batch_size=4).model(), task(batch_size=8, seed=1).model()
    first.save_weights(path)
    second.load_weights(path)
    for mine, its in zip(first.trainable_variables, second.trainable_variables, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_more_rows_than_states_are_refused():
    layer, x = built(rows=2)
    with pytest.raises(ValueError, match=r"at most 2 rows, .* Received: 3"):
        layer(np.zeros((3, *x.shape[1:]), np.float32), tf.fill([3], True))


# --- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("embedding", [12, 8])
def test_a_transformer_does_not_see_what_follows(is_tied, embedding):
    keras.utils.set_random_seed(0)
    model = transformer(Words(30, embedding, 0.1, is_tied), 7, 2, 12, 3, 24, 0.1)
    words = RNG.integers(0, 30, (2, 7))
    before = model(words, training=False).numpy()
    words[:, 4:] = (words[:, 4:] + 1) % 30
    after = model(words, training=False).numpy()
    np.testing.assert_allclose(after[:, :4], before[:, :4], atol=1e-6)
    assert (np.abs(after[:, 4:] - before[:, 4:]).max(axis=-1) > 1e-4).all()
    words[:, 0] = (words[:, 0] + 1) % 30  # And it sees all that was before.
    assert (np.abs(model(words, training=False).numpy() - after).max(axis=-1) > 1e-6).all()


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        # Embedding, layers of 4 (n (n + n) + n), and output.
        ("lstm650_ptb", 10_000 * 650 + 2 * 4 * (650 * 1300 + 650) + 650 * 10_000 + 10_000),
        ("lstm800_ptb_cyclic", 10_000 * 800 + 4 * (800 * 1600 + 800) + 800 * 10_000 + 10_000),
    ],
)
def test_the_papers_networks_have_the_weights_that_follow_from_their_sizes(config, parameters):
    setting = importlib.import_module(f"configs.{config}").get_config().to_dict()
    model = LanguageModel.of(setting).network()
    assert sum(math.prod(v.shape) for v in model.trainable_variables) == parameters


# --- the task ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"is_tied": False},
        {"is_tied": False, "cutoffs": [20]},
        {"model": "transformer", "heads": 3, "embedding": 8},
        {"model": "transformer", "heads": 3, "is_tied": False, "cutoffs": [10, 30]},
        {"batch_size": 1, "epochs": 1},
        {"batch_size": 2, "epochs": 1},
    ],
    ids=["tied", "untied", "adaptive", "transformer", "adaptive transformer", "one", "two"],
)
def test_it_trains_judges_and_writes(changes, tmp_path):
    made = task(**changes, split="both", precision_schedule="cr", bits_min=4, cycles=2)
    record = experiment(made, tmp_path).run()
    assert record.status == "finished"
    for name in ("val", "test"):
        entropy, perplexity = record.final[f"{name}_loss"], record.final[f"{name}_perplexity"]
        assert perplexity == pytest.approx(math.exp(entropy))
        assert perplexity < 50.0  # Better than any word being as likely as any other.
    (written,) = tmp_path.rglob("written*")
    passages = written.read_text().split("\n\n")
    streams = made.config.training.batch_size if made.config.model == "lstm" else 3
    assert len(passages) == min(3, streams)
    for passage in passages:
        assert len(passage.split(" | ")[0].split()) <= 8


def test_the_perplexity_is_that_of_all_words_one_after_another():
    made = task(batch_size=1, split="validation", epochs=1)
    run = experiment(made, "unused")
    run.compiled.begin(made, 0, 10)
    logs, _ = evaluate(run.compiled, made, "val")
    words = np.where(made.data.val < 50, made.data.val, 0)
    read, left = words[:-1], -(len(words) - 1) % 6
    chances = []
    for number, part in enumerate(np.pad(read, (0, left)).reshape(-1, 1, 6)):
        logits = run.model([part, np.array([number == 0])], training=False).numpy()[0]
        top = logits.max(-1, keepdims=True).astype(np.float64)
        chances.append(logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True)))
    chances = np.concatenate(chances)[: len(read)]
    entropy = -np.mean(chances[np.arange(len(read)), words[1:]])
    assert logs["val_loss"] == pytest.approx(entropy, rel=1e-5)
    assert logs["val_perplexity"] == pytest.approx(math.exp(entropy), rel=1e-4)


def test_an_evaluation_leaves_what_training_carries():
    made = task(split="validation")
    run = experiment(made, "unused")
    run.compiled.begin(made, 0, 10)
    run.model.make_train_function()(iter(made.train(0)), tf.constant(3, tf.int64))
    (layer,) = [each for each in run.model.layers if isinstance(each, CarriedLSTM)]
    before = [v.numpy() for v in layer.carried]
    assert np.abs(before[0]).max() > 0.0
    first, _ = evaluate(run.compiled, made, "val")
    second, _ = evaluate(run.compiled, made, "val")
    assert first == second
    with run.compiled.evaluated():
        made.artefacts(run.model, 0)
    for variable, old in zip(layer.carried, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


def test_what_is_written_is_a_function_of_the_seed_and_goes_on_with_the_text():
    made = task()
    model = made.network()
    texts = [passages(model, made.data, "test", 6, 20, seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    given = np.where(made.data.test[:6] < 50, made.data.test[:6], 0)
    assert texts[0].startswith(f"{made.data.written(given)} | ")


def test_a_rate_follows_validation_while_test_text_is_measured(tmp_path):
    made = task(
        split="both",
        epochs=4,
        schedule="plateau",
        schedule_options={"monitor": "val_loss", "factor": 0.25, "patience": 0, "min_delta": 0.0},
        learning_rate=50.0,  # It stalls at once.
        optimizer="sgd",
        momentum=0.0,
        clip_norm=0.25,
    )
    record = experiment(made, tmp_path).run()
    assert made.goal == record.goal == "val_perplexity"
    rates = [row["learning_rate"] for row in record.epochs]
    best, expected, rate = math.inf, [], 50.0
    for row in record.epochs:
        expected.append(rate)
        if row["val_loss"] >= best:
            rate /= 4.0
        best = min(best, row["val_loss"])
    assert rates == pytest.approx(expected)
    assert len(set(rates)) > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 4096, "length": 500}, "must have a batch of 4096 streams of 501 words"),
        ({"is_tied": False, "cutoffs": [50]}, r"`cutoffs` must be below the vocabulary, .* 50 "),
        ({"is_tied": False, "cutoffs": [30, 20]}, "`cutoffs` must rise"),
        ({"cutoffs": [20]}, "`is_tied` must be False with an adaptive softmax"),
        ({"model": "transformer", "units": 10, "heads": 4}, "multiple of `heads`"),
        ({"model": "transformer", "units": 9, "heads": 3}, "`units` must be even"),
        ({"model": "transformer", "heads": 3, "recurrent_range": 0.1}, "`recurrent_range` must be"),
        ({"feedforward": 8}, "`feedforward` must be left at its default, 0, with model='lstm'"),
        ({"heads": 2}, "`heads` must be left at its default, 8, with model='lstm'"),
        (
            {"precision_schedule": "cr", "quantized_products": True},
            "`quantized_products` must be False for an LSTM",
        ),
        ({"model": "gru"}, "`model` must be one of 'lstm', 'transformer'"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LanguageModel.of({**get_config().to_dict(), **SMALL, **changes})


def test_streams_are_refused_on_two_replicas():
    with (
        replicas().scope(),
        pytest.raises(ValueError, match=r"must be trained on one replica.*2 replicas"),
    ):
        task().network()
