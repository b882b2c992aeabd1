"""RetinaNet on a ResNet-18 from the beginning, on pages of scattered digits.

Source:    none: `configs/retinanet18_voc2012.py` at a reduced scale, on pages made of
           scikit-learn's embedded digits, with a ResNet that nobody has trained.
Command:   python -m trainers.detection --config=configs/retinanet18_digits.py
Cost:      14 minutes on two cores of an x86-64 server CPU that did other things as well; mean
           average precision at an overlap of one half 0.293 with seed 0: it learns, and would need
           more epochs.
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
        epochs=8,
        batch_size=8,
        optimizer="adam",
        learning_rate=1e-3,
        clip_norm=1.0,
        l2=0.0,
        evaluate_every=4,
    )
