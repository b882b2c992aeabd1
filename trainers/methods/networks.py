"""What options do to a new network before it is trained: its weights, and what is frozen."""

from __future__ import annotations

import fnmatch
import io
import pathlib
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

import h5py
import keras

from trainers.options.optimization import Optimization

__all__ = ["check", "freeze", "load", "matching"]


def check(path: str, option: str = "initial_weights") -> None:
    """Check that a file of weights is there.

    Args:
        path: Its path; empty for none.
        option: What the path is called in errors.

    Raises:
        ValueError: If it is not.
    """
    try:
        if path and not pathlib.Path(path).is_file():
            raise ValueError(f"`{option}` must be a file of weights. Received: {option}={path!r}")
    except OSError as error:
        raise ValueError(
            f"`{option}` must be a file of weights. Received: {option}={path!r} ({error.strerror})"
        ) from error


def load(model: keras.Model, path: str, option: str = "initial_weights") -> None:
    """Give a model the weights of a file.

    Args:
        model: The model.
        path: Path of the file; empty for none.
        option: What the path is called in errors.

    Raises:
        ValueError: If the file is damaged, or its weights are those of another model.
    """
    if not path:
        return
    try:
        with warnings.catch_warnings():
            # That it leaves layers as they are, Keras says with a warning before it fails.
            warnings.simplefilter("ignore")
            model.load_weights(path)
        stored = _stored(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"`{option}` must be of this model, {model.name}. Received: {option}={path!r} "
            f"({str(error).partition(chr(10))[0][:300]})"
        ) from error
    if stored > len(model.weights):
        raise ValueError(
            f"`{option}` must be of this model, {model.name}, which has {len(model.weights)} "
            f"variables. Received: {option}={path!r} with {stored}"
        )


def _stored(path: str) -> int:
    """Return how many variables of layers are in a file: Keras passes over what a model has not."""
    file: Any = path
    if path.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            file = io.BytesIO(archive.read("model.weights.h5"))
    found = []
    with h5py.File(file) as store:
        store.visititems(lambda name, each: found.append(name) if _is_weight(name, each) else None)
    return len(found)


def _is_weight(name: str, stored: Any) -> bool:
    """Return whether what is stored is a variable of a layer, and no state of what goes with it."""
    parts = name.split("/")
    return (
        isinstance(stored, h5py.Dataset)
        and parts[-1].isdigit()
        and parts[0] not in ("optimizer", "compile_metrics", "_metrics")
        and not any(part.startswith("seed_generator") for part in parts)
    )


def freeze(model: keras.Model, options: Optimization) -> None:
    """Leave the layers that the options name out of training.

    Raises:
        ValueError: If a pattern is that of no layer, or no weight is left to train.
    """
    layers = [layer for layer in model._flatten_layers(include_self=False) if layer.weights]
    for pattern in options.frozen:
        for layer in matching("frozen", pattern, layers):
            layer.trainable = False
    if not model.trainable_variables:
        raise ValueError(
            f"`frozen` must leave something to train. Received: frozen={options.frozen}"
        )


def matching(name: str, pattern: str, among: Sequence[Any]) -> list[Any]:
    """Return the layers or weights whose path has a pattern.

    Raises:
        ValueError: If there is none; the error tells the name of the option.
    """
    found = [each for each in among if fnmatch.fnmatchcase(each.path, pattern)]
    if not found:
        some = ", ".join(each.path for each in among[:20])
        raise ValueError(
            f"Each pattern of `{name}` must be that of something that is trained. "
            f"Received: {pattern!r}. There are {len(among)}, as {some}"
        )
    return found
