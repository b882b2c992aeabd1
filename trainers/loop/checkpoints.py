"""Checkpoints that a kill at any moment cannot hurt.

A checkpoint is a directory ``step_00001234/`` with ``arrays.npz``, ``state.json`` and a
``MANIFEST.json`` of its step and of their sizes and SHA-256. It is written under a name that
nothing else has or had, flushed to the disk and renamed: a directory with this name and a manifest
that agrees is complete, and nothing else is trusted. A damaged one is set aside as
``step_00001234.corrupt`` and the one before is used. Nothing is deleted but the oldest of more than
`keep` and what was half written.

What the disk does not give at this moment is not damaged: such an error goes to the caller.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from trainers.loop.files import digest, remove, sync, sync_directory, temporary
from trainers.loop.typed import typed

__all__ = ["Checkpoint", "CheckpointError", "Checkpoints", "LoopState"]

SCHEMA = 2
_NAME = re.compile(r"step_([0-9]{8,})\Z")
_FILES = ("arrays.npz", "state.json")
_MANIFEST = "MANIFEST.json"
_MEANS = "means/"
_CLOCKS = {"train", "evaluation", "checkpoint"}
# There is something else than a file in its place, or nothing.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)


class CheckpointError(RuntimeError):
    """There are checkpoints, but training cannot go on from them."""


@dataclasses.dataclass(frozen=True)
class LoopState:
    """What the loop remembers besides its variables; JSON-able.

    Attributes:
        config: What makes the run what it is.
        history: What was logged at the end of each epoch.
        means: What the host holds of the running means: sums of values, and of weights.
        seconds: "train", "evaluation" and "checkpoint".
        callbacks: The state of each callback; None for one that has none.
        stopped: Whether a callback has ended the training, with the epoch.
        counted: Of how many each metric is that is a count, by its name.
        logged: The state of the board; None for none.
        versions: Of Python and the packages.
        hardware: What it ran on.

    Raises:
        ValueError: If an epoch does not say its number and step, or seconds are no times.
    """

    config: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    means: Sequence[Sequence[float]]
    seconds: Mapping[str, float]
    callbacks: Sequence[Any]
    stopped: bool = False
    counted: Mapping[str, int] = dataclasses.field(default_factory=dict)
    logged: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hardware: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for number, row in enumerate(self.history):
            if row.get("epoch") != number or not isinstance(row.get("step"), int):
                raise ValueError(
                    f"`history` must have each epoch in turn, with its step. "
                    f"Received: {dict(row)} as number {number}"
                )
        if set(self.seconds) != _CLOCKS or not all(
            0.0 <= each < math.inf for each in self.seconds.values()
        ):
            raise ValueError(
                f"`seconds` must be times of {', '.join(sorted(_CLOCKS))}. "
                f"Received: seconds={dict(self.seconds)}"
            )


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved at a step: arrays by name, and the state of the loop."""

    step: int
    arrays: Mapping[str, np.ndarray]
    state: LoopState


class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: Where they are; made when the first is saved, in a directory that exists.
        keep: How many are kept; at least 1.
    """

    def __init__(self, directory: pathlib.Path, keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"`keep` must be at least 1. Received: keep={keep}")
        self._directory = directory
        self._keep = keep

    def save(self, checkpoint: Checkpoint) -> pathlib.Path:
        """Write a checkpoint and return its directory; one of the same step is left as it is.

        Raises:
            CheckpointError: If an array other than a running mean is not finite, or one is of
                objects: a checkpoint must be worth going on from, and safe to read.
            OSError: If the disk does not take it; those before it are as they were.
        """
        for name, array in checkpoint.arrays.items():
            _check_array(name, array, checkpoint.step)
        final = self._directory / _name(checkpoint.step)
        if final.exists():
            return final
        self._directory.mkdir(exist_ok=True)
        written = temporary(self._directory, final.name)
        try:
            written.mkdir()
            _write(written, checkpoint)
            os.rename(written, final)
        finally:  # Also where the disk is full: what is half written need not stay there.
            shutil.rmtree(written, ignore_errors=True)
        sync_directory(self._directory)
        self._prune()
        return final

    def latest(self) -> Checkpoint | None:
        """Return the newest good checkpoint, or None where none was ever saved.

        Raises:
            CheckpointError: If there are checkpoints and all are damaged, or the newest was written
                by another version. Training does not begin anew then: who means that moves the
                directory away.
            OSError: If the disk does not give what is there.
        """
        for step, directory in reversed(self._steps()):
            try:
                return _read(directory, step)
            except ValueError as error:
                aside = _free_name(directory)
                logging.error(
                    "Damaged checkpoint %s (%s); set aside as %s", directory, error, aside.name
                )
                os.rename(directory, aside)
        left = [path for path in self._entries() if not path.name.startswith(".")]
        if left:
            raise CheckpointError(
                f"No checkpoint is left to go on from. Found: {', '.join(map(str, left[:3]))}"
                f"{f' and {len(left) - 3} more' if len(left) > 3 else ''}. "
                f"To train from the beginning, move {self._directory} away."
            )
        return None

    def _entries(self) -> list[pathlib.Path]:
        try:
            return sorted(self._directory.iterdir())
        except FileNotFoundError:
            return []

    def _steps(self) -> list[tuple[int, pathlib.Path]]:
        """Return what has the name of a checkpoint, in the order of the steps."""
        named = [
            (int(match[1]), path) for path in self._entries() if (match := _NAME.match(path.name))
        ]
        return sorted((step, path) for step, path in named if path.name == _name(step))

    def _prune(self) -> None:
        for _, old in self._steps()[: -self._keep]:
            # Under another name first: one that is half deleted must not look like a checkpoint.
            away = temporary(self._directory, old.name)
            os.rename(old, away)
            remove(away)


def _name(step: int) -> str:
    return f"step_{step:08d}"


def _free_name(directory: pathlib.Path) -> pathlib.Path:
    """Return where a damaged checkpoint is set aside, beside others of the same step."""
    number, aside = 1, directory.with_name(f"{directory.name}.corrupt")
    while os.path.lexists(aside):
        number += 1
        aside = directory.with_name(f"{directory.name}.corrupt-{number}")
    return aside


def _check_array(name: str, array: np.ndarray, step: int) -> None:
    if array.dtype.hasobject:
        raise CheckpointError(f"A checkpoint must be of numbers. Received: `{name}` of objects")
    # The floating types that NumPy does not have itself, as bfloat16, are of the kind "V".
    with contextlib.suppress(TypeError):
        # A metric may be undefined, and so its mean: nothing is computed from it.
        if not name.startswith(_MEANS) and not np.isfinite(array).all():
            raise CheckpointError(f"A checkpoint must be finite. Received: `{name}` at step {step}")


def _write(directory: pathlib.Path, checkpoint: Checkpoint) -> None:
    with open(directory / "arrays.npz", "wb") as file:
        arrays: Any = dict(checkpoint.arrays)
        # Without `allow_pickle`: before NumPy 2.1 that would be the name of an array.
        np.savez(file, **arrays)
        sync(file)
    _write_json(directory / "state.json", dataclasses.asdict(checkpoint.state))
    files = {name: _fingerprint(directory / name) for name in _FILES}
    manifest = {"schema": SCHEMA, "step": checkpoint.step, "files": files}
    _write_json(directory / _MANIFEST, {"checksum": digest(manifest), **manifest})
    sync_directory(directory)


def _read(directory: pathlib.Path, step: int) -> Checkpoint:
    """Read what a directory holds.

    Raises:
        ValueError: If it is damaged, or holds another step.
        CheckpointError: If another version wrote it.
        OSError: If the disk does not give it.
    """
    with _noticing_damage():
        manifest = json.loads((directory / _MANIFEST).read_bytes())
        if not isinstance(manifest, dict):
            raise ValueError(f"{_MANIFEST} is no mapping")
        checksum = manifest.pop("checksum", None)
        if checksum != digest(manifest):
            raise ValueError(f"{_MANIFEST} is not what was written")
        if manifest["schema"] != SCHEMA:
            raise CheckpointError(
                f"{directory} must have the schema {SCHEMA}, and was written by another version. "
                f"Received: schema={manifest['schema']!r}"
            )
        if manifest["step"] != step:
            raise ValueError(f"it holds step {manifest['step']}")
        for name in _FILES:
            if _fingerprint(directory / name) != manifest["files"][name]:
                raise ValueError(f"{name} is not what its manifest says")
        with (
            open(directory / "arrays.npz", "rb") as file,  # NumPy leaves open what is no archive.
            np.load(file, allow_pickle=False) as archive,
        ):
            arrays = {name: archive[name] for name in archive.files}
        state = json.loads((directory / "state.json").read_bytes())
        return Checkpoint(step, arrays, typed(LoopState, state, "The state of a loop"))


@contextlib.contextmanager
def _noticing_damage() -> Iterator[None]:
    """Turn all that reading damaged files raises into a `ValueError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, *_ABSENT):
            raise
        raise ValueError(str(error)) from error
    # JSON that is too deep; and what is in files whose digests agree, and no writer of these wrote.
    except (
        RecursionError,
        LookupError,
        TypeError,
        EOFError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _fingerprint(path: pathlib.Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": found}


def _write_json(path: pathlib.Path, value: Any) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        sync(file)
