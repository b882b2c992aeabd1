"""A small detector of blood cells.

Source:    none: boxes of YOLOv3 (arXiv 1804.02767) in one grid, on photographs of blood at half
           their size (BCCD: 205 to train and 72 to test, red and white cells and platelets).
Command:   python -m trainers.detection --config=configs/bccd.py --data_dir=DIR
Cost:      8 minutes on two cores of an x86-64 server CPU that did other things as well; mean
           average precision at an overlap of one half 0.891 with seed 0, by COCO 0.889.
Published: none. A reduced-scale setting: its numbers say nothing about Pascal VOC.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.detection import Detector


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Detector,
        name="bccd",
        dataset="bccd",
        height=240,
        width=320,
        anchors=(20, 20, 50, 52, 92, 104),
        epochs=60,
        batch_size=8,
        optimizer="adam",
        learning_rate=2e-3,
        l2=0.0,
        evaluate_every=15,
    )
