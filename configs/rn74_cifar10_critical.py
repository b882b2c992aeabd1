"""ResNet-74 on CIFAR-10: does a network recover from an early deficit of precision?

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released scripts for critical learning periods:
           3 bits for the first R steps, then 8 bits for a whole training of 256,000 steps, whose
           rate falls at 50 and 75 % of that part. R in 0, 16k, 32k, 64k, 128k, 256k; no weight
           decay. Here R = 32,000 of 288,000 steps.
Published: figures that were not at hand; the finding is that a long deficit does lasting harm.
Command:   python -m trainers.cifar --config=configs/rn74_cifar10_critical.py --data_dir=DIR
           Another R: both --config.schedule_delay and --config.precision_options.length, and the
           epochs. The older scripts have 64,000 steps after the deficit and weight decay:
           --config.epochs=246 --config.schedule_delay=0.3333dur
           --config.precision_options.length=0.3333dur --config.l2=1e-4
Cost:      not run in full; a GPU is needed.
Differs:   288,000 steps are counted as 738 epochs of 390.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn74_cifar10_critical",
        dataset="cifar10",
        model="resnet74_projected",
        epochs=738,
        schedule="multistep",
        schedule_delay="0.1111dur",
        l2=0.0,
        precision_schedule="deficit",
        precision_options={"length": "0.1111dur"},
        evaluation_bits="current",
    )
