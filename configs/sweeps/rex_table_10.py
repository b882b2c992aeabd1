"""Learning-rate schedules for 1, 2 and 3 epochs: BERT on the eight tasks of GLUE.

By `--config=configs/sweeps/rex_table_10.py:TASK` that of one task, as cola.

Source:    REX (arXiv 2107.04197), tables 10 and 11: six schedules and none, at 1, 2 and 3 epochs,
           single runs.
Published: mean score over the eight tasks after 1, 2 and 3 epochs:
           REX    81.7 82.6 82.8    Linear 81.2 82.3 82.6    OneCycle 81.0 82.0 82.7
           Cosine 80.9 82.2 82.7    Exp    80.6 81.8 82.5    Step     80.2 81.9 82.3
           none   79.9 81.2 81.8
Expected:  REX ahead, most after one epoch; a constant rate behind.
Command:   python -m trainers.sweep --config=configs/sweeps/rex_table_10.py --results=DIR
Cost:      672 trials, 1,344 epochs, or 84 and 168 of one task; `--dry_run` measures it where it is
           to run; not run in full.
Differs:   Three learning rates, judged on held-out training examples with one seed; the paper does
           not say which. The published numbers are means over the tasks: they stand above and not
           in the report, which has the score of each task. See `configs/bert_base_glue.py`.
"""

from ml_collections import ConfigDict

from configs.sweeps.base import sweep
from configs.sweeps.rows import RATES, glue_part


def get_config(part: str = "all") -> ConfigDict:
    """Return the sweep of all tasks, or of one."""
    return sweep(
        f"rex_table_10_{part}",
        settings=glue_part(part, "AdamW", [1e-5, 3e-5, 1e-4]),
        schedules=RATES,
        budgets=(1 / 3, 2 / 3, 1.0),
        seeds=(0,),
        tuning_seeds=(100,),
        program="glue",
        goal="score",
    )
