"""Profiles at sampling rates: ResNet-20 and ResNet-38 on CIFAR-10.

Source:    REX (arXiv 2107.04197), table 2: three profiles at seven sampling rates, at 5, 25 and
           100 % of 300 epochs, with one learning rate.
Published: test error in % of "RN20-CIFAR10-SGDM" at 15 epochs, for Step, Linear and REX:
           read at 50 and 75 %: 14.48 16.96 20.79; every 10 %: 17.98 16.35 16.48;
           every 1 %: 18.53 13.91 13.34; every iteration: 19.19 13.09 12.86.
Expected:  REX and Linear best where they are read often, Step where it is read twice.
Command:   python -m trainers.sweep --config=configs/sweeps/rex_table_2.py --results=DIR
Cost:      378 trials, 49,140 epochs; one of ResNet-20 took 80 s on two cores of an x86-64 server
           CPU. `--dry_run` measures it where it is to run; not run in full.
Differs:   The table's Step is "a tuned exponentially decaying profile" whose constant is not
           printed: 4.6 is a tenth at half time. The learning rate is not printed either: 0.1 is He
           et al.'s (arXiv 1512.03385). "5-25" is taken to be every 5 %.
"""

from ml_collections import ConfigDict

from configs import rn20_cifar10, rn38_cifar10
from configs.sweeps.base import setting, sweep

_PROFILES = {
    "Step": {"schedule": "exponential", "schedule_options": {"rate": 4.6}},
    "Linear": {"schedule": "linear"},
    "REX": {"schedule": "rex"},
}
_SAMPLINGS = {
    "50-75": {"sampled_at": ["0.5dur", "0.75dur"]},
    "33-66": {"sampled_at": ["0.33dur", "0.66dur"]},
    "25-50-75": {"sampled_at": ["0.25dur", "0.5dur", "0.75dur"]},
    "10-10": {"sampled_every": "0.1dur"},
    "5-25": {"sampled_every": "0.05dur"},
    "1-100": {"sampled_every": "0.01dur"},
    "every iteration": {},
}


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "rex_table_2",
        settings={
            "RN20-CIFAR10-SGDM": setting(rn20_cifar10.get_config(), [0.1]),
            "RN38-CIFAR10-SGDM": setting(rn38_cifar10.get_config(), [0.1]),
        },
        schedules={
            f"{profile} {rate}": {**changes, **sampling}
            for profile, changes in _PROFILES.items()
            for rate, sampling in _SAMPLINGS.items()
        },
        budgets=(0.05, 0.25, 1.0),
        protocol="shared",
        source="REX table 2",
    )
