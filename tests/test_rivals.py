"""What benchmarks compare with PyTorch is the same network there."""

import importlib

import numpy as np
import pytest

from benchmarks.rivals.loop import parameters
from benchmarks.throughput import SETTINGS, task


@pytest.mark.parametrize("family", SETTINGS)
def test_rivals_have_as_many_weights_and_train(family, monkeypatch):
    rival = importlib.import_module(f"benchmarks.rivals.{family}")
    setting = task(family)
    assert setting.config.training.batch_size == rival.BATCH
    made = setting.model()
    ours = sum(int(np.prod(v.shape)) for v in made.trainable_variables)
    assert parameters(rival.network()) == ours
    monkeypatch.setattr(rival, "BATCH", 4)
    monkeypatch.setattr(rival, "COUNT", 12)
    rival.make()(2)
