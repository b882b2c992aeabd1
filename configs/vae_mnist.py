"""A variational autoencoder of MNIST.

Source:    REX (arXiv 2107.04197), table 7, "VAE-MNIST", SGDM; shared with Demon (arXiv 1910.04952),
           table 4 and appendix A: three dense layers in the encoder and three in the decoder, two
           latent dimensions, batches of 100. Budgets there: 1, 5, 10, 25, 50 and 100 % of 200
           epochs.
Published: "generalization loss" at these budgets, three trials each:
           REX    149.85+-1.62 139.56+-.78 137.15+-.05 134.41+-.78 135.69+-.24 135.03+-.37
           Linear 174.64+-.15  146.15+-.26 143.64+-.80 148.00+-.48 141.72+-.48 137.84+-.32
           Cosine 174.52+-1.09 145.99+-.15 141.23+-.36 139.15+-.26 136.69+-.27 135.05+-.09
           Step   180.30+-6.98 152.97+-.55 146.24+-2.50 140.28+-.51 137.70+-.93 136.34+-.31
           Demon SGDM (25 and 50 %): 138.29+-.08 136.55+-.64
Command:   python -m trainers.vae --config=configs/vae_mnist.py --data_dir=DIR --budget=0.05
Cost:      an epoch of as many images of Fashion-MNIST took 7 s on two cores of an x86-64 server
           CPU, so about 25 minutes for all 200 (not run in full).
Differs:   The papers do not say how wide the layers are, nor their activation, nor the learning
           rate, which they tune in multiples of 3 for each schedule and budget. Our choice are 512
           and 256 units, ReLU, no weight decay, and 3e-3, the best of 1e-4 to 1e-2 in two epochs
           of Fashion-MNIST. What they call "generalization loss" is here the negative ELBO of test
           images in nats, of pixels in [0, 1].
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.vae import VariationalAutoencoder


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        VariationalAutoencoder,
        name="vae_mnist",
        dataset="mnist",
        epochs=200,
        batch_size=100,
        learning_rate=3e-3,
        l2=0.0,
    )
