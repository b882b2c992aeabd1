"""An LSTM of two layers on the Penn Treebank, with cyclic precision as in CPT.

Source:    Fu et al., "CPT: Efficient Deep Neural Network Training via Cyclic Precision" (arXiv
           2101.09868): two layers, 5-8 bits with gradients of 8 and 5-6 with 8, 32 cycles.
Published: test perplexity, and bit operations beside static 8 bits: static 8/8 96.95, CPT 5-8/8
           96.39 (-23.2 %); static 6/8 97.47, CPT 5-6/8 97.0 (-10.5 %).
Command:   python -m trainers.lm --config=configs/lstm2_ptb_cyclic.py --data_dir=DIR
           It is fetched by: python -m trainers.fetch ptb --data_dir=DIR
           5-6 bits: --bits_max=6
Cost:      as `configs/lstm650_ptb.py` and half as much again; not run in full.
Differs:   The released code has no language model, so its network and its training are not known:
           those here are of `configs/lstm650_ptb.py`, at a rate that falls when validation stalls.
"""

from ml_collections import ConfigDict

from configs import lstm650_ptb, lstm800_ptb_cyclic
from configs.base import setting
from trainers.options.lm import Language


def get_config() -> ConfigDict:
    """Return the setting."""
    followed = lstm800_ptb_cyclic.get_config().to_dict()
    changes = {
        "name": "lstm2_ptb_cyclic",
        "schedule": followed["schedule"],
        "schedule_options": followed["schedule_options"],
        "precision_schedule": "cpt",
        "cycles": 32,
        "bits_min": 5,
        "evaluation_bits": "current",
    }
    return setting(Language, **(lstm650_ptb.get_config().to_dict() | changes))
