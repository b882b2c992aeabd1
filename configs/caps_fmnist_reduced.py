"""A small capsule network on Fashion-MNIST: the paper's setting at a reduced scale.

Source:    none: `configs/caps_fmnist.py` with fewer channels and epochs.
Command:   python -m trainers.capsnet --config=configs/caps_fmnist_reduced.py --data_dir=DIR
Cost:      12 minutes on two cores of an x86-64 server CPU that did other things as well; accuracy
           0.895 with seed 0. It has 1,948,560 parameters.
Published: none. A reduced-scale setting: its numbers say nothing about the whole network.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.capsnet import Capsules


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Capsules,
        name="caps_fmnist_reduced",
        dataset="fashion_mnist",
        channels=32,
        primary=8,
        epochs=8,
        optimizer="adam",
        learning_rate=3e-3,
        l2=0.0,
    )
