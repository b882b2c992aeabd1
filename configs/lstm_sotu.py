"""An LSTM of the State of the Union addresses."""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.lm import Language


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Language,
        name="lstm_sotu",
        dataset="../shared/data/text/sotu_1790_2021.jsonl.gz",
        layers=1,
        units=256,
        is_tied=True,
        dropout=0.3,
        epochs=4,
        batch_size=32,
        optimizer="adam",
        learning_rate=3e-3,
        clip_norm=1.0,
        l2=0.0,
        quantized_layers="all",
        split="both",
    )
