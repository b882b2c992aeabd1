"""A variational autoencoder of Fashion-MNIST: the setting on MNIST at a reduced scale.

Source:    none: the network and the batches of `configs/vae_mnist.py`, with Adam and 12 epochs.
Command:   python -m trainers.vae --config=configs/vae_fashion_mnist.py --data_dir=DIR
Cost:      106 s on two cores of an x86-64 server CPU, start included; test loss 259.50, and 258.87
           with 16 codes for each image, with seed 0.
Published: none. A reduced-scale setting: its numbers say nothing about MNIST.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.vae import VariationalAutoencoder


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        VariationalAutoencoder,
        name="vae_fashion_mnist",
        dataset="fashion_mnist",
        epochs=12,
        batch_size=100,
        optimizer="adam",
        learning_rate=1e-3,
        l2=0.0,
    )
