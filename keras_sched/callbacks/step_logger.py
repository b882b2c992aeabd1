"""Every scheduled value and the true loss of every batch, at the price of a row in a buffer.

Keras logs the learning rate once an epoch, and what it shows as the loss of a batch is the mean
over the epoch so far. `StepLogger` writes what was used, inside the compiled step, into a buffer
that the host reads once in many steps: exact under `steps_per_execution`, XLA and `tf.distribute`.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_sched import _validate
from keras_sched.callbacks import _sinks
from keras_sched.hyperparameters import current
from keras_sched.precision.attach import find

__all__ = ["StepLogger"]


class StepLogger(keras.callbacks.Callback):
    """Log the learning rate, all that is scheduled (bits too), and the loss of the batch, by step.

    A row holds the values that its step used. Steps count batches from 0 over the whole training:
    a further `fit` goes on where the optimizer's count of calls stands, and `set_state` tells the
    exact number to a loop that knows it (loss scaling does not count the steps it skips).

    The loss is the one of this batch, with regularisation, averaged over its samples on all
    replicas. Models whose `train_step` feeds Keras' own loss metric need nothing; any other
    `train_step` returns it under "loss".

    Args:
        every: Log each step whose number is a multiple of this; at least 1.
        csv: A file to write, with a header line. A run that was killed leaves whole lines, and at
            most one torn one at the end, which `resume` drops.
        tensorboard: A directory for TensorBoard's event files: "step/learning_rate", "step/loss"
            and so on, over the number of the step.
        capacity: Rows after which the buffer is read; at least those of one call.
        resume: Whether a `csv` of the same columns that exists already is continued. Its rows from
            the first step of this training on are dropped, for those steps are done again.

    Attributes:
        history: Column name -> array over the logged steps; "step" is int64, the rest float32.
            After `fit` it is also `model.history.by_step`.

    Raises:
        FileExistsError: If `csv` exists and `resume` is False: no run overwrites another's log.
        ValueError: If an argument is out of range, a step has no loss, or `capacity` is smaller
            than the number of steps in one call.

    Example:
        >>> import keras, numpy as np, keras_sched as ks
        >>> model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1, use_bias=False)])
        >>> model.compile(keras.optimizers.SGD(ks.Linear(0.5, steps=4)), loss="mse")
        >>> log = StepLogger()
        >>> x = np.ones([4, 1], "float32")
        >>> _ = model.fit(x, x, batch_size=1, verbose=0, callbacks=[log])
        >>> log.history["learning_rate"].tolist()
        [0.5, 0.375, 0.25, 0.125]
        >>> log.history["step"].tolist()
        [0, 1, 2, 3]
    """

    def __init__(
        self,
        every: int = 1,
        csv: str | os.PathLike[str] | None = None,
        tensorboard: str | os.PathLike[str] | None = None,
        capacity: int = 1000,
        resume: bool = False,
    ) -> None:
        super().__init__()
        self.every = _validate.integer("every", every, low=1)
        self.capacity = _validate.integer("capacity", capacity, low=1)
        self._csv = None if csv is None else _sinks.Csv(Path(csv), resume)
        self._board = None if tensorboard is None else _sinks.Board(Path(tensorboard))
        self._chunks: list[dict[str, np.ndarray]] = []
        self._buffers: _Buffers | None = None
        self._step: _RecordedStep | None = None
        self._first: int | None = None
        self._begin = 0
        self._unread = 0
        self._epoch_values: dict[str, float] = {}

    # --- results and state --------------------------------------------------------------------

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Return what was logged since training began, by column."""
        if not self._chunks:
            return {}
        return {
            name: np.concatenate([chunk[name] for chunk in self._chunks])
            for name in self._chunks[0]
        }

    @property
    def step(self) -> int:
        """The number of the next step."""
        return (self._first or 0) if self._buffers is None else self._buffers.count()

    def get_state(self) -> dict[str, int]:
        """Return the number of the next step, for a checkpoint of a training loop.

        What was logged before it is written first: a training that goes on there leaves no gap.
        """
        self.flush()
        return {"step": self.step}

    def set_state(self, state: dict[str, int]) -> None:
        """Take the number of the next step from a checkpoint."""
        self._first = _validate.integer("step", state["step"])
        if self._buffers is not None:
            self._buffers.restart(self._first)

    # --- Keras' hooks -------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        self.remove()  # what a training that raised has left behind
        self._chunks = []
        self._buffers = None
        self._unread = 0
        self._step = _RecordedStep(self.model, self._record)
        self.model.make_train_function(force=True)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._open()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._open()
        self._begin = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # `batch` may lie past the end of the epoch: an upper bound is all that is needed here, for
        # the buffer counts for itself.
        steps = max(batch - self._begin + 1, getattr(self.model, "steps_per_execution", 1))
        self._unread += steps
        # The ring holds twice the capacity, so that the next call finds room, however long it is.
        if self._unread > self.capacity * self.every:
            self.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.flush()
        if logs is not None:
            for name, value in self._epoch_values.items():
                logs.setdefault(name, value)

    def on_train_end(self, logs: Any = None) -> None:
        self.flush()
        if self._board is not None:
            self._board.close()
        history = getattr(self.model, "history", None)
        if isinstance(history, keras.callbacks.History):
            history.by_step = self.history
        if self._buffers is not None:
            self._first = None
            self._buffers = None
        self.remove()
        self.model.make_train_function(force=True)

    def flush(self) -> None:
        """Read the buffer, and write what is new to every place asked for."""
        self._unread = 0
        if self._buffers is None:
            return
        rows = self._buffers.read()
        if not len(rows["step"]):
            return
        self._chunks.append(rows)
        self._epoch_values = {
            name: float(column[-1]) for name, column in rows.items() if name not in ("step", "loss")
        }
        if self._csv is not None:
            self._csv.write(rows)
        if self._board is not None:
            self._board.write(rows)

    # --- the mechanism ------------------------------------------------------------------------

    def _open(self) -> None:
        """Make the buffer, now that every callback has attached what it schedules."""
        if self._buffers is not None or self._step is None:
            return
        names = list(_scheduled(self.model))
        if self._first is None:
            self._first = _calls(self.model.optimizer)
        strategy = getattr(self.model, "distribute_strategy", None) or tf.distribute.get_strategy()
        replicas = strategy.num_replicas_in_sync
        self._buffers = _outside_strategies(
            lambda: _Buffers(names, replicas, 2 * self.capacity, self.every, self._first or 0)
        )
        if self._csv is not None:
            self._csv.open(["step", *names, "loss"], self._first)

    def _record(self, values: dict[str, Any], loss: Any, weight: Any) -> None:
        if self._buffers is None:  # a callback that traces a step before training begins
            return
        self._buffers.write(values, loss, weight)

    def remove(self) -> None:
        """Leave the model as it was found; training that ends in order does so itself."""
        if self._step is not None:
            self._step.remove()
            self._step = None


class _RecordedStep:
    """Stands in the place of `model.train_step`: calls it and hands on what it used.

    Replicas trace in threads of their own that take turns in the middle of a step: what belongs to
    one step is kept by thread.
    """

    def __init__(self, model: Any, record: Callable[[dict[str, Any], Any, Any], None]) -> None:
        self._model = model
        self._record: Callable[[dict[str, Any], Any, Any], None] | None = record
        self._own = vars(model).get("train_step")
        self._inner = model.train_step
        self._local = threading.local()
        self._tracker = getattr(model, "_loss_tracker", None)
        if self._tracker is not None:
            self._update = self._tracker.update_state
            self._own_update = vars(self._tracker).get("update_state")
            vars(self._tracker)["update_state"] = self._capture
        # Past Keras' tracking, so that nothing new is saved with the model.
        vars(model)["train_step"] = self

    def __call__(self, data: Any) -> Any:
        if self._record is None:
            return self._inner(data)
        # Before the step: it advances the count at which schedules are read.
        values = _scheduled(self._model)
        self._local.seen = []
        try:
            logs = self._inner(data)
            seen = self._local.seen
        finally:
            self._local.seen = None
        if seen:
            loss, weight = seen[-1]
        elif isinstance(logs, dict) and "loss" in logs:
            loss, weight = logs["loss"], None
        else:
            raise ValueError(
                "`train_step` must return the loss of its batch under 'loss' to have it logged. "
                f"Received: {logs!r}"
            )
        self._record(values, loss, 1.0 if weight is None else weight)
        return logs

    def _capture(self, values: Any, sample_weight: Any = None) -> Any:
        seen = getattr(self._local, "seen", None)
        if seen is not None:
            seen.append((values, sample_weight))
        return self._update(values, sample_weight=sample_weight)

    def remove(self) -> None:
        """Leave the model as it was found; under a later wrapper, only stop recording."""
        self._record = None
        if vars(self._model).get("train_step") is self:
            _put_back(vars(self._model), "train_step", self._own)
        if self._tracker is not None:
            capture = vars(self._tracker).get("update_state")
            if getattr(capture, "__self__", None) is self:
                _put_back(vars(self._tracker), "update_state", self._own_update)


class _Buffers:
    """A ring of rows for each replica, in variables that no model, optimizer or strategy knows.

    A step that is not to be logged writes to one row more, which nobody reads: cheaper than a
    branch.
    """

    def __init__(
        self, names: list[str], replicas: int, length: int, every: int, first: int
    ) -> None:
        self._names = names
        self._length = length
        self._every = every
        self._read = first
        width = len(names) + 2  # the loss, and the samples it is a mean of
        self._rows = [
            tf.Variable(tf.zeros([length + 1, width]), trainable=False) for _ in range(replicas)
        ]
        self._counts = [
            tf.Variable(first, dtype=tf.int64, trainable=False) for _ in range(replicas)
        ]

    def write(self, values: dict[str, Any], loss: Any, weight: Any) -> None:
        """Write the row of this step, as part of the step."""
        if list(values) != self._names:
            raise ValueError(
                "What is scheduled must not change while a training is logged. "
                f"Received: {list(values)}. It began with: {self._names}"
            )
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replica = int(tf.get_static_value(replica)) if tf.is_tensor(replica) else replica
        columns = [*values.values(), loss, weight]
        row = tf.stack([tf.reshape(tf.cast(column, tf.float32), []) for column in columns])
        count = self._counts[replica]
        step = count.read_value()
        index = (step // self._every) % self._length
        if self._every > 1:
            index = tf.where(step % self._every == 0, index, self._length)
        self._rows[replica].scatter_nd_update(tf.reshape(index, [1, 1]), row[None])
        count.assign_add(1)

    def count(self) -> int:
        """Return the number of the next step."""
        return int(self._counts[0].numpy())

    def restart(self, step: int) -> None:
        """Go on at another step, as if nothing had been logged."""
        self._read = step
        for count in self._counts:
            count.assign(step)

    def read(self) -> dict[str, np.ndarray]:
        """Return the rows since the last reading, by column."""
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
        losses, weights = rows[..., -2], rows[..., -1]
        # A replica without samples has no loss: 0 / 0.
        sums = np.where(weights > 0, losses.astype(np.float64) * weights, 0.0).sum(0)
        columns["loss"] = (sums / weights.sum(0, dtype=np.float64)).astype(np.float32)
        return columns


def _scheduled(model: Any) -> dict[str, Any]:
    """Return the live hyperparameters of a model's optimizer, and its bits if it is quantized."""
    quantized = find(model)
    bits = {} if quantized is None else quantized.current()
    return {**current(model.optimizer), **bits}


def _calls(optimizer: Any) -> int:
    """Return how often gradients were applied: the batches seen, loss-scaling skips excepted."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return int(keras.ops.convert_to_numpy(inner._iterations))


def _put_back(attributes: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        del attributes[name]
    else:
        attributes[name] = value


def _outside_strategies(make: Callable[[], Any]) -> Any:
    """Make variables that no strategy mirrors: its scope, if `fit` is in one, is of one thread."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(make).result()
