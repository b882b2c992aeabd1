"""RetinaNet on a ResNet-101, on Pascal VOC 2012, with cyclic precision.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts: as `configs/retinanet18_voc2012.py`, with the larger ResNet.
Published: the tables were not at hand.
Command:   python -m trainers.detection --config=configs/retinanet101_voc2012.py --data_dir=DIR
             --backbone_weights=DIR/resnet_101_imagenet.weights.h5
           Data and weights: python -m trainers.fetch voc2012 --data_dir=DIR
                             python -m trainers.fetch resnet_101_imagenet --data_dir=DIR
Cost:      not run in full; a GPU is needed. It has 55,716,120 parameters and multiplies 137
           billion times for an image, forward.
Differs:   as `configs/retinanet18_voc2012.py`.
"""

from ml_collections import ConfigDict

from configs import retinanet18_voc2012


def get_config() -> ConfigDict:
    """Return the setting."""
    config = retinanet18_voc2012.get_config()
    config.name, config.model = "retinanet101_voc2012", "retinanet101"
    return config
