"""ResNet-56 on Tiny ImageNet.

Source:    Demon (arXiv 1910.04952), table 3, "RN56-TINYIMAGENET": 200 classes at 64x64, batches of
           128. Two columns, whose epochs are not printed.
Published: test error in % in both columns:
           Demon SGDM 44.87 40.85    SGDM Step 45.98 41.66
           Demon Adam 48.92 45.72    Adam      57.56 50.89
Command:   python -m trainers.imagenet --config=configs/rn56_tinyimagenet.py --data_dir=DIR
           It is fetched by: python -m trainers.fetch tiny_imagenet --data_dir=DIR
Cost:      not run in full; a GPU is needed.
Differs:   Epochs, learning rate, weight decay and augmentation are not printed. Our choice are 150
           epochs, and half of them, 0.1 and 1e-4 as for ResNet-20, shifts by eight pixels and
           mirroring. What is measured are the 10,000 images with labels that the data set calls
           validation images.
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="rn56_tinyimagenet",
        dataset="tiny_imagenet",
        model="resnet56",
        epochs=150,
    )
