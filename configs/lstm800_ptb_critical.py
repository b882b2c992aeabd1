"""An LSTM of 800 units on the Penn Treebank: does it recover from an early deficit of precision?

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released scripts for critical learning periods:
           5 bits for the first R epochs, then 8 bits for a whole training of 100 epochs. R in 25,
           50, 75. Here R = 50 of 150 epochs.
Published: figures that were not at hand; the finding is that a long deficit does lasting harm.
Command:   python -m trainers.lm --config=configs/lstm800_ptb_critical.py --data_dir=DIR
           R = 25: --epochs=125 --config.precision_options.length=25ep
           R = 75: --epochs=175 --config.precision_options.length=75ep
Cost:      not run in full; a GPU is needed.
Differs:   The rate falls when validation stalls, in the deficit too: the scripts' is not known.
"""

from ml_collections import ConfigDict

from configs import lstm800_ptb_cyclic
from configs.base import setting
from trainers.options.lm import Language


def get_config() -> ConfigDict:
    """Return the setting."""
    changes = {
        "name": "lstm800_ptb_critical",
        "epochs": 150,
        "precision_schedule": "deficit",
        "precision_options": {"length": "50ep"},
    }
    return setting(Language, **(lstm800_ptb_cyclic.get_config().to_dict() | changes))
