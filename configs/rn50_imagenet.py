"""ResNet-50 on ImageNet.

Source:    REX (arXiv 2107.04197), table 8, "RN50-ImageNet", SGDM; batches, weight decay and
           augmentation are not given. Budgets there: 1 and 5 % of 90 epochs.
Published: top-1 error in % at 1 and 5 %, three trials each:
           REX    80.98 40.78    Linear 82.00 43.27    Cosine 82.88 43.90
           Step   87.28 46.58    Exp    90.19 48.28    OneCycle 90.94 55.00
           Demon's authors tried it too and saw no difference to Step that was worth noting.
Command:   python -m trainers.imagenet --config=configs/rn50_imagenet.py --data_dir=DIR
           The paper's budgets: --budget=0.01 and --budget=0.05.
           A tenth of the images, or smaller ones: --train_share=0.1 --image_size=128
Cost:      not run in full; a GPU is needed. It has 25,557,032 parameters and multiplies 4.1 billion
           times for an image, forward.
Differs:   The paper tunes the learning rate in multiples of 3 for each schedule and budget and does
           not print it: 0.1 for batches of 256, a decay of 1e-4 and parts of photographs are those
           of He et al. (arXiv 1512.03385) and Szegedy et al. (arXiv 1409.4842). 1 % is one epoch,
           5 % are five: whole epochs are trained.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn50_imagenet",
        dataset="imagenet",
        model="resnet50",
        epochs=90,
        batch_size=256,
    )
