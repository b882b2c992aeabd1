"""A small BERT that tells topics of Python's help: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.glue
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
