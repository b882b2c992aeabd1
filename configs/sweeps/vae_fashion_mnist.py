"""Three schedules at three budgets: a variational autoencoder of Fashion-MNIST.

Source:    none: rows of REX (arXiv 2107.04197), table 7, at a reduced scale, on other data.
Published: none. A reduced-scale setting: its numbers say nothing about MNIST.
Expected:  as in that table: REX and Linear ahead of a constant rate, REX most at small budgets.
           Found at 10, 25 and 100 %, three seeds each (docs/vae_fashion_mnist/report.md):
           None   269.61+-.96  263.53+-.28 259.43+-1.62
           Linear 271.21+-1.80 262.96+-.01 256.73+-.12
           REX    269.20+-.55  262.27+-.21 256.74+-.20
Command:   python -m trainers.sweep --config=configs/sweeps/vae_fashion_mnist.py --results=DIR
Cost:      45 trials, 27 minutes on two cores of an x86-64 server CPU that did other things as well.
Differs:   Two learning rates, judged on held-out training images with one seed, three budgets of
           12 epochs, and Adam alone.
"""

from ml_collections import ConfigDict

from configs import vae_fashion_mnist
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "vae_fashion_mnist",
        settings={"VAE-FashionMNIST-Adam": setting(vae_fashion_mnist.get_config(), [1e-3, 3e-3])},
        schedules={name: RATES[name] for name in ("None", "Linear", "REX")},
        budgets=(0.1, 0.25, 1.0),
        tuning_seeds=(100,),
        program="vae",
        goal="loss",
        goal_mode="min",
    )
