"""YOLOv3 on Pascal VOC.

Source:    REX (arXiv 2107.04197), table 9, "YOLO-VOC": trained on VOC 2007 and 2012, tested on
           2007, Adam; two epochs of warmup besides, from a rate of 1e-5 to 1e-4, that no budget
           counts. Budgets there: 1, 5, 10, 25, 50 and 100 % of 50 epochs, rounded up.
Published: mean average precision at these budgets, three trials each:
           REX    64.0 67.0 76.7 81.2 82.2 83.4    Step     62.2 67.0 71.8 78.5 81.1 83.2
           Linear 63.7 67.2 76.2 81.1 82.4 83.4    OneCycle 60.4 63.8 74.9 79.9 81.1 83.3
           Cosine 63.6 66.8 75.9 81.1 82.5 84.0    Exp      49.6 68.1 75.6 80.1 81.2 83.2
           none   45.0 48.1 61.9 70.2 72.1 79.1
Command:   python -m trainers.detection --config=configs/yolov3_voc.py --data_dir=DIR --budget=0.1
           It is fetched by: python -m trainers.fetch voc --data_dir=DIR
Cost:      not run in full; a GPU is needed. It has 61.6 million parameters and multiplies
           32.7 billion times for an image, forward.
Differs:   The paper does not say more. Our choice are images of 416x416, batches of 16, the anchors
           of YOLOv3, no weight decay, and what of an image is trained on (a section of at least
           seven tenths of each side, mirrored or not, brightness and contrast). Numbers as high as
           theirs need a backbone trained on ImageNet, which is not here. Which mean precision
           theirs is, is not said: here are the area under it (voc_map), the 11 points of 2007
           (voc07_map), and COCO's.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.detection import Detector


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Detector,
        name="yolov3_voc",
        dataset="voc",
        height=416,
        width=416,
        model="yolov3",
        anchors=(
            *(90, 116, 198, 156, 326, 373),
            *(61, 30, 45, 62, 119, 59),
            *(13, 10, 30, 16, 23, 33),
        ),
        epochs=50,
        uncounted_epochs=2,
        batch_size=16,
        optimizer="adam",
        learning_rate=1e-4,
        warmup="2ep",
        warmup_start=0.1,
        l2=0.0,
        evaluate_every=10,
    )
