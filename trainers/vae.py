"""Train a variational autoencoder: `python -m trainers.vae [--config=configs/vae_mnist.py]`.

Without flags it trains on digits that come with the installation. The same command continues an
interrupted run, and shows the record of one that is over.
"""

from __future__ import annotations

from trainers.command import Program
from trainers.tasks.vae import VAE

program = Program(
    VAE,
    "vae_digits.py",
    note="Data: scikit-learn's embedded digits at 8x8, a reduced-scale setting. "
    "For MNIST: --config=configs/vae_mnist.py",
)

if __name__ == "__main__":
    program.main()
