"""Graphs of nodes with features and labels, whole or with some neighbours of some nodes.

Nothing here has a state: which nodes and which neighbours a data step has is a function of the seed
and of the step, so that training goes on from any step.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

__all__ = ["PARTS", "Graph", "GraphFacts", "whole"]

PARTS = ("train", "val", "test")
# The random numbers of an evaluation are the same in each: no seed of a training is as large.
_EVALUATION_SEED = 2**40


@dataclasses.dataclass(frozen=True)
class GraphFacts:
    """What is known of a graph without having it.

    Attributes:
        nodes: Number of nodes.
        edges: Number of edges, each counted in both directions.
        features: Numbers of a node.
        classes: Number of classes.
        train: Number of nodes to train on.
        val: Number of nodes held out.
        test: Number of test nodes.
    """

    nodes: int
    edges: int
    features: int
    classes: int
    train: int
    val: int
    test: int


@dataclasses.dataclass(frozen=True)
class Graph:
    """A graph whose edges have no direction, with some nodes to train on and some to evaluate with.

    Args:
        description: What it is, for people.
        features: float32 of shape `(nodes, features)`.
        starts: Where the neighbours of each node begin, int64 of shape `(nodes + 1,)`.
        neighbours: The neighbours of all nodes, one after another, int32; rising for each node,
            without the node itself.
        labels: int32 of shape `(nodes,)`, from 0; below 0 where it is not known.
        train: Nodes to train on.
        val: Nodes held out.
        test: Test nodes.
        class_names: What classes are called; numbers where it is empty.
    """

    description: str
    features: np.ndarray = dataclasses.field(repr=False)
    starts: np.ndarray = dataclasses.field(repr=False)
    neighbours: np.ndarray = dataclasses.field(repr=False)
    labels: np.ndarray = dataclasses.field(repr=False)
    train: np.ndarray = dataclasses.field(repr=False)
    val: np.ndarray = dataclasses.field(repr=False)
    test: np.ndarray = dataclasses.field(repr=False)
    class_names: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        description: str,
        features: np.ndarray,
        edges: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str] = (),
        **parts: np.ndarray,
    ) -> Self:
        """Return the graph of some edges, each in both directions, once, and none to itself.

        Args:
            description: What it is, for people.
            features: Of shape `(nodes, features)`.
            edges: Pairs of nodes, of shape `(edges, 2)`.
            labels: Of shape `(nodes,)`.
            class_names: What classes are called.
            **parts: The nodes of each of `PARTS`.

        Raises:
            ValueError: If an array is of another shape or type, a number is not finite, a node is
                none of the graph, a node of a part has no label or is in two parts, or a part is
                empty; it says which.
        """
        if features.ndim != 2 or not len(features) or features.dtype.kind not in "biuf":
            raise ValueError(
                f"Features must be numbers, of shape (nodes, features). Received: "
                f"{features.dtype} of shape {features.shape} of {description}"
            )
        nodes = len(features)
        if labels.shape != (nodes,):
            raise ValueError(
                f"There must be a label for each of {nodes} nodes, as there are features. "
                f"Received: shape {labels.shape} of {description}"
            )
        labels = whole("labels", labels, description).astype(np.int32)
        _check_classes(labels, class_names, description)
        with np.errstate(over="ignore"):
            features = np.ascontiguousarray(features, np.float32)
        if not np.isfinite(features).all():
            row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise ValueError(
                f"Features must be finite in float32. Received: node {row} of {description}"
            )
        edges = np.asarray(edges)
        if edges.size and (edges.ndim != 2 or edges.shape[1] != 2):
            raise ValueError(
                f"Edges must be pairs of nodes, of shape (edges, 2). Received: shape "
                f"{edges.shape} of {description}"
            )
        edges = whole("edges", edges, description).reshape(-1, 2)
        outside = np.flatnonzero((edges < 0).any(axis=1) | (edges >= nodes).any(axis=1))
        if len(outside):
            raise ValueError(
                f"Edges must be of nodes from 0 to {nodes - 1}. Received: "
                f"{edges[outside[0]].tolist()} as edge {outside[0]} of {description}"
            )
        found = {part: whole(f"{part} nodes", parts[part], description) for part in PARTS}
        _check_parts(found, labels, description)
        starts, neighbours = _neighbours(edges, nodes)
        return cls(
            description,
            features,
            starts,
            neighbours,
            labels,
            **found,
            class_names=tuple(class_names),
        )

    @property
    def facts(self) -> GraphFacts:
        """What is known of it without having it."""
        return GraphFacts(
            nodes=len(self.features),
            edges=len(self.neighbours),
            features=self.features.shape[1],
            classes=int(self.labels.max()) + 1,
            **{part: len(getattr(self, part)) for part in PARTS},
        )

    def normalised(self) -> Self:
        """Return the graph with features that add up to 1 for each node, in absolute value."""
        sums = np.abs(self.features).sum(axis=1, keepdims=True)
        features = np.divide(self.features, sums, out=np.zeros_like(self.features), where=sums > 0)
        return dataclasses.replace(self, features=features)

    def edges(self, weighting: str) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of a node and a neighbour, in order, and the weight of each neighbour.

        Args:
            weighting: "symmetric": each node is a neighbour of itself too, and has the weight
                ``1 / sqrt(n_i n_j)``, n being their numbers of neighbours. "mean": ``1 / n_i``.

        Returns:
            int64 of shape `(edges, 2)`, and float32 of shape `(edges,)`.

        References:
            Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks"
            (arXiv 1609.02907), equation 2.
        """
        counts = np.diff(self.starts)
        rows = np.repeat(np.arange(len(counts)), counts)
        columns = self.neighbours.astype(np.int64)
        if weighting == "mean":
            weights = 1.0 / counts[rows]
        else:
            own = np.arange(len(counts))
            # Each node comes where it would among its neighbours.
            before = np.bincount(rows, columns < rows, len(counts)).astype(np.int64)
            at = self.starts[:-1] + before
            rows, columns = np.insert(rows, at, own), np.insert(columns, at, own)
            roots = np.sqrt(counts + 1.0)
            weights = 1.0 / (roots[rows] * roots[columns])
        return np.stack([rows, columns], axis=1), weights.astype(np.float32)

    # --- batches ---------------------------------------------------------------------------------

    def whole(self, weighting: str, part: str) -> tf.data.Dataset:
        """Return the graph as one batch, of which the nodes of a part count.

        Returns:
            A data set of one batch, by name: "features" of shape `(1, nodes, features)`, "edges"
            of `(1, edges, 2)` and "weights" of `(1, edges)`; "nodes" that count, of `(1, n)`, and
            their "labels".
        """
        chosen = getattr(self, part)
        batch = self._tensors(weighting) | {
            "nodes": tf.constant(chosen[None]),
            "labels": tf.constant(self.labels[chosen][None]),
        }
        return tf.data.Dataset.from_tensors(batch)

    def _tensors(self, weighting: str) -> dict[str, tf.Tensor]:
        if weighting not in self._made:
            edges, weights = self.edges(weighting)
            self._made[weighting] = {
                "features": tf.constant(self.features[None]),
                "edges": tf.constant(edges[None]),
                "weights": tf.constant(weights[None]),
            }
        return self._made[weighting]

    @functools.cached_property
    def _made(self) -> dict[str, dict[str, tf.Tensor]]:
        return {}

    def sampled(
        self, batch_size: int, counts: Sequence[int], seed: int, start: int = 0
    ) -> tf.data.Dataset:
        """Return the endless batches of some nodes with some of their neighbours, from a step on.

        Args:
            batch_size: Nodes of a batch, at most those to train on.
            counts: Neighbours of each node at most, for each layer from the features on: they are
                drawn without replacement, each as likely as any other.
            seed: Of the order of nodes in an epoch and of their neighbours.
            start: The data step.

        Returns:
            A data set as of `whole`, with as many "edges" and "weights" as there are layers,
            numbered from the features on: a pair is the place of a node among those that a layer
            gives, and that of a neighbour among those that it takes, of which the former are the
            first. "sizes" of shape `(1, layers)` are how many nodes each layer gives.
        """
        steps = len(self.train) // batch_size
        if steps < 1:
            raise ValueError(
                f"`batch_size` must be at most the {len(self.train)} nodes to train on. Received: "
                f"batch_size={batch_size}"
            )
        nodes, last = tf.constant(self.train), tf.constant(len(self.train) - 1, tf.int64)

        def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
            index = step % steps * batch_size + tf.range(batch_size, dtype=tf.int64)
            order = tf.stack([tf.constant(seed, tf.int64), step // steps])
            chosen = tf.gather(nodes, tf.random.experimental.index_shuffle(index, order, last))
            return self._around(chosen, counts, tf.stack([tf.constant(seed, tf.int64), step]))

        return (
            tf.data.Dataset.range(start, tf.int64.max)
            .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .prefetch(4)
        )

    def evaluated(self, part: str, batch_size: int, counts: Sequence[int]) -> tf.data.Dataset:
        """Return the nodes of a part once, with neighbours that are the same in each evaluation."""
        nodes = tf.data.Dataset.from_tensor_slices(getattr(self, part)).batch(batch_size)
        seed = tf.constant(_EVALUATION_SEED, tf.int64)
        return nodes.enumerate().map(
            lambda step, chosen: self._around(chosen, counts, tf.stack([seed, step]))
        )

    def _around(
        self, chosen: tf.Tensor, counts: Sequence[int], seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Return the batch of some nodes, layer by layer from the last one on."""
        found: dict[str, tf.Tensor] = {}
        sizes, nodes = [], chosen
        for layer in reversed(range(len(counts))):
            # The steps of no training come to 2**48.
            own = seed + tf.constant([0, layer << 48], tf.int64)
            rows, others = self._drawn(nodes, counts[layer], own)
            size = tf.size(nodes)
            sizes.append(size)
            # Those that the layer gives are the first, in their order.
            nodes, places = tf.unique(tf.concat([nodes, others], axis=0), tf.int64)
            pairs = tf.stack([rows, places[size:]], axis=1)
            each = tf.math.bincount(tf.cast(rows, tf.int32), minlength=size, dtype=tf.float32)
            found[f"edges_{layer}"] = pairs[None]
            found[f"weights_{layer}"] = (1.0 / tf.gather(each, rows))[None]
        return found | {
            "features": tf.gather(self._features, nodes)[None],
            "sizes": tf.stack(sizes[::-1])[None],
            "nodes": tf.range(tf.size(chosen, tf.int64))[None],
            "labels": tf.gather(self._labels, chosen)[None],
        }

    def _drawn(self, nodes: tf.Tensor, count: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return so many neighbours of each node, or all: the place of the node, and the neighbour.

        R. Floyd's algorithm, for all nodes at once: of n neighbours the i-th of k is one of the
        first n - k + i, or if it is drawn already the last of these (J. Bentley and B. Floyd, "A
        Sample of Brilliance", Communications of the ACM 30, 1987).
        """
        starts, neighbours = self._lists
        begin = tf.gather(starts, nodes)
        degrees = tf.gather(starts, nodes + 1) - begin
        shares = tf.random.stateless_uniform([tf.size(nodes), count], seed, dtype=tf.float64)
        drawn: list[tf.Tensor] = []
        for i in range(count):
            last = tf.maximum(degrees - count, 0) + i
            at = tf.cast(shares[:, i] * tf.cast(last + 1, tf.float64), tf.int64)
            if drawn:
                is_there = tf.reduce_any(tf.stack(drawn, axis=1) == at[:, None], axis=1)
                at = tf.where(is_there, last, at)
            drawn.append(tf.where(degrees > count, at, tf.constant(i, tf.int64)))
        places = tf.stack(drawn, axis=1)
        # In their order, so that a sum of all does not depend on how they were drawn.
        places = tf.sort(places, axis=1)
        is_one = places < degrees[:, None]
        rows = tf.cast(tf.where(is_one)[:, 0], tf.int64)
        others = tf.gather(neighbours, tf.boolean_mask(begin[:, None] + places, is_one))
        return rows, tf.cast(others, tf.int64)

    # Made outside of any trace, as the first call may be within one.

    @functools.cached_property
    def _features(self) -> tf.Tensor:
        with tf.init_scope():
            return tf.constant(self.features)

    @functools.cached_property
    def _labels(self) -> tf.Tensor:
        with tf.init_scope():
            return tf.constant(self.labels)

    @functools.cached_property
    def _lists(self) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.init_scope():
            return tf.constant(self.starts), tf.constant(self.neighbours)


def whole(what: str, values: Any, description: str) -> np.ndarray:
    """Return whole numbers as int64.

    Args:
        what: What they are called in the error.
        values: The numbers; floats are whole if nothing is behind the point.
        description: Of which graph they are.

    Raises:
        ValueError: If they are none.
    """
    found = np.asarray(values)
    is_whole = found.dtype.kind in "iu" or not found.size
    if found.dtype.kind == "f":
        is_whole = bool((found == np.floor(found)).all()) and bool(np.isfinite(found).all())
    if not is_whole:
        what_else = ", a mask: np.flatnonzero gives the numbers" * (found.dtype.kind == "b")
        raise ValueError(
            f"The {what} must be whole numbers. Received: {found.dtype}, as "
            f"{found.reshape(-1)[:3].tolist()}, of {description}{what_else}"
        )
    return found.astype(np.int64)


def _check_classes(labels: np.ndarray, names: Sequence[str], description: str) -> None:
    """Check that classes are numbered without a gap, and called by as many names, if any."""
    present = np.unique(labels[labels >= 0])
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise ValueError(
            f"Each class from 0 to the highest must have a node. Received: none of class "
            f"{gaps[0]}, and one of class {present[-1]}, of {description}"
        )
    if not all(isinstance(name, str) for name in names) or len(names) not in (0, len(present)):
        raise ValueError(
            f"There must be a name, a string, for each of {len(present)} classes, or none. "
            f"Received: {list(names)[:5]} of {description}"
        )


def _check_parts(parts: dict[str, np.ndarray], labels: np.ndarray, description: str) -> None:
    seen: dict[int, str] = {}
    for part, nodes in parts.items():
        if not len(nodes):
            raise ValueError(f"The part {part!r} must have nodes. Received: none of {description}")
        outside = nodes[(nodes < 0) | (nodes >= len(labels))]
        if len(outside):
            raise ValueError(
                f"The part {part!r} must be of nodes from 0 to {len(labels) - 1}. Received: node "
                f"{outside[0]} of {description}"
            )
        unlabelled = nodes[labels[nodes] < 0]
        if len(unlabelled):
            raise ValueError(
                f"Each node of {part!r} must have a label, from 0. Received: "
                f"{labels[unlabelled[0]]} for node {unlabelled[0]} of {description}"
            )
        for node in nodes.tolist():
            if node in seen:
                raise ValueError(
                    f"A node must be in one part, once. Received: node {node} in {seen[node]!r} "
                    f"and {part!r} of {description}"
                )
            seen[node] = part


def _neighbours(edges: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the neighbours of each node begin, and all of them."""
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[both[:, 0] != both[:, 1]]
    keys = np.unique(both[:, 0] * nodes + both[:, 1])
    rows, columns = np.divmod(keys, nodes)
    starts = np.zeros(nodes + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=nodes), out=starts[1:])
    return starts, columns.astype(np.int32)
