"""Classification of the nodes of a graph: what `trainers.graphs` trains."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.datasets import graph_sources
from trainers.datasets.graphs import Graph, GraphFacts
from trainers.loop.task import Evaluation, Forward, Metric
from trainers.models.graph import HIDDEN, gcn, sage
from trainers.options.graphs import Graphs
from trainers.tasks.configured import ConfiguredTask
from trainers.tasks.pictures import plane

__all__ = ["NodeClassification"]

_WEIGHTINGS = {"gcn": "symmetric", "sage": "mean"}
# People look at about so many epochs.
_LOOKS = 10
# More nodes than these are a blot.
_SHOWN = 3_000


class NodeClassification(ConfiguredTask):
    """Tells the classes of the nodes of a graph; see `trainers.options.graphs` for its options.

    All nodes and edges are there in training, and the labels of some. A step is of the whole graph,
    or of some nodes with some of their neighbours, and of the neighbours of these.
    """

    options = Graphs
    config: Graphs
    data: Graph

    def __init__(self, config: Graphs, data: Graph | None = None) -> None:
        training = config.training
        self.goal = f"{training.evaluations[0]}_accuracy"
        self.training_metrics = ("accuracy",)
        self.metrics = {"accuracy": Metric("higher", is_share=True, is_count=True)}
        self.artefacts_every = math.ceil(training.trained_epochs / _LOOKS)
        self.evaluations = {
            name: Evaluation(functools.partial(self._evaluated, name), training.evaluate_every)
            for name in training.evaluations
        }
        self._held: dict[str, tf.data.Dataset] = {}
        super().__init__(config, data)

    # --- data ------------------------------------------------------------------------------------

    @classmethod
    def load(cls, config: Graphs, data_dir: str | None = None) -> Graph:
        """Return the graph."""
        return cls._prepared(graph_sources.get(config.dataset, data_dir), config)

    @classmethod
    def check_data(cls, config: Graphs, data_dir: str | None = None) -> None:
        """Check that the graph is there."""
        graph_sources.check(config.dataset, data_dir)

    @classmethod
    def stand_in(cls, config: Graphs) -> Graph:
        """Return a random graph in the size of the graph."""
        return cls._prepared(graph_sources.random(config.dataset), config)

    @classmethod
    def _prepared(cls, graph: Graph, config: Graphs) -> Graph:
        return graph.normalised() if config.normalises_features else graph

    @classmethod
    def data_key(cls, config: Graphs) -> tuple[Any, ...]:
        """Return what the graph depends on."""
        return config.dataset, config.normalises_features

    @functools.cached_property
    def facts(self) -> GraphFacts:
        """What is known of the graph without having it."""
        return graph_sources.facts(self.config.dataset)

    def count_steps(self) -> int:
        """Return the passes over the graph, or the full batches of nodes, of an epoch."""
        if not self.config.neighbours:
            return self.config.passes_per_epoch
        return self.facts.train // self.config.training.batch_size

    def example_shapes(self) -> Sequence[tuple[int, ...]]:
        """Return the shapes of a whole graph, by the names of what it consists of."""
        if self.config.neighbours:
            return ()
        nodes, edges = self._sizes
        return (edges, 2), (nodes, self.facts.features), (edges,)

    @property
    def _sizes(self) -> tuple[int, int]:
        """The numbers of nodes and of edges of the whole graph as the network has it."""
        known = self.facts
        return known.nodes, known.edges + (known.nodes if self.config.model == "gcn" else 0)

    def host_bytes(self) -> int:
        """Return what the graph takes, and the numbers of all nodes where it is evaluated."""
        known, config = self.facts, self.config
        nodes, edges = self._sizes
        held = 4 * (nodes * known.features + edges)
        if config.evaluation_neighbours:
            return held
        # Pairs and weights, as they come and as a matrix; of each layer what it takes and gives.
        return held + 36 * edges + 4 * nodes * (known.features + 4 * config.units)

    def train(self, step: int) -> tf.data.Dataset:
        """Return batches from a data step on; those of the whole graph are all the same."""
        training, counts = self.config.training, self.config.neighbours
        if counts:
            return self.data.sampled(training.batch_size, counts, training.seed, step)
        return self.data.whole(_WEIGHTINGS[self.config.model], "train").repeat()

    def _evaluated(self, name: str) -> tf.data.Dataset:
        if name not in self._held:
            config = self.config
            self._held[name] = (
                self.data.evaluated(name, config.training.batch_size, config.evaluation_neighbours)
                if config.evaluation_neighbours
                else self._whole(name)
            )
        return self._held[name]

    def _whole(self, part: str) -> tf.data.Dataset:
        """Return the whole graph, for each layer if that has edges of its own in training."""
        config = self.config
        data = self.data.whole(_WEIGHTINGS[config.model], part)
        if not config.neighbours:
            return data

        def repeated(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            edges, weights = batch.pop("edges"), batch.pop("weights")
            for layer in range(config.layers):
                batch |= {f"edges_{layer}": edges, f"weights_{layer}": weights}
            return batch | {"sizes": tf.fill([1, config.layers], tf.shape(batch["features"])[1])}

        return data.map(repeated)

    # --- network and loss ------------------------------------------------------------------------

    def network(self) -> keras.Model:
        """Return the model for the graph.

        Raises:
            ValueError: If there is more than one replica.
        """
        if (replicas := tf.distribute.get_strategy().num_replicas_in_sync) > 1:
            raise ValueError(
                f"A graph must be trained on one replica: its edges cannot be split with its "
                f"nodes. Received: {replicas} replicas"
            )
        config, known = self.config, self.facts
        nodes, edges = self._sizes
        make, changes = gcn, {}
        if config.model == "sage":
            make, changes = sage, {"is_sampled": bool(config.neighbours)}
        # How many edges a graph of others has is known when it is there.
        is_open = bool(config.neighbours) or not graph_sources.is_counted(config.dataset)
        return make(
            None if is_open else nodes,
            None if is_open else edges,
            known.features,
            [config.units] * (config.layers - 1) + [known.classes],
            config.norm,
            config.dropout,
            config.feature_dropout,
            **changes,
        )

    def forward(
        self, model: keras.Model, batch: dict[str, tf.Tensor], evaluation: str | None
    ) -> Forward:
        """Return the cross entropy of each node that counts, and whether its class is right."""
        given = {name: batch[name] for name in model.input}
        logits = tf.cast(model(given, training=evaluation is None), tf.float32)
        logits = tf.gather(logits, batch["nodes"], axis=1, batch_dims=1)
        labels = batch["labels"]
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        right = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
        return Forward({"cross_entropy": entropy}, {"accuracy": right})

    # --- what people look at ---------------------------------------------------------------------

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, np.ndarray]:
        """Return the nodes that it is judged by as points: the plane in which they differ most."""
        name = next(iter(self.evaluations))
        hidden = model.get_layer(HIDDEN) if self.config.layers > 1 else model.layers[-1]
        inner = keras.Model(model.input, hidden.output)
        points: list[np.ndarray] = []
        labels: list[int] = []
        for batch in self.evaluations[name].data():
            found = inner({key: batch[key] for key in model.input}, training=False)
            points += list(tf.gather(found, batch["nodes"], axis=1, batch_dims=1).numpy()[0])
            labels += batch["labels"].numpy()[0].tolist()
            if len(labels) >= _SHOWN:
                break
        names = self.data.class_names or tuple(map(str, range(self.facts.classes)))
        return {"plane": plane(np.stack(points[:_SHOWN]), np.array(labels[:_SHOWN]), names)}
