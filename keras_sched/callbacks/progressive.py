"""Precision that grows when the loss stalls: a rule with a memory, so a callback, no schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_sched import _validate
from keras_sched._backend import check_tensorflow
from keras_sched.precision.attach import Quantized, find
from keras_sched.precision.checks import rising_bits

__all__ = ["ProgressivePrecision"]

# Epochs whose mean loss is the scale that a change of the loss is measured by.
_SCALE_EPOCHS = 10


class ProgressivePrecision(keras.callbacks.Callback):
    r"""Climb to the next rung of bits each time the training loss has stalled.

    With L_1 ... L_w the losses of the last w epochs on this rung, and S the mean loss of the first
    ten epochs of the training, a rung is left when ``|L_i - L_w| / S < threshold`` for every i < w.
    Then the losses are forgotten, and the threshold is multiplied by `decay`. Bits are values at
    run time: no rung traces anything anew.

    A training that begins with epoch 0 begins on the first rung; one that goes on, with
    ``initial_epoch`` or after `set_state`, goes on where it was.

    Args:
        bits: Bits of weights and activations on each rung, in [2, 16], not falling.
        gradient_bits: Bits of gradients on each rung, as many as `bits`; None leaves them alone.
        threshold: Relative change of the loss below which it has stalled; above 0.
        decay: Factor of the threshold at each rung, in (0, 1].
        window: Epochs that are compared, w, at least 2.

    Raises:
        RuntimeError: If Keras computes with another backend than TensorFlow.
        TypeError: If a number is none.
        ValueError: If a number is out of range, or the rungs do not climb; when training begins, if
            the model is not quantized, what is to climb is in full precision or scheduled, or the
            last rung has more bits than the dtype that a layer computes in.

    Example:
        >>> import keras, numpy as np, keras_sched as ks
        >>> model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> handle = ks.precision.quantize(
        ...     model, weights=3, activations=3, gradients=6, layers="all"
        ... )
        >>> climb = ProgressivePrecision(
        ...     (3, 8), gradient_bits=(6, 8), threshold=1e9, window=2
        ... )
        >>> x = np.ones([4, 1])
        >>> _ = model.fit(x, x, epochs=2, verbose=0, callbacks=[climb])
        >>> {name: float(bits) for name, bits in handle.current().items()}
        {'weight_bits': 8.0, 'activation_bits': 8.0, 'gradient_bits': 8.0}

    References:
        Fu et al., "FracTrain" (arXiv 2012.13113), progressive fractional quantization; rungs, rule
        and values of the released code, whose epochs are of 400 steps.
    """

    def __init__(
        self,
        bits: Sequence[int] = (3, 4, 6, 8),
        *,
        gradient_bits: Sequence[int] | None = (6, 6, 8, 8),
        threshold: float = 0.05,
        decay: float = 0.3,
        window: int = 5,
    ) -> None:
        check_tensorflow("`ProgressivePrecision`")
        super().__init__()
        self.bits = rising_bits("bits", bits)
        self.gradient_bits = (
            None if gradient_bits is None else rising_bits("gradient_bits", gradient_bits)
        )
        if self.gradient_bits is not None and len(self.gradient_bits) != len(self.bits):
            raise ValueError(
                f"`gradient_bits` must have a rung for each of `bits`. Received: "
                f"bits={self.bits}, gradient_bits={self.gradient_bits}"
            )
        self.threshold = _validate.real("threshold", threshold, low=0.0, open_low=True)
        self.decay = _validate.real("decay", decay, low=0.0, high=1.0, open_low=True)
        self.window = _validate.integer("window", window, low=2)
        self._handle: Quantized | None = None
        self._rung = 0
        self._losses: list[float] = []
        self._first: list[float] = []
        self._has_begun = self._is_set = False

    @property
    def rung(self) -> int:
        """The number of the present rung, from 0."""
        return self._rung

    def get_state(self) -> dict[str, Any]:
        """Return the rung and the losses it is judged by."""
        return {"rung": self._rung, "losses": list(self._losses), "first": list(self._first)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` returned.

        Raises:
            ValueError: If there is no such rung.
        """
        rung = _validate.integer("rung", state["rung"])
        if rung >= len(self.bits):
            raise ValueError(f"`rung` must be below {len(self.bits)}. Received: rung={rung}")
        self._rung = rung
        self._losses, self._first = list(state["losses"]), list(state["first"])
        self._is_set = True

    def on_train_begin(self, logs: Any = None) -> None:
        """Find the handle of the model and set the bits of the present rung."""
        self._handle = find(self.model)
        if self._handle is None:
            raise ValueError(
                f"`ProgressivePrecision` needs a quantized model. Received: {self.model.name!r}. "
                f"Quantize it first: `ks.precision.quantize(model)`."
            )
        self._has_begun = False
        self._assign()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin on the first rung, if this is the first epoch of a new training."""
        if self._has_begun:
            return
        self._has_begun = True
        if epoch == 0 and not self._is_set:
            self._rung, self._losses, self._first = 0, [], []
            self._assign()
        self._is_set = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Judge the loss of the epoch."""
        if logs is None or "loss" not in logs:
            raise ValueError(
                f"`ProgressivePrecision` needs the loss in the logs of an epoch. Received: {logs!r}"
            )
        loss = float(logs["loss"])
        if len(self._first) < _SCALE_EPOCHS:
            self._first.append(loss)
        self._losses = [*self._losses, loss][-self.window :]
        if self._rung + 1 < len(self.bits) and self._has_stalled():
            self._rung += 1
            self._losses = []
            self._assign()

    def _has_stalled(self) -> bool:
        if len(self._losses) < self.window:
            return False
        scale = sum(self._first) / len(self._first)
        limit = self.threshold * self.decay**self._rung * abs(scale)
        return all(abs(loss - self._losses[-1]) < limit for loss in self._losses[:-1])

    def _assign(self) -> None:
        plan = {"weights": self.bits, "activations": self.bits, "gradients": self.gradient_bits}
        climbing = [
            (name, getattr(self._handle, name), rungs)
            for name, rungs in plan.items()
            if rungs is not None
        ]
        for name, width, rungs in climbing:
            if width is None:
                raise ValueError(
                    f"`{name}` cannot climb, as they are in full precision. Expected "
                    f"`quantize(..., {name}={rungs[0]})`."
                )
            if width.source is not None:
                raise ValueError(
                    f"`{name}` cannot climb, as they follow {width.source.schedule!r}. Release "
                    f"them first: `ks.precision.find(model).detach_schedules()`."
                )
            width.check(rungs[-1])  # Now, not when it gets there.
        for _, width, rungs in climbing:
            width.assign(rungs[self._rung])
