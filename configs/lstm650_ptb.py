"""An LSTM of two layers of 650 units on the Penn Treebank.

Source:    Demon (arXiv 1910.04952), table 4 and appendix A, "PTB-LSTM": batches of 20, dropout of
           0.5, by the code of TensorFlow 1's tutorial, which is that of Zaremba et al. (arXiv
           1409.2329), "medium": 35 words of back-propagation, weights from -0.05 to 0.05, gradients
           of a norm of at most 5. Epochs there: 25 and 39.
Published: test perplexity at 25 and 39 epochs, three trials each:
           Demon SGDM 82.66+-.05 84.84+-.22     Demon Adam 104.60+-.16 107.07+-.05
           SGDM Step  81.67      82.02          Adam Step   98.79       99.69
           Plateau    81.55      81.82          Plateau     99.65      101.46
           Cosine     81.64      83.23          Cosine      97.70      100.56
Command:   python -m trainers.lm --config=configs/lstm650_ptb.py --data_dir=DIR
           It is fetched by: python -m trainers.fetch ptb --data_dir=DIR
Cost:      15 hours for 39 epochs on two cores of an x86-64 server CPU, as foretold; not run in
           full.
Differs:   The tutorial adds the losses of the 35 words, here they are averaged: its rate of 1 and
           norm of 5 are 35 and 1/7 here. The paper's rates and momenta are not said; momentum is
           0 here, as SGDM needs a small one on this text. Its biases begin at 0. An evaluation has
           20 streams, the tutorial's one.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.lm import Language


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Language,
        name="lstm650_ptb",
        dataset="ptb",
        tokens="white_space",
        layers=2,
        units=650,
        dropout=0.5,
        initial_range=0.05,
        recurrent_range=0.05,
        split="both",
        epochs=39,
        batch_size=20,
        learning_rate=35.0,
        momentum=0.0,
        clip_norm=5.0 / 35.0,
        l2=0.0,
        quantized_layers="all_but_embeddings",
    )
