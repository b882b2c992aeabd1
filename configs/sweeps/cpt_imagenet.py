"""Cyclic precision beside static bits: ResNet-18, -34 and -50 on ImageNet.

Source:    CPT (arXiv 2101.09868), table of ImageNet: 4-8 bits with gradients of 8 and 4-6 with 6,
           beside static 8 and 6 bits. The 8 to 32 bits of its last rows are left out: more than 16
           cannot be told from float32 here.
Published: top-1 accuracy in % (and GBitOPs) of static 8, CPT 4-8, static 6, CPT 4-6 bits:
           RN18 69.60 (2.86e9) 69.64 (1.99e9) 69.30 (1.61e9) 69.33 (1.27e9)
           RN34 73.32 (5.77e9) 73.12 (4.03e9) 72.82 (3.24e9) 72.74 (2.57e9)
           RN50 76.29 (6.47e9) 76.35 (4.51e9) 75.72 (3.63e9) 75.74 (2.87e9)
Expected:  CPT as good as static bits, at 30 % and 21 % fewer bit operations.
Command:   python -m trainers.sweep --config=configs/sweeps/cpt_imagenet.py --results=DIR
Cost:      12 trials, 1,080 epochs of ImageNet; `--dry_run` measures it where it is to run; not run
           in full.
Differs:   See `configs/rn18_imagenet_cyclic.py`. One seed: the paper does not say how many.
"""

from ml_collections import ConfigDict

from configs import rn18_imagenet_cyclic
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import cyclic


def get_config() -> ConfigDict:
    """Return the sweep."""
    config = rn18_imagenet_cyclic.get_config()
    return sweep(
        "cpt_imagenet",
        settings={
            f"RN{depth}-ImageNet-SGDM": setting(config, [0.1], model=f"resnet{depth}")
            for depth in (18, 34, 50)
        },
        schedules={"Step": {}},
        precisions=cyclic((4, 8, 8), (4, 6, 6)),
        budgets=(1.0,),
        seeds=(0,),
        protocol="shared",
        judged="best",
        source="CPT",
    )
