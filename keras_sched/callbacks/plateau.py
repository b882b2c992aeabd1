"""Lower the learning rate when a metric stops improving, whatever else schedules it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from keras_sched import _validate
from keras_sched.hyperparameters import driver_of, groups

__all__ = ["Plateau"]


class Plateau(keras.callbacks.Callback):
    """Multiply the learning rate by `factor` when a metric has stopped improving.

    The learning rate of a step is ``rate(step) * multiplier``: `rate` is whatever the optimizer
    has, a number, a schedule or a `ks.Scheduler`; the multiplier is a variable that the compiled
    step reads. Its state is part of the model's: it is in ``.keras`` and ``.weights.h5`` files that
    are written while the callback is on the model, so `BackupAndRestore` brings it back; files
    without it load as ever, and files with it load into a model without the callback.

    To continue a saved model: ``plateau.set_model(model)``, then ``model.load_weights(path)``.

    Args:
        monitor: Name of the metric in the epoch's logs.
        factor: What the multiplier is multiplied by, in (0, 1).
        patience: Epochs without improvement after which it is; at least 0, which acts as 1.
        mode: "min" or "max": whether lower or higher is better.
        min_delta: Least change that is an improvement; at least 0.
        cooldown: Epochs after a reduction in which none are counted; at least 0.
        low: Lowest multiplier; at least 0.

    Raises:
        ValueError: If an argument is out of its range; at the end of an epoch, if the metric is not
            in its logs.

    Example:
        >>> plateau = Plateau("val_loss", factor=0.5, patience=2)
        >>> plateau.get_state()["multiplier"]
        1.0

    References:
        `keras.callbacks.ReduceLROnPlateau`, which sets the learning rate itself (and so refuses
        schedules), and forgets its state when training is continued.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "min",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        low: float = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(monitor, str):
            raise TypeError(f"`monitor` must be a metric's name. Received: monitor={monitor!r}")
        self.monitor = monitor
        self.factor = _validate.real(
            "factor", factor, low=0.0, high=1.0, open_low=True, open_high=True
        )
        self.patience = _validate.integer("patience", patience)
        self.mode = _validate.choice("mode", mode, ("min", "max"))
        self.min_delta = _validate.real("min_delta", min_delta, low=0.0)
        self.cooldown = _validate.integer("cooldown", cooldown)
        self.low = _validate.real("low", low, low=0.0, high=1.0)
        self._memory = _Memory(math.inf if mode == "min" else -math.inf)

    # --- state ---------------------------------------------------------------------------------

    def get_state(self) -> dict[str, float]:
        """Return the state as numbers: multiplier, best, wait, cooldown."""
        return self._memory.read()

    def set_state(self, state: dict[str, float]) -> None:
        """Take on a state that `get_state` returned.

        Raises:
            ValueError: If its keys are others.
        """
        self._memory.write(state)

    # --- the callback --------------------------------------------------------------------------

    def set_model(self, model: keras.Model) -> None:
        """Make the state part of the model's, so that loading the model brings it back."""
        super().set_model(model)
        held = getattr(model, "_plateau", None)
        if held is not None and held is not self._memory:
            # The same place in the model's files: a new callback continues where the last one was.
            self._memory.write(held.read())
        object.__setattr__(model, "_plateau", self._memory)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Let the compiled step read the multiplier."""
        for part in groups(self.model.optimizer).values():
            driver_of(part).multiply("learning_rate", self._memory.multiplier)
        self.model.make_train_function(force=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the optimizer as it was found; the state stays with the model."""
        for part in groups(self.model.optimizer).values():
            driver_of(part).unmultiply("learning_rate", self._memory.multiplier)
        self.model.train_function = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the epochs without improvement and lower the multiplier when they are enough."""
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"`monitor` must be a metric of the epoch. Received: monitor={self.monitor!r}. "
                f"Expected one of: {', '.join(sorted(logs or {}))}"
            )
        value = float((logs or {})[self.monitor])
        state = self._memory.read()
        cooling = state["cooldown"] > 0
        if cooling:
            state["cooldown"] -= 1
            state["wait"] = 0.0
        if self._is_better(value, state["best"]):
            state["best"], state["wait"] = value, 0.0
        elif state["cooldown"] == 0:
            state["wait"] += 1
            if state["wait"] >= self.patience and state["multiplier"] > self.low:
                state["multiplier"] = max(state["multiplier"] * self.factor, self.low)
                state["cooldown"], state["wait"] = float(self.cooldown), 0.0
        self._memory.write(state)

    def _is_better(self, value: float, best: float) -> bool:
        if self.mode == "min":
            return value < best - self.min_delta
        return value > best + self.min_delta


class _Memory(keras.layers.Layer):
    """What a plateau remembers: a layer for Keras' saving only, which finds it on the model.

    The model does not track it, so its weights are those of a model without a plateau.
    """

    _NAMES = ("multiplier", "best", "wait", "cooldown")

    def __init__(self, worst: float) -> None:
        super().__init__(name="plateau")
        self.multiplier = self.add_weight(
            name="multiplier", shape=(), initializer="ones", trainable=False, dtype="float32"
        )
        self._numbers = {"best": worst, "wait": 0.0, "cooldown": 0.0}

    def read(self) -> dict[str, float]:
        return {"multiplier": float(self.multiplier), **self._numbers}

    def write(self, state: dict[str, float]) -> None:
        if set(state) != set(self._NAMES):
            raise ValueError(
                f"The state of a plateau has the keys {', '.join(self._NAMES)}. "
                f"Received: {', '.join(sorted(state))}"
            )
        self.multiplier.assign(state["multiplier"])
        self._numbers.update({name: float(state[name]) for name in self._NAMES[1:]})

    def save_own_variables(self, store: Any) -> None:
        store["state"] = np.array([self.read()[name] for name in self._NAMES])

    def load_own_variables(self, store: Any) -> None:
        if "state" in store:
            self.write(dict(zip(self._NAMES, np.asarray(store["state"]).tolist(), strict=True)))
