"""Judgement of sentences and pairs of them: what `trainers.glue` trains."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.datasets import pretrained, sentence_sources
from trainers.datasets.sentences import SentenceFacts, Sentences
from trainers.loop.task import Evaluation, Forward, Metric
from trainers.models import bert, hub
from trainers.options.glue import Glue
from trainers.tasks.configured import ConfiguredTask
from trainers.tasks.glue_scores import SCORES

__all__ = ["SentenceJudgement"]

# Evaluations have larger batches by this factor.
_LARGER = 4
# So many of the examples that it is most wrong about are shown, of so many.
_SHOWN, _SEARCHED = 20, 1_024


class SentenceJudgement(ConfiguredTask):
    """Tells the classes of sentences, or rates them; see `trainers.options.glue` for its options.

    The loss is the cross entropy of the class, or the squared error of a rating, as of STS-B. An
    evaluation has the metrics of its task, and "score", which is their mean, as in GLUE.
    """

    options = Glue
    config: Glue
    data: Sentences

    def __init__(self, config: Glue, data: Sentences | None = None) -> None:
        hub.check()
        training = config.training
        known = sentence_sources.facts(config.dataset)
        self.goal = f"{training.evaluations[0]}_score"
        self.training_metrics = ("accuracy",) if known.class_names else ()
        self.metrics = {
            name: Metric("higher", is_share=True, is_count=name == "accuracy")
            for name in dict.fromkeys(("score", *known.scores, *self.training_metrics))
        }
        self.artefacts_every = training.trained_epochs
        self.evaluations = {
            name: Evaluation(functools.partial(self._evaluated, name), training.evaluate_every)
            for name in training.evaluations
        }
        self._held: dict[str, tf.data.Dataset] = {}
        super().__init__(config, data)
        if data is not None and (found := self._steps_of(data.facts)) != self.steps_per_epoch:
            raise ValueError(
                f"The training part of {config.dataset!r} must have {self.facts.train:,} examples, "
                f"or as many batches. Received: {data.facts.train:,} examples, which make {found} "
                f"batches and not {self.steps_per_epoch}"
            )
        if data is not None:
            self._check_pieces(data)
        most = self._sizes.length
        if config.length > most:
            raise ValueError(
                f"`length` must be at most {most}, for which the encoder has places. Received: "
                f"length={config.length}, encoder={config.encoder!r}"
            )

    def _check_pieces(self, data: Sentences) -> None:
        """Check that data have the word pieces of the encoder, and its weights, if it has any."""
        config = self.config
        if data.length != config.length:
            raise ValueError(
                f"The sentences must be cut for length={config.length}. Received: data of length "
                f"{data.length}"
            )
        if not data.is_made_up and bool(data.encoder) != bool(config.encoder):
            raise ValueError(
                f"The sentences must be in the word pieces of encoder={config.encoder!r}. "
                f"Received: data of encoder={data.encoder!r}"
            )
        if len(data.vocabulary) > self._sizes.vocabulary:
            raise ValueError(
                f"The sentences must be in at most {self._sizes.vocabulary:,} word pieces, as the "
                f"encoder is. Received: data in {len(data.vocabulary):,}"
            )

    # --- data ------------------------------------------------------------------------------------

    @classmethod
    def load(cls, config: Glue, data_dir: str | None = None) -> Sentences:
        """Return the sentences, in the word pieces of the encoder."""
        folder = pretrained.encoder_folder(config.encoder, data_dir)
        data = sentence_sources.get(
            config.dataset, config.length, folder, config.vocabulary, data_dir
        )
        return cls._split(data, config)

    @classmethod
    def check_data(cls, config: Glue, data_dir: str | None = None) -> None:
        """Check that sentences and encoder are there; of both is said what to do."""
        absent = []
        for check, name in (
            (sentence_sources.check, config.dataset),
            (pretrained.check_encoder, config.encoder),
        ):
            try:
                check(name, data_dir)
            except FileNotFoundError as error:
                absent.append(str(error))
        if absent:
            raise FileNotFoundError("\n".join(absent))

    @classmethod
    def stand_in(cls, config: Glue) -> Sentences:
        """Return random word pieces in the number of the sentences."""
        vocabulary = _sizes(config).vocabulary
        data = sentence_sources.random(config.dataset, config.length, vocabulary)
        return cls._split(data, config)

    @classmethod
    def _split(cls, data: Sentences, config: Glue) -> Sentences:
        return data.split(config.training.split, config.train_share)

    @classmethod
    def data_key(cls, config: Glue) -> tuple[Any, ...]:
        """Return what the sentences depend on."""
        return (
            config.dataset,
            config.length,
            config.encoder or config.vocabulary,
            config.training.split,
            config.train_share,
        )

    @functools.cached_property
    def facts(self) -> SentenceFacts:
        """What is known of the task without having it."""
        return sentence_sources.facts(self.config.dataset)

    def count_steps(self) -> int:
        """Return the full batches of an epoch."""
        return self._steps_of(self.facts)

    def _steps_of(self, facts: SentenceFacts) -> int:
        training, share = self.config.training, self.config.train_share
        return facts.steps_per_epoch(training.split, training.batch_size, share)

    def example_shapes(self) -> Sequence[tuple[int, ...]]:
        """Return the shapes of the longest example."""
        return ((self.config.length,),) * 3

    def train(self, step: int) -> tf.data.Dataset:
        """Return batches of sentences and labels, shuffled, from a data step on."""
        training = self.config.training
        return self.data.batches(training.batch_size, training.seed, self.config.pool, step)

    def _evaluated(self, name: str) -> tf.data.Dataset:
        if name not in self._held:
            size = _LARGER * self.config.training.batch_size
            self._held[name] = self.data.evaluated(name, size)
        return self._held[name]

    # --- network and loss ------------------------------------------------------------------------

    @functools.cached_property
    def _sizes(self) -> bert.Sizes:
        return _sizes(self.config)

    def network(self) -> keras.Model:
        """Return the encoder, with the weights that belong to the data, and a last layer.

        While nothing is trained, and for made-up data, a new one of the same sizes is enough.

        Raises:
            ValueError: If the weights cannot be read.
        """
        config = self.config
        if self.data is not None and self.data.encoder:
            body = bert.pretrained(self.data.encoder, config.dropout)
        else:
            body = bert.encoder(self._sizes, config.dropout)
        return bert.judge(body, config.pooling, config.dropout, self.facts.outputs)

    def forward(
        self,
        model: keras.Model,
        batch: tuple[dict[str, tf.Tensor], tf.Tensor],
        evaluation: str | None,
    ) -> Forward:
        """Return the loss of each example and, in evaluations, what is found and what is true."""
        inputs, labels = batch
        found = tf.cast(model(inputs, training=evaluation is None), tf.float32)
        if not self.facts.class_names:
            found = found[:, 0]
            losses = {"squared_error": tf.square(found - labels)}
            return Forward(losses, outputs={"found": found, "truth": labels})
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=found)
        classes = tf.argmax(found, axis=-1, output_type=labels.dtype)
        return Forward(
            {"cross_entropy": entropy},
            {"accuracy": tf.cast(classes == labels, tf.float32)},
            {"found": classes, "truth": labels},
        )

    def judge(
        self, evaluation: str, means: Mapping[str, float], outputs: Mapping[str, Sequence[Any]]
    ) -> Mapping[str, float]:
        """Return the metrics of the task that are no means of examples, and the score."""
        found, truth = (np.concatenate(list(outputs[name])) for name in ("found", "truth"))
        scores = {
            name: means[name] if name in means else SCORES[name](truth, found)
            for name in self.facts.scores
        }
        score = float(np.mean(list(scores.values())))
        return {name: x for name, x in scores.items() if name not in means} | {"score": score}

    # --- what people look at ---------------------------------------------------------------------

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, str]:
        """Return the examples that it is most wrong about, with what it says and what is true.

        They are among some that are evenly spaced, short and long ones.
        """
        worst: list[tuple[float, str]] = []
        size = _LARGER * self.config.training.batch_size
        for inputs, labels in self.data.evaluated(
            next(iter(self.evaluations)), size, most=_SEARCHED
        ):
            found = tf.cast(model(inputs, training=False), tf.float32)
            arrays = found.numpy(), inputs["token_ids"].numpy(), labels.numpy()
            for row, pieces, label in zip(*arrays, strict=True):
                wrong, said = self._compared(row, label)
                if wrong > 0.0:
                    worst.append((wrong, f"{said}: {self.data.written(pieces)}"))
        worst.sort(key=lambda each: -each[0])
        return {"wrong": "\n".join(said for _, said in worst[:_SHOWN])} if worst else {}

    def _compared(self, row: np.ndarray, label: Any) -> tuple[float, str]:
        """Return how wrong a judgement is, 0 if it is right, and what it says."""
        names = self.facts.class_names
        if not names:
            return abs(row[0] - label), f"{row[0]:.1f}, is {label:.1f}"
        share = np.exp(row - row.max())
        share /= share.sum()
        said = int(row.argmax())
        wrong = float(share[said]) if said != label else 0.0
        return wrong, f"{100 * share[said]:.0f} % {names[said]}, is {names[label]}"


def _sizes(config: Glue) -> bert.Sizes:
    """Return the sizes of the encoder."""
    if config.encoder in bert.KNOWN:
        return bert.KNOWN[config.encoder]
    if config.encoder:
        return bert.sizes_of(pretrained.encoder_folder(config.encoder))
    return bert.Sizes(
        config.vocabulary,
        config.layers,
        config.units,
        config.heads,
        config.feedforward,
        config.length,
    )
