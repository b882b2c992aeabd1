"""What a configuration of a language model says: its text and its network."""

from __future__ import annotations

import dataclasses

from trainers.options.fields import Options, option
from trainers.options.optimization import Optimization
from trainers.options.paths import check_dataset
from trainers.options.precision import ProductPrecision
from trainers.options.training import Training

__all__ = ["MODELS", "Language", "TextData"]

MODELS = ("lstm", "transformer")
TOKENS = ("words", "white_space", "characters")


@dataclasses.dataclass(frozen=True)
class TextData(Options):
    """Which text is trained on, and how it is cut."""

    dataset: str = option(
        "python",
        "Text: a name, or the path of a file, plain or JSON Lines with a 'text' each, or of a "
        "folder with such files for train, valid and test.",
        check=check_dataset,
        flag=True,
    )
    tokens: str = option(
        "words",
        "What is foretold: words in lower case and marks, what white space separates, as in texts "
        "that are prepared already, or characters.",
        choices=TOKENS,
        flag=True,
    )
    vocabulary: int = option(
        10_000,
        "Most words of the vocabulary, with those for unknown words and ends of lines; 0 for all.",
        low=0,
        high=10_000_000,
        flag=True,
    )
    length: int = option(
        35,
        "Words of a row of a batch: gradients go back so far, a Transformer sees so many.",
        low=1,
        high=100_000,
        flag=True,
    )


# What the other network alone reads.
_OF_OTHERS = {"lstm": ("heads", "feedforward"), "transformer": ("recurrent_range",)}


@dataclasses.dataclass(frozen=True)
class Language(Options):
    """A setting of a language model; see `configs/lstm650_ptb.py` for the papers'."""

    training: Training
    text: TextData = dataclasses.field(default_factory=TextData)
    model: str = option("lstm", "Network.", choices=MODELS, flag=True)
    layers: int = option(2, "Layers of the network.", low=1, high=100, flag=True)
    units: int = option(
        650, "Numbers that a layer gives for a word.", low=1, high=65_536, flag=True
    )
    embedding: int = option(
        0, "Numbers that stand for a word; 0 for as many as `units`.", low=0, high=65_536
    )
    is_tied: bool = option(
        False, "Whether a word is foretold by the numbers that stand for it in the input."
    )
    cutoffs: tuple[int, ...] = option(
        (),
        "Where an adaptive softmax cuts the vocabulary, the most frequent words first, as "
        "20000, 60000; none for a softmax of all words.",
        low=1,
        high=10_000_000,
    )
    heads: int = option(8, "Heads of an attention of a Transformer.", low=1, high=1024)
    feedforward: int = option(
        0,
        "Units within the dense parts of a Transformer; 0 for four times `units`.",
        low=0,
        high=10**6,
    )
    dropout: float = option(
        0.5,
        "Share of the numbers dropped between layers; not of what an LSTM carries from word to "
        "word.",
        low=0.0,
        below=1.0,
        flag=True,
    )
    initial_range: float = option(
        0.1, "Weights of embedding and output are drawn from up to this, and minus it.", above=0.0
    )
    recurrent_range: float = option(
        0.0, "Likewise weights of an LSTM; 0 for 1 / sqrt(units).", low=0.0
    )
    samples: int = option(
        40, "Words of the text that is written to be looked at; 0 for none.", low=0, high=10_000
    )
    optimization: Optimization = dataclasses.field(default_factory=Optimization)
    precision: ProductPrecision = dataclasses.field(default_factory=ProductPrecision)

    def check(self) -> None:
        if self.model == "transformer" and (self.units % self.heads or self.units % 2):
            raise ValueError(
                f"`units` must be even, and a multiple of `heads`, in a Transformer. Received: "
                f"units={self.units}, heads={self.heads}"
            )
        defaults = self.defaults()
        for name in _OF_OTHERS[self.model]:
            if (value := getattr(self, name)) != defaults[name]:
                raise ValueError(
                    f"`{name}` must be left at its default, {defaults[name]}, with "
                    f"model={self.model!r}, which does not read it. Received: {name}={value}"
                )
        if self.model == "lstm" and self.precision.products:
            raise ValueError(
                "`quantized_products` must be False for an LSTM: all of its products have weights. "
                "Received: quantized_products=True, model='lstm'"
            )
        if self.cutoffs and self.is_tied:
            raise ValueError(
                f"`is_tied` must be False with an adaptive softmax, which gives rare words fewer "
                f"numbers. Received: is_tied=True, cutoffs={self.cutoffs}"
            )
        if list(self.cutoffs) != sorted(set(self.cutoffs)):
            raise ValueError(f"`cutoffs` must rise. Received: cutoffs={self.cutoffs}")
