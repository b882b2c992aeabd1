"""Graphs: how they are read and sampled, networks by NumPy, and the task."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from configs.gcn_digits import get_config
from tests.trainers.test_replicas import replicas
from trainers.datasets import graph_sources
from trainers.datasets.graphs import Graph
from trainers.models.graph import Aggregation, gcn, sage
from trainers.tasks.configured import experiment
from trainers.tasks.graphs import NodeClassification
from trainers.tasks.measuring import measure
from trainers.tasks.pictures import plane

RNG = np.random.default_rng(0)
NODES, FEATURES = 12, 5
# A node to itself, an edge twice and in both directions, and nodes 10 and 11 without any.
EDGES = np.array([[0, 1], [1, 0], [0, 1], [2, 2], [2, 3], [3, 4], [4, 0], [5, 6], [7, 9], [8, 3]])
PARTS = {"train": np.arange(4), "val": np.arange(4, 8), "test": np.arange(8, 12)}


def graph(**changes):
    given = {
        "features": RNG.normal(size=(NODES, FEATURES)).astype(np.float32),
        "edges": EDGES,
        "labels": np.arange(NODES) % 3,
        **PARTS,
    }
    return Graph.of("a graph", **(given | changes))


def matrix():
    """The graph's edges as a dense matrix, without loops."""
    found = np.zeros((NODES, NODES))
    for a, b in EDGES:
        if a != b:
            found[a, b] = found[b, a] = 1.0
    return found


def dense(edges, weights, shape=(NODES, NODES)):
    found = np.zeros(shape)
    np.add.at(found, tuple(np.asarray(edges).T), np.asarray(weights, np.float64))
    return found


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


# --- the data ------------------------------------------------------------------------------------


def test_edges_are_there_once_in_both_directions_and_in_order():
    found = graph()
    assert found.facts.edges == int(matrix().sum())
    for weighting in ("symmetric", "mean"):
        edges, _ = found.edges(weighting)
        keys = edges[:, 0] * NODES + edges[:, 1]
        assert (np.diff(keys) > 0).all()


def test_weights_are_those_of_the_papers():
    found = graph()
    plain = matrix()
    own = plain + np.eye(NODES)
    roots = np.sqrt(own.sum(1))
    np.testing.assert_allclose(dense(*found.edges("symmetric")), own / np.outer(roots, roots))
    counts = np.maximum(plain.sum(1, keepdims=True), 1.0)
    np.testing.assert_allclose(dense(*found.edges("mean")), plain / counts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": np.array([[0, 1], [3, 12]])}, r"nodes from 0 to 11\. .*\[3, 12\] as edge 1 of"),
        ({"edges": np.array([[-1, 1]])}, r"nodes from 0 to 11\. Received: \[-1, 1\] as edge 0"),
        ({"features": np.full((NODES, 2), np.nan)}, "must be finite. Received: node 0 of a graph"),
        ({"labels": np.zeros(3)}, r"a label for each of 12 nodes\. Received: \(3,\)"),
        ({"labels": -np.ones(NODES)}, "of 'train' must have a label, from 0. Received: -1 for"),
        ({"val": np.array([], int)}, "The part 'val' must have nodes. Received: none"),
        ({"test": np.array([12])}, "'test' must be of nodes from 0 to 11. Received: node 12"),
        ({"val": np.array([3])}, "node 3 in 'train' and 'val'"),
        ({"val": np.array([5, 5])}, "node 5 in 'val' and 'val'"),
        ({"features": np.zeros((0, 2))}, r"of shape \(nodes, features\)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_what_is_no_graph_is_refused_with_its_place(changes, message):
    with pytest.raises(ValueError, match=message):
        graph(**changes)


def test_a_graph_without_edges_is_one():
    found = graph(edges=np.zeros((0, 2), int))
    assert found.facts.edges == 0
    np.testing.assert_allclose(dense(*found.edges("symmetric")), np.eye(NODES))


def test_features_add_up_to_one_where_there_are_any():
    found = graph(features=np.array([[3.0, -1.0]] * (NODES - 1) + [[0.0, 0.0]])).normalised()
    np.testing.assert_allclose(found.features[0], [0.75, -0.25])
    np.testing.assert_allclose(found.features[-1], [0.0, 0.0])


# --- sampling ------------------------------------------------------------------------------------


def test_with_all_neighbours_a_batch_is_that_of_the_whole_graph():
    found = graph()
    whole = dense(*found.edges("mean"))
    batch = next(iter(found.sampled(4, [9, 9], seed=3)))
    outer, inner = (batch[f"edges_{layer}"][0].numpy() for layer in (0, 1))
    first, second = batch["sizes"][0].numpy()
    assert second == 4
    x = batch["features"][0].numpy().astype(np.float64)
    one = dense(outer, batch["weights_0"][0], (first, len(x))) @ x
    two = dense(inner, batch["weights_1"][0], (second, first)) @ one
    chosen = [int(np.flatnonzero((found.features == row).all(1))[0]) for row in x[:4]]
    assert sorted(chosen) == [0, 1, 2, 3]
    np.testing.assert_allclose(two, (whole @ whole @ found.features)[chosen], rtol=1e-5)
    np.testing.assert_array_equal(batch["labels"][0], found.labels[chosen])


def star(count):
    """A node with so many neighbours, and one that has none."""
    edges = np.stack([np.zeros(count, int), np.arange(1, count + 1)], axis=1)
    nodes = count + 2
    features = np.arange(nodes, dtype=np.float32)[:, None]
    parts = {"train": [0, nodes - 1], "val": [1], "test": [2]}
    return Graph.of("a star", features, edges, np.zeros(nodes), **parts)


@pytest.mark.parametrize("drawn", [1, 3, 6, 7, 9])
def test_each_set_of_neighbours_is_as_likely_as_any_other(drawn):
    nodes, seen = tf.constant([0, 8], tf.int64), []
    given, draws = star(7), 3_000
    draw = tf.function(lambda seed: given._drawn(nodes, drawn, tf.stack([seed, 0])))
    for seed in range(draws):
        rows, others = draw(tf.constant(seed))
        assert set(rows.numpy()) == {0}  # The node without neighbours has none.
        seen.append(tuple(others.numpy()))
        assert len(set(seen[-1])) == min(drawn, 7)
    sets, counts = np.unique(seen, axis=0, return_counts=True)
    from math import comb

    expected = draws / comb(7, min(drawn, 7))
    assert len(sets) == comb(7, min(drawn, 7))
    # Chi squared, at five deviations.
    freedom = len(sets) - 1
    assert np.sum((counts - expected) ** 2) / expected <= freedom + 5 * np.sqrt(2 * freedom) + 1e-9


def test_the_mean_of_what_is_drawn_is_that_of_all_neighbours():
    given = star(40)
    means = []
    for batch in given.sampled(2, [4], seed=0).take(500):
        x = batch["features"][0].numpy()
        size = int(batch["sizes"][0, 0])
        means += list(dense(batch["edges_0"][0], batch["weights_0"][0], (size, len(x))) @ x)
    means = np.array([m[0] for m in means if m[0] > 0])
    assert means.mean() == pytest.approx(20.5, abs=5 * means.std() / np.sqrt(len(means)))


@pytest.mark.parametrize("start", [0, 1, 5, 7])
def test_a_sampled_batch_is_a_function_of_seed_and_step(start):
    found = graph()
    every = list(found.sampled(2, [1, 2], seed=4).take(10))
    for one, other in zip(
        found.sampled(2, [1, 2], seed=4, start=start), every[start:], strict=False
    ):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    different = list(found.sampled(2, [1, 2], seed=5).take(10))
    assert any(
        not np.array_equal(one["features"], other["features"])
        for one, other in zip(every, different, strict=True)
    )


def test_an_epoch_has_each_node_once():
    found = graph()
    nodes = [
        tuple(
            np.flatnonzero((found.features == row).all(1))[0]
            for row in batch["features"][0][:2].numpy()
        )
        for batch in found.sampled(2, [1], seed=0).take(4)
    ]
    for epoch in (nodes[:2], nodes[2:]):
        assert sorted(node for pair in epoch for node in pair) == [0, 1, 2, 3]


def test_an_evaluation_has_each_node_once_and_is_the_same_each_time():
    found = graph()
    first, second = (list(found.evaluated("test", 3, [1, 1])) for _ in range(2))
    labels = np.concatenate([batch["labels"][0] for batch in first])
    np.testing.assert_array_equal(labels, found.labels[found.test])
    for one, other in zip(first, second, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


# --- files ---------------------------------------------------------------------------------------


def saved(path, **changes):
    arrays = {
        "edges": EDGES,
        "labels": np.arange(NODES) % 3,
        "features": np.eye(NODES, 4, dtype=np.float32),
        **{f"{part}_idx": nodes for part, nodes in PARTS.items()},
        **changes,
    }
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return str(path)


def test_a_graph_is_read_with_dense_or_sparse_features(tmp_path):
    one = graph_sources.get(saved(tmp_path / "one.npz"))
    rows = np.arange(4)
    sparse = {"feat_row": rows, "feat_col": rows, "feat_val": np.ones(4), "num_features": 4}
    other = graph_sources.get(saved(tmp_path / "other.npz", features=None, **sparse))
    np.testing.assert_array_equal(one.features, other.features)
    assert one.facts == other.facts == dataclasses.replace(one.facts, features=4, train=4)
    assert "its own parts" in one.description


def test_a_graph_without_parts_has_some_that_are_drawn_the_same_each_time(tmp_path):
    none = dict.fromkeys(("train_idx", "val_idx", "test_idx"))
    many = {"labels": np.arange(2_000) % 4, "features": np.ones((2_000, 2)), **none}
    found = graph_sources.get(saved(tmp_path / "many.npz", **many))
    assert (found.facts.train, found.facts.val, found.facts.test) == (80, 500, 1_000)
    assert np.bincount(found.labels[found.train]).tolist() == [20] * 4
    graph_sources._read_again.cache_clear()
    np.testing.assert_array_equal(found.train, graph_sources.get(str(tmp_path / "many.npz")).train)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "must have the arrays edges, labels.*Received: no labels"),
        ({"features": None}, "Received: no features"),
        ({"val_idx": None}, "all of train_idx, val_idx and test_idx.*Received: no val_idx"),
        (
            dict.fromkeys(("train_idx", "val_idx", "test_idx")),
            "none are drawn from fewer than 1500",
        ),
        ({"labels": np.array([None] * NODES)}, "without objects"),
        ({"val_idx": np.array([], int)}, "'val' must have nodes. Received: none of graph.npz"),
    ],
    ids=["labels", "features", "one part", "few nodes", "objects", "empty part"],
)
def test_a_file_that_is_no_graph_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        graph_sources.get(saved(tmp_path / "graph.npz", **changes))


def test_what_is_not_there_says_so_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="must be one of digits, ogbn_arxiv, ogbn_products"):
        graph_sources.facts("unheard")
    with pytest.raises(FileNotFoundError, match=r"python -m trainers\.fetch ogbn_arxiv"):
        graph_sources.check("ogbn_arxiv", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="`dataset` must be a path where there is"):
        graph_sources.facts(f"{tmp_path}/none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match=r"text\.npz must be an \.npz file"):
        graph_sources.get(f"{tmp_path}/text.npz")


def test_an_archive_is_downloaded_checked_and_kept(tmp_path, monkeypatch):
    import gzip
    import zipfile

    def packed(rows):
        return gzip.compress("\n".join(",".join(map(str, row)) for row in rows).encode())

    archive = tmp_path / "small.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("small/raw/edge.csv.gz", packed(EDGES))
        file.writestr("small/raw/node-feat.csv.gz", packed(np.eye(NODES, 4)))
        file.writestr("small/raw/node-label.csv.gz", packed((np.arange(NODES) % 3)[:, None]))
        for name, nodes in zip(("train", "valid", "test"), PARTS.values(), strict=True):
            file.writestr(f"small/split/time/{name}.csv.gz", packed(nodes[:, None]))
    facts = graph_sources.GraphFacts(NODES, 99, 4, 3, 4, 4, 4)
    known = graph_sources._Known(facts, archive.as_uri(), "time")
    monkeypatch.setitem(graph_sources._KNOWN, "small", known)
    place = graph_sources.fetch("small", str(tmp_path / "data"))
    assert graph_sources.fetch("small", str(tmp_path / "data")) == place
    found = graph_sources.get("small", str(tmp_path / "data"))
    np.testing.assert_array_equal(found.test, PARTS["test"])
    assert found.facts.edges == int(matrix().sum())
    wrong = known._replace(facts=dataclasses.replace(facts, nodes=13))
    monkeypatch.setitem(graph_sources._KNOWN, "small", wrong)
    with pytest.raises(OSError, match="must have GraphFacts"):
        graph_sources.fetch("small", str(tmp_path / "other"))
    assert list((tmp_path / "other").iterdir()) == []


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
