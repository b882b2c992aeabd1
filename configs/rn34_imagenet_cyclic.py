"""ResNet-34 on ImageNet with cyclic precision.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts; CPT (arXiv 2101.09868), released code. SGD, momentum 0.9, batches of
           256, 90 epochs, a rate of 0.1 and a tenth of it every 30, decay 1e-4; 4-8 bits forward
           and 8 backward, or 4-6 and 6; the first convolution, the 1x1 ones that halve the image
           and the logits in full precision.
Published: by CPT, top-1 accuracy in % of static bits and of CPT, at 8 and at 6 bits:
           73.32 73.12 and 72.82 72.74, with GBitOPs of
           4.03e9 for 5.77e9 and 2.57e9 for 3.24e9. The ten schedules' results were not at hand.
Command:   python -m trainers.imagenet --config=configs/rn34_imagenet_cyclic.py --data_dir=DIR
           Others: --precision_schedule=lr|rr|er|lt|ct|rtv|rth|etv|eth, or cpt with --cycles=32;
           4-6 bits: --bits_max=6 --gradient_bits=6;
           the baseline: --precision_schedule=static --bits_max=8
Cost:      not run in full; a GPU is needed. It has 21,797,672 parameters and multiplies 3.7 billion
           times for an image, forward.
Differs:   As there, evaluation is at the current bits and the figure is the best over training;
           --config.evaluation_bits=max is steadier. CPT's code has 120 epochs where its help says
           90, and so does the later paper.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn34_imagenet_cyclic",
        dataset="imagenet",
        model="resnet34",
        epochs=90,
        batch_size=256,
        schedule="multistep",
        schedule_options={"at": ["30ep", "60ep"]},
        precision_schedule="cr",
        bits_min=4,
        quantized_layers="cpt_imagenet",
        evaluation_bits="current",
    )
