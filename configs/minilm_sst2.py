"""A small pretrained BERT on SST-2: whether a sentence of a film review is for or against it.

Source:    none of the papers; a reduced-scale setting. The encoder is all-MiniLM-L6-v2 of
           sentence-transformers, with 22.7 million weights, made for the likeness of sentences.
Published: none.
Command:   python -m trainers.glue --config=configs/minilm_sst2.py --data_dir=DIR
           They are fetched by: python -m trainers.fetch minilm_l6 --data_dir=DIR
           and python -m trainers.fetch sst2 --data_dir=DIR
Cost:      12 min on two cores of an x86-64 server CPU, beside light work; test accuracy 89.4 % with
           seed 0, and REX. With --train_share=0.1 2 min and 86.4 %.
Differs:   Embeddings of word pieces are not trained, for speed. Batches are of sentences of like
           length. "test" is the validation part of GLUE, whose test part has no labels.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.glue import Glue


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Glue,
        name="minilm_sst2",
        dataset="sst2",
        encoder="minilm_l6",
        length=64,
        pool=50,
        pooling="mean",
        epochs=1,
        batch_size=32,
        optimizer="adamw",
        weight_decay=0.01,
        decayed="matrices",
        frozen=("token_embedding",),
        learning_rate=1e-4,
        warmup="0.1dur",
        l2=0.0,
        steps_per_checkpoint=500,
        quantized_layers="all_but_embeddings",
    )
