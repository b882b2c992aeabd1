"""ResNet-74 on CIFAR-10: when does a deficit of precision do most harm?

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released probe scripts: 256,000 steps, 3 bits
           for 128,000 of them from step a on, 8 bits before and after; a in 0, 16k, 32k, 64k.
           Here a = 16,000.
Published: figures that were not at hand.
Command:   python -m trainers.cifar --config=configs/rn74_cifar10_probe.py --data_dir=DIR
           Later: --config.precision_options.start=0.25dur
Cost:      not run in full; a GPU is needed.
Differs:   256,000 steps are counted as 656 epochs of 390. Weight decay is 0, as in the final
           scripts; older ones have 1e-4.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn74_cifar10_probe",
        dataset="cifar10",
        model="resnet74_projected",
        epochs=656,
        schedule="multistep",
        l2=0.0,
        precision_schedule="deficit",
        precision_options={"length": "0.5dur", "start": "0.0625dur"},
        evaluation_bits="current",
    )
