"""ResNet-18 on ImageNet: does a network recover from an early deficit of precision?

Source:    Wolfe and Kyrillidis (arXiv 2403.02243), released scripts for critical learning periods:
           4 bits for the first R epochs, then 8 bits for a whole training of 150 epochs. R in 0, 25
           and 100; no weight decay. Here R = 25 of 175 epochs.
Published: figures that were not at hand; the finding is that a long deficit does lasting harm.
Command:   python -m trainers.imagenet --config=configs/rn18_imagenet_critical.py --data_dir=DIR
           Another R: both --config.schedule_delay and --config.precision_options.length, and the
           epochs.
Cost:      not run in full; a GPU is needed.
Differs:   The drops of the rate are those of ResNet-74 there, at 50 and 75 % of the training that
           follows the deficit: what this network has was not at hand.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn18_imagenet_critical",
        dataset="imagenet",
        model="resnet18",
        epochs=175,
        batch_size=256,
        schedule="multistep",
        schedule_delay="25ep",
        l2=0.0,
        precision_schedule="deficit",
        precision_options={"length": "25ep"},
        bits_min=4,
        quantized_layers="cpt_imagenet",
        evaluation_bits="current",
    )
