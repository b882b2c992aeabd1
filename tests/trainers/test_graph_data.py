"""Graphs: how they are read and sampled, and what of them is refused."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.trainers.small_graph import EDGES, NODES, PARTS, dense, graph, matrix, saved
from trainers.datasets import graph_sources
from trainers.datasets.graphs import Graph

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
        (
            {"features": np.full((NODES, 2), np.nan)},
            "must be finite in float32. Received: node 0 of a graph",
        ),
        ({"labels": np.zeros(3)}, r"a label for each of 12 nodes, .* Received: shape \(3,\)"),
        ({"features": np.zeros((5, 2))}, r"a label for each of 5 nodes, as there are features"),
        ({"features": np.full((NODES, 2), "a")}, "Features must be numbers"),
        ({"edges": np.zeros((2, 30), int)}, r"of shape \(edges, 2\)\. Received: shape \(2, 30\)"),
        ({"edges": np.zeros((30, 3), int)}, r"of shape \(edges, 2\)\. Received: shape \(30, 3\)"),
        ({"edges": np.full((3, 2), 0.5)}, "edges must be whole numbers. Received: float64, as"),
        ({"labels": np.full(NODES, 0.5)}, "labels must be whole numbers"),
        ({"labels": np.full(NODES, "a")}, "labels must be whole numbers. Received: <U1"),
        ({"train": np.array([0.7])}, "train nodes must be whole numbers"),
        ({"train": np.arange(NODES) < 3}, "train nodes must be whole.*a mask: np.flatnonzero"),
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


def test_whole_numbers_may_have_a_point():
    found, same = graph(), graph(edges=EDGES.astype(float), labels=np.float32(np.arange(NODES) % 3))
    np.testing.assert_array_equal(found.neighbours, same.neighbours)
    np.testing.assert_array_equal(found.labels, same.labels)


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
        ({"feat_col": [0, -1, 1]}, "of 12 nodes and 4 columns. Received: row 1, column -1 as numb"),
        ({"feat_row": [0, 12, 1]}, "of 12 nodes and 4 columns. Received: row 12, column 1 as num"),
        ({"feat_col": [0, 1]}, r"Received: shapes \(3,\), \(2,\), \(3,\) of graph.npz"),
        ({"feat_col": [0.5, 1, 2]}, "feat_col must be whole numbers"),
        ({"feat_row": [1, 1, 2], "feat_col": [1, 1, 2]}, "must be given once"),
        ({"features": np.ones((NODES, 2))}, "Received: features and feat_row, feat_col, feat_val"),
    ],
)
def test_sparse_features_must_fit(changes, message, tmp_path):
    given = {"feat_row": [0, 1, 2], "feat_col": [0, 1, 2], "feat_val": np.ones(3)}
    given |= {"num_features": 4, "features": None, **changes}
    with pytest.raises(ValueError, match=message):
        graph_sources.get(saved(tmp_path / "graph.npz", **given))


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
        ({"labels": np.eye(NODES, 3, dtype=int)}, r"shape \(nodes,\)\. Received: shape \(12, 3\)"),
        ({"labels": np.arange(NODES) % 3 * 2}, "none of class 1, and one of class 4"),
        ({"labels": np.arange(NODES) % 3 + 1}, "none of class 0, and one of class 3"),
        ({"class_names": ["a", "b"]}, r"for each of 3 classes, .*\['a', 'b'\]"),
        ({"class_names": np.array([b"a", b"b", b"c"])}, "a string, for each of 3 classes"),
        ({"features": np.full((NODES, 2), 1e300)}, "finite in float32. Received: node 0"),
        ({"val_idx": np.array([], int)}, "'val' must have nodes. Received: none of graph.npz"),
    ],
    ids=[
        *("labels", "features", "one part", "few nodes", "objects", "one-hot", "gap", "from one"),
        *("two names", "bytes", "infinite", "empty part"),
    ],
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
    with pytest.raises(
        ValueError, match=r"text\.npz must be an \.npz file.*a file of another kind"
    ):
        graph_sources.get(f"{tmp_path}/text.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for other in ("array.npy", ""):
        with pytest.raises(ValueError, match=r"a file of another kind, or a folder"):
            graph_sources.get(f"{tmp_path}/{other}")


@pytest.mark.parametrize("labels", [(NODES, 1), (1, NODES), (NODES,)])
def test_labels_may_be_a_column_or_a_row(labels, tmp_path):
    path = saved(tmp_path / "graph.npz", labels=np.reshape(np.arange(NODES) % 3, labels))
    np.testing.assert_array_equal(graph_sources.get(path).labels, np.arange(NODES) % 3)


def test_an_archive_that_is_damaged_is_refused(tmp_path):
    path = tmp_path / "graph.npz"
    np.savez_compressed(path, **dict(np.load(saved(tmp_path / "whole.npz"))))
    held = bytearray(path.read_bytes())
    held[60:90] = bytes(30)
    path.write_bytes(held)
    with pytest.raises(ValueError, match=r"graph\.npz must be an \.npz file"):
        graph_sources.get(str(path))


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
