"""Learning-rate schedules at six budgets: ResNet-20 on CIFAR-10, with SGDM and with Adam.

Source:    REX (arXiv 2107.04197), table 4: seven schedules and none, at 1, 5, 10, 25, 50 and 100 %
           of 300 epochs, three trials each.
Published: test error in % of RN20-CIFAR10-SGDM, then -Adam, at these budgets:
           REX    27.94+-.46  12.86+-.27  10.23+-.13  8.37+-.09  7.52+-.24  7.52+-.05
           Linear 28.70+-1.13 13.09+-.13  10.85+-.15  9.03+-.24  8.15+-.12  7.62+-.12
           Cosine 28.49+-.25  13.05+-.17  10.62+-.29  8.80+-.08  8.10+-.13  7.78+-.14
           REX    27.64+-.02  13.96+-.16  10.88+-.05  9.44+-.22  8.72+-.24  8.18+-.15
           Linear 28.99+-.37  14.08+-.34  10.97+-.19  9.25+-.12  9.20+-.22  8.89+-.05
           none   42.10+-2.71 23.01+-1.10 16.58+-.18  13.63+-.22 11.90+-.06 11.94+-.06
Expected:  REX first or second in most columns, and furthest ahead at 1 to 10 %.
Command:   python -m trainers.sweep --config=configs/sweeps/rex_table_4.py --results=DIR
Cost:      672 trials, 64,176 epochs; one took 80 s on two cores of an x86-64 server CPU.
           `--dry_run` measures it where it is to run; not run in full.
Differs:   The papers tune in multiples of 3 and do not print the rates, nor on which images they
           choose; here four rates are judged on held-out training images, with one seed. Plateau:
           see `configs.sweeps.rows`. Weight decay and augmentation: see `configs/rn20_cifar10.py`.
"""

from ml_collections import ConfigDict

from configs import rn20_cifar10
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PLATEAU, RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "rex_table_4",
        settings={
            "RN20-CIFAR10-SGDM": setting(rn20_cifar10.get_config(), [0.01, 0.03, 0.1, 0.3]),
            "RN20-CIFAR10-Adam": setting(
                rn20_cifar10.get_config(), [1e-4, 3e-4, 1e-3, 3e-3], optimizer="adam"
            ),
        },
        schedules={**RATES, **PLATEAU},
        tuning_seeds=(100,),
        source="REX table 4",
    )
