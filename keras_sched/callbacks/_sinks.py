"""Where logged rows go: a CSV file and TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_sched._extras import load
from keras_sched._files import replace_file

__all__ = ["Board", "Csv"]


class Csv:
    """A CSV file that only grows, in blocks of whole lines."""

    def __init__(self, path: Path, resume: bool) -> None:
        self._path = path
        self._resume = resume
        self._first_step: int | None = None
        self._is_open = False
        self._check_absent()

    def begin(self, first_step: int) -> None:
        """Begin a training; its columns are known with its first rows."""
        if not self._is_open:
            self._first_step = first_step

    def write(self, rows: dict[str, np.ndarray]) -> None:
        """Append rows; nine digits bring back the same float32."""
        if not self._is_open:
            self._open(",".join(rows))
        columns = [
            [format(value, "d" if name == "step" else ".9g") for value in column.tolist()]
            for name, column in rows.items()
        ]
        text = "".join(",".join(row) + "\n" for row in zip(*columns, strict=True))
        # One write, unbuffered: a process that is killed later has left it in the file.
        with open(self._path, "ab", buffering=0) as file:
            file.write(text.encode())

    def _open(self, header: str) -> None:
        """Write the header, or continue the file of the same columns before the first step."""
        self._check_absent()
        lines = [header]
        if self._path.exists():
            text = self._path.read_text()
            whole = text[: text.rfind("\n") + 1].splitlines()  # a kill may have torn the last line
            if whole and whole[0] != header:
                raise ValueError(
                    f"`csv` must have the columns of this training to be continued: {header}. "
                    f"Received: {self._path} with {whole[0]}"
                )
            first = self._first_step or 0
            lines += [line for line in whole[1:] if int(line.partition(",")[0]) < first]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, "\n".join(lines) + "\n")
        self._is_open = True

    def _check_absent(self) -> None:
        if not self._is_open and not self._resume and self._path.exists():
            raise FileExistsError(
                f"`csv` must not exist yet. Received: csv='{self._path}'. Name another file, or "
                f"continue this one with `resume=True`."
            )


class Board:
    """Event files of TensorBoard; a block of rows is one call into the runtime."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer: Any = None
        self._write: Any = None

    def write(self, rows: dict[str, np.ndarray]) -> None:
        """Write every column over the steps."""
        names = [name for name in rows if name != "step"]
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._directory))
            self._write = self._function(names)
        self._write(
            tf.constant(rows["step"], tf.int64), tf.constant(np.stack([rows[n] for n in names], 1))
        )
        self._writer.flush()

    def close(self) -> None:
        """End the file; a further training begins another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _function(self, names: list[str]) -> Any:
        # Summaries written one by one from Python cost as much as a small training step. In a loop
        # of the runtime `tf.summary.scalar` would put the loop's name before the tag.
        scalars = load(
            "tensorboard.plugins.scalar.metadata", what="`tensorboard=`", extra="trainers"
        )
        writer = self._writer
        metadata = scalars.create_summary_metadata(display_name="", description="")

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int64),
                tf.TensorSpec([None, len(names)], tf.float32),
            ],
            autograph=False,
        )
        def write(steps: Any, values: Any) -> None:
            def body(i: Any) -> list[Any]:
                with writer.as_default():
                    for column, name in enumerate(names):
                        tf.summary.write(
                            f"step/{name}", values[i, column], step=steps[i], metadata=metadata
                        )
                return [i + 1]

            tf.while_loop(
                lambda i: i < tf.size(steps), body, [tf.constant(0)], parallel_iterations=1
            )

        return write
