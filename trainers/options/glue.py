"""What a configuration of sentences to be judged says: its task and its encoder."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option, shown
from trainers.options.optimization import Optimization
from trainers.options.paths import check_dataset, check_encoder_name
from trainers.options.precision import ProductPrecision
from trainers.options.training import Training

__all__ = ["GLUE", "POOLINGS", "Glue"]

# The tasks of GLUE that are reported by BERT (Devlin et al., arXiv 1810.04805, section 4.1).
GLUE = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb")
POOLINGS = ("first", "mean")
# What an encoder that is there already has of its own.
_OF_NEW = ("layers", "units", "heads", "feedforward", "vocabulary")


@dataclasses.dataclass(frozen=True)
class Glue(Options):
    """A setting of sentences, or pairs of them; see `configs/bert_base_glue.py` for the papers'."""

    training: Training
    dataset: str = option(
        "topics",
        "Task: a name, as 'sst2', 'mrpc' or 'xnli_de', or the path of a folder with JSON Lines "
        "for train, valid and test, of objects with 'text', 'label' and, for pairs, 'second'.",
        check=check_dataset,
        flag=True,
    )
    train_share: float = option(
        1.0,
        "Share of the training examples that is trained on, evenly spaced: for a quick look at a "
        "large task. What is evaluated stays whole.",
        above=0.0,
        high=1.0,
        flag=True,
    )
    length: int = option(
        128,
        "Most word pieces of an example, with those at its ends; the longer sentence is cut.",
        low=4,
        high=100_000,
        flag=True,
    )
    pool: int = option(
        1,
        "Batches that are made at once, of examples of like length, so that little is padded; at "
        "1 lengths play no part.",
        low=1,
        high=100_000,
    )
    encoder: str = option(
        "",
        "Pretrained encoder: a name, as 'bert_base_en_uncased', or the path of a folder with its "
        "weights, sizes and vocabulary; empty for a new one.",
        check=check_encoder_name,
        flag=True,
    )
    layers: int = option(2, "Layers of a new encoder.", low=1, high=100, flag=True)
    units: int = option(
        64, "Numbers that each layer of a new encoder gives for a piece.", low=1, high=65_536
    )
    heads: int = option(4, "Heads of an attention of a new encoder.", low=1, high=1024)
    feedforward: int = option(
        256, "Units within the dense parts of a new encoder.", low=1, high=10**6
    )
    vocabulary: int = option(
        4_000,
        "Most word pieces of a new encoder: words of the training examples, and characters.",
        low=10,
        high=10_000_000,
    )
    dropout: float = option(
        0.1,
        "Share of the numbers dropped: in the encoder and before the last layer.",
        low=0.0,
        below=1.0,
        flag=True,
    )
    pooling: str = option(
        "first",
        "What the last layer sees: a dense layer of what the encoder makes of the 'first' piece, "
        "which stands for the whole, or the 'mean' of all.",
        choices=POOLINGS,
        flag=True,
    )
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: ProductPrecision = dataclasses.field(default_factory=ProductPrecision)

    def check(self) -> None:
        if self.encoder:
            defaults = self.defaults()
            for name in _OF_NEW:
                if (value := getattr(self, name)) != defaults[name]:
                    raise ValueError(
                        f"`{name}` must be left at its default, {defaults[name]}, with an encoder, "
                        f"which has its own. Received: {name}={value}, "
                        f"encoder={shown(self.encoder)}"
                    )
        elif self.units % self.heads:
            raise ValueError(
                f"`units` must be a multiple of `heads`. Received: units={self.units}, "
                f"heads={self.heads}"
            )
