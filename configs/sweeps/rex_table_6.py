"""Learning-rate schedules at six budgets: VGG-16 on CIFAR-100, with SGDM and with Adam.

Source:    REX (arXiv 2107.04197), table 6: seven schedules and none, at 1, 5, 10, 25, 50 and 100 %
           of 300 epochs, three trials each.
Published: test error in % of VGG16-CIFAR100-SGDM, then -Adam, at these budgets:
           REX    94.92+-.91  56.62+-.65  40.72+-.29  31.16+-.11 28.54+-.02 27.27+-.30
           Linear 96.11+-1.64 58.14+-1.19 39.66+-.61  31.95+-.29 29.10+-.34 28.26+-.08
           REX    91.93+-.01  52.20+-.47  39.51+-.21  31.68+-.57 28.58+-.16 26.99+-.09
           Linear 92.94+-.49  54.32+-1.17 39.49+-.11  32.01+-.49 29.30+-.18 28.65+-.10
           none   92.70+-.50  64.05+-.41  57.56+-1.30 37.98+-.20 33.62+-.11 31.09+-.09
Expected:  REX first or second in most columns, and furthest ahead at 1 to 10 %.
Command:   python -m trainers.sweep --config=configs/sweeps/rex_table_6.py --results=DIR
Cost:      672 trials, 64,176 epochs; `--dry_run` measures it where it is to run; not run in full.
Differs:   The papers tune in multiples of 3 and do not print the rates, nor on which images they
           choose; here four rates are judged on held-out training images, with one seed. Plateau:
           see `configs.sweeps.rows`. Weight decay: see `configs/vgg16_cifar100.py`.
"""

from ml_collections import ConfigDict

from configs import vgg16_cifar100
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PLATEAU, RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "rex_table_6",
        settings={
            "VGG16-CIFAR100-SGDM": setting(vgg16_cifar100.get_config(), [0.01, 0.03, 0.1, 0.3]),
            "VGG16-CIFAR100-Adam": setting(
                vgg16_cifar100.get_config(), [1e-4, 3e-4, 1e-3, 3e-3], optimizer="adam"
            ),
        },
        schedules={**RATES, **PLATEAU},
        tuning_seeds=(100,),
        source="REX table 6",
    )
