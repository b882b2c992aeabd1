"""An LSTM of the topics of Python's help: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.lm
Cost:      37 s on two cores of an x86-64 server CPU, start included; test perplexity 29.0 with
           seed 0 and Python 3.11.
Published: none. A reduced-scale setting: its numbers say nothing about the Penn Treebank, and
           change with the version of Python.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.lm import Language


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Language,
        name="lstm_python",
        vocabulary=2_000,
        layers=1,
        units=128,
        is_tied=True,
        dropout=0.2,
        epochs=6,
        batch_size=16,
        optimizer="adam",
        learning_rate=1e-2,
        clip_norm=1.0,
        l2=0.0,
        quantized_layers="all_but_embeddings",
    )
