"""Decay of momentum beside a linear learning rate: BERT on the eight tasks of GLUE.

By `--config=configs/sweeps/demon_glue.py:TASK` that of one task, as cola.

Source:    Demon (arXiv 1910.04952), section 5: Adam with a linear schedule, and Demon Adam.
Published: mean score over the eight tasks: Adam with a linear schedule 79.1, Demon Adam 79.7.
Expected:  both near each other.
Command:   python -m trainers.sweep --config=configs/sweeps/demon_glue.py --results=DIR
Cost:      80 trials, 240 epochs, or 10 and 30 of one task; `--dry_run` measures it where it is to
           run; not run in full.
Differs:   Four learning rates, judged on held-out training examples with one seed; the paper does
           not say which, nor how many epochs: three here. The published numbers are means over the
           tasks: they stand above and not in the report. See `configs/bert_base_glue.py`.
"""

from ml_collections import ConfigDict

from configs.sweeps.base import sweep
from configs.sweeps.rows import DEMON_ADAM, RATES, glue_part


def get_config(part: str = "all") -> ConfigDict:
    """Return the sweep of all tasks, or of one."""
    return sweep(
        f"demon_glue_{part}",
        # Demon Adam does at a tenth of the rate what Adam does.
        settings=glue_part(part, "Adam", [3e-6, 1e-5, 3e-5, 1e-4]),
        schedules={"Linear": RATES["Linear"], **DEMON_ADAM},
        budgets=(1.0,),
        seeds=(0,),
        tuning_seeds=(100,),
        program="glue",
        goal="score",
    )
