"""Every scheduled value and the true loss of every batch, at the price of a row in a buffer.

Keras logs the learning rate once an epoch, and what it shows as the loss of a batch is the mean
over the epoch so far. `StepLogger` writes what was used, inside the compiled step, into a buffer
that the host reads once in many steps: exact under `steps_per_execution`, XLA and `tf.distribute`.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched._patch import wrap
from keras_sched._training import Member, Training
from keras_sched._use import Use, check_optimizer, mark_numbers, optimizer_of
from keras_sched.callbacks import _sinks
from keras_sched.callbacks._norms import Norms
from keras_sched.callbacks._recorder import Recorder
from keras_sched.hyperparameters import current, driver_of, groups
from keras_sched.precision.attach import find

__all__ = ["StepLogger"]

# Columns that are written to no file: the count of the optimizer, in two parts.
_COUNT = (" count, high", " count, low")
_LARGE = 2**20


class StepLogger(Member):
    """Log the learning rate, all that is scheduled (bits too), and the loss of the batch, by step.

    A row holds the values that its step used. Steps count batches from 0 over the whole training:
    a further `fit` with the same logger goes on with its count, a new logger begins where the
    optimizer's count of calls stands, and `set_state` tells the exact number to a loop that knows
    it (loss scaling does not count the steps it skips).

    The loss is the one of this batch, with regularisation, averaged over its samples on all
    replicas. A `train_step` of your own returns it under "loss", as a number or as the result of a
    `keras.metrics.Mean` of the model: then the loss is what the mean was fed at this step. Where it
    cannot be known, there is no column "loss", and one warning says why.

    Args:
        every: Log each step whose number is a multiple of this; at least 1.
        optimizer: The optimizer whose values are logged; by default the one that the model is
            compiled with. Models with several optimizers take one `StepLogger` for each.
        csv: A file to write, with a header line. A run that was killed leaves whole lines, and at
            most one torn one at the end, which `resume` drops.
        tensorboard: A directory for TensorBoard's event files: "step/learning_rate", "step/loss"
            and so on, over the number of the step.
        norms: Whether the norms of the gradient of each update are logged, "grad_norm" (L2) and
            "grad_l1": of all weights together, unscaled and before clipping, averaged where
            gradients are accumulated. A step without an update has those of the last one, and NaN
            before the first. For `recommend(norms=log.history)` and `Refined.from_norms`.
        capacity: Rows after which the buffer is read; at least those of one call.
        resume: Whether a `csv` of the same columns that exists already is continued. Its rows from
            the first step of this training on are dropped, for those steps are done again.

    Attributes:
        history: Column name -> array over the logged steps; "step" is int64, the rest float32.
            After `fit` it is also `model.history.by_step`; of several loggers, the last one's.

    Raises:
        FileExistsError: If `csv` exists and `resume` is False: no run overwrites another's log.
        TypeError: If `tensorboard` is no path.
        ValueError: If an argument is out of range, `tensorboard` is a file, or `capacity` is less
            than the number of steps in one call; when training begins, if another logger writes to
            the directory; after the first batch, if the training step does not use the optimizer.
        RuntimeError: If Keras computes with another backend than TensorFlow.

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
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        csv: str | os.PathLike[str] | None = None,
        tensorboard: str | os.PathLike[str] | None = None,
        norms: bool = False,
        capacity: int = 1000,
        resume: bool = False,
    ) -> None:
        check_tensorflow("`StepLogger`")
        super().__init__()
        self.every = _validate.integer("every", every, low=1)
        self.norms = _validate.boolean("norms", norms)
        self._norms: Norms | None = None
        self.capacity = _validate.integer("capacity", capacity, low=1)
        check_optimizer(optimizer)
        self._given = optimizer
        self._optimizer: Any = None
        self._csv = None if csv is None else _sinks.Csv(Path(csv), resume)
        self._board = None if tensorboard is None else _sinks.Board(_directory(tensorboard))
        self._chunks: list[dict[str, np.ndarray]] = []
        self._recorder: Recorder | None = None
        self._use: Use | None = None
        self._first: int | None = None
        # Where the last training ended.
        self._last = 0
        self._ended: tuple[Any, int] | None = None
        self._epoch = 0
        self._begin = 0
        self._unread = 0
        self._has_warned = False
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
        if self._recorder is not None:
            return self._recorder.count()
        return self._last if self._first is None else self._first

    @property
    def loss_unknown(self) -> str | None:
        """Why the loss of a batch cannot be known; None if it can, or before the first batch."""
        return None if self._recorder is None else self._recorder.loss_unknown

    def get_state(self) -> dict[str, int]:
        """Return the number of the next step, for a checkpoint of a training loop.

        What was logged before it is written first: a training that goes on there leaves no gap.
        """
        self.flush()
        return {"step": self.step}

    def set_state(self, state: dict[str, int]) -> None:
        """Take the number of the next step from a checkpoint."""
        self._first = _validate.integer("step", state["step"])
        if self._recorder is not None:
            self._recorder.restart(self._first)

    # --- Keras' hooks -------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        with self.joined() as training:
            self._optimizer = optimizer_of(self, self._given)
            self._chunks = []
            self._recorder = self._use = self._norms = None
            self._unread = self._epoch = 0
            # However it ends: after its end this does nothing.
            training.on_undo(self, functools.partial(self._end, "interrupted"))
            training.on_undo(self, wrap(self.model, "train_step", self._train_step))
            if self.norms:
                self._watch(training)
            mark_numbers(training, self._optimizer)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        self._open()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._open()
        self._begin = batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.under_way()
        if self._use is not None:
            self._use.check()
            self._use = None
            self._warn()
            self._check_norms()
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
            if self._board is not None:
                self._board.epoch(self.step, epoch + 1, logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._end("finished")
        history = getattr(self.model, "history", None)
        if isinstance(history, keras.callbacks.History):
            history.by_step = self.history
        self.leave()

    def flush(self) -> None:
        """Read the buffer, and write what is new to every place asked for."""
        self._unread = 0
        if self._recorder is None:
            return
        rows = self._recorder.read()
        if not len(rows["step"]):
            return
        high, low = (rows.pop(name, None) for name in _COUNT)
        self._chunks.append(rows)
        self._epoch_values = {
            name: float(column[-1]) for name, column in rows.items() if name not in ("step", "loss")
        }
        if self._csv is not None:
            self._csv.write(rows)
        if self._board is not None:
            self._board.write(rows, _joined(high, low))

    # --- the mechanism ------------------------------------------------------------------------

    def _watch(self, training: Training) -> None:
        """Watch what the optimizer is given."""
        strategy = getattr(self.model, "distribute_strategy", None) or tf.distribute.get_strategy()
        if strategy.num_replicas_in_sync > 1:
            raise ValueError(
                f"`norms` must be False where several replicas train: each knows its own gradients "
                f"only. Received: norms=True with {strategy.num_replicas_in_sync} replicas"
            )
        parts = tuple(groups(self._optimizer).values())
        self._norms = training.keep("norms", parts, lambda: Norms(parts))
        for undo in self._norms.attach():
            training.on_undo(self, undo)
        training.mark(f"norms of logger {training.place_of(self)}", parts)

    def _check_norms(self) -> None:
        """Raise a ValueError if the optimizer, which is used, does not show its gradients."""
        if self._norms is not None and not self._norms.is_seen:
            raise ValueError(
                f"`norms` must be False for an optimizer that overrides `apply`, as its gradients "
                f"cannot be seen. Received: norms=True with {type(self._optimizer).__name__}"
            )

    def _open(self) -> None:
        """Make the buffer, now that every callback has attached what it schedules."""
        training = self.under_way()
        if self._recorder is not None or training is None:
            return
        strategy = getattr(self.model, "distribute_strategy", None) or tf.distribute.get_strategy()
        # Two loggers of one training have a buffer each.
        key = (
            training.place_of(self),
            self._optimizer,
            names := tuple(self._recorded()),
            replicas := strategy.num_replicas_in_sync,
            self.capacity,
            self.every,
        )
        self._recorder = training.keep(
            "recorder", key, lambda: Recorder(names, replicas, 2 * self.capacity, self.every)
        )
        training.mark(f"rows of logger {training.place_of(self)}", key)
        first, self._first = self._first, None
        calls = _calls(self._optimizer)
        if first is None:  # Steps that loss scaling has skipped are counted by nobody else.
            first = self._last if self._ended == (self._optimizer, calls) else calls
        self._recorder.restart(first)
        self._use = Use("StepLogger", training, self._optimizer, drives=False)
        if self._csv is not None:
            self._csv.begin(first)
        if self._board is not None:
            shown = [name for name in names if name not in _COUNT]
            self._board.begin(
                self.model, self._optimizer, shown, first, self._epoch, self.parameters
            )

    def _end(self, status: str) -> None:
        """Write what is left, and how the training ended."""
        if self._recorder is None:
            return
        try:
            self.flush()
        finally:
            self._last, self._recorder = self._recorder.count(), None
            self._ended = self._optimizer, _calls(self._optimizer)
            if self._board is not None:
                self._board.end(status)

    def _recorded(self) -> dict[str, Any]:
        """Return the live values of the optimizer, and the bits of the model if it is quantized."""
        quantized = find(self.model)
        bits = {} if quantized is None else quantized.current()
        found = {**current(self._optimizer), **bits}
        if self._norms is not None:
            found |= self._norms.values()
        if self._board is None:
            return found
        # What is planned is read at the count of the optimizer, which is not that of the batches
        # where updates are skipped, or a batch has several. float32 has each number up to 2**24.
        count = _count(self._optimizer)
        return found | dict(zip(_COUNT, (count // _LARGE, count % _LARGE), strict=True))

    def _train_step(self, inner: Callable[[Any], Any], data: Any) -> Any:
        """Stand in the place of `model.train_step`."""
        if self._recorder is None:  # a callback that traces a step before training begins
            return inner(data)
        # The values are those before the step: it advances the count that schedules are read at.
        return self._recorder.step(inner, data, self.model, self._recorded())

    def _warn(self) -> None:
        """Say once that there is no loss to log."""
        if self.loss_unknown is None or self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f"`StepLogger` logs no loss, as that of a batch cannot be known: {self.loss_unknown}. "
            f'Return it from `train_step`, as `return {{"loss": loss}}`, or feed it to a '
            f"`keras.metrics.Mean` of the model and return its result.",
            stacklevel=2,
        )


def _directory(tensorboard: Any) -> Path:
    """Return the directory of the event files, checked."""
    if not isinstance(tensorboard, str | os.PathLike):
        raise TypeError(f"`tensorboard` must be a directory. Received: tensorboard={tensorboard!r}")
    if Path(tensorboard).is_file():
        raise ValueError(
            f"`tensorboard` must be a directory. Received: tensorboard={str(tensorboard)!r}, which "
            f"is a file"
        )
    return Path(tensorboard)


def _joined(high: Any, low: Any) -> Any:
    """Return the counts whose parts were recorded."""
    return _LARGE * high.astype(np.int64) + low.astype(np.int64)


def _calls(optimizer: Any) -> int:
    """Return how often gradients were applied: the batches seen, loss-scaling skips excepted."""
    return int(keras.ops.convert_to_numpy(_count(optimizer)))


def _count(optimizer: Any) -> Any:
    """Return the same as a tensor, of before what is done next."""
    return tf.identity(driver_of(next(iter(groups(optimizer).values()))).count("micro"))
