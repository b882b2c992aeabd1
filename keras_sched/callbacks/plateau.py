"""Lower the learning rate when a metric stops improving, whatever the learning rate is.

Keras' ReduceLROnPlateau assigns the learning rate, so it raises on a schedule, and it forgets its
best value and its counters when a training is resumed. `Plateau` is a factor beside the schedule:

    learning rate used = schedule(step) * multiplier
"""

from __future__ import annotations

import functools
import math
import os
import re
from typing import Any

import keras
import numpy as np
from keras.src.utils import io_utils  # how Keras' callbacks print

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched._training import Member
from keras_sched._use import Use, check_optimizer, mark_numbers, optimizer_of
from keras_sched.hyperparameters import current, driver_of, groups

__all__ = ["Plateau"]

# Whole words of a metric's name that say which way is better.
_LOW_IS_GOOD = frozenset(
    {"crossentropy", "error", "loss", "mae", "mape", "mse", "msle", "perplexity", "rmse"}
)
_HIGH_IS_GOOD = frozenset(
    {"acc", "accuracy", "auc", "f1", "iou", "map", "precision", "r2", "recall"}
)


class Plateau(Member):
    """Multiply the learning rate by `factor` after `patience` epochs without improvement.

    It composes with a number, a schedule and `keras_sched.Scheduler`, in any order of callbacks, in
    every group of a MultiOptimizer. With a constant learning rate it does what Keras'
    ReduceLROnPlateau does.

    A training that begins with epoch 0 begins with multiplier 1, as `Scheduler` begins at step 0;
    one that goes on, with ``initial_epoch`` or `BackupAndRestore`, goes on with the state. The
    multiplier, the best value and the counters are kept on the model: weight files and checkpoints
    (`save_weights`, BackupAndRestore, `.keras`) hold them, and stay loadable by a model without
    Plateau; a file without them leaves them as they are. Put `Plateau` before a callback that saves
    at the end of the epoch, or the file holds the state of one epoch earlier. A further `fit`
    without Plateau has the full learning rate again.

    Args:
        monitor: Name of the metric in the logs of an epoch. Epochs without it are passed over when
            it begins with "val_", as validation may be rare.
        factor: What the multiplier is multiplied by, in (0, 1).
        patience: Epochs without improvement before that, at least 0 (0 and 1 are alike).
        verbose: 0 is silent, 1 prints each reduction.
        mode: "min" if lower is better, "max" if higher; "auto" knows it from whole words of the
            name, as "val_loss" or "top_accuracy".
        min_delta: Changes up to this are no improvement; at least 0.
        cooldown: Epochs after a reduction in which none is counted as bad; at least 0.
        min_lr: Lower bound of the learning rate; at least 0. It never raises what a schedule says.
        optimizer: The optimizer to act on; by default the one that the model is compiled with.
        name: Tells the states of several on one model apart.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, "auto" does not know the metric, or the metric
            is not in the logs; after the first batch, if the training step does not use the
            optimizer. A metric that is not a number counts as no improvement.
        RuntimeError: If Keras computes with another backend than TensorFlow.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(1e-12), loss="mse")
        >>> plateau = Plateau("loss", factor=0.5, patience=2)
        >>> x = np.ones([4, 1], "float32")
        >>> _ = model.fit(x, x, epochs=5, verbose=0, callbacks=[plateau])
        >>> plateau.get_state()["multiplier"]
        0.25
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        optimizer: keras.optimizers.Optimizer | None = None,
        name: str = "plateau",
    ) -> None:
        check_tensorflow("`Plateau`")
        super().__init__()
        if not isinstance(monitor, str) or not monitor:
            raise TypeError(
                f"`monitor` must be the name of a metric. Received: monitor={monitor!r}"
            )
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"`name` must be an identifier. Received: name={name!r}")
        check_optimizer(optimizer)
        self.monitor = monitor
        self.factor = _validate.real(
            "factor", factor, low=0.0, high=1.0, open_low=True, open_high=True
        )
        self.patience = _validate.integer("patience", patience)
        self.verbose = _validate.integer("verbose", verbose)
        self.mode = _direction(monitor, _validate.choice("mode", mode, ("auto", "min", "max")))
        self.min_delta = _validate.real("min_delta", min_delta, low=0.0)
        self.cooldown = _validate.integer("cooldown", cooldown)
        self.min_lr = _validate.real("min_lr", min_lr, low=0.0)
        self.name = name
        self._given = optimizer
        self._optimizer: Any = None
        self._use: Use | None = None
        self._has_begun = self._is_set = self._seen = False

    # --- state --------------------------------------------------------------------------------

    def get_state(self) -> dict[str, float]:
        """Return the multiplier, the best value (NaN before the first) and both counters."""
        return self._state.get()

    def set_state(self, state: dict[str, float]) -> None:
        """Take over what `get_state` returned.

        Raises:
            ValueError: If a key is missing or unknown.
        """
        self._state.set(state)
        self._is_set = True

    def reset(self) -> None:
        """Begin anew: multiplier 1, no best value, counters 0."""
        self._state.set(_PlateauState.INITIAL)

    def restore(self, model: keras.Model, path: str | os.PathLike[str]) -> None:
        """Load weights with the state of Plateau from `.weights.h5` or `.keras` into `model`.

        `keras.models.load_model` makes a model that does not know of Plateau yet; this does.
        """
        self.set_model(model)
        model.load_weights(path)
        self._is_set = True

    @property
    def _state(self) -> _PlateauState:
        if self.model is None:
            raise ValueError(
                "The state of Plateau is kept on its model, which is not known yet. "
                "Pass the callback to `fit`, or call `set_model(model)` first."
            )
        return vars(self.model)[self._attribute]

    @property
    def _attribute(self) -> str:
        return f"_keras_sched_{self.name}"

    # --- Keras' hooks -------------------------------------------------------------------------

    def set_model(self, model: keras.Model) -> None:
        # All callbacks get the model before any training begins: the state is there when
        # BackupAndRestore loads it. Past Keras' tracking, so that it is no weight of the model.
        super().set_model(model)
        if self._attribute not in vars(model):
            with model.distribute_strategy.scope():
                vars(model)[self._attribute] = _PlateauState(self.name)

    def on_train_begin(self, logs: Any = None) -> None:
        with self.joined() as training:
            self._seen = self._has_begun = False
            self._optimizer = optimizer_of(self, self._given)
            multiplier = self._state.multiplier
            for part in groups(self._optimizer).values():
                driver = driver_of(part)
                driver.multiply("learning_rate", multiplier, self.min_lr or None)
                training.on_undo(
                    self, functools.partial(driver.unmultiply, "learning_rate", multiplier)
                )
            mark_numbers(training, self._optimizer)
            key = (self._optimizer, self._state, self.min_lr)
            training.mark(f"multiplier {self.name} of {id(self._optimizer)}", key)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        training = self.under_way()
        if self._has_begun or training is None:
            return
        self._has_begun = True
        # Only now: a callback that restores a training does so when it begins.
        self._use = Use("Plateau", training, self._optimizer)
        if epoch == 0 and not self._is_set:
            self.reset()
        self._is_set = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.under_way()
        if self._use is not None and self._use.check():
            self._use = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        rates = {
            name: float(value)
            for name, value in current(self._optimizer).items()
            if name.rpartition("/")[2] == "learning_rate"
        }
        logs.update(rates)
        if self.monitor in logs:
            self._seen = True
            self._judge(float(logs[self.monitor]), max(rates.values()), epoch)
        elif not self.monitor.startswith("val_"):
            raise self._absent(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.leave()
        if not self._seen and logs:
            raise self._absent(logs)

    # --- the rule -----------------------------------------------------------------------------

    def _judge(self, value: float, rate: float, epoch: int) -> None:
        """Judge the metric of an epoch, at whose end the learning rate was `rate`."""
        state = self._state.get()
        cooling = state["cooldown"] > 0
        if cooling:
            state["cooldown"] -= 1
            state["wait"] = 0
            cooling = state["cooldown"] > 0
        if self._improves(value, state["best"]):
            state["best"] = value
            state["wait"] = 0
        elif not cooling:
            state["wait"] += 1
            if state["wait"] >= self.patience and rate > np.float32(self.min_lr):
                state["multiplier"] *= self.factor
                state["cooldown"] = self.cooldown
                state["wait"] = 0
                if self.verbose:
                    io_utils.print_msg(
                        f"\nEpoch {epoch + 1}: Plateau multiplies the learning rate by "
                        f"{state['multiplier']:g}."
                    )
        self._state.set(state)

    def _improves(self, value: float, best: float) -> bool:
        if math.isnan(value):
            return False
        if math.isnan(best):
            return True
        return (
            value + self.min_delta < best if self.mode == "min" else value - self.min_delta > best
        )

    def _absent(self, logs: dict[str, Any]) -> ValueError:
        return ValueError(
            f"`monitor` must be in the logs of an epoch. Received: monitor='{self.monitor}'. "
            f"There are: {', '.join(sorted(logs))}. A 'val_' metric needs `validation_data`."
        )


class _PlateauState(keras.Operation):
    """What Plateau remembers, in a form that Keras saves with the model it hangs on."""

    KEYS = ("multiplier", "best", "wait", "cooldown")
    INITIAL = {"multiplier": 1.0, "best": math.nan, "wait": 0.0, "cooldown": 0.0}  # noqa: RUF012

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.multiplier = keras.Variable(1.0, dtype="float32", trainable=False, name=name)
        self._values = dict(self.INITIAL)

    def get(self) -> dict[str, float]:
        """Return a copy of the state."""
        return dict(self._values)

    def set(self, state: dict[str, float]) -> None:
        """Take over a state, and show the training step its multiplier."""
        if set(state) != set(self.KEYS):
            raise ValueError(
                f"The state of Plateau must have the keys {', '.join(self.KEYS)}. "
                f"Received: {', '.join(sorted(state))}"
            )
        self._values = {key: float(state[key]) for key in self.KEYS}
        self.multiplier.assign(self._values["multiplier"])

    def save_own_variables(self, store: Any) -> None:
        """Write the state as one float64 array."""
        store["state"] = np.array([self._values[key] for key in self.KEYS], np.float64)

    def load_own_variables(self, store: Any) -> None:
        """Read the state, if the file was written by a model with Plateau."""
        if "state" in store:
            self.set(dict(zip(self.KEYS, np.asarray(store["state"]).tolist(), strict=True)))


def _direction(monitor: str, mode: str) -> str:
    if mode != "auto":
        return mode
    words = set(re.split(r"[^a-z0-9]+", monitor.lower()))
    lower, higher = bool(words & _LOW_IS_GOOD), bool(words & _HIGH_IS_GOOD)
    if lower == higher:
        raise ValueError(
            f"`mode` must be 'min' or 'max' for a metric whose name does not tell. "
            f"Received: monitor='{monitor}', mode='auto'"
        )
    return "min" if lower else "max"
