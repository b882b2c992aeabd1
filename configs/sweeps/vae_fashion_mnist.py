"""Three schedules at three budgets: a variational autoencoder of Fashion-MNIST.

Source:    none: rows of REX (arXiv 2107.04197), table 7, at a reduced scale, on other data.
Published: none. A reduced-scale setting: its numbers say nothing about MNIST.
Expected:  as in that table: REX and Linear ahead of a constant rate, REX most at the least budget.
Command:   python -m trainers.sweep --config=configs/sweeps/vae_fashion_mnist.py --results=DIR
Cost:      COST
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
