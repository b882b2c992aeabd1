"""Rows of the tables of REX (arXiv 2107.04197) and Demon (arXiv 1910.04952): what each changes.

OneCycle moves the momentum too, between .95 and .85 (REX, section 4.1). Plateau looks at the loss
of training: the papers' looks at a validation loss and does not say of which images, and here
nothing may follow the images that a trial is measured on. Its patience is tuned in the papers, in
multiples of 5 epochs; here it is 5.
"""

from collections.abc import Mapping
from typing import Any

from configs import bert_base_glue
from configs.sweeps.base import setting
from trainers.options.glue import GLUE

__all__ = [
    "ADAM_KIN",
    "ADVISED",
    "DEMON",
    "DEMON_ADAM",
    "MOMENTA",
    "PLATEAU",
    "PRECISIONS",
    "RATES",
    "STEP",
    "cyclic",
    "demon_part",
    "glue_part",
]

_TRIANGLE = {
    "momentum": 0.95,
    "momentum_schedule": "one_cycle_momentum",
    "momentum_options": {"low": 0.85, "rise": 0.5, "profile": "linear"},
}

# Schedules of the learning rate at a constant momentum.
RATES = {
    "None": {"schedule": "constant"},
    "Exp": {"schedule": "exponential", "schedule_options": {"rate": 3.0}},
    "OneCycle": {"schedule": "one_cycle_triangle", **_TRIANGLE},
    "Linear": {"schedule": "linear"},
    "Step": {"schedule": "multistep", "schedule_options": {"at": ["0.5dur", "0.75dur"]}},
    "Cosine": {"schedule": "cosine"},
    "REX": {"schedule": "rex"},
}
STEP = {"Step": RATES["Step"]}
PLATEAU = {
    "Plateau": {
        "schedule": "plateau",
        "schedule_options": {"monitor": "loss", "patience": 5, "factor": 0.1},
    }
}

# Schedules of the momentum at a constant learning rate.
MOMENTA = {
    "OneCycle momentum": {"schedule": "constant", **_TRIANGLE},
    "Cosine momentum": {"schedule": "constant", "momentum_schedule": "cosine_momentum"},
    "Linear momentum": {"schedule": "constant", "momentum_schedule": "linear_momentum"},
    "Exp momentum": {"schedule": "constant", "momentum_schedule": "exponential_momentum"},
}
DEMON = {"Demon": {"schedule": "constant", "momentum_schedule": "demon"}}
DEMON_ADAM = {"Demon": {**DEMON["Demon"], "optimizer": "demon_adam"}}

# What advice is to be given on: the rows of the papers, and what came after them.
ADVISED = {
    **RATES,
    "WSD 20 %": {
        "schedule": "wsd",
        "schedule_options": {
            "warmup_length": 0,
            "cooldown_length": "0.2dur",
            "profile": "linear",
        },
    },
    "Warmup REX": {"schedule": "rex", "warmup": "0.05dur"},
    **DEMON,
    "Demon REX": {"schedule": "rex", "momentum_schedule": "demon"},
}

# Other optimizers at a constant learning rate. AdamW's decay takes the place of the coupled one.
ADAM_KIN = {
    "AMSGrad": {"schedule": "constant", "optimizer": "amsgrad"},
    "AdamW": {"schedule": "constant", "optimizer": "adamw", "weight_decay": 0.01, "l2": 0.0},
}

# Schedules of precision: the ten of Wolfe and Kyrillidis (arXiv 2403.02243), CPT, and static bits.
PRECISIONS = {
    "static 8/8": {"precision_schedule": "static"},
    "CPT": {"precision_schedule": "cpt"},
    **{
        name.upper(): {"precision_schedule": name}
        for name in ("lr", "lt", "cr", "ct", "rr", "rtv", "rth", "er", "etv", "eth")
    },
}


def demon_part(
    part: str, others: Mapping[str, Any] | None = None
) -> tuple[str, list[float], dict[str, Any]]:
    """Return optimizer, learning rates and rows of a part of a table of Demon.

    Args:
        part: "SGDM" or "Adam".
        others: Further rows of the part on Adam.

    Raises:
        ValueError: If the part is unknown.
    """
    baselines = {name: row for name, row in RATES.items() if name != "REX"}
    rows = {**baselines, **PLATEAU, **MOMENTA}
    parts = {
        "SGDM": ("sgd", [0.01, 0.03, 0.1, 0.3], {**rows, **DEMON}),
        # Demon Adam does at a tenth of the rate what Adam does.
        "Adam": (
            "adam",
            [3e-5, 1e-4, 3e-4, 1e-3, 3e-3],
            {**rows, **(others or {}), **DEMON_ADAM},
        ),
    }
    if part not in parts:
        raise ValueError(f"`part` must be one of {', '.join(parts)}. Received: part={part!r}")
    return parts[part]


def glue_part(part: str, optimizer: str, rates: list[float]) -> dict[str, Any]:
    """Return the settings of BERT on the tasks of GLUE, or on one of them.

    Args:
        part: "all", or the name of a task.
        optimizer: What the paper calls the optimizer.
        rates: Learning rates.

    Raises:
        ValueError: If the part is unknown.
    """
    if part not in ("all", *GLUE):
        raise ValueError(f"`part` must be one of all, {', '.join(GLUE)}. Received: part={part!r}")
    return {
        f"BERT-{task.upper()}-{optimizer}": setting(
            bert_base_glue.get_config(), rates, dataset=task
        )
        for task in (GLUE if part == "all" else (part,))
    }


def cyclic(*bits: tuple[int, int, int]) -> dict[str, dict[str, Any]]:
    """Return rows of CPT (arXiv 2101.09868): static bits and cyclic ones, by their names there.

    Args:
        *bits: Fewest and most bits forward, and bits backward. Static are the most.
    """
    static = {
        f"static {most}/{gradient}": {
            "precision_schedule": "static",
            "bits_max": most,
            "gradient_bits": gradient,
        }
        for _, most, gradient in bits
    }
    return static | {
        f"CPT {least}-{most}/{gradient}": {
            "precision_schedule": "cpt",
            "cycles": 32,
            "bits_min": least,
            "bits_max": most,
            "gradient_bits": gradient,
        }
        for least, most, gradient in bits
    }
