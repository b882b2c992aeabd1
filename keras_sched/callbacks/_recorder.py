"""What `StepLogger` puts into the training step: a row of numbers, written as part of the step."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_sched._patch import wrap
from keras_sched._waiting import waiting_for

__all__ = ["Recorder"]


class Recorder:
    """Rows of scheduled values and of the loss, one for each step and replica.

    They are in variables that no model, optimizer or strategy knows. A step that is not to be
    logged writes to one row more, which nobody reads: cheaper than a branch.

    Args:
        names: The scheduled values, in the order of a row.
        replicas: Replicas of the strategy.
        length: Rows that are kept until they are read.
        every: Steps whose number is a multiple of this have a row.

    Attributes:
        loss_unknown: Why the loss of a batch cannot be known; None if it can, or while no step was
            traced.
    """

    def __init__(self, names: tuple[str, ...], replicas: int, length: int, every: int) -> None:
        self._names = names
        self._length = length
        self._every = every
        self._read = 0
        self.loss_unknown: str | None = None
        width = len(names) + 2  # the loss, and the samples it is a mean of
        self._rows, self._counts = _outside_strategies(
            lambda: (
                [
                    tf.Variable(tf.zeros([length + 1, width]), trainable=False)
                    for _ in range(replicas)
                ],
                [tf.Variable(0, dtype=tf.int64, trainable=False) for _ in range(replicas)],
            )
        )

    # --- within the step --------------------------------------------------------------------------

    def step(
        self, inner: Callable[[Any], Any], data: Any, model: Any, values: dict[str, Any]
    ) -> Any:
        """Take a training step, and write its row.

        Args:
            inner: The step.
            data: Its batch.
            model: The model, for its metrics.
            values: The scheduled values that the step uses; functions are called after it.
        """
        if tuple(values) != self._names:
            raise ValueError(
                f"What is scheduled must not change while a training is logged. "
                f"Received: {list(values)}. It began with: {list(self._names)}"
            )
        with waiting_for(data):
            with _watched(model) as fed:
                logs = inner(data)
            loss = _loss(logs, fed)
            self.loss_unknown = loss if isinstance(loss, str) else None
            value, weight = (0.0, 0.0) if isinstance(loss, str) else loss
            now = [column() if callable(column) else column for column in values.values()]
            self._write([*now, value, weight])
        return logs

    def _write(self, columns: list[Any]) -> None:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replica = int(tf.get_static_value(replica)) if tf.is_tensor(replica) else replica
        row = tf.stack([tf.reshape(tf.cast(column, tf.float32), []) for column in columns])
        count = self._counts[replica]
        step = count.read_value()
        index = (step // self._every) % self._length
        if self._every > 1:
            index = tf.where(step % self._every == 0, index, self._length)
        self._rows[replica].scatter_nd_update(tf.reshape(index, [1, 1]), row[None])
        count.assign_add(1)

    # --- on the host ------------------------------------------------------------------------------

    def count(self) -> int:
        """Return the number of the next step."""
        return int(self._counts[0].numpy())

    def restart(self, step: int) -> None:
        """Go on at another step, as if nothing had been logged."""
        self._read = step
        for count in self._counts:
            count.assign(step)

    def read(self) -> dict[str, np.ndarray]:
        """Return the rows since the last reading, by column.

        Raises:
            ValueError: If there are more than are kept.
        """
        end = self.count()
        steps = np.arange(-(-self._read // self._every) * self._every, end, self._every)
        if len(steps) > self._length:
            raise ValueError(
                f"`capacity` must be at least the number of logged steps in one call. Received: "
                f"capacity={self._length // 2} where {len(steps)} steps were not read yet"
            )
        self._read = end
        index = (steps // self._every) % self._length
        rows = np.stack([variable.numpy()[index] for variable in self._rows])
        columns = {"step": steps.astype(np.int64)}
        columns |= {name: rows[0, :, i] for i, name in enumerate(self._names)}
        if self.loss_unknown is None:
            losses, weights = rows[..., -2], rows[..., -1]
            # A replica without samples has no loss: 0 / 0.
            sums = np.where(weights > 0, losses.astype(np.float64) * weights, 0.0).sum(0)
            columns["loss"] = (sums / weights.sum(0, dtype=np.float64)).astype(np.float32)
        return columns


# --- the loss of the batch -----------------------------------------------------------------------


class _Fed:
    """What the means of a model were fed within one step, and what they returned."""

    def __init__(self) -> None:
        self.fed: dict[int, list[tuple[Any, Any]]] = {}
        self.results: dict[int, tuple[Any, Any]] = {}
        # Where there is no graph, it knows what is made of the results, and nothing else.
        self.tape = tf.GradientTape(watch_accessed_variables=False)


@contextlib.contextmanager
def _watched(model: Any) -> Iterator[_Fed]:
    """Watch the means of a model while a step is taken.

    Replicas trace in threads of their own, which take turns in the middle of a step.
    """
    seen, own = _Fed(), threading.get_ident()
    with contextlib.ExitStack() as stack:
        if tf.executing_eagerly():
            stack.enter_context(seen.tape)
        for metric in {id(metric): metric for metric in model.metrics}.values():

            def update(inner: Any, values: Any, sample_weight: Any = None, of: Any = metric) -> Any:
                if threading.get_ident() == own:
                    seen.fed.setdefault(id(of), []).append((values, sample_weight))
                return inner(values, sample_weight=sample_weight)

            def result(inner: Any, of: Any = metric) -> Any:
                found = inner()
                if threading.get_ident() == own and tf.is_tensor(found):
                    seen.results[id(found)] = found, of
                    if tf.executing_eagerly():
                        seen.tape.watch(found)
                return found

            # Others, as the mean of an error, are fed targets and predictions.
            if type(metric).update_state is keras.metrics.Mean.update_state:
                stack.callback(wrap(metric, "update_state", update))
            stack.callback(wrap(metric, "result", result))
        yield seen


def _loss(logs: Any, seen: _Fed) -> tuple[Any, Any] | str:
    """Return the loss of the batch and its weight, or why it cannot be known.

    What a mean returns is one over the epoch so far; the loss of the batch is what it was fed.
    """
    loss = logs.get("loss") if isinstance(logs, dict) else None
    if loss is None:
        return "`train_step` returns nothing under 'loss'"
    if id(loss) not in seen.results:
        if _has_running(loss, seen):
            return "`train_step` returns under 'loss' what is made of the results of metrics"
        return tf.reduce_mean(tf.cast(loss, tf.float32)), 1.0
    _, mean = seen.results[id(loss)]
    fed = seen.fed.get(id(mean))
    if not fed:
        return f"`train_step` returns under 'loss' the metric {mean.name!r}, and feeds it no loss"
    sums, weights = zip(*[_summed(values, weight) for values, weight in fed], strict=True)
    weight = tf.add_n(weights)
    return tf.math.divide_no_nan(tf.add_n(sums), weight) if len(fed) > 1 else _mean(*fed[0]), weight


def _has_running(loss: Any, seen: _Fed) -> bool:
    """Whether a tensor is made of the results of metrics.

    In a graph that of a mean that the model has not is known as a quotient of two variables.
    """
    if not isinstance(loss, tf.Tensor):
        return False
    if tf.executing_eagerly():
        found = [found for found, _ in seen.results.values()]
        return any(gradient is not None for gradient in seen.tape.gradient(loss, found))
    results = {found.name for found, _ in seen.results.values()}
    pending, known = [loss], set()
    while pending:
        tensor = pending.pop()
        if tensor.name in results:
            return True
        if tensor.op.name in known:
            continue
        known.add(tensor.op.name)
        inputs = list(tensor.op.inputs)
        is_quotient = tensor.op.type == "DivNoNan"
        if is_quotient and all(x.op.type == "ReadVariableOp" for x in inputs):
            return True
        pending += inputs
    return False


def _mean(values: Any, weight: Any) -> Any:
    """Return the mean of what a metric is fed at once: the number itself if it is one."""
    values = tf.cast(values, tf.float32)
    if values.shape.rank == 0:
        return values
    total, weights = _summed(values, weight)
    return tf.math.divide_no_nan(total, weights)


def _summed(values: Any, weight: Any) -> tuple[Any, Any]:
    """Return the sum of values times their weights, and that of the weights."""
    values = tf.cast(values, tf.float32)
    if weight is None:
        return tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32)
    weight = tf.cast(weight, tf.float32)
    if weight.shape.rank is not None and values.shape.rank is not None:
        # A weight for each sample: what is left of a value is its mean, as in Keras.
        values = tf.reduce_mean(values, list(range(weight.shape.rank, values.shape.rank)))
    weight = tf.broadcast_to(weight, tf.shape(values))
    return tf.reduce_sum(values * weight), tf.reduce_sum(weight)


# --- variables ----------------------------------------------------------------------------------


def _outside_strategies(make: Callable[[], Any]) -> Any:
    """Make variables that no strategy mirrors: its scope, if `fit` is in one, is of one thread."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(make).result()
