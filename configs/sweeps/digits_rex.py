"""Learning-rate schedules at six budgets on 8x8 digits: a table of REX's kind in minutes.

Source:    none; the axes are those of REX (arXiv 2107.04197), tables 4 to 7, without Plateau.
Published: none. A reduced-scale setting: its numbers say nothing about CIFAR.
Expected:  docs/digits_rex/report.md: schedules differ by points at 1 to 10 % and by less than two
           at 100 %, where they reach 97 to 99 %.
Command:   python -m trainers.sweep --config=configs/sweeps/digits_rex.py --results=DIR --workers=2
Cost:      504 trials of 164,451 steps of 128 images: 8 minutes with two workers on two cores of
           an AMD EPYC (Zen 3). `--dry_run` says how long it takes where it is to run. The results
           in docs are of an Intel Xeon with AVX-512.
"""

from ml_collections import ConfigDict

from configs import base
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    config = base.setting(
        name="digits8",
        dataset="digits8",
        model="cnn2",
        epochs=100,
        batch_size=128,
        steps_per_call=11,
    )
    return sweep(
        "digits_rex",
        settings={"CNN-Digits-SGDM": setting(config, [0.1, 0.3, 0.9])},
        schedules=RATES,
    )
