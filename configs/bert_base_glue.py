"""BERT, fine-tuned on a task of GLUE: SST-2, or by `--dataset` another of the eight.

Source:    REX (arXiv 2107.04197), table 10, and Demon (arXiv 1910.04952), section 5: fine-tuning as
           in the examples of Hugging Face's transformers, of which only the learning rate is tuned,
           on cola, mnli, mrpc, qnli, qqp, rte, sst2 and stsb, for 1, 2 and 3 epochs, single runs.
           Those have batches of 32, at most 128 word pieces, AdamW without weight decay, which is
           Adam, a norm of the gradient of at most 1, and a linear schedule without a warmup.
Published: mean score over the eight tasks after 1, 2 and 3 epochs:
           REX 81.7 82.6 82.8    Linear 81.2 82.3 82.6    constant 79.9 81.2 81.8
           Demon: Adam with a linear schedule 79.1, Demon Adam 79.7.
Command:   python -m trainers.glue --config=configs/bert_base_glue.py --data_dir=DIR
           They are fetched by: python -m trainers.fetch bert_base_en_uncased --data_dir=DIR
           and python -m trainers.fetch sst2 --data_dir=DIR
Cost:      not run in full; a GPU is needed for the larger tasks.
Differs:   The papers do not say which letters their BERT knows: ours knows small ones. "test" is
           the validation part of GLUE, whose own test part has no labels, "validation" every tenth
           training example. MNLI is the matched part. Examples are padded to the longest of a
           batch, which changes no number.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.glue import Glue


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Glue,
        name="bert_base_glue",
        dataset="sst2",
        encoder="bert_base_en_uncased",
        length=128,
        epochs=3,
        batch_size=32,
        optimizer="adam",
        schedule="linear",
        learning_rate=3e-5,
        clip_norm=1.0,
        l2=0.0,
        steps_per_checkpoint=1_000,
        quantized_layers="all_but_embeddings",
    )
