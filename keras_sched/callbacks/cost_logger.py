"""The callback that logs what a quantized training has cost so far."""

from __future__ import annotations

from typing import Any

import keras

from keras_sched._backend import check_tensorflow
from keras_sched.precision.attach import Quantized, find

__all__ = ["CostLogger"]


class CostLogger(keras.callbacks.Callback):
    """Log the bit operations of a quantized training, epoch by epoch.

    Adds to the logs, and so to History and TensorBoard: "bitops", the BitOPs of training so far;
    "relative_to_fp32", over those in float32; "effective_bits", the one width of that cost. All
    are emulated: no time is saved on hardware without such numbers. Put it before callbacks that
    read the logs.

    Args:
        quantized_only: Whether layers left in full precision are left out, as in the papers.

    Raises:
        RuntimeError: If Keras computes with another backend than TensorFlow.
        ValueError: When training begins, if the model is not quantized; after the first batch, if
            the operations of no layer are known, or none multiplies.

    Example:
        >>> import keras, numpy as np, keras_sched as ks
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> handle = ks.precision.quantize(model, gradients=8, layers="all")
        >>> x, y = np.ones([4, 4]), np.ones([4, 2])
        >>> history = model.fit(x, y, verbose=0, callbacks=[CostLogger()])
        >>> history.history["effective_bits"]
        [8.0]
    """

    def __init__(self, *, quantized_only: bool = False) -> None:
        check_tensorflow("`CostLogger`")
        super().__init__()
        self._quantized_only = quantized_only
        self._handle: Quantized | None = None
        self._is_checked = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Find the handle of the model."""
        self._handle = find(self.model)
        self._is_checked = False
        if self._handle is None:
            raise ValueError(
                f"`CostLogger` needs a quantized model. Received: {self.model.name!r}. Quantize it "
                f"first: `ks.precision.quantize(model)`."
            )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Check after the first batch that there is a cost to log."""
        if not self._is_checked:
            self._costs()
            self._is_checked = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the cost so far to the logs of the epoch."""
        if self._handle is not None and logs is not None:
            logs.update(self._costs())

    def get_state(self) -> dict[str, Any]:
        """Return what it knows: nothing, as the handle counts."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take on nothing."""

    def _costs(self) -> dict[str, float]:
        if self._handle is None:
            raise RuntimeError("`on_train_begin` must be called before the first batch.")
        cost = self._handle.cost()
        cost = cost.quantized_only() if self._quantized_only else cost
        return {
            "bitops": cost.bitops_train,
            "relative_to_fp32": cost.relative_to_fp32,
            "effective_bits": cost.effective_bits,
        }
