"""Learning-rate schedules at six budgets: YOLOv3 on Pascal VOC, with Adam.

Source:    REX (arXiv 2107.04197), table 9: six schedules and none, at 1, 5, 10, 25, 50 and 100 % of
           50 epochs, and two epochs of warmup besides.
Published: mean average precision at these budgets, three trials each:
           REX    64.0 67.0 76.7 81.2 82.2 83.4    Linear 63.7 67.2 76.2 81.1 82.4 83.4
           Cosine 63.6 66.8 75.9 81.1 82.5 84.0    none   45.0 48.1 61.9 70.2 72.1 79.1
Expected:  REX, Linear and Cosine near each other and ahead of the others, most at small budgets.
Command:   python -m trainers.sweep --config=configs/sweeps/rex_table_9.py --results=DIR
Cost:      252 trials, 4,578 epochs of Pascal VOC; `--dry_run` measures it where it is to run; not
           run in full.
Differs:   Three learning rates, judged on held-out training images with one seed; the paper names
           1e-4 alone. See `configs/yolov3_voc.py`.
"""

from ml_collections import ConfigDict

from configs import yolov3_voc
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES


def get_config() -> ConfigDict:
    """Return the sweep."""
    return sweep(
        "rex_table_9",
        settings={"YOLO-VOC-Adam": setting(yolov3_voc.get_config(), [3e-5, 1e-4, 3e-4])},
        schedules=RATES,
        tuning_seeds=(100,),
        program="detection",
        goal="voc_map",
        source="REX table 9",
    )
