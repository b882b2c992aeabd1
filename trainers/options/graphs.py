"""What a configuration of a network of graphs says: its graph and its network."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option
from trainers.options.optimization import Optimization
from trainers.options.paths import check_dataset
from trainers.options.precision import ProductPrecision
from trainers.options.training import Training

__all__ = ["MODELS", "Graphs"]

MODELS = ("gcn", "sage")


@dataclasses.dataclass(frozen=True)
class Graphs(Options):
    """A setting of a network of graphs; see `configs/gcn_arxiv_cyclic.py` for the papers'."""

    training: Training
    dataset: str = option(
        "digits", "Graph: a name, or the path of an .npz file.", check=check_dataset, flag=True
    )
    normalises_features: bool = option(
        False, "Whether the features of each node are made to add up to 1."
    )
    model: str = option(
        "gcn", "Network: 'gcn', of the whole graph, or 'sage'.", choices=MODELS, flag=True
    )
    layers: int = option(2, "Convolutions.", low=1, high=100, flag=True)
    units: int = option(
        16, "Numbers that each but the last gives for a node.", low=1, high=65_536, flag=True
    )
    norm: str = option(
        "none",
        "What is normalised between convolutions: nothing, each 'node', or the 'graph' as a whole.",
        choices=("none", "node", "graph"),
    )
    dropout: float = option(
        0.5, "Share of the numbers dropped between convolutions.", low=0.0, below=1.0, flag=True
    )
    feature_dropout: float = option(
        0.0, "Share of the features dropped.", low=0.0, below=1.0, flag=True
    )
    neighbours: tuple[int, ...] = option(
        (),
        "Most neighbours that are drawn of a node, for each convolution from the features on, and "
        "batches are of nodes then; none for the whole graph at each step.",
        low=1,
        high=10_000,
    )
    evaluation_neighbours: tuple[int, ...] = option(
        (),
        "Likewise in evaluations, in which they are always the same; none for the whole graph at "
        "once.",
        low=1,
        high=10_000,
    )
    passes_per_epoch: int = option(
        1,
        "Steps that make an epoch, where each is of the whole graph: evaluations and checkpoints "
        "lie between epochs.",
        low=1,
        high=10_000_000,
    )
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: ProductPrecision = dataclasses.field(default_factory=ProductPrecision)

    def check(self) -> None:
        for name in ("neighbours", "evaluation_neighbours"):
            counts = getattr(self, name)
            if counts and self.model == "gcn":
                raise ValueError(
                    f"`{name}` must be empty for a GCN, whose weights are those of all neighbours. "
                    f"Received: {name}={counts}, model='gcn'. Expected model='sage'"
                )
            if counts and len(counts) != self.layers:
                raise ValueError(
                    f"`{name}` must have a number for each of the `layers`. Received: "
                    f"{name}={counts}, layers={self.layers}"
                )
        if self.evaluation_neighbours and not self.neighbours:
            raise ValueError(
                f"`evaluation_neighbours` must be empty where all neighbours are trained on. "
                f"Received: evaluation_neighbours={self.evaluation_neighbours}, neighbours=()"
            )
        if self.neighbours and self.passes_per_epoch != 1:
            raise ValueError(
                f"`passes_per_epoch` must be 1 where some neighbours are drawn: an epoch has each "
                f"node once. Received: passes_per_epoch={self.passes_per_epoch}"
            )
        if not self.neighbours and self.training.batch_size != 1:
            raise ValueError(
                f"`batch_size` must be 1 where each step is of the whole graph, one graph. "
                f"Received: batch_size={self.training.batch_size}, neighbours=()"
            )
