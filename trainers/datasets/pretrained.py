"""Weights of networks that others trained on ImageNet, from keras-hub."""

from __future__ import annotations

import pathlib
import tempfile

from trainers.datasets.sources import place_of
from trainers.models import hub

__all__ = ["fetch", "names"]

# ResNets, as keras-hub calls them.
_PRESETS = ("resnet_101_imagenet", "resnet_18_imagenet")


def names() -> list[str]:
    """Return the names of the known weights, sorted."""
    return list(_PRESETS)


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download weights, unless they are there, and return the file.

    Raises:
        ValueError: If keras-hub is not installed.
        ConnectionError: If they cannot be downloaded.
        OSError: If they cannot be written.
    """
    path = place_of(data_dir) / f"{name}.weights.h5"
    if path.is_file():
        return str(path)
    presets = hub.imported().models.ResNetBackbone
    try:
        model = presets.from_preset(name)
    except Exception as error:  # Each source of presets raises errors of its own.
        raise ConnectionError(f"{name!r} cannot be downloaded: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{name}_unfinished_") as beside:
        made = pathlib.Path(beside) / path.name
        model.save_weights(made)
        made.rename(path)
    return str(path)
