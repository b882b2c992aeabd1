"""Weights of networks that others trained on ImageNet, from keras-hub."""

from __future__ import annotations

import pathlib
import tempfile

from trainers.datasets.sources import place_of

__all__ = ["fetch", "names"]

# What keras-hub calls them.
_PRESETS = {name: name for name in ("resnet_18_imagenet", "resnet_101_imagenet")}


def names() -> list[str]:
    """Return the names of the known weights, sorted."""
    return sorted(_PRESETS)


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download weights, unless they are there, and return the file.

    Raises:
        ImportError: If keras-hub is not installed.
        ConnectionError: If they cannot be downloaded.
        OSError: If they cannot be written.
    """
    path = place_of(data_dir) / f"{name}.weights.h5"
    if path.is_file():
        return str(path)
    import keras_hub

    try:
        model = keras_hub.models.ResNetBackbone.from_preset(_PRESETS[name])
    except Exception as error:  # Each source of presets raises errors of its own.
        raise ConnectionError(f"{name!r} cannot be downloaded: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{name}_unfinished_") as beside:
        made = pathlib.Path(beside) / path.name
        model.save_weights(made)
        made.rename(path)
    return str(path)
