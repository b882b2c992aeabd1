"""Multilingual BERT, fine-tuned on German XNLI, with cyclic precision.

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released scripts: multilingual BERT with large
           and small letters, 2 epochs, batches of 64, a learning rate of 1e-5 that falls linearly,
           128 word pieces; 5-8 bits with gradients of 8 and 5-6 with 6, two cycles; two trials.
           All products are rounded, those of the attention and the last layer too; embeddings and
           normalisation are not.
Published: the tables were not at hand. What is reported is the best test accuracy over training.
Command:   python -m trainers.glue --config=configs/mbert_xnli_cyclic.py --data_dir=DIR
           They are fetched by: python -m trainers.fetch bert_base_multi --data_dir=DIR
           and python -m trainers.fetch xnli_de --data_dir=DIR
           5-6 bits: --bits_max=6 --gradient_bits=6
Cost:      12,266 steps; not run in full; a GPU is needed.
Differs:   The training part is XTREME's translation of MNLI, of 392,570 pairs, and not XNLI's own
           of 392,702, which TensorFlow Datasets does not have. Examples are padded to the longest
           of a batch, which changes no number.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.glue import Glue


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Glue,
        name="mbert_xnli_cyclic",
        dataset="xnli_de",
        encoder="bert_base_multi",
        length=128,
        epochs=2,
        batch_size=64,
        optimizer="adam",
        learning_rate=1e-5,
        schedule="linear",
        clip_norm=1.0,
        l2=0.0,
        steps_per_checkpoint=1_000,
        precision_schedule="cr",
        cycles=2,
        bits_min=5,
        quantized_layers="all_but_embeddings",
        quantized_products=True,
        evaluation_bits="current",
    )
