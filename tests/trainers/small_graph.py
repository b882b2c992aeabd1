"""A graph of twelve nodes, as arrays, as a matrix and as a file."""

from __future__ import annotations

import numpy as np

from trainers.datasets.graphs import Graph

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
