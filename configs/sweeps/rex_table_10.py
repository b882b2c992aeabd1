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
           not say which. A report has the score of each task, and ratings over all of them; the
           paper's is their mean. See `configs/bert_base_glue.py`.
"""

from ml_collections import ConfigDict

from configs import bert_base_glue
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES
from trainers.datasets.sentence_sources import GLUE


def get_config(task: str = "all") -> ConfigDict:
    """Return the sweep of all tasks, or of one."""
    if task not in ("all", *GLUE):
        raise ValueError(f"`task` must be one of all, {', '.join(GLUE)}. Received: task={task!r}")
    return sweep(
        f"rex_table_10_{task}",
        settings={
            f"BERT-{name.upper()}-AdamW": setting(
                bert_base_glue.get_config(), [1e-5, 3e-5, 1e-4], dataset=name
            )
            for name in (GLUE if task == "all" else (task,))
        },
        schedules=RATES,
        budgets=(1 / 3, 2 / 3, 1.0),
        seeds=(0,),
        tuning_seeds=(100,),
        source="REX table 10",
        program="glue",
        goal="score",
    )
