"""A small score network of Fashion-MNIST: the setting on CIFAR-10 at a reduced scale.

Source:    none: `configs/ncsn_cifar10.py` with an eighth of the channels, two cascades, one epoch.
Command:   python -m trainers.ncsn --config=configs/ncsn_fashion_mnist.py --data_dir=DIR
Cost:      10 minutes on two cores of an x86-64 server CPU; clothes that one can recognise, in
           docs/ncsn_fashion_mnist.
Published: none. A reduced-scale setting: its numbers say nothing about CIFAR-10.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.ncsn import Scores


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Scores,
        name="ncsn_fashion_mnist",
        dataset="fashion_mnist",
        channels=16,
        cascades=2,
        epochs=1,
        batch_size=32,
        optimizer="adam",
        learning_rate=2e-3,
        l2=0.0,
        samples=64,
    )
