"""Sweeps of the tests are kept in memory where that is a disk: hundreds of files are synced."""

import os
import pathlib
import shutil
import tempfile

import pytest

_MEMORY = pathlib.Path("/dev/shm")


@pytest.fixture(scope="module")
def disk():
    place = tempfile.mkdtemp(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
    yield pathlib.Path(place)
    shutil.rmtree(place)


@pytest.fixture
def results(disk):
    """A directory for a sweep, that is not there yet."""
    return pathlib.Path(tempfile.mkdtemp(dir=disk)) / "results"
