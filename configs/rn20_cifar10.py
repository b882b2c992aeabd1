"""ResNet-20 on CIFAR-10.

Source:    REX (arXiv 2107.04197), table 4, "RN20-CIFAR10", SGDM; shared with Demon (arXiv
           1910.04952), table 3. Budgets there: 1, 5, 10, 25, 50 and 100 % of 300 epochs.
Published: test error in % at these budgets, three trials each:
           REX    27.94+-.46  12.86+-.27  10.23+-.13  8.37+-.09  7.52+-.24  7.52+-.05
           Linear 28.70+-1.13 13.09+-.13  10.85+-.15  9.03+-.24  8.15+-.12  7.62+-.12
           Cosine 28.49+-.25  13.05+-.17  10.62+-.29  8.80+-.08  8.10+-.13  7.78+-.14
           Step   32.14+-.34  14.94+-.27  11.80+-.11  8.82+-.25  8.43+-.07  7.32+-.14
           Demon SGDM (25, 50 and 100 %): 8.56+-.10  8.21+-.18  7.59+-.12
Command:   python -m trainers.cifar --config=configs/rn20_cifar10.py --data_dir=DIR --budget=0.05
Cost:      one epoch of the 300 took 80 s on two cores of an x86-64 server CPU, so about 7 hours
           for all of them there (not run in full).
Differs:   The papers tune the learning rate in multiples of 3 for each schedule and budget and do
           not print it, nor the weight decay; 0.1 and 1e-4 are He et al.'s (arXiv 1512.03385).
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn20_cifar10",
        dataset="cifar10",
        model="resnet20",
        epochs=300,
    )
