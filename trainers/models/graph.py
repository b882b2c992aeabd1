"""Networks of graphs: GCN and GraphSAGE, on a whole graph or on some neighbours of some nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["HIDDEN", "Aggregation", "gcn", "sage"]

# The layer that gives what the last convolution takes.
HIDDEN = "hidden"


@keras.saving.register_keras_serializable(package="keras_sched")
class Aggregation(keras.layers.Layer):
    """Adds to each node its neighbours, by their weights: ``y_i = sum_j w_ij x_j``.

    It is a product with a sparse matrix, for which no numbers of single edges are kept; that of the
    backward pass is the transposed one.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._edges: Any = None

    def call(self, inputs: Any, edges: Any, weights: Any, size: Any = None) -> Any:
        """Return the sums.

        Args:
            inputs: Numbers of the nodes, of shape `(1, n, numbers)`.
            edges: Pairs of a node and a neighbour, in order, int64 of shape `(1, edges, 2)`.
            weights: Of shape `(1, edges)`.
            size: How many nodes have neighbours, the first of all; all if None.
        """
        self._edges = edges
        columns = tf.shape(inputs, tf.int64)[1]
        rows = columns if size is None else tf.cast(size, tf.int64)
        # Sparse products are there in float32.
        x = tf.cast(inputs[0], tf.float32)
        found = _multiplied(edges[0], tf.cast(weights[0], tf.float32), tf.stack([rows, columns]), x)
        found = tf.ensure_shape(found, [inputs.shape[1] if size is None else None, x.shape[-1]])
        return tf.cast(found, inputs.dtype)[None]

    def macs(self, inputs: Any, outputs: Any) -> Any:
        """Return the multiplications of one graph: each edge has all numbers of a node."""
        count = self._edges.shape[1]
        if count is None:
            count = tf.cast(tf.shape(self._edges)[1], tf.float64)
        return count * inputs.shape[-1]

    def compute_output_spec(
        self, inputs: Any, edges: Any, weights: Any, size: Any = None
    ) -> keras.KerasTensor:
        """Return the shape of the output."""
        nodes = inputs.shape[1] if size is None else None
        return keras.KerasTensor((inputs.shape[0], nodes, inputs.shape[-1]), dtype=inputs.dtype)


@tf.custom_gradient
def _multiplied(
    edges: tf.Tensor, weights: tf.Tensor, shape: tf.Tensor, x: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Return the product of a sparse matrix and a dense one; the matrix has no gradient."""
    matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=edges, values=weights, dense_shape=shape
    )

    def gradient(upstream: tf.Tensor) -> tuple[None, None, None, tf.Tensor]:
        # Not by `transpose_a`: threads add there in the order in which they come.
        turned = tf.raw_ops.SparseMatrixTranspose(input=matrix, type=tf.float32)
        return None, None, None, tf.raw_ops.SparseMatrixMatMul(a=turned, b=upstream)

    return tf.raw_ops.SparseMatrixMatMul(a=matrix, b=x), gradient


@keras.saving.register_keras_serializable(package="keras_sched")
class Bias(keras.layers.Layer):
    """Adds a number of its own to each number of a node."""

    def build(self, shape: Any) -> None:
        """Make the numbers."""
        self.bias = self.add_weight((shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Add to `inputs` of shape `(..., numbers)`."""
        return inputs + keras.ops.cast(self.bias, inputs.dtype)


@keras.saving.register_keras_serializable(package="keras_sched")
class First(keras.layers.Layer):
    """Takes the first of all nodes: those that a layer gives."""

    def call(self, inputs: Any, size: Any) -> Any:
        """Return the first `size` of `inputs`, of shape `(1, nodes, numbers)`."""
        return inputs[:, : tf.cast(size, tf.int32)]

    def compute_output_spec(self, inputs: Any, size: Any) -> keras.KerasTensor:
        """Return the shape of the output."""
        return keras.KerasTensor((inputs.shape[0], None, inputs.shape[-1]), dtype=inputs.dtype)


@keras.saving.register_keras_serializable(package="keras_sched")
class GraphNorm(keras.layers.Layer):
    """Normalises all numbers of all nodes together, to mean 0 and variance 1; it has no weights."""

    def call(self, inputs: Any) -> Any:
        """Normalise `inputs` of shape `(1, nodes, numbers)`."""
        x = keras.ops.cast(inputs, "float32")
        mean, variance = keras.ops.moments(x, axes=[1, 2], keepdims=True)
        return keras.ops.cast((x - mean) * keras.ops.rsqrt(variance + 1e-5), inputs.dtype)


def _norm(kind: str, x: Any) -> Any:
    if kind == "none":
        return x
    return (keras.layers.LayerNormalization(epsilon=1e-5) if kind == "node" else GraphNorm())(x)


def _network(
    convolution: Callable[[Any, int, Any, Any, Any], Any],
    nodes: int | None,
    edges: int | None,
    features: int,
    widths: Sequence[int],
    norm: str,
    dropout: float,
    feature_dropout: float,
    is_sampled: bool,
) -> keras.Model:
    inputs = {"features": keras.layers.Input((nodes, features), name="features")}

    def taken(number: str) -> tuple[Any, Any]:
        for name, shape, dtype in (
            (f"edges{number}", (edges, 2), "int64"),
            (f"weights{number}", (edges,), "float32"),
        ):
            inputs[name] = keras.layers.Input(shape, dtype=dtype, name=name)
        return inputs[f"edges{number}"], inputs[f"weights{number}"]

    whole = None if is_sampled else taken("")
    if is_sampled:
        inputs["sizes"] = keras.layers.Input((len(widths),), dtype="int32", name="sizes")
    x = inputs["features"]
    if feature_dropout:
        x = keras.layers.Dropout(feature_dropout)(x)
    for layer, width in enumerate(widths):
        size = inputs["sizes"][0, layer] if is_sampled else None
        x = convolution(x, width, *(whole or taken(f"_{layer}")), size)
        if layer < len(widths) - 1:
            x = keras.layers.Activation("relu")(_norm(norm, x))
            name = HIDDEN if layer == len(widths) - 2 else None
            x = keras.layers.Dropout(dropout, name=name)(x)
    return keras.Model(inputs, x)


def gcn(
    nodes: int | None,
    edges: int | None,
    features: int,
    widths: Sequence[int],
    norm: str = "none",
    dropout: float = 0.5,
    feature_dropout: float = 0.0,
) -> keras.Model:
    """Return a GCN of a whole graph: ``H' = relu(A H W + b)``, A being its weighted edges.

    The cheaper product comes first: H W where a layer takes more numbers than it gives.

    Args:
        nodes: Number of nodes, or None for any.
        edges: Number of edges, or None for any.
        features: Numbers of a node.
        widths: Numbers that each layer gives for a node, the last one logits.
        norm: What is normalised between the layers: "none", each "node", or the "graph" as a whole.
        dropout: Share of the numbers dropped between the layers.
        feature_dropout: Share of the features dropped.

    References:
        Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks" (arXiv
        1609.02907), equation 2.
    """

    def convolution(x: Any, width: int, edges: Any, weights: Any, size: Any) -> Any:
        if x.shape[-1] > width:
            x = keras.layers.Dense(width, use_bias=False)(x)
            return Bias()(Aggregation()(x, edges, weights))
        return keras.layers.Dense(width)(Aggregation()(x, edges, weights))

    return _network(
        convolution, nodes, edges, features, widths, norm, dropout, feature_dropout, False
    )


def sage(
    nodes: int | None,
    edges: int | None,
    features: int,
    widths: Sequence[int],
    norm: str = "none",
    dropout: float = 0.5,
    feature_dropout: float = 0.0,
    is_sampled: bool = False,
) -> keras.Model:
    """Return a GraphSAGE with means of neighbours: ``H' = relu(H W + mean(H) V + b)``.

    Args:
        nodes: As for `gcn`; and the other arguments.
        edges: Likewise.
        features: Likewise.
        widths: Likewise.
        norm: Likewise.
        dropout: Likewise.
        feature_dropout: Likewise.
        is_sampled: Whether each layer has edges of its own, as `Graph.sampled` gives them.

    References:
        Hamilton, Ying and Leskovec, "Inductive Representation Learning on Large Graphs" (arXiv
        1706.02216), algorithm 1 with the mean; without normalising what comes out of a layer.
    """

    def convolution(x: Any, width: int, edges: Any, weights: Any, size: Any) -> Any:
        own = x if size is None else First()(x, size)
        if x.shape[-1] > width:
            mean = Aggregation()(keras.layers.Dense(width, use_bias=False)(x), edges, weights, size)
        else:
            mean = Aggregation()(x, edges, weights, size)
            mean = keras.layers.Dense(width, use_bias=False)(mean)
        return keras.layers.Add()([keras.layers.Dense(width)(own), mean])

    return _network(
        convolution, nodes, edges, features, widths, norm, dropout, feature_dropout, is_sampled
    )
