"""What people look at besides numbers: images and texts of a task, and what a run is.

Written to the present writer of TensorBoard, and as files to the directory of the run.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from trainers.loop.files import replace
from trainers.loop.task import Plan

__all__ = ["board", "describe", "log", "show"]

# What TensorFlow says where Python raises an `OSError`.
_NUMBERS = {
    tf.errors.NotFoundError: errno.ENOENT,
    tf.errors.PermissionDeniedError: errno.EACCES,
    tf.errors.ResourceExhaustedError: errno.ENOSPC,
    tf.errors.OutOfRangeError: errno.EFBIG,
    tf.errors.FailedPreconditionError: errno.ENOTDIR,
    tf.errors.UnknownError: errno.EIO,
}


@contextlib.contextmanager
def _raising_os_errors() -> Iterator[None]:
    """Raise an `OSError` where the writer of TensorBoard cannot write, as all else that writes."""
    try:
        yield
    except tuple(_NUMBERS) as error:
        said = error.message.splitlines()[0].rpartition("}} ")[2].partition(" [Op:")[0]
        raise OSError(_NUMBERS[type(error)], f"TensorBoard cannot be written: {said}") from error


@contextlib.contextmanager
def board(directory: pathlib.Path) -> Iterator[None]:
    """Write what is logged to the events of a directory.

    Raises:
        OSError: If the disk does not take them.
    """
    with _raising_os_errors():
        writer = tf.summary.create_file_writer(str(directory))
    default = writer.as_default()
    default.__enter__()
    try:
        yield
    finally:
        try:
            with _raising_os_errors():
                writer.flush()
        finally:
            # Closed first: one that cannot be written would stay the default.
            writer.close()
            default.__exit__(None, None, None)


@_raising_os_errors()
def log(values: Mapping[str, float], step: int) -> None:
    """Log values by name, and write all that was logged to the disk.

    Raises:
        OSError: If the disk does not take it.
    """
    # One event for all: joined bytes of messages are a message with the fields of all.
    scalars = [scalar_pb(*item).SerializeToString() for item in values.items()]
    tf.summary.experimental.write_raw_pb(b"".join(scalars), step=step)
    tf.summary.flush()


@_raising_os_errors()
def describe(plan: Plan) -> None:
    """Log the configuration of a run: as text, and as hyperparameters."""
    text = json.dumps(plan.config, indent=1)
    tf.summary.text("configuration", f"```json\n{text}\n```", step=0)
    # TensorBoard has a column for each: what is no number or text is shown as JSON.
    columns = {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in plan.config.items()
    }
    hparams.hparams(columns, trial_id=plan.directory.name)


@_raising_os_errors()
def show(found: Mapping[str, np.ndarray | str], directory: pathlib.Path, step: int) -> None:
    """Log what a task shows at the end of an epoch.

    Args:
        found: Images, uint8 of shape `(height, width, channels)`, and texts, by name.
        directory: Where the files go; made if there are any.
        step: The data step.

    Raises:
        ValueError: If a value is neither an image nor a text, or a name is no part of a path.
        OSError: If the disk does not take it.
    """
    for name, value in found.items():
        if not name.replace("-", "_").isidentifier():
            raise ValueError(f"An artefact must have a plain name. Received: {name!r}")
        directory.mkdir(parents=True, exist_ok=True)
        if isinstance(value, str):
            tf.summary.text(name, value, step=step)
            replace(directory / f"{name}.txt", functools.partial(_write, data=value.encode()))
        elif value.dtype == np.uint8 and value.ndim == 3 and value.shape[-1] in (1, 3):
            tf.summary.image(name, value[None], step=step)
            png = tf.io.encode_png(value).numpy()
            replace(directory / f"{name}.png", functools.partial(_write, data=png))
        else:
            raise ValueError(
                f"An artefact must be a text, or uint8 of shape (height, width, 1 or 3). "
                f"Received: {name!r}, {value.dtype} of shape {value.shape}"
            )


def _write(path: pathlib.Path, data: bytes) -> None:
    path.write_bytes(data)
