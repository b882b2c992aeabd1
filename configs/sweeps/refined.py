"""Schedules refined from norms of gradients, beside linear decay with and without a warmup.

Source:    Defazio et al. (arXiv 2310.07831): a schedule refined from the norms of an earlier run
           does what linear decay after a warmup does, or a little more. What was to be tested was
           written down before the first trial (docs/advice.md, 6).
Published: none. Reduced-scale settings: small networks on small data, seconds a training.
Expected:  docs/advice.md says what was expected, and what came of it.
Command:   python -m trainers.sweep --config=configs/sweeps/refined.py --results=DIR
           for the digits; with --config=configs/sweeps/refined.py:PART for another task, PART one
           of digits, topics, vae; and --extend_rates=2. The profiles are in refined.json, which
           `python -m benchmarks.norms --write` measures.
Cost:      60 trials a part, and those of rates that are added; 5 to 10 minutes with two workers on
           two cores of an x86-64 server CPU.
Differs:   Norms are the median of three runs, one at a constant rate and one at a rate that decays,
           each at the rate that was best for it in configs/sweeps/advice.py. Five learning rates
           judged with two seeds, and five seeds of what is measured.
"""

import json
import pathlib

from ml_collections import ConfigDict

from configs.sweeps.advice import ADAMW, ADAMW_RATES, SGDM, task_of
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import RATES

PARTS = {"digits": "SGDM", "topics": "AdamW", "vae": "AdamW"}
# The schedules whose norms schedules are refined from, by what these are called.
REFERENCES = {"Refined, constant": "None", "Refined, decayed": "Linear"}
PROFILES = pathlib.Path(__file__).with_suffix(".json")


def get_config(part: str = "digits") -> ConfigDict:
    """Return the sweep of a task.

    Args:
        part: Name of the task.

    Raises:
        ValueError: If it is unknown.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be one of {', '.join(PARTS)}. Received: part={part!r}")
    program, goal, mode, config, rates = task_of(part)
    is_sgd = PARTS[part] == "SGDM"
    profiles = json.loads(PROFILES.read_text())[part]
    return sweep(
        f"refined_{part}",
        settings={
            f"{part}-{PARTS[part]}": setting(
                config, rates if is_sgd else ADAMW_RATES, part, **(SGDM if is_sgd else ADAMW)
            )
        },
        schedules={
            "Linear": RATES["Linear"],
            "Warmup Linear": {**RATES["Linear"], "warmup": "0.05dur"},
            **{
                name: {"schedule": "refined", "schedule_options": {"profile": profiles[reference]}}
                for name, reference in REFERENCES.items()
            },
        },
        budgets=(1.0,),
        seeds=(0, 1, 2, 3, 4),
        tuning_seeds=(100, 101),
        program=program,
        goal=goal,
        goal_mode=mode,
    )
