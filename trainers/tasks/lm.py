"""Language models: what `trainers.lm` trains."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from trainers.datasets import text_sources
from trainers.datasets.texts import Text, TextFacts
from trainers.loop.task import Evaluation, Forward, Metric
from trainers.models.language import Words, lstm, transformer
from trainers.options.lm import Language
from trainers.tasks.configured import ConfiguredTask
from trainers.tasks.passages import passages

__all__ = ["LanguageModel"]

# People look at about so many epochs.
_LOOKS = 10


class LanguageModel(ConfiguredTask):
    """Foretells each next word of a text; see `trainers.options.lm` for its options.

    The loss is the cross entropy of a word in nats, and the perplexity of an evaluation is
    ``exp`` of its mean over all words. A batch goes on where the one before ended: what an LSTM
    carries stays, gradients do not go back beyond the batch (truncated back-propagation), and an
    epoch begins with nothing carried. Which words are held out is the text's own; with the split
    "test" they are not used.
    """

    options = Language
    config: Language
    data: Text

    def __init__(self, config: Language, data: Text | None = None) -> None:
        training = config.training
        self.goal = f"{training.evaluations[0]}_perplexity"
        self.metrics = {"perplexity": Metric("lower")}
        self.artefacts_every = math.ceil(training.trained_epochs / _LOOKS)
        self.evaluations = {
            name: Evaluation(functools.partial(self._evaluated, name), training.evaluate_every)
            for name in training.evaluations
        }
        self._held: dict[str, tf.data.Dataset] = {}
        super().__init__(config, data)
        cutoffs = config.cutoffs
        if cutoffs and cutoffs[-1] >= self.facts.vocabulary:
            raise ValueError(
                f"`cutoffs` must be below the vocabulary, which has {self.facts.vocabulary:,} "
                f"words. Received: cutoffs={cutoffs}"
            )

    # --- data ------------------------------------------------------------------------------------

    @classmethod
    def load(cls, config: Language, data_dir: str | None = None) -> Text:
        """Return the text."""
        text = config.text
        return text_sources.get(text.dataset, text.tokens, text.vocabulary, data_dir)

    @classmethod
    def check_data(cls, config: Language, data_dir: str | None = None) -> None:
        """Check that the text is there."""
        text_sources.check(config.text.dataset, config.text.tokens, data_dir)

    @classmethod
    def stand_in(cls, config: Language) -> Text:
        """Return random words, in the number of the text."""
        text = config.text
        return text_sources.random(text.dataset, text.tokens, text.vocabulary)

    @classmethod
    def data_key(cls, config: Language) -> tuple[Any, ...]:
        """Return what the text depends on."""
        return config.text.dataset, config.text.tokens, config.text.vocabulary

    @functools.cached_property
    def facts(self) -> TextFacts:
        """What is known of the text without having it."""
        text = self.config.text
        return text_sources.facts(text.dataset, text.tokens, text.vocabulary)

    def count_steps(self) -> int:
        """Return the full batches of an epoch."""
        streams, length = self.config.training.batch_size, self.config.text.length
        steps = self.facts.steps_per_epoch(streams, length)
        if steps < 1:
            raise ValueError(
                f"The text must have a batch of {streams} streams of {length + 1} words. Received: "
                f"dataset={self.config.text.dataset!r} with {self.facts.train} words to train on, "
                f"batch_size={streams}, length={length}"
            )
        return steps

    def train(self, step: int) -> tf.data.Dataset:
        """Return batches of words and of those that follow, from a data step on."""
        return self.data.batches(self.config.training.batch_size, self.config.text.length, step)

    def _evaluated(self, name: str) -> tf.data.Dataset:
        if name not in self._held:
            streams, length = self.config.training.batch_size, self.config.text.length
            self._held[name] = self.data.evaluated(name, streams, length)
        return self._held[name]

    # --- network and loss ------------------------------------------------------------------------

    def network(self) -> keras.Model:
        """Return the model for the words of the text.

        Raises:
            ValueError: If there is more than one replica and the model carries a state.
        """
        config = self.config
        words = Words(
            self.facts.vocabulary,
            config.embedding or config.units,
            config.initial_range,
            config.is_tied,
            config.cutoffs,
        )
        length = config.text.length
        if config.model == "lstm":
            if (replicas := tf.distribute.get_strategy().num_replicas_in_sync) > 1:
                raise ValueError(
                    f"An LSTM that carries its state must be trained on one replica: its streams "
                    f"are those of the whole batch. Received: {replicas} replicas"
                )
            return lstm(
                words,
                length,
                config.training.batch_size,
                config.layers,
                config.units,
                config.dropout,
                config.recurrent_range or None,
            )
        return transformer(
            words,
            length,
            config.layers,
            config.units,
            config.heads,
            config.feedforward or 4 * config.units,
            config.dropout,
        )

    def forward(
        self, model: keras.Model, batch: tuple[tf.Tensor, ...], evaluation: str | None
    ) -> Forward:
        """Return the cross entropy of each word."""
        words, following, begins, *weights = batch
        inputs = [words]
        if self.config.model == "lstm":
            inputs.append(begins)
        if self.config.cutoffs:
            inputs.append(following)
        given = inputs if len(inputs) > 1 else words
        found = model(given, training=evaluation is None)
        if not self.config.cutoffs:
            found = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=following, logits=tf.cast(found, tf.float32)
            )
        return Forward({"cross_entropy": (found, *weights) if weights else found})

    def judge(
        self, evaluation: str, means: Mapping[str, float], outputs: Mapping[str, Sequence[Any]]
    ) -> Mapping[str, float]:
        """Return the perplexity."""
        return {"perplexity": math.exp(min(means["loss"], 700.0))}

    # --- what people look at ---------------------------------------------------------------------

    def artefacts(self, model: keras.Model, epoch: int) -> Mapping[str, str]:
        """Return passages that the model writes, each after some words of what it is judged by."""
        config = self.config
        if not config.samples:
            return {}
        found = passages(
            model,
            self.data,
            next(iter(self.evaluations)),
            config.text.length,
            config.samples,
            epoch,
        )
        return {"written": found}
