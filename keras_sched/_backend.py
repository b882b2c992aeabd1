"""Which parts of the library need TensorFlow as the backend of Keras."""

from __future__ import annotations

import keras

__all__ = ["check_tensorflow"]


def check_tensorflow(what: str) -> None:
    """Raise a RuntimeError if Keras computes with another backend than TensorFlow.

    Args:
        what: What needs it, as "`Scheduler`", the subject of a sentence.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"{what} needs the TensorFlow backend of Keras. Received: backend={backend!r}. "
            f"With this backend a schedule can be the learning rate of a Keras optimizer, as "
            f"`keras.optimizers.SGD(ks.REX(0.1, steps=1000))`. For all else set the environment "
            f"variable KERAS_BACKEND=tensorflow before Keras is imported."
        )
