"""A Transformer on WikiText-103, with cyclic precision.

Source:    Fu et al., "CPT" (arXiv 2101.09868): 4-8 bits with gradients of 8 and 4-6 with 8, 32
           cycles.
Published: perplexity, and bit operations beside static bits: static 8/8 31.77, CPT 4-8/8 30.22
           (-30.2 %); static 6/8 32.41, CPT 4-6/8 31.0 (-22.4 %).
Command:   python -m trainers.lm --config=configs/transformer_wikitext103_cyclic.py --data_dir=DIR
           It is fetched by: python -m trainers.fetch wikitext103 --data_dir=DIR
           4-6 bits: --bits_max=6
Cost:      not run in full; a GPU is needed.
Differs:   The released code has no language model, so its network and its training are not known:
           our choice are six layers of 512 numbers, of which 256 stand for a word, with 8 heads
           and 2,048 units within, rows of 256 words in batches of 32, an adaptive softmax as by
           Baevski and Auli (arXiv 1809.10853), and Adam with a warmup and a cosine. Evaluations
           have rows of 256 words too, of which the first are foretold by few.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.lm import Language


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Language,
        name="transformer_wikitext103_cyclic",
        dataset="wikitext103",
        tokens="white_space",
        vocabulary=0,
        length=256,
        model="transformer",
        layers=6,
        units=512,
        embedding=256,
        heads=8,
        feedforward=2_048,
        cutoffs=(20_000, 60_000),
        dropout=0.1,
        initial_range=0.05,
        split="both",
        epochs=10,
        batch_size=32,
        optimizer="adam",
        learning_rate=5e-4,
        schedule="cosine",
        warmup="0.02dur",
        clip_norm=0.25,
        l2=0.0,
        steps_per_checkpoint=1_000,
        precision_schedule="cpt",
        cycles=32,
        bits_min=4,
        quantized_layers="all_but_embeddings",
        quantized_products=True,
        evaluation_bits="current",
    )
