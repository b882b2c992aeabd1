"""VGG-16 on CIFAR-100.

Source:    REX (arXiv 2107.04197), table 6, "VGG16-CIFAR100", SGDM. Budgets there: 1, 5, 10, 25, 50
           and 100 % of 300 epochs.
Published: test error in % at these budgets, three trials each:
           REX    94.92+-.91  56.62+-.65  40.72+-.29  31.16+-.11  28.54+-.02  27.27+-.30
           Linear 96.11+-1.64 58.14+-1.19 39.66+-.61  31.95+-.29  29.10+-.34  28.26+-.08
           Cosine 95.03+-.42  61.82+-.13  41.26+-.26  31.93+-.09  28.63+-.11  27.84+-.12
           Step   95.03+-.42  69.87+-.28  46.97+-.13  35.04+-.24  30.09+-.32  27.83+-.30
Command:   python -m trainers.cifar --config=configs/vgg16_cifar100.py --data_dir=DIR --budget=0.05
Cost:      not measured in full; see benchmarks/throughput.py for images a second.
Differs:   The papers tune the learning rate in multiples of 3 for each schedule and budget and do
           not print it, nor the weight decay; 0.1 and 1e-4 are He et al.'s (arXiv 1512.03385).
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="vgg16_cifar100",
        dataset="cifar100",
        model="vgg16",
        epochs=300,
    )
