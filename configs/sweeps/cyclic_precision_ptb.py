"""Ten schedules of precision, CPT and static bits: an LSTM on the Penn Treebank.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts: 5-8 bits with gradients of 8, eight cycles, two trials.
Published: the tables were not at hand; the findings are that many schedules beat static bits, and
           that quality follows cost.
Expected:  schedules with many bits on average ahead of those with few, all near static 8 bits.
Command:   python -m trainers.sweep --config=configs/sweeps/cyclic_precision_ptb.py --results=DIR
Cost:      24 trials, 960 epochs; `--dry_run` measures it where it is to run; not run in full.
           5-6 bits: copy the file.
Differs:   See `configs/lstm800_ptb_cyclic.py`.
"""

from ml_collections import ConfigDict

from configs import lstm800_ptb_cyclic
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PRECISIONS


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "cyclic_precision_ptb",
        settings={"LSTM-PTB-SGD": setting(lstm800_ptb_cyclic.get_config(), [20.0])},
        schedules={"Plateau": {}},
        precisions=PRECISIONS,
        budgets=(1.0,),
        seeds=(0, 1),
        protocol="shared",
        judged="best",
        program="lm",
        goal="perplexity",
        goal_mode="min",
    )
