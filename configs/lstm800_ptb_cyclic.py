"""An LSTM of 800 units on the Penn Treebank, with cyclic precision.

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released scripts: embedding and layer of 800
           numbers, dropout of 0.5, 40 epochs, batches of 20, 35 words of back-propagation, SGD
           without momentum at a rate of 20, gradients of a norm of at most 0.25, and a rate that is
           quartered whenever the validation loss is no new best. 5-8 bits with gradients of 8, and
           5-6 with 6; eight cycles; two trials. Embedding and gates stay in full precision, the
           matrices of the LSTM and the output are quantized.
Published: the tables were not at hand. What is reported is the test perplexity at the best
           validation.
Command:   python -m trainers.lm --config=configs/lstm800_ptb_cyclic.py --data_dir=DIR
           It is fetched by: python -m trainers.fetch ptb --data_dir=DIR
           5-6 bits: --bits_max=6 --gradient_bits=6
Cost:      8 hours for 40 epochs on two cores of an x86-64 server CPU, as foretold; not run in
           full.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.lm import Language


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Language,
        name="lstm800_ptb_cyclic",
        dataset="ptb",
        tokens="white_space",
        layers=1,
        units=800,
        dropout=0.5,
        split="both",
        epochs=40,
        batch_size=20,
        learning_rate=20.0,
        schedule="plateau",
        schedule_options={
            "monitor": "val_loss",
            "factor": 0.25,
            "patience": 0,
            "min_delta": 0.0,
            "min_lr": 0.0,
        },
        momentum=0.0,
        clip_norm=0.25,
        l2=0.0,
        precision_schedule="cr",
        bits_min=5,
        quantized_layers="all_but_embeddings",
        evaluation_bits="current",
    )
