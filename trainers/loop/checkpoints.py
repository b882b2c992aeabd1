"""Checkpoints that a kill at any moment cannot hurt.

A checkpoint is a directory ``step_00001234/`` with ``arrays.npz``, ``state.json`` and a
``MANIFEST.json`` of their sizes and SHA-256. It is written under a temporary name, flushed to the
disk and renamed: a directory with this name and a manifest that agrees is complete, and nothing
else is trusted. A damaged one is set aside as ``step_00001234.corrupt`` and the one before is used.
Nothing is deleted but the oldest of more than `keep` good ones and temporary directories.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from trainers.loop.files import sync, sync_directory

__all__ = ["Checkpoint", "CheckpointError", "Checkpoints"]

_NAME = re.compile(r"step_(\d{8,})\Z")
_FILES = ("arrays.npz", "state.json")
_MANIFEST = "MANIFEST.json"


class CheckpointError(RuntimeError):
    """There are checkpoints, but training cannot go on from them."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved at a step: arrays by name, and JSON-able state."""

    step: int
    arrays: Mapping[str, np.ndarray]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: Where they are; made when the first is saved.
        keep: How many good ones are kept; at least 1.
    """

    def __init__(self, directory: pathlib.Path, keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"`keep` must be at least 1. Received: keep={keep}")
        self._directory = directory
        self._keep = keep

    def save(self, checkpoint: Checkpoint) -> pathlib.Path:
        """Write a checkpoint and return its directory; one of the same step is left as it is.

        Raises:
            CheckpointError: If an array is not finite: a checkpoint must be worth going on from.
        """
        for name, array in checkpoint.arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise CheckpointError(
                    f"A checkpoint must be finite. Received: `{name}` at step {checkpoint.step}"
                )
        final = self._directory / f"step_{checkpoint.step:08d}"
        if final.exists():
            return final
        self._directory.mkdir(parents=True, exist_ok=True)
        temporary = self._directory / f".writing_{checkpoint.step:08d}_{os.getpid()}"
        temporary.mkdir()
        with open(temporary / "arrays.npz", "wb") as file:
            np.savez(file, allow_pickle=False, **dict(checkpoint.arrays))
            sync(file)
        _write_json(temporary / "state.json", checkpoint.state)
        files = {name: _fingerprint(temporary / name) for name in _FILES}
        _write_json(temporary / _MANIFEST, {"step": checkpoint.step, "files": files})
        sync_directory(temporary)
        os.rename(temporary, final)
        sync_directory(self._directory)
        self._prune()
        return final

    def latest(self) -> Checkpoint | None:
        """Return the newest good checkpoint, or None where none was ever saved.

        Raises:
            CheckpointError: If there are checkpoints and all are damaged. Training does not begin
                anew then: who means that moves the directory away.
        """
        found = self._steps()
        for directory in reversed(found):
            try:
                return _read(directory)
            except (OSError, ValueError, KeyError) as error:
                aside = directory.with_suffix(".corrupt")
                logging.error(
                    "Damaged checkpoint %s (%s); set aside as %s", directory, error, aside
                )
                os.rename(directory, aside)
        damaged = sorted(self._directory.glob("*.corrupt")) if self._directory.exists() else []
        if damaged:
            raise CheckpointError(
                f"No checkpoint is left to go on from. Damaged: {', '.join(map(str, damaged))}. "
                f"To train from the beginning, move {self._directory} away."
            )
        return None

    def _steps(self) -> list[pathlib.Path]:
        if not self._directory.exists():
            return []
        named = [path for path in self._directory.iterdir() if _NAME.match(path.name)]
        return sorted(named, key=lambda path: int(path.name[5:]))

    def _prune(self) -> None:
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(old)
        for left in self._directory.glob(".writing_*"):
            shutil.rmtree(left)


def _read(directory: pathlib.Path) -> Checkpoint:
    manifest = json.loads((directory / _MANIFEST).read_text())
    for name in _FILES:
        if _fingerprint(directory / name) != manifest["files"][name]:
            raise ValueError(f"{name} is not what its manifest says")
    with np.load(directory / "arrays.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    state = json.loads((directory / "state.json").read_text())
    return Checkpoint(step=manifest["step"], arrays=arrays, state=state)


def _fingerprint(path: pathlib.Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write_json(path: pathlib.Path, value: Any) -> None:
    with open(path, "w") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        sync(file)
