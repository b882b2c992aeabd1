"""The one result of a run: a JSON file that is written once, whole, and never overwritten."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

from trainers.files import write_once

__all__ = ["SCHEMA", "config_hash", "environment", "read", "write"]

SCHEMA = 1
_PACKAGES = ("keras_sched", "keras", "tensorflow", "numpy")


def config_hash(config: Mapping[str, Any]) -> str:
    """Return ten hexadecimal digits that a configuration has, in whatever order it is written."""
    text = json.dumps(config, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def environment() -> dict[str, Any]:
    """Return the versions and the hardware that a result was made with."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = _imported_version(name)
    import tensorflow as tf

    return {
        "versions": versions,
        "hardware": {
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "devices": [device.device_type for device in tf.config.list_logical_devices()],
        },
    }


def _imported_version(name: str) -> str:
    """Return the version of a package that runs from its source, or is named otherwise."""
    return str(getattr(__import__(name), "__version__", "unknown"))


def read(path: pathlib.Path) -> dict[str, Any] | None:
    """Return the record at `path`, or None if there is none."""
    return json.loads(path.read_text()) if path.exists() else None


def write(path: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Write a record: all of it or nothing, and only where none is.

    Raises:
        FileExistsError: If `path` exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_once(path, json.dumps({"schema": SCHEMA, **record}, indent=1, sort_keys=True))
