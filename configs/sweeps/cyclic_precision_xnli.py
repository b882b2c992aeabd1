"""Ten schedules of precision, CPT and static bits: multilingual BERT on German XNLI.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts: 5-8 bits with gradients of 8, two cycles, two trials.
Published: the tables were not at hand; the findings are that many schedules beat static bits, and
           that quality follows cost.
Expected:  schedules with many bits on average ahead of those with few, all near static 8 bits.
Command:   python -m trainers.sweep --config=configs/sweeps/cyclic_precision_xnli.py --results=DIR
Cost:      24 trials, 48 epochs of 6,133 steps; `--dry_run` measures it where it is to run; not run
           in full. Fewer bits: copy the file.
Differs:   See `configs/mbert_xnli_cyclic.py`.
"""

from ml_collections import ConfigDict

from configs import mbert_xnli_cyclic
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PRECISIONS


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "cyclic_precision_xnli",
        settings={"mBERT-XNLI": setting(mbert_xnli_cyclic.get_config(), [1e-5])},
        schedules={"Linear": {}},
        precisions=PRECISIONS,
        budgets=(1.0,),
        seeds=(0, 1),
        protocol="shared",
        judged="best",
        program="glue",
        goal="score",
    )
