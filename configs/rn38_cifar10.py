"""ResNet-38 on CIFAR-10.

Source:    REX (arXiv 2107.04197), table 2, "RN38-CIFAR10-SGDM", at 15, 75 and 300 epochs, which are
           5, 25 and 100 % of the budget.
Published: test error in % at these, profiles read at every step:
           REX    10.95  6.86  6.09
           Linear 12.11  7.10  5.89
           Step, read at 50 and 75 % of the run: 13.57  7.59  6.66
Command:   python -m trainers.cifar --config=configs/rn38_cifar10.py --data_dir=DIR --budget=0.05
Cost:      not measured in full; see benchmarks/throughput.py for images a second.
Differs:   The papers tune the learning rate in multiples of 3 for each schedule and budget and do
           not print it, nor the weight decay; 0.1 and 1e-4 are He et al.'s (arXiv 1512.03385).
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn38_cifar10",
        dataset="cifar10",
        model="resnet38",
        epochs=300,
    )
