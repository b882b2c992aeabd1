"""A variational autoencoder of scikit-learn's digits: the embedded default, without a download.

Source:    none; it shows that everything works.
Command:   python -m trainers.vae
Cost:      17 s on two cores of an x86-64 server CPU, start included; test loss 24.75 with seed 0.
Published: none. A reduced-scale setting: its numbers say nothing about MNIST.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.vae import VariationalAutoencoder


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        VariationalAutoencoder,
        name="vae_digits",
        dataset="digits8",
        hidden=(128, 64),
        epochs=100,
        batch_size=100,
        optimizer="adam",
        learning_rate=3e-3,
        l2=0.0,
    )
