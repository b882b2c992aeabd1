"""The event file of a run, written without TensorFlow.

One file has all that is logged of a run: of two that grow in one directory some readers see the
newer one only.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.image import metadata as images
from tensorboard.plugins.scalar import metadata as scalars
from tensorboard.plugins.text import metadata as texts
from tensorboard.summary.writer.record_writer import RecordWriter

from tensorboard_plugins.schedules.layout import PLUGIN

__all__ = [
    "EventFile",
    "Value",
    "hyperparameters",
    "image",
    "scalar",
    "table",
    "text",
    "words",
]

Value: TypeAlias = "summary_pb2.Summary.Value"
_Value = summary_pb2.Summary.Value
_NUMBERS = itertools.count()
_SCALAR = scalars.create_summary_metadata(display_name="", description="")
_TEXT = texts.create_summary_metadata(display_name="", description="")
_IMAGE = images.create_summary_metadata(display_name="", description="")
_OWN = summary_pb2.SummaryMetadata(
    plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=PLUGIN),
    data_class=summary_pb2.DATA_CLASS_TENSOR,
)
_KINDS = {np.dtype(np.float32): types_pb2.DT_FLOAT, np.dtype(np.float64): types_pb2.DT_DOUBLE}


class EventFile:
    """A new file of events in a directory, which is made.

    Args:
        directory: The directory of the run.

    Raises:
        OSError: If the disk does not take it.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        place = pathlib.Path(directory)
        place.mkdir(parents=True, exist_ok=True)
        seconds, rest = divmod(time.time_ns(), 10**9)
        # No two processes, and no two files of one, have the same name. Files are read in the order
        # of their names, and the last one says what is true now.
        own = f"{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self.path = place / f"events.out.tfevents.{seconds:010d}.{rest:09d}.{own}.v2"
        self._file = open(self.path, "xb")  # noqa: SIM115
        self._writer = RecordWriter(self._file)
        self._write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        self.flush()

    def add(self, values: Sequence[Value], step: int) -> None:
        """Add one event with some values.

        Raises:
            OSError: If the disk does not take it.
        """
        summary = summary_pb2.Summary(value=values)
        self._write(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Hand what was added to the disk.

        Raises:
            OSError: If the disk does not take it.
        """
        with self._said():
            self._writer.flush()

    def close(self) -> None:
        """Write what is left, and close the file; doing so twice is allowed.

        Raises:
            OSError: If the disk does not take it.
        """
        with self._said():
            self._writer.close()

    def _write(self, event: event_pb2.Event) -> None:
        with self._said():
            self._writer.write(event.SerializeToString())

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Say what could not be written, if so."""
        try:
            yield
        except OSError as error:
            said = f"TensorBoard cannot be written: {error.strerror}"
            raise OSError(error.errno, said, str(self.path)) from error


def scalar(tag: str, value: float) -> Value:
    """Return a number for the tabs of scalars."""
    # float32 alone is read by all data servers.
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[value])
    return _Value(tag=tag, tensor=tensor, metadata=_SCALAR)


def text(tag: str, said: str) -> Value:
    """Return a text, Markdown, for the tab of texts."""
    return _Value(tag=tag, tensor=_strings([said.encode()], []), metadata=_TEXT)


def image(tag: str, png: bytes, width: int, height: int) -> Value:
    """Return an image for the tab of images."""
    parts = [str(width).encode(), str(height).encode(), png]
    return _Value(tag=tag, tensor=_strings(parts, [3]), metadata=_IMAGE)


def hyperparameters(config: Mapping[str, Any], group: str) -> Value:
    """Return a configuration for the tab of hyperparameters.

    Args:
        config: By name; what is no number or text is shown as JSON.
        group: What runs have in common that differ in their seeds alone.
    """
    columns = {
        name: value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for name, value in config.items()
    }
    (found,) = hparams_pb(columns, trial_id=group).value
    return found


def table(tag: str, numbers: np.ndarray) -> Value:
    """Return numbers of this plugin, float32 or float64."""
    tensor = tensor_pb2.TensorProto(dtype=_KINDS[numbers.dtype], tensor_content=numbers.tobytes())
    for size in numbers.shape:
        tensor.tensor_shape.dim.add(size=size)
    return _Value(tag=tag, tensor=tensor, metadata=_OWN)


def words(tag: str, said: bytes) -> Value:
    """Return a text of this plugin."""
    return _Value(tag=tag, tensor=_strings([said], []), metadata=_OWN)


def _strings(parts: Sequence[bytes], sizes: Sequence[int]) -> tensor_pb2.TensorProto:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=parts)
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    return tensor
