"""Networks of graphs by NumPy, and the task."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from configs.gcn_digits import get_config
from tests.trainers.small_graph import FEATURES, NODES, RNG, dense, graph, saved
from tests.trainers.test_replicas import replicas
from trainers.datasets import graph_sources
from trainers.datasets.graphs import Graph
from trainers.models.graph import Aggregation, gcn, sage
from trainers.tasks.configured import experiment
from trainers.tasks.graphs import NodeClassification
from trainers.tasks.measuring import measure
from trainers.tasks.pictures import plane


def task(**changes):
    made = NodeClassification.of({**get_config().to_dict(), "units": 8, "epochs": 2, **changes})
    made.data = NodeClassification.load(made.config)
    return made


SAMPLED = {
    "model": "sage",
    "neighbours": [3, 2],
    "batch_size": 10,
    "passes_per_epoch": 1,
    "epochs": 12,
}


# --- networks ------------------------------------------------------------------------------------


def test_sums_and_their_gradients_are_those_of_a_matrix():
    edges, weights = graph().edges("mean")  # Not symmetric.
    x = tf.Variable(RNG.normal(size=(1, NODES, 3)), dtype=tf.float32)
    upstream = RNG.normal(size=(1, NODES, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        found = Aggregation()(x, edges[None], weights[None])
        loss = tf.reduce_sum(found * upstream)
    expected = dense(edges, weights)
    np.testing.assert_allclose(found[0], expected @ x.numpy()[0], atol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, x)[0], expected.T @ upstream[0], atol=1e-5)


def test_sums_and_their_gradients_have_the_same_bits_each_time():
    """Threads must not add as they come: so they do with `transpose_a` of the product."""
    data = graph_sources.get("digits")
    edges, weights = data.edges("symmetric")
    x = tf.constant(RNG.normal(size=(1, len(data.features), 32)), tf.float32)

    @tf.function
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            found = Aggregation()(x, edges[None], weights[None])
            loss = tf.reduce_sum(tf.sin(found))
        return found, tape.gradient(loss, x)

    assert len({tuple(each.numpy().tobytes() for each in both(x)) for _ in range(50)}) == 1


def weights_of(model):
    return [np.float64(each) for each in model.get_weights()]


@pytest.mark.parametrize("widths", [(4, 3), (7, 6, 3)], ids=["falling", "rising"])
def test_a_gcn_is_as_by_hand(widths):
    keras.utils.set_random_seed(0)
    found = graph()
    model = gcn(NODES, None, FEATURES, widths)
    for layer in model.weights:
        layer.assign(RNG.normal(size=layer.shape))
    batch = next(iter(found.whole("symmetric", "train")))
    given = {name: batch[name] for name in ("features", "edges", "weights")}
    x, adjacency = np.float64(found.features), dense(*found.edges("symmetric"))
    values = [w for w in weights_of(model) if w.ndim and w.size > 2]
    for number, (kernel, bias) in enumerate(zip(values[::2], values[1::2], strict=True)):
        x = adjacency @ x @ kernel + bias
        x = np.maximum(x, 0.0) if number < len(widths) - 1 else x
    np.testing.assert_allclose(model(given, training=False)[0], x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["none", "graph"])
def test_a_graphsage_is_as_by_hand(norm):
    keras.utils.set_random_seed(0)
    found = graph()
    model = sage(NODES, None, FEATURES, (7, 3), norm)
    batch = next(iter(found.whole("mean", "train")))
    given = {name: batch[name] for name in ("features", "edges", "weights")}
    x, mean = np.float64(found.features), dense(*found.edges("mean"))
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    pairs = [sorted(pair, key=lambda layer: layer.use_bias) for pair in (layers[:2], layers[2:])]
    for number, (of_others, own) in enumerate(pairs):
        kernel, bias = own.get_weights()
        x = x @ kernel + bias + mean @ x @ of_others.get_weights()[0]
        if number == 0:
            if norm == "graph":
                x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
            x = np.maximum(x, 0.0)
    np.testing.assert_allclose(model(given, training=False)[0], x, rtol=1e-4, atol=1e-5)


def test_with_all_neighbours_a_sampled_network_is_that_of_the_whole_graph():
    made = task(**SAMPLED | {"neighbours": [200, 200], "split": "both"})
    run = experiment(made, "unused")
    run.compiled.begin(made, 0, 10)
    batch = next(iter(made.train(0)))
    some = run.model({name: batch[name] for name in run.model.input}, training=False)[0]
    whole = next(iter(made.evaluations["val"].data()))
    every = run.model({name: whole[name] for name in run.model.input}, training=False)[0]
    chosen = [
        int(np.flatnonzero((made.data.features == row).all(1))[0])
        for row in batch["features"][0][:10].numpy()
    ]
    np.testing.assert_allclose(some, tf.gather(every, chosen), rtol=1e-4, atol=1e-5)


# --- the task ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quantized_products": True},
        {"layers": 1},
        {"layers": 3, "norm": "graph", "model": "sage"},
        SAMPLED,
        SAMPLED | {"evaluation_neighbours": [2, 2], "norm": "node", "quantized_products": True},
    ],
    ids=["gcn", "rounded sums", "one layer", "sage", "sampled", "sampled evaluations"],
)
def test_it_trains_judges_and_shows(changes, tmp_path):
    made = task(
        split="both",
        precision_schedule="cr",
        bits_min=4,
        cycles=2,
        policies=[] if changes.get("layers") == 1 else ["mixed_bfloat16"],
        **changes,
    )
    experiment_of = experiment(made, tmp_path)
    record = experiment_of.run()
    assert record.status == "finished"
    assert record.counted == {"val_accuracy": 440, "test_accuracy": 1317}
    assert record.final["val_accuracy"] > 0.2
    (picture, *_) = tmp_path.rglob("plane*.png")
    assert picture.stat().st_size > 1_000
    cost = ks.precision.find(experiment_of.compiled.model).cost()
    sums = [row for row in cost.layers if "aggregation" in row.path]
    assert len(sums) == made.config.layers
    assert {row.quantized for row in sums} == {made.config.precision.products}
    assert all(row.macs > 0 for row in sums)


@pytest.mark.parametrize("changes", [{}, SAMPLED], ids=["whole", "sampled"])
def test_a_step_and_an_evaluation_are_measured_without_the_data(changes):
    found = measure(NodeClassification.of({**get_config().to_dict(), "units": 8, **changes}))
    assert found.step > 0.0
    assert found.evaluations.keys() == {"test"}


def test_where_it_is_judged_by_some_neighbours_it_is_never_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(Graph, "whole", lambda *_: pytest.fail("the whole graph"))
    made = task(**SAMPLED | {"evaluation_neighbours": [2, 2]})
    assert experiment(made, tmp_path).run().status == "finished"
    assert list(tmp_path.rglob("plane*.png"))


def test_a_made_up_graph_has_the_size_of_one_that_is_not_here():
    known = graph_sources.facts("ogbn_arxiv")
    found = graph_sources.random("ogbn_arxiv").facts
    assert dataclasses.replace(found, edges=known.edges) == known
    assert found.edges == pytest.approx(known.edges, rel=0.01)


def test_multiplications_of_a_graph_are_counted_by_its_edges():
    made = task()
    nodes, edges = 1797, made.facts.edges + 1797
    found = ks.precision.macs(made.network())
    sums = [each.macs for each in found if each.kind == "Aggregation"]
    # The cheaper product is first: 8 numbers are added after the first kernel, before the second.
    assert sums == [edges * 8, edges * 8]
    assert sum(each.macs for each in found) == nodes * (64 * 8 + 8 * 10) + sum(sums)


def test_rows_that_are_all_nought_and_lonely_nodes_are_trained_through(tmp_path):
    features = np.zeros((NODES, 4), np.float32)
    path = saved(tmp_path / "empty.npz", features=features, edges=np.zeros((0, 2), int))
    for changes in ({}, {"model": "sage"}, SAMPLED | {"batch_size": 2}):
        record = experiment(task(dataset=path, normalises_features=True, **changes), tmp_path).run()
        assert record.status == "finished"
        assert np.isfinite(record.final["test_loss"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 4}, "`batch_size` must be 1 where each step is of the whole graph"),
        ({"neighbours": [2, 2], "batch_size": 4}, "`neighbours` must be empty for a GCN"),
        (SAMPLED | {"neighbours": [2]}, "`neighbours` must have a number for each of the `layers`"),
        ({"model": "sage", "evaluation_neighbours": [2, 2]}, "must be empty where all neighbours"),
        (SAMPLED | {"passes_per_epoch": 2}, "`passes_per_epoch` must be 1 where some"),
        (SAMPLED | {"batch_size": 41}, "`batch_size` must be at most the examples of an epoch"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        NodeClassification.of({**get_config().to_dict(), **changes})


def test_a_graph_is_refused_on_two_replicas():
    with (
        replicas().scope(),
        pytest.raises(ValueError, match=r"must be trained on one replica.*2 replicas"),
    ):
        task().network()


def test_a_picture_of_points_has_its_classes():
    points = np.concatenate([np.zeros((5, 6)), np.ones((5, 6))]) + 0.01 * RNG.normal(size=(10, 6))
    labels = np.repeat([0, 1], 5)
    picture = plane(points, labels, ["one", "other"])
    assert picture.shape == (480, 640, 3)
    colours = {tuple(c) for c in picture[:, :480].reshape(-1, 3)}
    assert (0x44, 0x77, 0xAA) in colours
    assert (0xEE, 0x66, 0x77) in colours
    left = np.argwhere((picture == (0x44, 0x77, 0xAA)).all(-1) & (np.arange(640) < 480))[:, 1]
    right = np.argwhere((picture == (0xEE, 0x66, 0x77)).all(-1) & (np.arange(640) < 480))[:, 1]
    assert abs(left.mean() - right.mean()) > 300  # They lie apart, along the first axis.
    same = plane(np.zeros((3, 1)), np.zeros(3, int), ["one"])
    assert same.shape == picture.shape
