"""A GCN of the digits, joined by likeness: `configs/gcn_citations.py` on its default graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals.loop import looped
from trainers.datasets import graph_sources

__all__ = ["make", "network"]

# One graph, whatever the batch.
BATCH, COUNT, FEATURES, UNITS, CLASSES = 1, 1, 64, 64, 10


class _Convolution(nn.Module):
    """Adds neighbours by their weights after the product, as the cheaper order is here."""

    def __init__(self, taken: int, given: int) -> None:
        super().__init__()
        self.product = nn.Linear(taken, given, bias=False)
        self.bias = nn.Parameter(torch.zeros(given))

    def forward(self, matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return matrix @ self.product(x) + self.bias


def network() -> nn.ModuleList:
    """Return both convolutions."""
    return nn.ModuleList([_Convolution(FEATURES, UNITS), _Convolution(UNITS, CLASSES)])


def make() -> Callable[[int], None]:
    """Return its training."""
    graph = graph_sources.get("digits").normalised()
    edges, weights = graph.edges("symmetric")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of sparse matrices as such.
        matrix = torch.sparse_coo_tensor(
            torch.from_numpy(edges.T.copy()), torch.from_numpy(weights), (len(graph.features),) * 2
        ).to_sparse_csr()
    features, labels = torch.from_numpy(graph.features), torch.from_numpy(graph.labels).long()
    nodes = torch.from_numpy(graph.train)
    first, second = model = network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, weight_decay=5e-4)

    def loss(step: int) -> torch.Tensor:
        hidden = functional.dropout(functional.relu(first(matrix, functional.dropout(features))))
        logits = second(matrix, hidden)
        return functional.cross_entropy(logits[nodes], labels[nodes])

    return looped(optimizer, loss)
