"""Cyclic bits beside float32 and static bits, trained to the end, on four unlike tasks.

Source:    none: the finding of CPT (arXiv 2101.09868) and of Wolfe and Kyrillidis (arXiv
           2403.02243), that cycling saves arithmetic at no loss of quality, at a reduced scale;
           what was to be tested was written down before the first trial (docs/advice.md, 5).
Published: none. Reduced-scale settings: small networks on small data, seconds a training.
Expected:  docs/advice.md says what was expected, and what came of it.
Command:   python -m trainers.sweep --config=configs/sweeps/advice_precision.py --results=DIR
           for Fashion-MNIST; with --config=configs/sweeps/advice_precision.py:PART for another
           task, PART one of fashion, lstm, graph, vae; and --extend_rates=2.
Cost:      50 trials a part, and those of rates that are added; 5 to 20 minutes with two workers
           on two cores of an x86-64 server CPU.
Differs:   AdamW, REX, five learning rates judged with one seed, and five seeds of what is measured.
"""

from ml_collections import ConfigDict

from configs.sweeps.advice import ADAMW, ADAMW_RATES, task_of
from configs.sweeps.base import setting, sweep

_PARTS = ("fashion", "lstm", "graph", "vae")
_CYCLIC = {"bits_min": 3, "bits_max": 8, "cycles": 8}


def get_config(part: str = "fashion") -> ConfigDict:
    """Return the sweep of a task.

    Args:
        part: Name of the task.

    Raises:
        ValueError: If it is unknown.
    """
    if part not in _PARTS:
        raise ValueError(f"`part` must be one of {', '.join(_PARTS)}. Received: part={part!r}")
    program, goal, mode, config, _ = task_of(part)
    return sweep(
        f"advice_precision_{part}",
        settings={f"{part}-AdamW": setting(config, ADAMW_RATES, part, **ADAMW)},
        schedules={"REX": {"schedule": "rex"}},
        precisions={
            "float32": {},
            "static 8/8": {"precision_schedule": "static"},
            **{
                f"{name.upper()} 3-8/8": {"precision_schedule": name, **_CYCLIC}
                for name in ("cr", "rr", "er")
            },
        },
        budgets=(1.0,),
        seeds=(0, 1, 2, 3, 4),
        tuning_seeds=(100,),
        program=program,
        goal=goal,
        goal_mode=mode,
    )
