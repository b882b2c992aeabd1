"""The one training loop of the project: a setting in, a run directory and one result record out.

`fit` cannot go on in the middle of an epoch, loses the position in the data, and is broken under
`MultiWorkerMirroredStrategy`; so the loop has a compiled step of its own, in `trainers.compiled`,
run by ``strategy.run``, several data steps a call. It drives the Keras callbacks that `fit` drives,
by the same rules: it sets `train_step` and `make_train_function` on the model, makes the function
before `on_train_begin`, and uses ``model.train_function`` after it, so that a callback may attach
schedules or wrap the step and ask for a new trace.

A `Setting` contributes a model, data, a loss and metrics, and nothing else. The loop knows nothing
of images or labels: a batch is whatever the data gives and `forward` takes.

Two numbers count: the *data step*, by which a run ends and data are ordered, and the *update*
(``optimizer.iterations``), which schedules read. They differ where loss scaling skips an update.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from keras_sched import precision
from trainers import records
from trainers.checkpoints import Checkpoint, CheckpointError, Checkpoints
from trainers.compiled import Compiled
from trainers.files import sync
from trainers.progress import Progress
from trainers.setting import Plan, Setting
from trainers.state import restore, snapshot

__all__ = ["Experiment", "NonFiniteError", "Preempted", "StalledError"]

# Loss scaling halves its scale at each skipped update: after this many in a row it is past hope.
_MOST_SKIPS = 25


class NonFiniteError(ArithmeticError):
    """A loss or a gradient is not finite: training has diverged."""


class StalledError(ArithmeticError):
    """Loss scaling skipped so many updates in a row that the run would end without training."""


class Preempted(SystemExit):
    """The process was asked to end; it has saved, and the same command goes on."""


class Experiment:
    """One run of a setting.

    Args:
        setting: What is trained.
        plan: How.
        callbacks: Keras callbacks; those with `get_state` and `set_state` go on where they were.
        strategy: A `tf.distribute` strategy; the current one if None.
        compiled: What an experiment before this one has traced, if both can share it (see
            `Compiled.begin`); then `strategy` is its own.
    """

    def __init__(
        self,
        setting: Setting,
        plan: Plan,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        strategy: tf.distribute.Strategy | None = None,
        compiled: Compiled | None = None,
    ) -> None:
        self.setting = setting
        self.plan = plan
        self.compiled = compiled or Compiled(plan.l2, strategy)
        self._callbacks = list(callbacks)
        self._checkpoints = Checkpoints(plan.directory / "checkpoints", plan.keep)
        self._asked_to_end: int | None = None
        self._next_save = time.monotonic() + plan.seconds_per_checkpoint
        self.history: list[dict[str, float]] = []
        self.seconds = {"train": 0.0, "evaluation": 0.0, "checkpoint": 0.0}
        self.restarts = 0

    # --- the run ---------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Train to the end, from the beginning or from the last checkpoint; return the record.

        Returns:
            The record. Its status is "finished", "diverged" or "stalled". Of a run that is over
            already it is the one on disk.

        Raises:
            CheckpointError: If there are checkpoints and none can be gone on from.
            Preempted: If the process received SIGTERM or Ctrl-C; everything is saved. Its code is
                128 and the number of the signal.
        """
        path = self.plan.directory / "record.json"
        with self._locked():
            record = records.read(path)
            if record is not None:
                return record
            self._build()
            self._note_start()
            status, reason = "finished", None
            try:
                with self._watching_signals(), Progress(self.total_steps, self.step) as progress:
                    self._train(progress)
            except (NonFiniteError, StalledError) as error:
                status = "diverged" if isinstance(error, NonFiniteError) else "stalled"
                reason = str(error)
                self._list.on_train_end()  # Callbacks leave the model as they found it.
            records.write(path, self._record(status, reason))
            return records.read(path) or {}

    def timed(self, calls: int = 3) -> dict[str, float]:
        """Measure what a run takes here, and leave nothing on disk.

        Args:
            calls: Calls that are timed; their median counts. Of an evaluation as many batches are
                timed, and the others taken to be alike.

        Returns:
            "trace", "step" and "evaluation" in seconds: until the first step and the first batch of
            an evaluation have run, of one data step, and of one evaluation.
        """
        self.compiled.begin(self.setting, self.plan.seed, self.total_steps)
        self._make_list()
        began = time.monotonic()
        self.model.make_train_function()
        self._list.on_train_begin()
        batches = iter(self.compiled.distributed(self.setting.train(0)))
        self._list.on_epoch_begin(0)
        self._list.on_train_batch_begin(0)  # A policy by schedule begins here.
        self._call(batches, 1)
        data = self.setting.evaluation()
        evaluated = iter(data.repeat())
        evaluate = self.compiled.test_function()
        evaluate(next(evaluated))
        trace = time.monotonic() - began
        count = self.plan.steps_per_call if _seconds(lambda: self._call(batches, 1)) < 0.1 else 1
        step = [_seconds(lambda: self._call(batches, count)) / count for _ in range(calls)]
        batch = [_seconds(lambda: evaluate(next(evaluated))) for _ in range(calls)]
        self._list.on_train_end()
        return {
            "trace": trace,
            "step": statistics.median(step),
            "evaluation": statistics.median(batch) * int(data.cardinality()),
        }

    @property
    def total_steps(self) -> int:
        """Data steps of the whole run."""
        return self.plan.epochs * self.setting.steps_per_epoch

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
        self.compiled.begin(self.setting, self.plan.seed, self.total_steps)
        self._make_list()
        self._resume()

    def _make_list(self) -> None:
        self._list = keras.callbacks.CallbackList(
            self._callbacks,
            model=self.model,
            epochs=self.plan.epochs,
            steps=self.setting.steps_per_epoch,
        )

    def _train(self, progress: Progress) -> None:
        if self.restarts:
            progress.say(f"going on from step {self.step} of {self.total_steps}")
        self.model.make_train_function()
        self._list.on_train_begin()
        batches = iter(self.compiled.distributed(self.setting.train(self.step)))
        with self._writer().as_default():
            while self.step < self.total_steps and not self.model.stop_training:
                self._epoch(batches, progress)
        self._list.on_train_end()

    def _epoch(self, batches: Iterator[Any], progress: Progress) -> None:
        """Train to the end of the present epoch, evaluate, log and save."""
        epoch, begin = divmod(self.step, self.setting.steps_per_epoch)
        if begin == 0:
            self.compiled.reset_means()
        self._list.on_epoch_begin(epoch)
        while begin < self.setting.steps_per_epoch:
            count = self._steps_of_call(begin)
            self._list.on_train_batch_begin(begin)
            logs = self._call(batches, count)
            begin += count
            self._list.on_train_batch_end(begin - 1, logs)
            if progress.is_live:
                progress.update(self.step, {**logs, **self.compiled.live_values()})
            self._stop_unless_sound()
            if begin < self.setting.steps_per_epoch:
                self._save_within_epoch(begin)
        self._end_epoch(epoch, progress)
        if self._asked_to_end or time.monotonic() >= self._next_save:
            self._save()
        self._end_if_asked()

    def _steps_of_call(self, begin: int) -> int:
        """Return how many steps to the next end: of a call, of the epoch or at a checkpoint."""
        ends = [self.plan.steps_per_call, self.setting.steps_per_epoch - begin]
        if self.plan.steps_per_checkpoint:
            ends.append(self.plan.steps_per_checkpoint - begin % self.plan.steps_per_checkpoint)
        return min(ends)

    def _call(self, batches: Iterator[Any], count: int) -> dict[str, float]:
        began = time.monotonic()
        logs = self.model.train_function(batches, tf.constant(count, tf.int64))
        logs = {name: float(value) for name, value in logs.items()}
        self.seconds["train"] += time.monotonic() - began
        return logs

    def _end_epoch(self, epoch: int, progress: Progress) -> None:
        logs = self.compiled.means_of(training=True)
        logs.update(self._evaluate())
        values = self.compiled.live_values()
        lost = [name for name, mean in logs.items() if not np.isfinite(mean)]
        if lost:
            raise NonFiniteError(
                f"{', '.join(lost)} is not finite after data step {self.step}, with {values}. The "
                f"last checkpoint is kept."
            )
        for callback in self._list.callbacks:  # Keras' list would hand them a copy of the logs.
            callback.on_epoch_end(epoch, logs)
        step = self.step
        self.history.append({"epoch": epoch, "step": step, **logs, **values})
        # One event for all: joined bytes of messages are a message with the fields of all.
        scalars = [scalar_pb(*item).SerializeToString() for item in {**logs, **values}.items()]
        tf.summary.experimental.write_raw_pb(b"".join(scalars), step=step)
        tf.summary.flush()
        progress.epoch(epoch + 1, self.plan.epochs, step, {**logs, **values})

    def _stop_unless_sound(self) -> None:
        bad = self.compiled.counted("bad_step")
        if bad >= 0:
            raise NonFiniteError(
                f"The loss or a gradient is not finite at data step {bad}, with "
                f"{self.compiled.live_values()}. The last checkpoint is kept."
            )
        if self.compiled.counted("most_skips") > _MOST_SKIPS:
            raise StalledError(
                f"Loss scaling skipped more than {_MOST_SKIPS} updates in a row, up to data step "
                f"{self.step}: gradients overflow at any scale."
            )

    def _evaluate(self) -> dict[str, float]:
        began = time.monotonic()
        evaluate = self.compiled.test_function()
        self.compiled.reset_means(training=False)
        self._list.on_test_begin()
        for batch in self.compiled.distributed(self.setting.evaluation()):
            evaluate(batch)
        logs = self.compiled.means_of(training=False)
        self._list.on_test_end(logs)
        self.seconds["evaluation"] += time.monotonic() - began
        return logs

    # --- saving and going on ---------------------------------------------------------------------

    def _save_within_epoch(self, begin: int) -> None:
        every = self.plan.steps_per_checkpoint
        if self._asked_to_end or (every and begin % every == 0):
            self._save()
        self._end_if_asked()

    def _end_if_asked(self) -> None:
        if self._asked_to_end:
            logging.warning("Saved at step %d; the same command goes on.", self.step)
            raise Preempted(128 + self._asked_to_end)

    def _save(self) -> None:
        began = time.monotonic()
        state = {
            "config": self.plan.config,
            "history": self.history,
            "seconds": self.seconds,
            "callbacks": [
                callback.get_state() if hasattr(callback, "get_state") else None
                for callback in self._callbacks
            ],
            **records.environment(),
        }
        self._checkpoints.save(Checkpoint(self.step, snapshot(self.compiled.variables), state))
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
            for key in {*state["config"], *self.plan.config}
            if state["config"].get(key) != self.plan.config.get(key)
        )
        if differing:
            raise CheckpointError(
                f"The checkpoints in {self.plan.directory} are of another configuration. "
                f"Differing: {', '.join(differing)}"
            )
        restore(self.compiled.variables, checkpoint.arrays)
        self.history = list(state["history"])
        self.seconds = dict(state["seconds"])
        for callback, saved in zip(self._callbacks, state["callbacks"], strict=True):
            if saved is not None:
                callback.set_state(saved)

    def _note_start(self) -> None:
        """Add this start to the run's list, so that one killed before it saves is counted too."""
        path = self.plan.directory / "starts.jsonl"
        self.restarts = len(path.read_text().splitlines()) if path.exists() else 0
        with open(path, "a") as file:
            file.write(json.dumps({"step": self.step, **records.environment()}) + "\n")
            sync(file)

    def _record(self, status: str, reason: str | None) -> dict[str, Any]:
        sign = 1.0 if self.setting.goal_mode == "max" else -1.0
        known = [row for row in self.history if np.isfinite(row.get(self.setting.goal, np.nan))]
        best = max(known, key=lambda row: sign * row[self.setting.goal], default=None)
        return {
            "name": self.plan.name,
            "config": self.plan.config,
            "seed": self.plan.seed,
            "status": status,
            "reason": reason,
            "steps": self.step,
            "updates": int(self.compiled.updates()),
            "skipped_updates": self.compiled.counted("skipped"),
            "epochs": self.history,
            "final": self.history[-1] if self.history else None,
            "best": best,
            "goal": self.setting.goal,
            "seconds": self.seconds,
            "restarts": self.restarts,
            "parameters": self.model.count_params(),
            "cost": self._cost(),
            **records.environment(),
        }

    def _cost(self) -> dict[str, Any] | None:
        """Return what the bits have cost; only the layers, if none of them could be counted."""
        quantized = precision.find(self.model)
        if quantized is None:
            return None
        cost = quantized.cost()
        return cost.summary() if cost.is_counted else {"uncounted": list(cost.uncounted)}

    # --- the surroundings ------------------------------------------------------------------------

    def _writer(self) -> Any:
        return tf.summary.create_file_writer(str(self.plan.directory / "tensorboard"))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time work in the run directory."""
        self.plan.directory.mkdir(parents=True, exist_ok=True)
        with open(self.plan.directory / ".lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RuntimeError(
                    f"Another process is training in {self.plan.directory}. Wait for it, or give "
                    f"another `--logdir` or `--seed`."
                ) from error
            yield

    @contextlib.contextmanager
    def _watching_signals(self) -> Iterator[None]:
        """Turn SIGTERM and Ctrl-C into a wish that the loop fulfils after the present call."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Only the main thread of a process may handle signals.
            return
        before: dict[int, Any] = {}

        def restore_handlers() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def ask(number: int, frame: object) -> None:
            self._asked_to_end = number
            restore_handlers()  # Asked again, the process ends at once.

        before.update({n: signal.signal(n, ask) for n in (signal.SIGTERM, signal.SIGINT)})
        try:
            yield
        finally:
            restore_handlers()


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
