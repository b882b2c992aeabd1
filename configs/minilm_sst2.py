"""draft"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.glue import Glue


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Glue,
        name="minilm_sst2",
        dataset="sst2",
        length=64,
        pool=50,
        pooling="mean",
        epochs=1,
        batch_size=32,
        optimizer="adamw",
        weight_decay=0.01,
        decayed="matrices",
        learning_rate=1e-4,
        warmup="0.1dur",
        l2=0.0,
        steps_per_checkpoint=500,
        quantized_layers="all_but_embeddings",
    )
