"""Learning-rate schedules at six budgets: Wide ResNet 16-8 on STL-10, with SGDM and with Adam.

Source:    REX (arXiv 2107.04197), table 5: seven schedules and none, at 1, 5, 10, 25, 50 and 100 %
           of 200 epochs, three trials each.
Published: test error in % of WRN-STL10-SGDM, then -Adam, at these budgets:
           REX    55.93+-.46  34.50+-.16  25.52+-.17  20.54+-.32 16.97+-.46 14.60+-.31
           Linear 58.74+-1.26 34.81+-.40  28.17+-.64  19.54+-.20 17.39+-.24 14.58+-.18
           REX    56.47+-.31  35.52+-.44  27.24+-.20  21.65+-.21 19.12+-.31 17.75+-.22
           Linear 56.72+-.22  40.25+-1.00 31.15+-.29  21.70+-.11 21.53+-.44 17.85+-.15
           none   58.65+-1.79 42.66+-.68  33.17+-1.94 23.35+-.20 19.63+-.26 18.65+-.07
Expected:  REX first or second in most columns, and furthest ahead at 1 to 10 %.
Command:   python -m trainers.sweep --config=configs/sweeps/rex_table_5.py --results=DIR
Cost:      672 trials, 42,784 epochs; `--dry_run` measures it where it is to run; not run in full.
Differs:   The papers tune in multiples of 3 and do not print the rates, nor on which images they
           choose; here four rates are judged on held-out training images, with one seed. Plateau:
           see `configs.sweeps.rows`. Weight decay and augmentation: see `configs/wrn_stl10.py`.
"""

from ml_collections import ConfigDict

from configs import wrn_stl10
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PLATEAU, RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "rex_table_5",
        settings={
            "WRN-STL10-SGDM": setting(wrn_stl10.get_config(), [0.01, 0.03, 0.1, 0.3]),
            "WRN-STL10-Adam": setting(
                wrn_stl10.get_config(), [1e-4, 3e-4, 1e-3, 3e-3], optimizer="adam"
            ),
        },
        schedules={**RATES, **PLATEAU},
        tuning_seeds=(100,),
        source="REX table 5",
    )
