"""A small BERT that tells topics of Python's help: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.glue
Cost:      40 s on two cores of an x86-64 server CPU, start included; test accuracy 80.5 % with
           seed 0, REX and Python 3.11.
Published: none. A reduced-scale setting: its numbers say nothing about BERT, and change with the
           version of Python.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.glue import Glue


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Glue,
        name="bert_topics",
        length=48,
        dropout=0.3,
        pooling="mean",
        epochs=10,
        batch_size=32,
        optimizer="adam",
        learning_rate=1e-3,
        warmup="0.1dur",
        clip_norm=1.0,
        l2=0.0,
        quantized_layers="all_but_embeddings",
    )
