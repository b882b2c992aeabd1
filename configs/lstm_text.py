"""An LSTM of any text: words in lower case and marks, an adaptive softmax, Adam.

Source:    none; a small network that learns from some million words in minutes.
Command:   python -m trainers.lm --config=configs/lstm_text.py --dataset=FILE
           FILE is a text, or a JSON Lines file of documents.
Cost:      440 s on two cores of an x86-64 server CPU for the State of the Union addresses of 1790
           to 2021 (1.6 million words): test perplexity 72.6 with seed 0, where an interpolated
           bigram model has 143.
Published: none. A reduced-scale setting: its numbers say nothing about the Penn Treebank.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.lm import Language


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Language,
        name="lstm_text",
        layers=1,
        units=256,
        cutoffs=(2_000,),
        dropout=0.3,
        split="both",
        epochs=3,
        batch_size=32,
        optimizer="adam",
        learning_rate=3e-3,
        clip_norm=1.0,
        l2=0.0,
        quantized_layers="all_but_embeddings",
    )
