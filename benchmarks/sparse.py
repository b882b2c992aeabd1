"""Edges a second of the sums over neighbours in a graph, beside PyTorch and the memory's bandwidth.

    python -m benchmarks.sparse [--nodes=100000] [--edges=1000000] [--widths 16 128] [--repeats=5]

Each edge reads the numbers of a neighbour, its place and its weight, ``4 w + 8`` bytes for `w`
numbers; what it adds to may stay in the cache. The bandwidth is that of a sum of two arrays that no
cache holds. Ours is the layer of `trainers.models.graph`, forward and backward, from pairs of nodes
to sums; PyTorch's is the product with a matrix that is there already, and forward alone.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from trainers.models.graph import Aggregation

_STREAMED = 2**26


def graph(nodes: int, edges: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of a random graph, in order, and their weights."""
    draw = np.random.default_rng(0)
    pairs = draw.integers(0, nodes, (edges, 2))
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], draw.random(edges, np.float32)


def ours(pairs: np.ndarray, weights: np.ndarray, x: np.ndarray) -> dict[str, Callable[[], Any]]:
    """Return the sums of the layer, and these with their gradient."""
    layer = Aggregation()
    edges, given, inputs = (tf.constant(each)[None] for each in (pairs, weights, x))

    @tf.function
    def forward() -> tf.Tensor:
        return tf.reduce_sum(layer(inputs, edges, given))

    @tf.function
    def both() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            found = tf.reduce_sum(layer(inputs, edges, given))
        return found + tf.reduce_sum(tape.gradient(found, inputs))

    return {"forward": lambda: forward().numpy(), "forward and backward": lambda: both().numpy()}


def theirs(pairs: np.ndarray, weights: np.ndarray, x: np.ndarray) -> Callable[[], Any]:
    """Return the sums of PyTorch."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That it is young.
        matrix = torch.sparse_coo_tensor(
            torch.from_numpy(pairs.T.copy()), torch.from_numpy(weights), (len(x), len(x))
        ).to_sparse_csr()
    inputs = torch.from_numpy(x)
    return lambda: (matrix @ inputs).sum().item()


def bandwidth() -> Callable[[], Any]:
    """Return a sum of two large arrays, which reads two and writes one."""
    a, b = tf.ones(_STREAMED), tf.ones(_STREAMED)

    @tf.function
    def add() -> tf.Tensor:
        return a + b

    return lambda: add()[0].numpy()


def seconds(run: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """Measure in turn, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--widths", type=int, nargs="*", default=[16, 128])
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    pairs, weights = graph(given.nodes, given.edges)
    ratios = []
    for width in given.widths:
        x = np.random.default_rng(1).random((given.nodes, width), np.float32)
        runs = {"the sum of two arrays": bandwidth(), **ours(pairs, weights, x)}
        if importlib.util.find_spec("torch"):
            runs["PyTorch, forward"] = theirs(pairs, weights, x)
        for run in runs.values():
            run()
        took: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(given.repeats):
            for name, run in runs.items():
                took[name].append(seconds(run))
        streamed = 12 * _STREAMED / statistics.median(took.pop("the sum of two arrays"))
        size = 4 * width + 8
        print(f"{width} numbers, {size} bytes an edge; memory gives {streamed / 1e9:.1f} GB/s")
        for name, times in took.items():
            speeds = sorted(given.edges / each for each in times)
            middle = statistics.median(speeds)
            print(
                f"  {name}: {middle / 1e6:.1f} million edges/s ({speeds[0] / 1e6:.1f} to "
                f"{speeds[-1] / 1e6:.1f}), {middle * size / 1e9:.1f} GB/s"
            )
        ratio = given.edges / statistics.median(took["forward"]) * size / streamed
        ratios.append(f"sums_of_{width}_over_bandwidth: {ratio:.3f}")
        if "PyTorch, forward" in took:
            pairs_of = zip(took["PyTorch, forward"], took["forward"], strict=True)
            over = statistics.median(a / b for a, b in pairs_of)
            ratios.append(f"sums_of_{width}_over_torch: {over:.3f}")
    print("\n".join(ratios))


if __name__ == "__main__":
    main()
