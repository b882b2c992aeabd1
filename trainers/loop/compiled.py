"""What a training computes with: a model, its optimizer, and the functions traced from them.

Tracing a network costs seconds, and trainings that differ only in data, schedules, seed or length
compute by the same trace. `Compiled.begin` makes an object that has trained ready for such a
training: it has every variable that a new one would have, to the bit, and the schedules of the new
one in the place of the old (`keras_sched.hyperparameters.replace`).
"""

from __future__ import annotations

import contextlib
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
from keras_sched.schedules import Schedule
from trainers.loop.means import Means, prefixed
from trainers.loop.names import names_anew
from trainers.loop.state import inventory, restore, snapshot
from trainers.loop.task import Forward, Task, Weighted
from trainers.options.fields import tracing

__all__ = ["Compiled"]

_COUNTERS = {"step": 0, "bad_step": -1, "skipped": 0, "skips_in_row": 0, "most_skips": 0}
LOSS = "loss"
# What a call says of the values that its first step used.
VALUES, UPDATE = "values", "update"
# What the log of each epoch has besides.
LOGGED = ("epoch", "step")


class Compiled:
    """Model, optimizer, running means, counters, and the functions that train and evaluate.

    Args:
        strategy: A `tf.distribute` strategy; the current one if None.
        reusable: Whether a second training may begin; then the values of schedules are variables
            of the trace, and there must be one replica.

    Attributes:
        begun: Whether a training has begun; before that there is no model.
        means: The running means.
        variables: Every variable of the training by name; see `trainers.loop.state`.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy | None = None, reusable: bool = False
    ) -> None:
        self.strategy = strategy or tf.distribute.get_strategy()
        if reusable and self.strategy.num_replicas_in_sync > 1:
            raise ValueError(
                f"What is `reusable` must have one replica. Received: "
                f"{self.strategy.num_replicas_in_sync}"
            )
        self._reusable = reusable
        self.begun = False
        self.model: keras.Model

    def begin(self, task: Task, seed: int, steps: int) -> None:
        """Take on what a new training of a task begins with.

        Args:
            task: The task. After the first one it must be of the same class and `traced` alike;
                its optimizer must have schedules in the same places, and numbers that are the same
                in all others.
            seed: Of the weights and of everything random.
            steps: Data steps of the run.

        Raises:
            RuntimeError: If it is the second training of an object that is not `reusable`.
            ValueError: If the task cannot be trained in the trace of the first, or what it returns
                of a batch is wrong.
        """
        if self.begun and not self._reusable:
            raise RuntimeError("Only `Compiled(reusable=True)` trains a second time.")
        if not self.begun:
            keras.utils.set_random_seed(seed)
        else:
            self._check_trace(task)
            _seed_again(seed)
            # The functions of eager data sets, as `Dataset.counter`, would be held there for good.
            tf.compat.v1.reset_default_graph()
        with self.strategy.scope(), names_anew():
            model = task.model()
            optimizer = task.optimizer(model)
            self._check_clipping(optimizer)
            optimizer.build(model.trainable_variables)
        if not self.begun:
            self._build(task, model, optimizer)
        else:
            fresh = snapshot(inventory(model, optimizer, {}, {}))
            restore({name: self.variables[name] for name in fresh}, fresh)
            self.means.reset_all()
            for name, start in _COUNTERS.items():
                self._counters[name].assign(start)
            self.model.stop_training = False
        self._check_names(task)
        if self._reusable:
            self._follow(model, optimizer, steps)

    def _check_trace(self, task: Task) -> None:
        first = self._task
        if type(task) is not type(first) or task.traced != first.traced:
            raise ValueError(
                f"A training in the trace of another must compute the same. Received: "
                f"{type(task).__name__} of {task.traced!r} after {type(first).__name__} of "
                f"{first.traced!r}"
            )
        if task.evaluations.keys() != first.evaluations.keys():
            raise ValueError(
                f"A training in the trace of another must have its evaluations. Received: "
                f"{', '.join(task.evaluations)} after {', '.join(first.evaluations)}"
            )

    def _check_clipping(self, optimizer: keras.optimizers.Optimizer) -> None:
        if self.strategy.num_replicas_in_sync == 1:
            return
        for part in hyperparameters.groups(optimizer).values():
            for name in ("clipnorm", "global_clipnorm", "clipvalue"):
                if getattr(part, name, None):
                    raise ValueError(
                        f"Gradients must not be clipped with more than one replica: Keras clips "
                        f"those of each by itself, before it adds them. Received: "
                        f"{name}={getattr(part, name)}, {self.strategy.num_replicas_in_sync} "
                        f"replicas"
                    )

    def _check_names(self, task: Task) -> None:
        """Check what is known of names only now: the parts of losses, and what schedules drive."""
        found = {
            prefixed(evaluation, name)
            for evaluation in task.evaluations
            for name in (*self.means_of(evaluation), *task.metrics)
        }
        if task.goal not in found:
            raise ValueError(
                f"`goal` must be a metric or a loss of an evaluation. Received: "
                f"goal={task.goal!r}. Expected one of {', '.join(sorted(found))}"
            )
        names = found | {*self.means_of(None), *task.metrics}
        if clash := sorted(names & {*LOGGED, *self.live_values()}):
            raise ValueError(
                f"A loss or metric must not have the name of what is logged beside it. "
                f"Received: {clash[0]!r}"
            )

    def _build(self, task: Task, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
        self.model, self.optimizer, self._task = model, optimizer, task
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
            self.means = self._make_means()
        self._make_other_functions()
        model.train_step = self._train_step
        model.make_train_function = self._make_train_function
        self.variables = inventory(model, optimizer, self.means.variables, self._counters)
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
        return {name: float(value) for name, value in self._tensors().items()}

    def schedules(self) -> dict[str, Schedule]:
        """Return the schedules of those of the live values that follow one, by name."""
        found = hyperparameters.attached(self.optimizer)
        quantized = precision.find(self.model)
        return found if quantized is None else {**found, **quantized.attached()}

    def _tensors(self) -> dict[str, Any]:
        """Return the live values, in a traced function as tensors of it."""
        live = hyperparameters.current(self.optimizer)
        part = next(iter(hyperparameters.groups(self.optimizer).values()))
        if "momentum" not in live and isinstance(getattr(part, "momentum", None), float):
            live["momentum"] = part.momentum
        quantized = precision.find(self.model)
        if quantized is not None:
            live.update(quantized.current())
        return live

    def distributed(self, dataset: tf.data.Dataset) -> Any:
        """Return a data set whose batches are split over the replicas."""
        if self.strategy.num_replicas_in_sync == 1:
            return dataset
        return self.strategy.experimental_distribute_dataset(dataset)

    @contextlib.contextmanager
    def evaluated(self) -> Iterator[None]:
        """Let the model be looked at: what is done with it within leaves no trace in training.

        It has the averages of its weights where the optimizer keeps them: they are exchanged to the
        bit, and back. The states of its random numbers, and what else is no weight, are put back.
        """
        pairs = [
            pair
            for part in hyperparameters.groups(self.optimizer).values()
            # Before the first update there is no average.
            if getattr(part, "use_ema", False) and int(self.updates()) > 0
            for pair in zip(
                part._trainable_variables, part._model_variables_moving_average, strict=True
            )
        ]

        def exchange() -> None:
            for weight, average in pairs:
                own = keras.ops.convert_to_numpy(weight)
                weight.assign(keras.ops.convert_to_numpy(average))
                average.assign(own)

        before = self._read_others()
        exchange()
        try:
            yield
        finally:
            exchange()
            self._put_others(before)

    def _make_other_functions(self) -> None:
        """Make what reads and puts back all that is no weight, traced: op by op it takes longer."""
        others = self.model.non_trainable_variables

        def read() -> list[tf.Tensor]:
            return [tf.identity(keras.ops.convert_to_tensor(each)) for each in others]

        def put(values: list[tf.Tensor]) -> None:
            for variable, value in zip(others, values, strict=True):
                variable.assign(value)

        is_one = self.strategy.num_replicas_in_sync == 1
        self._read_others = tf.function(read, autograph=False) if is_one else read
        self._put_others = tf.function(put, autograph=False) if is_one else put

    # --- losses and means ------------------------------------------------------------------------

    def _make_means(self) -> Means:
        """Make a running mean for every loss and metric, by asking the task for their names."""
        specs: dict[str | None, Any] = {None: self._task.train(0).element_spec}
        for evaluation, each in self._task.evaluations.items():
            specs[evaluation] = each.data().element_spec
        names: dict[str | None, list[str]] = {}

        def look(batch: Any, phase: str | None) -> tf.Tensor:
            made = self._made(batch, phase)
            if self.model.losses:
                raise ValueError(
                    f"Every loss must be returned by `forward`. Received: a model with "
                    f"{len(self.model.losses)} of its own, of regularizers or `add_loss`"
                )
            names[phase] = [*made.losses, *made.means]
            return tf.zeros(())

        for phase, spec in specs.items():
            # Traced, never run: asking must not move a random state.
            tf.function(lambda batch, phase=phase: look(batch, phase)).get_concrete_function(spec)
        return Means(names, [name for name, each in self._task.metrics.items() if each.is_count])

    def means_of(self, phase: str | None) -> dict[str, float]:
        """Return the means of training or of an evaluation by name: "loss" is the sum of losses.

        The parts of a loss have names of their own if there are several. An evaluation may have no
        loss.
        """
        found = self.means.of(phase)
        metrics = self._task.metrics
        losses = {name: mean for name, mean in found.items() if name not in metrics}
        parts = losses if len(losses) > 1 else {}
        others = {name: mean for name, mean in found.items() if name in metrics}
        whole = {LOSS: float(np.sum(list(losses.values())))} if losses else {}
        return {**whole, **parts, **others}

    def _forward(self, batch: Any, phase: str | None) -> Forward:
        """Return what the task makes of a batch, and note every mean."""
        made = self._made(batch, phase)
        for name, given in {**made.losses, **made.means}.items():
            self.means.update(phase, name, *_values_and_weights(given))
        return made

    def _made(self, batch: Any, phase: str | None) -> Forward:
        """Return what the task makes of a batch, checked."""
        with tracing():
            made = self._task.forward(self.model, batch, phase)
        if not isinstance(made, Forward):
            raise TypeError(
                f"`forward` must return a `Forward`. Received: a {type(made).__name__}, in "
                f"{phase or 'training'}"
            )
        _check(self._task, made, phase)
        return made

    def _mean(self, given: Weighted) -> tf.Tensor:
        """Return this replica's share of the mean of values over all replicas."""
        values, weights = _values_and_weights(given)
        if weights is None:
            total, whole = tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32)
        else:
            total, whole = tf.reduce_sum(values * weights), tf.reduce_sum(weights)
        if self.strategy.num_replicas_in_sync > 1:
            replica = tf.distribute.get_replica_context()
            whole = replica.all_reduce(tf.distribute.ReduceOp.SUM, whole)
        # A batch of which nothing counts has no loss.
        return total / whole if weights is None else tf.math.divide_no_nan(total, whole)

    # --- training --------------------------------------------------------------------------------

    def _train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        """Take one data step on one replica; return this batch's share of the true loss."""
        model, optimizer = self.model, self.optimizer
        with tf.GradientTape() as tape:
            made = self._forward(batch, None)
            loss = tf.add_n([self._mean(each) for each in made.losses.values()])
            objective = loss
            with tracing():
                penalty = self._task.penalty(model)
            if penalty is not None:
                objective += penalty / self.strategy.num_replicas_in_sync
            objective = optimizer.scale_loss(objective)
        gradients = tape.gradient(objective, [v.value for v in model.trainable_variables])
        before = self.updates()
        optimizer.apply(gradients, model.trainable_variables)
        self._count(loss, gradients, before)
        return {LOSS: loss}

    def _count(self, loss: tf.Tensor, gradients: list[tf.Tensor], before: tf.Tensor) -> None:
        """Move the counters: of steps, of skipped updates, of the first step that went wrong."""
        count = self._counters
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        # Scaled gradients may overflow: that is what skipping is for.
        sign = loss if scaled else loss + tf.linalg.global_norm(gradients)
        if self.strategy.num_replicas_in_sync > 1:  # Any replica's.
            replica = tf.distribute.get_replica_context()
            sign = replica.all_reduce(tf.distribute.ReduceOp.SUM, sign)
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
        def several(batches: Iterator[Any], count: tf.Tensor) -> dict[str, Any]:
            values, update = self._tensors(), self.updates()
            sums = one(batches)
            for _ in tf.range(count - 1):
                more = one(batches)
                sums = {name: sums[name] + more[name] for name in sums}
            means = {name: each / tf.cast(count, each.dtype) for name, each in sums.items()}
            return {**means, VALUES: values, UPDATE: update}

        self.model.train_function = several
        return several

    # --- evaluation ------------------------------------------------------------------------------

    def test_function(self, evaluation: str) -> Callable[[Any], list[dict[str, tf.Tensor]]]:
        """Return the function that notes the means of one batch, and returns its outputs.

        They are those of each replica.
        """
        if self.model.test_function is None:  # A callback takes it away to have it traced anew.
            self.model.test_function = _TestFunctions(self._forward, self.strategy)
        found: _TestFunctions = self.model.test_function
        return found.of(evaluation)


class _TestFunctions:
    """The functions of all evaluations: what a callback takes away, or puts back, as one."""

    def __init__(
        self, forward: Callable[[Any, str | None], Forward], strategy: tf.distribute.Strategy
    ) -> None:
        self._forward = forward
        self._strategy = strategy
        self._traced: dict[str, Any] = {}

    def of(self, evaluation: str) -> Callable[[Any], list[dict[str, tf.Tensor]]]:
        """Return that of an evaluation."""
        if evaluation not in self._traced:
            self._traced[evaluation] = self._make(evaluation)
        traced = self._traced[evaluation]

        def outputs(batch: Any) -> list[dict[str, tf.Tensor]]:
            parts = {
                name: self._strategy.experimental_local_results(each)
                for name, each in traced(batch).items()
            }
            replicas = min((len(each) for each in parts.values()), default=0)
            return [{name: each[i] for name, each in parts.items()} for i in range(replicas)]

        return outputs

    def _make(self, evaluation: str) -> Any:
        @tf.function(reduce_retracing=True)
        def evaluate(batch: Any) -> Any:
            return self._strategy.run(
                lambda part: dict(self._forward(part, evaluation).outputs), args=(batch,)
            )

        return evaluate


def _values_and_weights(given: Weighted) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Return values and weights as float32 of one dimension; None for weights of 1."""
    values, weights = given if isinstance(given, tuple) else (given, None)
    values = tf.cast(values, tf.float32)
    if weights is not None:
        weights = tf.reshape(tf.cast(weights, tf.float32), [-1])
    return (values if values.shape.rank == 1 else tf.reshape(values, [-1])), weights


def _check(task: Task, made: Forward, phase: str | None) -> None:
    """Check what a task made of a batch, while it is traced.

    Raises:
        ValueError: If there is no loss, a value is a single number, weights have another shape, or
            a name is unknown or clashes.
    """
    what = "training" if phase is None else phase
    if not made.losses and (phase is None or not made.outputs):
        raise ValueError(
            f"`forward` must return a loss, or outputs in an evaluation. Received: none, in {what}"
        )
    for name, given in {**made.losses, **made.means}.items():
        values, weights = given if isinstance(given, tuple) else (given, None)
        if values.shape.rank is None or values.shape.rank < 1:
            raise ValueError(
                f"The values of {name!r} must have at least one dimension, that of the examples. "
                f"Received: shape {values.shape}, in {what}. A mean hides how many it is of"
            )
        if weights is not None and not weights.shape.is_compatible_with(values.shape):
            raise ValueError(
                f"The weights of {name!r} must have the shape of its values. Received: "
                f"{weights.shape} and {values.shape}, in {what}"
            )
    if clash := sorted(set(made.losses) & {*made.means, *task.metrics}):
        raise ValueError(f"A loss and a metric must not have one name. Received: {clash[0]!r}")
    if unknown := sorted(set(made.means) - set(task.metrics)):
        raise ValueError(
            f"Each metric must be among the task's `metrics`, which say how it is shown. "
            f"Received: {unknown[0]!r}, in {what}. Known: {', '.join(task.metrics) or 'none'}"
        )
    if LOSS in made.losses and len(made.losses) > 1:
        raise ValueError(
            f"'loss' is the sum of the losses: a part must have another name. "
            f"Received: {', '.join(made.losses)}"
        )
    prefixes = [prefixed(evaluation, "") for evaluation in task.evaluations]
    for name in (*made.losses, *made.means):
        if not name.isidentifier() or any(name.startswith(prefix) for prefix in prefixes):
            raise ValueError(
                f"The name of a loss or metric must be an identifier, without the name of an "
                f"evaluation in front. Received: {name!r}"
            )


def _seed_again(seed: int) -> None:
    """Do what `keras.utils.set_random_seed` does, but keep what TensorFlow has prepared to run.

    `tf.random.set_seed` drops the kernels of everything traced, so that random operations with a
    state in their kernel begin anew; to prepare them again takes longer than a short training. A
    training has none: its state is in variables (`trainers.loop.state`).
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the one that others draw from
    global_state.set_global_attribute("global_random_seed", seed)
    global_state.set_global_attribute("global_seed_generator", None)
    eager = context.context()
    eager._seed, eager._rng = seed, random.Random(seed)
