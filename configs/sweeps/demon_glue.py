"""Decay of momentum beside a linear learning rate: BERT on the eight tasks of GLUE.

By `--config=configs/sweeps/demon_glue.py:TASK` that of one task, as cola.

Source:    Demon (arXiv 1910.04952), section 5: Adam with a linear schedule, and Demon Adam.
Published: mean score over the eight tasks: Adam with a linear schedule 79.1, Demon Adam 79.7.
Expected:  both near each other.
Command:   python -m trainers.sweep --config=configs/sweeps/demon_glue.py --results=DIR
Cost:      80 trials, 240 epochs, or 10 and 30 of one task; `--dry_run` measures it where it is to
           run; not run in full.
Differs:   Four learning rates, judged on held-out training examples with one seed; the paper does
           not say which, nor how many epochs: three here. See `configs/bert_base_glue.py`.
"""

from ml_collections import ConfigDict

from configs import bert_base_glue
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import DEMON_ADAM, RATES
from trainers.datasets.sentence_sources import GLUE


def get_config(task: str = "all") -> ConfigDict:
    """Return the sweep of all tasks, or of one."""
    if task not in ("all", *GLUE):
        raise ValueError(f"`task` must be one of all, {', '.join(GLUE)}. Received: task={task!r}")
    return sweep(
        f"demon_glue_{task}",
        settings={
            # Demon Adam does at a tenth of the rate what Adam does.
            f"BERT-{name.upper()}-Adam": setting(
                bert_base_glue.get_config(), [3e-6, 1e-5, 3e-5, 1e-4], dataset=name
            )
            for name in (GLUE if task == "all" else (task,))
        },
        schedules={"Linear": RATES["Linear"], **DEMON_ADAM},
        budgets=(1.0,),
        seeds=(0,),
        tuning_seeds=(100,),
        source="Demon",
        program="glue",
        goal="score",
    )
