"""ResNet-74 on CIFAR-10 with cyclic precision.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts; CPT (arXiv 2101.09868), released code and figures. SGD, momentum 0.9,
           a tenth of the rate at 50 and 75 %, 3-8 or 3-6 bits forward, 8 or 6 backward.
Published: CPT's gains over static 8 or 6 bits, on CIFAR-100: +.91 points at 36.67 % fewer BitOPs
           (3-8 bits), +.52 at 30.04 % (3-6). The ten schedules' results were not at hand.
Command:   python -m trainers.cifar --config=configs/rn74_cifar10_cyclic.py --data_dir=DIR
           Others: --precision_schedule=lr|rr|er|lt|ct|rtv|rth|etv|eth, or cpt with --cycles=32;
           the baseline: --precision_schedule=static --bits_max=8; CIFAR-100:
           --config.dataset=cifar100.
Cost:      not run in full; a GPU is needed.
Differs:   64,000 steps are counted as 164 epochs of 390. As there, evaluation is at the current
           bits and the figure is the best over training; --config.evaluation_bits=max is steadier.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn74_cifar10_cyclic",
        dataset="cifar10",
        model="resnet74_projected",
        precision_schedule="cr",
        epochs=164,
        schedule="multistep",
        evaluation_bits="current",
    )
