"""The one training loop of the project: a task in, a run directory and one result record out.

`fit` cannot go on in the middle of an epoch, loses the position in the data, and is broken under
`MultiWorkerMirroredStrategy`; so the loop has a compiled step of its own, `trainers.loop.compiled`,
run by ``strategy.run``, several data steps a call. It drives the Keras callbacks that `fit` drives,
by the same rules: it sets `train_step` and `make_train_function` on the model, makes the function
before `on_train_begin`, and uses ``model.train_function`` after it, so that a callback may attach
schedules or wrap the step and ask for a new trace.

A `Task` contributes a model, data, losses and metrics, and nothing else. The loop knows nothing of
images or labels: a batch is whatever the data gives and `forward` takes.

`on_epoch_begin` is called once for each epoch. Where a run goes on within one, callbacks that have
`on_epoch_resume(epoch)`, as those of the library do, are told so instead.

Two numbers count: the *data step*, by which a run ends and data are ordered, and the *update*
(``optimizer.iterations``), which schedules read. They differ where loss scaling skips an update.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from keras_sched import precision
from tensorboard_plugins.schedules.layout import finite
from trainers.loop import records
from trainers.loop.board import Board
from trainers.loop.checkpoints import Checkpoint, CheckpointError, Checkpoints, LoopState
from trainers.loop.compiled import LOSS, UPDATE, VALUES, Compiled
from trainers.loop.errors import DamagedDataError, NonFiniteError, Preempted, StalledError
from trainers.loop.evaluation import evaluate
from trainers.loop.files import replace
from trainers.loop.lock import BusyError, locked
from trainers.loop.means import FOLDED_AFTER
from trainers.loop.progress import Progress
from trainers.loop.records import Record, Timing, seconds_of
from trainers.loop.signals import EndRequest
from trainers.loop.state import restore, snapshot
from trainers.loop.task import Metric, Plan, Task

__all__ = ["BusyError", "Experiment"]

# Loss scaling halves its scale at each skipped update: after this many in a row it is past hope.
_MOST_SKIPS = 25
# What a file of weights takes besides them, at most.
_FILE_BYTES = 2**20


class Experiment:
    """One run of a task.

    Args:
        task: What is trained.
        plan: How.
        callbacks: Keras callbacks; those with `get_state` and `set_state` go on where they were.
        strategy: A `tf.distribute` strategy; the current one if None.
        compiled: What an experiment before this one has traced, if both can share it (see
            `Compiled.begin`); then `strategy` is its own.

    Raises:
        ValueError: If the goal of the task is unknown, or names clash.
    """

    def __init__(
        self,
        task: Task,
        plan: Plan,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        strategy: tf.distribute.Strategy | None = None,
        compiled: Compiled | None = None,
    ) -> None:
        task.check()
        self.task = task
        self.plan = plan
        self.compiled = compiled or Compiled(strategy)
        self._callbacks = list(callbacks)
        self._checkpoints = Checkpoints(plan.directory / "checkpoints", plan.keep)
        self._request = EndRequest()
        self._next_save = time.monotonic() + plan.seconds_per_checkpoint
        self._saved_at: int | None = None
        self.history: list[dict[str, float]] = []
        self.seconds = {"train": 0.0, "evaluation": 0.0, "checkpoint": 0.0}
        self.restarts = 0
        self._counted: dict[str, int] = {}
        self._logged: Mapping[str, Any] | None = None

    # --- the run ---------------------------------------------------------------------------------

    def run(self) -> Record:
        """Train to the end, from the beginning or from the last checkpoint; return the record.

        Returns:
            The record. Of a run that is over already it is the one on disk.

        Raises:
            BusyError: If another process is training in the run directory.
            CheckpointError: If there are checkpoints and none can be gone on from.
            DamagedDataError: If data cannot be read, and the task can tell which.
            RecordError: If there is a file in the place of the record that is none.
            Preempted: If the process received SIGTERM or Ctrl-C; everything is saved. Its code is
                128 and the number of the signal.
        """
        path = self.plan.directory / "record.json"
        with locked(self.plan.directory) as self._check_held:
            record = records.read(path)
            if record is not None:
                return record
            self._build()
            self._note_start()
            status, reason = "finished", None
            try:
                with self._request.watching(), Progress(self.total_steps, self.step) as progress:
                    self._train(progress)
            except (NonFiniteError, StalledError) as error:
                status, reason = error.status, str(error)
                self._list.on_train_end()  # Callbacks leave the model as they found it.
            if self.plan.keep_weights == "final" and status == "finished":
                self._keep_weights()
            made = self._record(status, reason)
            self._check_held()
            records.write(path, made)
            # As another process would read it: what is not finite is None.
            return Record.of(json.loads(made.to_json()))

    def timed(self, calls: int = 3) -> Timing:
        """Measure what a run takes here, and leave nothing on disk.

        Args:
            calls: Calls that are timed; their median counts. Of an evaluation as many batches are
                timed, and the others taken to be alike.

        Raises:
            ValueError: If it cannot be told how many batches an evaluation has.
        """
        batches_of = {name: self._count(name) for name in self.task.evaluations}
        self.compiled.begin(self.task, self.plan.seed, self.total_steps)
        self._make_list()
        began = time.monotonic()
        self.model.make_train_function()
        self._list.on_train_begin()
        batches = iter(self.compiled.distributed(self.task.train(0)))
        self._list.on_epoch_begin(0)
        self._list.on_train_batch_begin(0)  # A policy by schedule begins here.
        self._call(batches, 1)
        evaluated = {
            name: iter(self.compiled.distributed(each.data().repeat()))
            for name, each in self.task.evaluations.items()
        }
        functions = {name: self.compiled.test_function(name) for name in evaluated}
        for name, data in evaluated.items():
            functions[name](next(data))
        trace = time.monotonic() - began
        count = self.plan.steps_per_call if seconds_of(lambda: self._call(batches, 1)) < 0.1 else 1
        step = [seconds_of(lambda: self._call(batches, count)) / count for _ in range(calls)]
        evaluations = {}
        for name, data in evaluated.items():
            work = functools.partial(_next, functions[name], data)
            times = [seconds_of(work) for _ in range(calls)]
            evaluations[name] = statistics.median(times) * batches_of[name]
        self._list.on_train_end()
        return Timing(trace=trace, step=statistics.median(step), evaluations=evaluations)

    def _count(self, evaluation: str) -> int:
        """Return how many batches an evaluation has."""
        count = self.task.evaluations[evaluation].count()
        if count is None:
            raise ValueError(
                f"An evaluation must have a known number of batches to foretell what it costs. "
                f"Received: {evaluation!r} of unknown length. Give `Evaluation(..., batches=...)`"
            )
        return count

    @property
    def total_steps(self) -> int:
        """Data steps of the whole run."""
        return self.plan.epochs * self.task.steps_per_epoch

    @property
    def step(self) -> int:
        """Data steps done."""
        return self.compiled.counted("step")

    @property
    def model(self) -> keras.Model:
        """The model that is trained."""
        return self.compiled.model

    def _build(self) -> None:
        """Make model, optimizer and functions, and take on the state of the last checkpoint."""
        self.compiled.begin(self.task, self.plan.seed, self.total_steps)
        self._make_list()
        self._resume()

    def _make_list(self) -> None:
        self._list = keras.callbacks.CallbackList(
            self._callbacks,
            model=self.model,
            epochs=self.plan.epochs,
            steps=self.task.steps_per_epoch,
        )

    def _train(self, progress: Progress) -> None:
        if self.restarts:
            progress.say(f"going on from step {self.step} of {self.total_steps}")
        self.model.make_train_function()
        self._list.on_train_begin()
        batches = iter(self.compiled.distributed(self.task.train(self.step)))
        with self._make_board() as self._board:
            self._train_to_end(batches, progress)
        self._list.on_train_end()

    def _make_board(self) -> Board:
        return Board(
            self.plan,
            self.task,
            self.total_steps,
            list(self.compiled.live_values()),
            self.compiled.schedules(),
            self._logged,
        )

    def _train_to_end(self, batches: Iterator[Any], progress: Progress) -> None:
        """Train, and log how the run stands when it is left, however that is."""
        status, reason = "interrupted", None
        try:
            while self.step < self.total_steps and not self.model.stop_training:
                self._epoch(batches, progress)
            status = "finished"
        except (NonFiniteError, StalledError) as error:
            status, reason = error.status, str(error)
            raise
        finally:
            self._board.end(status, **self._outcome(reason))

    def _outcome(self, reason: str | None) -> dict[str, Any]:
        """Return what the board says of the results so far."""
        return {
            "reason": reason,
            "relative_cost": records.relative_cost(self._cost()),
            "parameters": self.model.count_params(),
        }

    def _epoch(self, batches: Iterator[Any], progress: Progress) -> None:
        """Train to the end of the present epoch, evaluate, log and save.

        A callback that ends the training between batches ends the epoch there, as in `fit`.
        """
        epoch, begin = divmod(self.step, self.task.steps_per_epoch)
        self._begin_epoch(epoch, begin)
        while begin < self.task.steps_per_epoch and not self.model.stop_training:
            count = self._steps_of_call(begin)
            self._list.on_train_batch_begin(begin)
            step = self.step
            logs, values, update = self._call(batches, count)
            self._board.called(step, count, values, logs[LOSS], update)
            begin += count
            progress.called(self.step)
            self._list.on_train_batch_end(begin - 1, logs)
            if progress.is_live:
                progress.update(self.step, {**logs, **values})
            self._stop_unless_sound()
            if begin < self.task.steps_per_epoch and not self.model.stop_training:
                if begin % FOLDED_AFTER == 0:
                    self.compiled.means.fold(None)
                self._save_within_epoch(begin)
        self._end_epoch(epoch, progress)
        if self._request.number or time.monotonic() >= self._next_save:
            self._save()
        self._end_if_asked()

    def _begin_epoch(self, epoch: int, begin: int) -> None:
        """Tell the callbacks that an epoch begins, or those that want to know that it goes on."""
        if begin == 0:
            self.compiled.means.reset(None)
            self._list.on_epoch_begin(epoch)
            return
        for callback in self._list.callbacks:
            if hasattr(callback, "on_epoch_resume"):
                callback.on_epoch_resume(epoch)

    def _steps_of_call(self, begin: int) -> int:
        """Return how many steps to the next end: of a call, of the epoch or at a checkpoint."""
        ends = [self.plan.steps_per_call, self.task.steps_per_epoch - begin]
        ends.append(FOLDED_AFTER - begin % FOLDED_AFTER)
        if self.plan.steps_per_checkpoint:
            ends.append(self.plan.steps_per_checkpoint - begin % self.plan.steps_per_checkpoint)
        return min(ends)

    def _call(
        self, batches: Iterator[Any], count: int
    ) -> tuple[dict[str, float], dict[str, float], int]:
        """Take some steps; return means of what they gave, and what the first used, and counted."""
        began = time.monotonic()
        try:
            logs = self.model.train_function(batches, tf.constant(count, tf.int64))
        except tf.errors.OutOfRangeError as error:
            raise ValueError(
                f"`train` must give endless batches, from any step on. Received: data that ended "
                f"near data step {self.step} of {self.total_steps}"
            ) from error
        except tf.errors.OpError as error:
            self._look_at_data(error, None)
            raise
        values = {name: float(value) for name, value in logs.pop(VALUES).items()}
        update = int(logs.pop(UPDATE))
        logs = {name: float(value) for name, value in logs.items()}
        self.seconds["train"] += time.monotonic() - began
        return logs, values, update

    def _end_epoch(self, epoch: int, progress: Progress) -> None:
        logs = self.compiled.means_of(None)
        due = [
            name
            for name, each in self.task.evaluations.items()
            if (epoch + 1) % each.every == 0 or epoch + 1 == self.plan.epochs
        ]
        for name in due:
            logs.update(self._evaluate(name))
        values = self.compiled.live_values()
        self._stop_if_lost(logs, values)
        for callback in self._list.callbacks:  # Keras' list would hand them a copy of the logs.
            callback.on_epoch_end(epoch, logs)
        if self.model.stop_training:  # This is the last one: it has every evaluation.
            for name in self.task.evaluations:
                if name not in due:
                    late = self._evaluate(name)
                    self._stop_if_lost(late, values)
                    logs.update(late)
        step = self.step
        self.history.append({"epoch": epoch, "step": step, **logs, **values})
        if self.plan.keep_weights == "best" and self._best() is self.history[-1]:
            self._keep_weights()
        is_last = epoch + 1 == self.plan.epochs or self.model.stop_training
        is_due = is_last or (epoch + 1) % self.task.artefacts_every == 0
        if type(self.task).artefacts is not Task.artefacts and is_due:
            with self.compiled.evaluated():
                found = self.task.artefacts(self.model, epoch)
            self._board.show(found, epoch, step)
        self._board.epoch(step, epoch + 1, {**logs, **values})
        progress.epoch(epoch + 1, self.plan.epochs, step, {**logs, **values})

    def _stop_if_lost(self, logs: Mapping[str, float], values: Mapping[str, float]) -> None:
        """End the run if a loss is not finite; a metric may be undefined."""
        lost = [
            name
            for name, mean in logs.items()
            if self.task.metric(name) is None and not np.isfinite(mean)
        ]
        if lost:
            raise NonFiniteError(
                f"{', '.join(lost)} is not finite after data step {self.step}, with {values}. "
                f"{self._kept()}"
            )

    def _stop_unless_sound(self) -> None:
        bad = self.compiled.counted("bad_step")
        if bad >= 0:
            raise NonFiniteError(
                f"The loss or a gradient is not finite at data step {bad}, with "
                f"{self.compiled.live_values()}. {self._kept()}"
            )
        if self.compiled.counted("most_skips") > _MOST_SKIPS:
            raise StalledError(
                f"Loss scaling skipped more than {_MOST_SKIPS} updates in a row, up to data step "
                f"{self.step}: gradients overflow at any scale."
            )

    def _kept(self) -> str:
        """Say which state there is to look at."""
        if self._saved_at is None:
            return "There is no checkpoint."
        return f"The checkpoint of data step {self._saved_at} is kept."

    def _evaluate(self, evaluation: str) -> dict[str, float]:
        """Return losses and metrics of an evaluation, and tell the callbacks."""
        began = time.monotonic()
        self._list.on_test_begin()
        try:
            logs, counted = evaluate(self.compiled, self.task, evaluation)
        except tf.errors.OpError as error:
            self._look_at_data(error, evaluation)
            raise
        self._counted.update(counted)
        self._list.on_test_end(logs)
        self.seconds["evaluation"] += time.monotonic() - began
        return logs

    def _look_at_data(self, error: tf.errors.OpError, evaluation: str | None) -> None:
        """Raise an error that names what cannot be read, if that may be why an operation failed."""
        if not isinstance(error, tf.errors.ResourceExhaustedError) and (
            said := self.task.damage(self.step, evaluation)
        ):
            raise DamagedDataError(said) from error

    # --- saving and going on ---------------------------------------------------------------------

    def _save_within_epoch(self, begin: int) -> None:
        every = self.plan.steps_per_checkpoint
        if self._request.number or (every and begin % every == 0):
            self._save()
        self._end_if_asked()

    def _end_if_asked(self) -> None:
        if self._request.number:
            logging.warning("Saved at step %d; the same command goes on.", self.step)
            raise Preempted(128 + self._request.number)

    def _save(self) -> None:
        began = time.monotonic()
        self._check_held()
        state = LoopState(
            config=self.plan.config,
            history=finite(self.history),
            means=self.compiled.means.get_state(),
            seconds=self.seconds,
            callbacks=[
                callback.get_state() if hasattr(callback, "get_state") else None
                for callback in self._callbacks
            ],
            stopped=self.model.stop_training,
            counted=self._counted,
            logged=self._board.get_state(),
            **records.environment(),
        )
        self._checkpoints.save(Checkpoint(self.step, snapshot(self.compiled.variables), state))
        self._saved_at = self.step
        ended = time.monotonic()
        self.seconds["checkpoint"] += ended - began
        self._next_save = ended + self.plan.seconds_per_checkpoint

    def _resume(self) -> None:
        checkpoint = self._checkpoints.latest()
        if checkpoint is None:
            return
        state = checkpoint.state
        differing = sorted(
            key
            for key in {*state.config, *self.plan.config}
            if state.config.get(key) != self.plan.config.get(key)
        )
        if differing:
            raise CheckpointError(
                f"The checkpoints in {self.plan.directory} are of another configuration. "
                f"Differing: {', '.join(differing)}"
            )
        if len(state.callbacks) != len(self._callbacks):
            raise CheckpointError(
                f"The checkpoints in {self.plan.directory} are of {len(state.callbacks)} "
                f"callbacks. Received: {len(self._callbacks)}"
            )
        restore(self.compiled.variables, checkpoint.arrays)
        self.history = [dict(row) for row in state.history]
        self.seconds = dict(state.seconds)
        self._counted = dict(state.counted)
        self._logged = state.logged
        try:
            self.compiled.means.set_state(state.means)
            for callback, saved in zip(self._callbacks, state.callbacks, strict=True):
                if saved is not None:
                    callback.set_state(saved)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"The checkpoint of step {checkpoint.step} in {self.plan.directory} is not of "
                f"these means and callbacks: {error}"
            ) from error
        forgetful = [type(c).__name__ for c in self._callbacks if not hasattr(c, "get_state")]
        if forgetful:
            logging.warning(
                "These callbacks begin anew, as they have no `get_state` and `set_state`: %s. What "
                "they knew is in no checkpoint.",
                ", ".join(forgetful),
            )
        self.model.stop_training = state.stopped
        self._saved_at = checkpoint.step

    def _note_start(self) -> None:
        """Add this start to the run's list, so that one killed before it saves is counted too."""
        self.restarts = records.note_start(
            self.plan.directory / "starts.jsonl", {"step": self.step, **records.environment()}
        )

    def _keep_weights(self) -> None:
        """Write the weights that are evaluated as a file that `model.load_weights` reads."""
        path = self.plan.directory / f"{self.plan.keep_weights}.weights.h5"
        needed = sum(int(np.prod(v.shape)) * 4 for v in self.model.variables) + _FILE_BYTES
        if shutil.disk_usage(path.parent).free < needed:
            # The writer of these files ends the process where the disk is full.
            raise OSError(errno.ENOSPC, "No space for the weights", str(path))
        with self.compiled.evaluated():
            replace(path, lambda written: self.model.save_weights(written))

    def _best(self) -> dict[str, float] | None:
        """Return the epoch with the best goal; of equal ones the first."""
        sign = (self.task.metric(self.task.goal) or Metric()).sign
        goals = [(row.get(self.task.goal), row) for row in self.history]
        known = [(goal, row) for goal, row in goals if goal is not None and np.isfinite(goal)]
        return max(known, key=lambda pair: sign * pair[0], default=(None, None))[1]

    def _record(self, status: str, reason: str | None) -> Record:
        return Record(
            name=self.plan.name,
            label=self.plan.label,
            config=self.plan.config,
            seed=self.plan.seed,
            status=status,
            reason=reason,
            steps=self.step,
            updates=int(self.compiled.updates()),
            skipped_updates=self.compiled.counted("skipped"),
            epochs=self.history,
            final=self.history[-1] if self.history else None,
            best=self._best(),
            goal=self.task.goal,
            metrics={name: dataclasses.asdict(m) for name, m in self.task.metrics.items()},
            counted=self._counted,
            seconds=self.seconds,
            restarts=self.restarts,
            parameters=self.model.count_params(),
            cost=self._cost(),
            **records.environment(),
        )

    def _cost(self) -> dict[str, Any] | None:
        """Return what the bits have cost; only the layers, if none of them could be counted."""
        quantized = precision.find(self.model)
        if quantized is None:
            return None
        cost = quantized.cost()
        return cost.summary() if cost.is_counted else {"uncounted": list(cost.uncounted)}


def _next(evaluate: Callable[[Any], object], data: Iterator[Any]) -> None:
    evaluate(next(data))
