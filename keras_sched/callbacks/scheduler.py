"""The callback that schedules an already compiled model, with the length of the run read off `fit`.

Learning rate, momentum and the bits of a quantized model share its one clock. It only attaches and
detaches: the values are computed inside the compiled step (see `keras_sched.hyperparameters` and
`keras_sched.precision`), so they are exact under any `steps_per_execution`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_sched import _validate
from keras_sched.duration import Run
from keras_sched.hyperparameters import Attachment, attach, groups
from keras_sched.precision.attach import BITS, Quantized, find, handles
from keras_sched.schedules import Schedule

__all__ = ["Scheduler"]


class Scheduler(keras.callbacks.Callback):
    """Schedule hyperparameters of a compiled model's optimizer while it is fitted.

    The run's length is ``epochs * steps`` of `fit`; a schedule without a length takes it. When
    training ends the optimizer is left as it was found. Keras tells no callback of a training that
    raised, as by Ctrl-C: until the next `fit` with a `Scheduler` the schedules stay, and `restore`
    takes them off before one without.

    Args:
        learning_rate: Schedule of the learning rate, or None.
        per: What the schedules count under gradient accumulation: "update" or "micro".
        first_step: Value of ``optimizer.iterations`` at which the schedules begin, at least 0. To
            schedule a second `fit` of the same model, give ``int(model.optimizer.iterations)``.
        batch_size: Samples of a batch, for lengths in samples.
        seconds_per_step: Measured seconds of a step, for lengths in seconds.
        groups: For a `MultiOptimizer`: a mapping of its optimizers' names to mappings of
            hyperparameters to schedules.
        bits: Schedule of the bits of weights and activations of a model that
            `ks.precision.quantize` has quantized; one of them alone is `weight_bits`,
            `activation_bits` or `gradient_bits`.
        **schedules: Schedules of other hyperparameters, as `momentum`, `beta_1`, `weight_decay`.

    Raises:
        TypeError: If a value is no schedule.
        ValueError: If nothing is scheduled or an option is out of its range; when training begins,
            if the optimizer has no such hyperparameter, cannot schedule it, the model whose bits
            are scheduled is not quantized, or `fit` does not know its number of steps.

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
        per: str = "update",
        first_step: int = 0,
        batch_size: int | None = None,
        seconds_per_step: float | None = None,
        groups: Mapping[str, Mapping[str, Schedule]] | None = None,
        bits: Schedule | None = None,
        **schedules: Schedule,
    ) -> None:
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
        self.schedules = schedules
        self.run: Run | None = None
        self._per = _validate.choice("per", per, ("update", "micro"))
        self._first_step = _validate.integer("first_step", first_step)
        self._facts = Run(steps=1, batch_size=batch_size, seconds_per_step=seconds_per_step)
        self._attachment: Attachment | None = None
        self._quantized: Quantized | None = None
        self._following: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Attach the schedules and have the training step traced with them."""
        self.run = self._count(self.model.optimizer)
        resolved = {name: item.resolve(self.run) for name, item in self.schedules.items()}
        bits = {name: resolved.pop(name) for name in ("bits", *BITS) if name in resolved}
        options: dict[str, Any] = {"per": self._per, "first_step": self._first_step}
        quantized = self._find_quantized(bits)
        self._attachment = attach(self.model.optimizer, schedules=resolved, **options)
        if quantized is not None:
            try:
                self._following = quantized.attach(bits, optimizer=self.model.optimizer, **options)
            except (TypeError, ValueError):
                self._attachment.detach()
                raise
            self._quantized = quantized
        self._forget_evaluation()
        self.model.make_train_function(force=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.restore()

    def restore(self) -> None:
        """Leave the optimizer as it was found; only a training that was interrupted needs it."""
        if self._attachment is not None:
            self._attachment.detach()
            self._attachment = None
            if self._quantized is not None:
                self._following.detach()
                self._quantized = self._following = None
            # The compiled step has the schedules in it: the next `fit` must trace its own.
            self.model.train_function = None
            self._forget_evaluation()

    def _forget_evaluation(self) -> None:
        """Have evaluation traced anew, which has the bits in it, also where a part has them."""
        if self.schedules.keys() & {"bits", *BITS}:
            self.model.test_function = self.model.predict_function = None

    def _find_quantized(self, names: Any) -> Quantized | None:
        """Return the handle; without bits to schedule, that which may follow a lost training."""
        if not names:
            owners = handles(self.model)
            return owners[0] if len(owners) == 1 else None
        found = find(self.model)
        if found is None:
            raise ValueError(
                f"Only a quantized model has bits to schedule. Received: {', '.join(names)} for "
                f"{self.model.name!r}. Quantize it first: `ks.precision.quantize(model)`."
            )
        return found

    def _count(self, optimizer: Any) -> Run:
        """Return the facts of this run, in steps of the schedules' clock."""
        if optimizer is None:
            raise ValueError("`Scheduler` needs a compiled model. Received: a model not compiled")
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        if not epochs or not steps:
            raise ValueError(
                f"`Scheduler` must know the run's length, and `fit` does not know its steps. "
                f"Received: epochs={epochs}, steps={steps}. Give `fit(..., steps_per_epoch=...)`, "
                f"or data of known length."
            )
        parts = list(groups(optimizer).values())
        micro = {part.gradient_accumulation_steps or 1 for part in parts}
        per_update = micro.pop() if len(micro) == 1 and self._per == "update" else 1
        total = epochs * steps // per_update
        if total < 1:
            raise ValueError(
                f"The run must have at least one update. Received: {epochs * steps} steps with "
                f"gradient_accumulation_steps={per_update}"
            )
        count = parts[0].iterations if self._per == "update" else parts[0]._iterations
        done = int(keras.ops.convert_to_numpy(count))
        if done >= self._first_step + total:
            raise ValueError(
                f"The schedules would be over before training begins. Received: an optimizer with "
                f"iterations={done} and a run of {total}. To begin them now give "
                f"`Scheduler(..., first_step={done})`."
            )
        batch = self._facts.batch_size
        return Run(
            steps=total,
            steps_per_epoch=max(steps // per_update, 1),
            batch_size=None if batch is None else batch * per_update,
            seconds_per_step=self._facts.seconds_per_step,
        )
