"""What a training computes with: a model, its optimizer, and the functions traced from them.

Tracing a network costs seconds, and trainings that differ only in data, schedules, seed or length
compute by the same trace. `Compiled.begin` makes an object that has trained ready for such a
training: it has every variable that a new one would have, to the bit, and the schedules of the new
one in the place of the old (`keras_sched.hyperparameters.replace`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# The seeds of Keras and of TensorFlow have no public names.
from keras.src.backend.common import global_state
from tensorflow.python.eager import context

from keras_sched import hyperparameters, precision
from trainers.setting import Setting
from trainers.state import inventory, restore, snapshot

__all__ = ["Compiled"]

_COUNTERS = {"step": 0, "bad_step": -1, "skipped": 0, "skips_in_row": 0, "most_skips": 0}


class Compiled:
    """Model, optimizer, running means, counters, and the functions that train and evaluate.

    Args:
        l2: Coupled weight decay; see `Plan`.
        strategy: A `tf.distribute` strategy; the current one if None.
        reusable: Whether a second training may begin; then the values of schedules are variables
            of the trace, and there must be one replica.

    Attributes:
        begun: Whether a training has begun; before that there is no model.
        variables: Every variable of the training by name; see `trainers.state`.
    """

    def __init__(
        self,
        l2: float = 0.0,
        strategy: tf.distribute.Strategy | None = None,
        reusable: bool = False,
    ) -> None:
        self.strategy = strategy or tf.distribute.get_strategy()
        if reusable and self.strategy.num_replicas_in_sync > 1:
            raise ValueError(
                f"What is `reusable` must have one replica. Received: "
                f"{self.strategy.num_replicas_in_sync}"
            )
        self._l2 = l2
        self._reusable = reusable
        self.begun = False
        self.model: keras.Model

    def begin(self, setting: Setting, seed: int, steps: int) -> None:
        """Take on what a new training of a setting begins with.

        Args:
            setting: The setting. After the first one, its model must be built alike, its optimizer
                have schedules in the same places and numbers that are the same in all others, and
                its `forward` compute the same: that is in the trace.
            seed: Of the weights and of everything random.
            steps: Data steps of the run.

        Raises:
            RuntimeError: If it is the second training of an object that is not `reusable`.
        """
        if self.begun and not self._reusable:
            raise RuntimeError("Only `Compiled(reusable=True)` trains a second time.")
        if self.begun:
            _seed_again(seed)
        else:
            keras.utils.set_random_seed(seed)
        with self.strategy.scope():
            model, optimizer = setting.model(), setting.optimizer()
            optimizer.build(model.trainable_variables)
        if not self.begun:
            self._build(setting, model, optimizer)
        else:
            fresh = snapshot(inventory(model, optimizer, {}, {}))
            restore({name: self.variables[name] for name in fresh}, fresh)
            self.reset_means()
            for name, start in _COUNTERS.items():
                self._counters[name].assign(start)
            self.model.stop_training = False
        if self._reusable:
            self._follow(model, optimizer, steps)

    def _build(
        self, setting: Setting, model: keras.Model, optimizer: keras.optimizers.Optimizer
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self._loss, self._batch_size = setting.forward, setting.batch_size
        with self.strategy.scope():
            model.compile(optimizer=optimizer, jit_compile=False)
            self._counters = {
                name: tf.Variable(
                    start,
                    dtype=tf.int64,
                    trainable=False,
                    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                )
                for name, start in _COUNTERS.items()
            }
            self.means = self._make_means(setting)
        self._make_mean_functions()
        model.train_step = self._train_step
        model.make_train_function = self._make_train_function
        self.variables = inventory(model, optimizer, self.means, self._counters)
        self.begun = True

    def _follow(
        self, model: keras.Model, optimizer: keras.optimizers.Optimizer, steps: int
    ) -> None:
        """Let the schedules of a new model and optimizer drive those that are traced."""
        new_schedules = hyperparameters.attached(optimizer)
        hyperparameters.replace(self.optimizer, schedules=new_schedules, steps=steps)
        quantized, new = precision.find(self.model), precision.find(model)
        if quantized is not None and new is not None:
            quantized.replace(new.attached(), steps=steps)

    def counted(self, name: str) -> int:
        """Return a counter: "step", "bad_step", "skipped" or "most_skips"."""
        return int(tf.identity(self._counters[name]))

    def updates(self) -> tf.Tensor:
        """Return how often the optimizer was applied."""
        part = next(iter(hyperparameters.groups(self.optimizer).values()))
        return tf.identity(keras.ops.convert_to_tensor(part._iterations))

    def live_values(self) -> dict[str, float]:
        """Return what the schedules have at the present step, by name."""
        live = hyperparameters.current(self.optimizer)
        part = next(iter(hyperparameters.groups(self.optimizer).values()))
        if "momentum" not in live and isinstance(getattr(part, "momentum", None), float):
            live["momentum"] = part.momentum
        quantized = precision.find(self.model)
        if quantized is not None:
            live.update(quantized.current())
        return {name: float(value) for name, value in live.items()}

    def distributed(self, dataset: tf.data.Dataset) -> Any:
        """Return a data set whose batches are split over the replicas."""
        if self.strategy.num_replicas_in_sync == 1:
            return dataset
        return self.strategy.experimental_distribute_dataset(dataset)

    # --- losses and means ------------------------------------------------------------------------

    def _make_means(self, setting: Setting) -> dict[str, keras.metrics.Metric]:
        """Make a running mean for every loss and measure, by asking the setting for their names."""
        names: list[str] = ["loss"]

        def look(batch: Any) -> tf.Tensor:
            losses, measures = self._loss(self.model, batch, True)
            parts = losses if len(losses) > 1 else {}
            names.extend(name for name in [*parts, *measures] if name not in names)
            return tf.zeros(())

        # Traced, never run: asking must not move a random state.
        tf.function(look).get_concrete_function(setting.evaluation().element_spec)
        return {
            prefix + name: keras.metrics.Mean(name=prefix + name)
            for prefix in ("", "val_")
            for name in names
        }

    def _forward(self, batch: Any, training: bool) -> tf.Tensor:
        """Return the sum of the examples' losses, and note every mean."""
        losses, measures = self._loss(self.model, batch, training)
        total = tf.add_n([tf.cast(loss, tf.float32) for loss in losses.values()])
        prefix = "" if training else "val_"
        for name, value in {**losses, **measures, "loss": total}.items():
            if prefix + name in self.means:
                self.means[prefix + name].update_state(value)
        return tf.reduce_sum(total)

    # --- training --------------------------------------------------------------------------------

    def _train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Take one data step on one replica; return this batch's share of the true loss."""
        model, optimizer = self.model, self.optimizer
        with tf.GradientTape() as tape:
            loss = self._forward(batch, training=True) / self._batch_size
            objective = loss
            if self._l2 > 0.0:
                squares = [tf.nn.l2_loss(v.value) for v in model.trainable_variables]
                decay = self._l2 * tf.add_n(squares)
                objective += decay / self.strategy.num_replicas_in_sync
            objective = optimizer.scale_loss(objective)
        gradients = tape.gradient(objective, [v.value for v in model.trainable_variables])
        before = self.updates()
        optimizer.apply(gradients, model.trainable_variables)
        self._count(loss, gradients, before)
        return {"loss": loss}

    def _count(self, loss: tf.Tensor, gradients: list[tf.Tensor], before: tf.Tensor) -> None:
        """Move the counters: of steps, of skipped updates, of the first step that went wrong."""
        count = self._counters
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        # Scaled gradients may overflow: that is what skipping is for.
        sign = loss if scaled else loss + tf.linalg.global_norm(gradients)
        sound = tf.math.is_finite(sign) | (count["bad_step"] >= 0)
        count["bad_step"].assign(tf.where(sound, count["bad_step"], count["step"]))
        if scaled:
            skip = tf.cast(self.updates() == before, tf.int64)
            count["skipped"].assign_add(skip)
            count["skips_in_row"].assign((count["skips_in_row"] + 1) * skip)
            count["most_skips"].assign(tf.maximum(count["most_skips"], count["skips_in_row"]))
        count["step"].assign_add(1)

    def _make_train_function(self, force: bool = False) -> Callable[..., dict[str, tf.Tensor]]:
        """Build the function of several data steps; see `keras.Model.make_train_function`."""
        if self.model.train_function is not None and not force:
            return self.model.train_function
        # Looked up here, not in the trace: a callback may have wrapped it.
        step = self.model.train_step

        @tf.function  # Traced once for the two places that call it.
        def one(batches: Iterator[Any]) -> dict[str, tf.Tensor]:
            parts = self.strategy.run(step, args=(next(batches),))
            return {
                name: self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
                for name, value in parts.items()
            }

        @tf.function(reduce_retracing=True)
        def several(batches: Iterator[Any], count: tf.Tensor) -> dict[str, tf.Tensor]:
            logs = one(batches)
            for _ in tf.range(count - 1):
                logs = one(batches)
            return logs

        self.model.train_function = several
        return several

    # --- evaluation ------------------------------------------------------------------------------

    def test_function(self) -> Callable[[Any], None]:
        """Return the function that notes the means of one batch."""
        if self.model.test_function is None:  # A callback takes it away to have it traced anew.

            @tf.function(reduce_retracing=True)
            def evaluate(batch: Any) -> None:
                self.strategy.run(lambda part: self._forward(part, training=False), args=(batch,))

            self.model.test_function = evaluate
        return self.model.test_function

    # --- running means ---------------------------------------------------------------------------

    def means_of(self, training: bool) -> dict[str, float]:
        """Return the running means of training, or those of evaluation, by name."""
        return {name: float(mean) for name, mean in self._read_means(training).items()}

    def reset_means(self, training: bool | None = None) -> None:
        """Begin the running means of training, those of evaluation, or all of them anew."""
        self._reset_means(training)

    def _make_mean_functions(self) -> None:
        """Make traced functions to read and reset the means: op by op it outlasts a short epoch."""

        def of(training: bool | None) -> dict[str, keras.metrics.Metric]:
            return {n: m for n, m in self.means.items() if n.startswith("val_") is not training}

        @tf.function(autograph=False)
        def read(training: bool) -> dict[str, tf.Tensor]:
            return {name: mean.result() for name, mean in of(training).items()}

        @tf.function(autograph=False)
        def reset(training: bool | None) -> None:
            for mean in of(training).values():
                mean.reset_state()

        self._read_means, self._reset_means = read, reset


def _seed_again(seed: int) -> None:
    """Do what `keras.utils.set_random_seed` does, but keep what TensorFlow has prepared to run.

    `tf.random.set_seed` drops the kernels of everything traced, so that random operations with a
    state in their kernel begin anew; to prepare them again takes longer than a short training. A
    training has none: its state is in variables (`trainers.state`).
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the one that others draw from
    global_state.set_global_attribute("global_random_seed", seed)
    global_state.set_global_attribute("global_seed_generator", None)
    eager = context.context()
    eager._seed, eager._rng = seed, random.Random(seed)
