"""Weights of networks that others trained, from keras-hub: ResNets on ImageNet, and BERT."""

from __future__ import annotations

import os
import pathlib
import tempfile

from trainers.datasets.sources import missing, place_of
from trainers.models import bert, hub
from trainers.options.fields import check_known

__all__ = ["check_encoder", "encoder_folder", "fetch", "names"]

# ResNets, as keras-hub calls them.
_RESNETS = ("resnet_101_imagenet", "resnet_18_imagenet")


def names() -> list[str]:
    """Return the names of the known weights, sorted."""
    return sorted([*_RESNETS, *bert.PRESETS])


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download weights, unless they are there, and return the file, or the folder of an encoder.

    Raises:
        ValueError: If keras-hub is not installed.
        ConnectionError: If they cannot be downloaded.
        OSError: If they cannot be written.
    """
    is_encoder = name in bert.PRESETS
    path = place_of(data_dir) / (name if is_encoder else f"{name}.weights.h5")
    if path.exists():
        return str(path)
    known = hub.imported().models
    kinds = (known.BertBackbone, known.BertTokenizer) if is_encoder else (known.ResNetBackbone,)
    try:
        found = [kind.from_preset(name) for kind in kinds]
    except Exception as error:  # Each source of presets raises errors of its own.
        raise ConnectionError(f"{name!r} cannot be downloaded: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{name}_unfinished_") as beside:
        made = pathlib.Path(beside) / path.name
        if is_encoder:
            for each in found:
                each.save_to_preset(str(made))
        else:
            found[0].save_weights(made)
        made.rename(path)
    return str(path)


def encoder_folder(name: str, data_dir: str | None = None) -> str:
    """Return the folder of a pretrained encoder, whether it is there or not.

    Args:
        name: A name, or the path of the folder; empty for a new encoder.
        data_dir: Where encoders with a name are.

    Raises:
        ValueError: If the name is unknown, or there is no folder at the path.
    """
    if not name:
        return ""
    if os.sep not in name:
        check_known("encoder", name, bert.PRESETS, "a pretrained encoder")
        return str(place_of(data_dir) / name)
    path = pathlib.Path(name).expanduser()
    if not path.is_dir():
        raise ValueError(f"`encoder` must be a folder that is there. Received: encoder={name!r}")
    return str(path)


def check_encoder(name: str, data_dir: str | None = None) -> None:
    """Check that a pretrained encoder is there.

    Raises:
        ValueError: As for `encoder_folder`.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    folder = encoder_folder(name, data_dir)
    if folder and not pathlib.Path(folder).is_dir():
        raise missing(name, [folder], data_dir, "the program")
