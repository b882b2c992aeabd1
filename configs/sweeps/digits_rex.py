"""Learning-rate schedules at six budgets on 8x8 digits: a table of REX's kind in minutes.

Source:    none; the axes are those of REX (arXiv 2107.04197), tables 4 to 7, without Plateau.
Published: none. A reduced-scale setting: its numbers say nothing about CIFAR.
Expected:  schedules that differ by points at 1 to 10 % and lie together at 100 %.
Command:   python -m trainers.sweep --config=configs/sweeps/digits_rex.py --results=DIR --workers=2
Cost:      504 trials, 16,044 epochs of 64 images a step: 20 steps where the learning rate is
           tuned, 22 where it is measured. `--dry_run` says how long it takes where it is to run.
"""

from ml_collections import ConfigDict

from configs import base
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    config = base.setting(
        dataset="digits8", model="cnn2", epochs=100, batch_size=128, steps_per_call=11
    )
    return sweep(
        "digits_rex",
        settings={"CNN-Digits-SGDM": setting(config, [0.1, 0.3, 0.9])},
        schedules=RATES,
    )
