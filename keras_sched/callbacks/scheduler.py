"""The callback that schedules an already compiled model, with the length of the run read off `fit`.

Learning rate, momentum and the bits of a quantized model share its one clock. It only attaches and
detaches: the values are computed inside the compiled step (see `keras_sched.hyperparameters` and
`keras_sched.precision`), so they are exact under any `steps_per_execution`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import keras

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched._patch import forget_functions
from keras_sched._training import Member
from keras_sched._use import Use, check_optimizer, mark_numbers, optimizer_of
from keras_sched.duration import Run
from keras_sched.hyperparameters import attach, begin, driver_of, groups
from keras_sched.precision.attach import BITS, Quantized, find
from keras_sched.precision.rules import walk
from keras_sched.schedules import Schedule

__all__ = ["Scheduler"]


class Scheduler(Member):
    """Schedule hyperparameters of a compiled model's optimizer while it is fitted.

    The run's length is ``epochs * steps`` of `fit`; a schedule without a length takes it. Schedules
    begin where the training begins, whatever ``optimizer.iterations`` says: when epoch e is the
    first, they stand at e times the steps of an epoch. So a second `fit`, or one of a loaded model,
    begins at their step 0, and one with ``initial_epoch=e``, or after `BackupAndRestore`, goes on
    where epoch e begins.

    When training ends, or anything in it raises, the optimizer is left as it was found.

    Args:
        learning_rate: Schedule of the learning rate, or None.
        optimizer: The optimizer to schedule; by default the one that the model is compiled with.
            Models with several optimizers take one `Scheduler` for each.
        per: What the schedules count under gradient accumulation: "update" or "micro".
        first_step: Value of ``optimizer.iterations`` at which the schedules are at their step 0; at
            least 0. By default they begin with the training, as above.
        batch_size: Samples of a batch, for lengths in samples.
        seconds_per_step: Measured seconds of a step, for lengths in seconds.
        updates_per_batch: Updates that the optimizer makes in a batch of `fit`; above 0. Another
            number than 1 is for training steps of your own, as 5 for a critic that is updated five
            times.
        groups: For a `MultiOptimizer`: a mapping of its optimizers' names to mappings of
            hyperparameters to schedules.
        bits: Schedule of the bits of weights and activations of a model that
            `ks.precision.quantize` has quantized; one of them alone is `weight_bits`,
            `activation_bits` or `gradient_bits`.
        **schedules: Schedules of other hyperparameters, as `momentum`, `beta_1`, `weight_decay`.

    Raises:
        TypeError: If a value is no schedule.
        ValueError: If nothing is scheduled or an option is out of its range; when training begins,
            if the optimizer has no such hyperparameter or cannot schedule it, the model whose bits
            are scheduled is not quantized, or a length needs the number of steps and `fit` does
            not know it; after the first batch, if the training step does not use the optimizer or
            what is scheduled of it.
        RuntimeError: If Keras computes with another backend than TensorFlow.

    Example:
        >>> import keras, numpy as np, keras_sched as ks
        >>> model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        >>> scheduler = ks.Scheduler(
        ...     learning_rate=ks.REX(0.1).warmup("1ep"), momentum=ks.Demon(0.9)
        ... )
        >>> x, y = np.ones((8, 2)), np.ones((8, 1))
        >>> _ = model.fit(x, y, batch_size=2, epochs=3, verbose=0, callbacks=[scheduler])
        >>> scheduler.run.steps, model.optimizer.momentum
        (12, 0.9)
    """

    def __init__(
        self,
        learning_rate: Schedule | None = None,
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        per: str = "update",
        first_step: int | None = None,
        batch_size: int | None = None,
        seconds_per_step: float | None = None,
        updates_per_batch: float = 1,
        groups: Mapping[str, Mapping[str, Schedule]] | None = None,
        bits: Schedule | None = None,
        **schedules: Schedule,
    ) -> None:
        check_tensorflow("`Scheduler`")
        super().__init__()
        if learning_rate is not None:
            schedules["learning_rate"] = learning_rate
        if bits is not None:
            schedules["bits"] = bits
        for group, members in (groups or {}).items():
            schedules.update({f"{group}/{name}": item for name, item in members.items()})
        if not schedules:
            raise ValueError("`Scheduler` needs a schedule, as `learning_rate=...`. Received: none")
        for name, item in schedules.items():
            if not isinstance(item, Schedule):
                raise TypeError(f"`{name}` must be a schedule. Received: {name}={item!r}")
        check_optimizer(optimizer)
        self.schedules = schedules
        self.run: Run | None = None
        self._given = optimizer
        self._per = _validate.choice("per", per, ("update", "micro"))
        self._first_step = (
            None if first_step is None else _validate.integer("first_step", first_step)
        )
        self._updates_per_batch = _validate.real(
            "updates_per_batch", updates_per_batch, low=0.0, open_low=True
        )
        self._facts = Run(steps=1, batch_size=batch_size, seconds_per_step=seconds_per_step)
        self._resolved: dict[str, Schedule] = {}
        self._optimizer: Any = None
        self._state: dict[str, int] | None = None
        self._has_begun = False
        self._first_batch: int | None = None
        self._use: Use | None = None

    # --- state ------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, int]:
        """Return the counts of the optimizer at which the schedules began, by group.

        For a loop that goes on within an epoch; `fit` needs nothing.
        """
        if self._optimizer is None:
            return {}
        return {
            group: int(keras.ops.convert_to_numpy(driver_of(part).offset(self._per)))
            for group, part in groups(self._optimizer).items()
        }

    def set_state(self, state: dict[str, int]) -> None:
        """Let the schedules of the next training begin at the counts that `get_state` returned."""
        self._state = dict(state) or None

    # --- Keras' hooks -----------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Attach the schedules; the training step is traced with them."""
        with self.joined() as training:
            self._optimizer = optimizer = optimizer_of(self, self._given)
            self._has_begun, self._first_batch, self._use = False, None, None
            self.run = self._count(optimizer)
            self._resolved = {name: item.resolve(self.run) for name, item in self.schedules.items()}
            rest = dict(self._resolved)
            bits = {name: rest.pop(name) for name in ("bits", *BITS) if name in rest}
            options: dict[str, Any] = {"per": self._per, "first_step": self._first_step}
            quantized = self._find_quantized(bits) if bits else None
            training.on_undo(self, attach(optimizer, schedules=rest, **options).detach)
            training.on_undo(self, self._forget_state)
            if quantized is not None:
                attachment = quantized.attach(bits, optimizer=optimizer, retrace=False, **options)
                training.on_undo(self, attachment.detach)
                self._forget_parts()
                training.on_undo(self, self._forget_parts)
            mark_numbers(training, optimizer)
            for name, schedule in self._resolved.items():
                training.mark(
                    f"{name} of {id(optimizer)}",
                    (optimizer, schedule, self._per, self._first_step),
                    evaluation=name in bits,
                )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Let the schedules stand where this epoch begins, if it is the first of the training."""
        training = self.under_way()
        if not self._has_begun and training is not None:
            # Only now: a callback that restores a training does so when it begins.
            self._begin(epoch)
            every_batch = self._updates_per_batch == 1
            self._use = Use("Scheduler", training, self._optimizer, every_batch=every_batch)
            self._has_begun = True

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._first_batch is None:
            self._first_batch = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check after the first batch that what is scheduled is used."""
        self.under_way()
        if self._use is not None and self._use.check():
            self._check_pace(self._use, batches=batch + 1 - (self._first_batch or 0))
            self._use = None

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.leave()

    def _forget_state(self) -> None:
        self._state = None

    # --- the clock --------------------------------------------------------------------------------

    def _count(self, optimizer: Any) -> Run:
        """Return the facts of this run, in steps of the schedules' clock."""
        epochs, steps = self.parameters.get("epochs"), self.parameters.get("steps")
        pace = self._pace(optimizer)
        total = math.floor(epochs * steps * pace) if epochs and steps else None
        if total is not None and total < 1:
            raise ValueError(
                f"The run must have at least one update. Received: {epochs * steps} batches with "
                f"{float(pace):g} updates in each"
            )
        batch = self._facts.batch_size
        run = Run(
            steps=total,
            steps_per_epoch=float(steps * pace) if steps else None,
            batch_size=None if batch is None else float(batch / pace),
            seconds_per_step=self._facts.seconds_per_step,
        )
        if total is None:
            self._check_lengths(run)
        return run

    def _pace(self, optimizer: Any) -> Fraction:
        """Return how many steps of the clock a batch of `fit` takes, exactly."""
        # A number as 0.3 or 1/3 is what it is written as, not the binary fraction next to it.
        calls = Fraction(self._updates_per_batch).limit_denominator(1_000_000)
        if self._per == "micro":
            return calls
        micro = {part.gradient_accumulation_steps or 1 for part in groups(optimizer).values()}
        if len(micro) > 1 and not all(item.is_resolved for item in self.schedules.values()):
            raise ValueError(
                f"The groups of the optimizer must accumulate over the same number of batches, so "
                f"that the run has one number of updates. Received: "
                f"gradient_accumulation_steps={sorted(micro)}. Give lengths in steps, or "
                f"`Scheduler(..., per='micro')`."
            )
        return calls / (micro.pop() if len(micro) == 1 else 1)

    def _check_lengths(self, run: Run) -> None:
        """Raise a ValueError if a schedule needs the number of steps, which `fit` does not know."""
        for name, item in self.schedules.items():
            try:
                item.resolve(run)
            except ValueError as error:
                raise ValueError(
                    f"The schedule of `{name}` needs the run's length, and `fit` does not know the "
                    f"number of its steps. Received: {item!r} ({error}). Give "
                    f"`fit(..., steps_per_epoch=...)`, data of known length (as by "
                    f"`tf.data.experimental.assert_cardinality`), or lengths in steps."
                ) from error

    def _begin(self, epoch: int) -> None:
        """Let the schedules stand where an epoch begins."""
        optimizer, steps = self._optimizer, self.parameters.get("steps")
        if self._first_step is not None:
            parts = groups(optimizer).values()
            counts = [int(keras.ops.convert_to_numpy(driver_of(p).count(self._per))) for p in parts]
            at = max(counts[0] - self._first_step, 0)
        elif self._state is not None:
            state, self._state = self._state, None
            if set(state) != set(groups(optimizer)):
                raise ValueError(
                    f"The state must have a count for each group of the optimizer. Received: "
                    f"{sorted(state)}. Expected: {sorted(groups(optimizer))}"
                )
            for group, part in groups(optimizer).items():
                driver_of(part).offset(self._per).assign(state[group])
            return
        elif epoch and not steps:
            raise ValueError(
                f"The schedules cannot tell where epoch {epoch} begins, as `fit` does not know the "
                f"steps of an epoch. Received: initial_epoch={epoch}. Give "
                f"`fit(..., steps_per_epoch=...)`, or `Scheduler(..., first_step=...)`."
            )
        else:
            at = math.floor(epoch * steps * self._pace(optimizer)) if epoch else 0
            begin(optimizer, step=at, per=self._per)
        self._check_end(at, epoch)

    def _check_end(self, at: int, epoch: int) -> None:
        """Say so once if the run goes on after a learning rate has come to 0."""
        epochs, steps = self.parameters.get("epochs"), self.parameters.get("steps")
        if not epochs or not steps:
            return
        end = at + math.floor((epochs - epoch) * steps * self._pace(self._optimizer))
        for name, schedule in self._resolved.items():
            span = schedule.span
            is_rate = name.rpartition("/")[2] == "learning_rate"
            if is_rate and span is not None and span < end and float(schedule(span)) == 0.0:
                warnings.warn(
                    f"The schedule of `{name}` is at 0 from its step {span} on, and the training "
                    f"ends at step {end}: the last {end - max(span, at)} steps change nothing. "
                    f"Received: {self.schedules[name]!r}",
                    stacklevel=2,
                )

    def _check_pace(self, use: Use, batches: int) -> None:
        """Raise a ValueError if the optimizer makes more updates than was counted, or fewer."""
        calls, expected = use.calls(), batches * self._updates_per_batch
        if all(item.is_resolved for item in self.schedules.values()):
            return
        found = (
            f"Received: updates_per_batch={self._updates_per_batch:g}, and {calls} updates of "
            f"{self._optimizer.name!r} in {batches} batches."
        )
        if calls > expected:
            raise ValueError(
                f"`updates_per_batch` must be what the training step does, or the schedules end "
                f"too early. {found} Give `Scheduler(..., "
                f"updates_per_batch={Fraction(calls, batches)})`."
            )
        if not calls and self._updates_per_batch == 1 and not use.is_scaled:
            raise ValueError(
                f"`updates_per_batch` must be what the training step does, or the schedules do not "
                f"reach their end. {found} Give `Scheduler(..., updates_per_batch=...)`, as 0.2 "
                f"for an update in every fifth batch."
            )

    # --- bits -------------------------------------------------------------------------------------

    def _find_quantized(self, names: Any) -> Quantized:
        found = find(self.model)
        if found is None:
            raise ValueError(
                f"Only a quantized model has bits to schedule. Received: {', '.join(names)} for "
                f"{self.model.name!r}. Quantize it first: `ks.precision.quantize(model)`."
            )
        return found

    def _forget_parts(self) -> None:
        """Have the functions of parts that are models traced anew, which have the bits in them."""
        for part in walk(self.model):
            if part is not self.model:
                forget_functions(part)
