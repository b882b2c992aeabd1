"""Learning-rate schedules at six budgets: a variational autoencoder of MNIST, SGDM and Adam.

Source:    REX (arXiv 2107.04197), table 7: seven schedules and none, at 1, 5, 10, 25, 50 and 100 %
           of 200 epochs, three trials each.
Published: "generalization loss" of VAE-MNIST-SGDM, then -Adam, at these budgets:
           REX    149.85+-1.62 139.56+-.78 137.15+-.05 134.41+-.78 135.69+-.24 135.03+-.37
           Linear 174.64+-.15  146.15+-.26 143.64+-.80 148.00+-.48 141.72+-.48 137.84+-.32
           REX    148.59+-.33  139.05+-.20 136.62+-.21 134.24+-.02 133.16+-.05 132.52+-.05
           Linear 148.93+-.20  139.82+-.20 137.00+-.70 134.71+-.25 134.00+-.49 132.95+-.24
           none   152.10+-.55  142.54+-.50 140.10+-.82 136.28+-.18 134.64+-.14 134.66+-.17
Expected:  REX first in most columns; with SGDM linear far behind.
Command:   python -m trainers.sweep --config=configs/sweeps/rex_table_7.py --results=DIR
Cost:      672 trials, 42,784 epochs; `--dry_run` measures it where it is to run; not run in full.
Differs:   The papers tune in multiples of 3 and do not print the rates, nor on which images they
           choose; here four rates are judged on held-out training images, with one seed. Plateau:
           see `configs.sweeps.rows`. The network: see `configs/vae_mnist.py`.
"""

from ml_collections import ConfigDict

from configs import vae_mnist
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import PLATEAU, RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "rex_table_7",
        settings={
            "VAE-MNIST-SGDM": setting(
                vae_mnist.get_config(), [1e-4, 3e-4, 1e-3, 3e-3], workload="VAE-MNIST"
            ),
            "VAE-MNIST-Adam": setting(
                vae_mnist.get_config(),
                [3e-4, 1e-3, 3e-3, 1e-2],
                workload="VAE-MNIST",
                optimizer="adam",
            ),
        },
        schedules={**RATES, **PLATEAU},
        tuning_seeds=(100,),
        program="vae",
        goal="loss",
        goal_mode="min",
        source="REX table 7",
    )
