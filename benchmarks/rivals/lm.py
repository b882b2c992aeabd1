"""The LSTM of two layers on the Penn Treebank: `configs/lstm650_ptb.py`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals.loop import looped

__all__ = ["make", "network"]

BATCH, COUNT, LENGTH, WORDS, UNITS, LAYERS, DROPOUT = 20, 100, 35, 10_000, 650, 2, 0.5
NORM = 5.0 / 35.0


def network() -> nn.ModuleDict:
    """Return embedding, LSTM and output."""
    lstm = nn.LSTM(UNITS, UNITS, LAYERS, dropout=DROPOUT, batch_first=True)
    for name, weights in lstm.named_parameters():
        if name.startswith("bias_hh"):  # A second bias adds nothing to the first.
            weights.requires_grad_(False).zero_()
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(WORDS, UNITS),
            "lstm": lstm,
            "dropout": nn.Dropout(DROPOUT),
            "output": nn.Linear(UNITS, WORDS),
        }
    )


def make() -> Callable[[int], None]:
    """Return its training."""
    model = network()
    weights = [each for each in model.parameters() if each.requires_grad]

    def clip(*_: object) -> None:
        nn.utils.clip_grad_norm_(weights, NORM)

    words = torch.randint(0, WORDS, (BATCH, COUNT * LENGTH + 1))
    optimizer = torch.optim.SGD(weights, 1.0)
    optimizer.register_step_pre_hook(clip)
    state = tuple(torch.zeros(LAYERS, BATCH, UNITS) for _ in range(2))

    def loss(step: int) -> torch.Tensor:
        nonlocal state
        start = step % COUNT * LENGTH
        part = words[:, start : start + LENGTH + 1]
        x = model["dropout"](model["embedding"](part[:, :-1]))
        x, found = model["lstm"](x, state)
        state = tuple(each.detach() for each in found)
        logits = model["output"](model["dropout"](x))
        return functional.cross_entropy(logits.reshape(-1, WORDS), part[:, 1:].reshape(-1))

    return looped(optimizer, loss)
