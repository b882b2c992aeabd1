"""A BERT of six layers on SST-2: `configs/minilm_sst2.py`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals.loop import looped

__all__ = ["make", "network"]

BATCH, COUNT, LENGTH, WORDS, PIECES = 32, 3_200, 512, 30_522, 14
LAYERS, UNITS, HEADS, FEEDFORWARD, CLASSES, DROPOUT = 6, 384, 12, 1_536, 2, 0.1
RATE, DECAY, POOL, MULTIPLE = 1e-4, 0.01, 50, 8


def network() -> nn.ModuleDict:
    """Return embeddings, encoder and last layer; word pieces are not trained."""
    layer = nn.TransformerEncoderLayer(
        UNITS, HEADS, FEEDFORWARD, DROPOUT, "gelu", layer_norm_eps=1e-12, batch_first=True
    )
    made = nn.ModuleDict(
        {
            "tokens": nn.Embedding(WORDS, UNITS),
            "places": nn.Embedding(LENGTH, UNITS),
            "segments": nn.Embedding(2, UNITS),
            "norm": nn.LayerNorm(UNITS, eps=1e-12),
            "dropout": nn.Dropout(DROPOUT),
            "encoder": nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False),
            "judge": nn.Linear(UNITS, CLASSES),
        }
    )
    made["tokens"].weight.requires_grad_(False)
    return made


def _batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return word pieces and masks; examples of a pool are of like length in each batch."""
    generator = torch.Generator().manual_seed(0)
    lengths = ((0.4 + 1.2 * torch.rand(COUNT, generator=generator)) * PIECES).int().clamp(3)
    made = []
    for pool in lengths.split(POOL * BATCH):
        for each in pool.sort().values.split(BATCH):
            width = -(-int(each.max()) // MULTIPLE) * MULTIPLE
            pieces = torch.randint(1, WORDS, (len(each), width), generator=generator)
            made.append((pieces, torch.arange(width) < each[:, None]))
    order = torch.randperm(len(made), generator=generator)
    return [made[number] for number in order]


def make() -> Callable[[int], None]:
    """Return its training."""
    model = network()
    weights = [each for each in model.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in weights if each.dim() > 1], "weight_decay": DECAY},
        {"params": [each for each in weights if each.dim() == 1], "weight_decay": 0.0},
    ]
    batches, labels = _batches(), torch.randint(0, CLASSES, (BATCH,))

    def loss(step: int) -> torch.Tensor:
        pieces, mask = batches[step % len(batches)]
        places = torch.arange(pieces.shape[1])
        x = model["tokens"](pieces) + model["places"](places)
        x = model["dropout"](model["norm"](x + model["segments"](torch.zeros_like(pieces))))
        x = model["encoder"](x, src_key_padding_mask=~mask)
        share = mask[..., None] / mask.sum(1)[:, None, None]
        logits = model["judge"](model["dropout"]((x * share).sum(1)))
        return functional.cross_entropy(logits, labels[: len(logits)])

    return looped(torch.optim.AdamW(groups, RATE), loss)
