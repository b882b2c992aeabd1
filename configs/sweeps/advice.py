"""Eleven schedules at four budgets with two optimizers, on eight tasks as unlike as can be.

Source:    none: the evidence of our own for `keras_sched.recommend`; what was to be tested was
           written down before the first trial (docs/advice.md).
Published: none. Reduced-scale settings: small networks on small data, seconds a training.
Expected:  docs/advice.md says what was expected, and what came of it.
Command:   python -m trainers.sweep --config=configs/sweeps/advice.py --results=DIR
           for the digits; with --config=configs/sweeps/advice.py:PART for another task, PART one of
           digits, fashion, vae, lstm, transformer, topics, graph, capsules; and --extend_rates=2.
           The Fashion-MNIST images are fetched by `python -m trainers.fetch fashion_mnist`; all
           others have their data in packages that the trainers need anyway.
Cost:      704 trials a part, and those of rates that are added; all parts took three hours with
           two workers on two cores of a busy x86-64 server CPU: the graph a few
           minutes, the LSTM and the Transformer an hour each.
Differs:   One tuning seed for each of five rates, three seeds of what is measured.
"""

from ml_collections import ConfigDict

from configs import base, bert_topics, caps_digits, gcn_digits, lstm_python, vae_digits
from configs.sweeps.base import setting, sweep
from configs.sweeps.rows import ADVISED

_BUDGETS = (0.05, 0.1, 0.25, 1.0)
_SGDM_RATES = [0.01, 0.03, 0.1, 0.3, 0.9]
ADAMW_RATES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
SGDM = {"optimizer": "sgd", "momentum": 0.9, "l2": 1e-4, "weight_decay": 0.0}
ADAMW = {"optimizer": "adamw", "momentum": 0.9, "l2": 0.0, "weight_decay": 1e-2}


def get_config(part: str = "digits") -> ConfigDict:
    """Return the sweep of a task.

    Args:
        part: Name of the task.

    Raises:
        ValueError: If it is unknown.
    """
    program, goal, mode, config, rates = task_of(part)
    return sweep(
        f"advice_{part}",
        settings={
            f"{part}-SGDM": setting(config, rates, part, **SGDM),
            f"{part}-AdamW": setting(config, ADAMW_RATES, part, **ADAMW),
        },
        schedules=ADVISED,
        budgets=_BUDGETS,
        tuning_seeds=(100,),
        program=program,
        goal=goal,
        goal_mode=mode,
    )


def task_of(part: str) -> tuple[str, str, str, ConfigDict, list[float]]:
    """Return the program of a task, its goal and mode, its configuration, and rates for SGD.

    Raises:
        ValueError: If it is unknown.
    """
    if part not in _PARTS:
        raise ValueError(f"`part` must be one of {', '.join(_PARTS)}. Received: part={part!r}")
    program, goal, mode, config, rates = _PARTS[part]()
    config["evaluate_every"] = 10_000  # At the end alone.
    return program, goal, mode, config, rates


def _digits():
    config = base.setting(
        name="digits8", dataset="digits8", model="cnn2", epochs=80, batch_size=64, steps_per_call=22
    )
    return "classification", "accuracy", "max", config, _SGDM_RATES


def _fashion():
    config = base.setting(
        name="fashion",
        dataset="fashion_mnist",
        model="cnn2",
        train_share=0.05,
        epochs=20,
        batch_size=50,
        steps_per_call=20,
    )
    return "classification", "accuracy", "max", config, _SGDM_RATES


def _vae():
    config = vae_digits.get_config()
    config.update({"hidden": (64,), "epochs": 60, "batch_size": 50, "importance_samples": 0})
    return "vae", "loss", "min", config, [rate / 30 for rate in _SGDM_RATES]


def _lstm():
    config = lstm_python.get_config()
    config.update({"vocabulary": 500, "units": 32, "batch_size": 128, "epochs": 20, "samples": 0})
    return "lm", "perplexity", "min", config, [rate * 10 for rate in _SGDM_RATES]


def _transformer():
    config = lstm_python.get_config()
    config.update({"model": "transformer", "layers": 1, "units": 32, "feedforward": 64, "heads": 2})
    config.update({"vocabulary": 500, "batch_size": 128, "epochs": 20, "samples": 0})
    return "lm", "perplexity", "min", config, _SGDM_RATES


def _topics():
    config = bert_topics.get_config()
    config.update({"layers": 1, "units": 32, "feedforward": 64, "heads": 2, "vocabulary": 1_000})
    config.update({"epochs": 20, "length": 32, "warmup": "0ep"})
    return "glue", "accuracy", "max", config, _SGDM_RATES


def _graph():
    config = gcn_digits.get_config()
    config.update({"units": 16})
    return "graphs", "accuracy", "max", config, _SGDM_RATES


def _capsules():
    config = caps_digits.get_config()
    config.update({"channels": 8, "epochs": 20, "reconstruction": 0.0, "train_share": 0.5})
    return "capsnet", "accuracy", "max", config, _SGDM_RATES


_PARTS = {
    "digits": _digits,
    "fashion": _fashion,
    "vae": _vae,
    "lstm": _lstm,
    "transformer": _transformer,
    "topics": _topics,
    "graph": _graph,
    "capsules": _capsules,
}
