"""Learning-rate schedules at two small budgets: ResNet-50 on ImageNet, with SGDM and with Adam.

Source:    REX (arXiv 2107.04197), table 8: six schedules at 1 and 5 % of 90 epochs, three
           trials each.
Published: top-1 error in % of RN50-ImageNet-SGDM, then -Adam, at 1 and 5 %:
           REX 80.98 40.78    Linear 82.00 43.27    Cosine 82.88 43.90    Step 87.28 46.58
           REX 69.91 40.65    Linear 71.42 42.01    Cosine 73.51 43.66    Step 77.97 45.91
Expected:  REX first in all four columns.
Command:   python -m trainers.sweep --config=configs/sweeps/rex_table_8.py --results=DIR
Cost:      168 trials, 504 epochs of ImageNet; `--dry_run` measures it where it is to run; not run
           in full.
Differs:   As in `configs/sweeps/rex_table_5.py` and `configs/rn50_imagenet.py`.
"""

from ml_collections import ConfigDict

from configs import rn50_imagenet
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    config = rn50_imagenet.get_config()
    return sweep(
        "rex_table_8",
        settings={
            "RN50-ImageNet-SGDM": setting(config, [0.01, 0.03, 0.1, 0.3], workload="RN50-ImageNet"),
            "RN50-ImageNet-Adam": setting(
                config, [1e-4, 3e-4, 1e-3, 3e-3], workload="RN50-ImageNet", optimizer="adam"
            ),
        },
        schedules={name: row for name, row in RATES.items() if name != "None"},
        budgets=(0.01, 0.05),
        tuning_seeds=(100,),
        source="REX table 8",
    )
