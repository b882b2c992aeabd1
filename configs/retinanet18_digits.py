"""RetinaNet on a ResNet-18 from the beginning, on pages of scattered digits.

Source:    none: `configs/retinanet18_voc2012.py` at a reduced scale, on pages made of
           scikit-learn's embedded digits, with a ResNet that nobody has trained.
Command:   python -m trainers.detection --config=configs/retinanet18_digits.py
Cost:      RETINA_COST
Published: none. A reduced-scale setting: its numbers say nothing about Pascal VOC.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.detection import Detector


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Detector,
        name="retinanet18_digits",
        dataset="scattered_digits",
        height=128,
        width=128,
        model="retinanet18",
        epochs=5,
        batch_size=8,
        optimizer="adam",
        learning_rate=4e-4,
        clip_norm=1.0,
        l2=0.0,
    )
