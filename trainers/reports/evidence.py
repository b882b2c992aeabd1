"""Evidence for advice: the papers' numbers and the results of sweeps as rows of one table."""

from __future__ import annotations

import math
import pathlib
import re
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from keras_sched.advice.evidence import Evidence, distinct, kind_of
from trainers.reports.published import Value, load

__all__ = ["of_published", "of_sweep"]

# Of settings of papers, by how their names begin.
_FAMILIES = {
    "BERT-GLUE": "text classification",
    "I3D": "video classification",
    "LSTM": "language model",
    "MaskRCNN": "detection",
    "NCSN": "image generation",
    "PSPNet": "segmentation",
    "PTB": "language model",
    "Transformer": "language model",
    "VAE": "image generation",
    "YOLO": "detection",
    **dict.fromkeys(("CAPS", "MobileNet", "RN", "VGG", "WRN"), "image classification"),
}
# Of tasks, by the program that trains them.
_PROGRAMS = {
    "capsnet": "image classification",
    "classification": "image classification",
    "detection": "detection",
    "glue": "text classification",
    "graphs": "graph",
    "lm": "language model",
    "ncsn": "image generation",
    "vae": "image generation",
}
_METRICS = {
    "AP": "score of 100",
    "generalization loss": "loss",
    "mAP": "score of 100",
    "mIoU": "score of 100",
    "mean GLUE score": "score of 100",
    "perplexity": "perplexity",
    "test error %": "error %",
    "top-1 accuracy": "score of 100",
    "top-1 accuracy %": "score of 100",
}
_LEARNING_RATES = {"None", "Exp", "OneCycle", "Linear", "Step", "Plateau", "Cosine", "REX"}
# Each paper's own methods: it is their authors who measured them.
_OWN = {
    "REX": ("REX",),
    "Demon": ("Demon",),
    "Budgeted Training": ("Linear",),
    "CPT": ("CPT",),
}


def of_published() -> Iterator[Evidence]:
    """Yield the papers' numbers that compare methods with each other."""
    longest: dict[tuple[str, str], float] = {}
    for value in load():
        key = value.paper, value.setting
        longest[key] = max(longest.get(key, 0.0), value.epochs or 0.0)
    for value in load():
        # Table 7 of Demon repeats runs of its table 3, and differs from it.
        is_other = (value.paper, value.table) in (("REX", "1"), ("REX", "2"), ("Demon", "7"))
        if value.metric not in _METRICS or value.sampling or is_other:
            continue
        parts = _parts(value)
        family = _family(value.setting)
        budget = value.budget
        if budget is None and value.epochs is not None:
            budget = value.epochs / longest[value.paper, value.setting]
        if parts is None or family is None or budget is None:
            continue
        schedule, momentum, precision = parts
        table = f", table {value.table}" if value.table else ""
        # Budgeted Training is read off as shares.
        scale = 100.0 if value.paper == "Budgeted Training" else 1.0
        own = any(value.schedule.startswith(each) for each in _OWN[value.paper])
        yield Evidence(
            source=f"{value.paper}{table}",
            measured_by="authors" if own else "others",
            setting=re.sub(r"-(SGDM|SGD|AdamW|Adam)$", "", value.setting),
            family=family,
            optimizer=kind_of(value.optimizer or "sgd"),
            budget=budget,
            schedule=schedule,
            momentum=momentum,
            precision=precision,
            metric=_METRICS[value.metric],
            value=scale * value.mean,
            std=None if value.std is None else scale * value.std,
            n=value.trials,
        )


def _parts(value: Value) -> tuple[str, str, str] | None:
    """Return schedule, momentum and precision; None for what is no schedule."""
    name = value.schedule
    if value.paper == "CPT":
        return "Step", "constant", name
    if name in _LEARNING_RATES:
        return name, "constant", "float32"
    if name == "Demon":
        return "None", name, "float32"
    if name.endswith(" momentum"):
        return "None", name, "float32"
    return None


def _family(setting: str) -> str | None:
    found = [family for begin, family in _FAMILIES.items() if setting.startswith(begin)]
    return found[0] if found else None


def of_sweep(path: pathlib.Path, family: str | None = None) -> tuple[list[Evidence], list[str]]:
    """Return the results of a sweep, measured here, and what of them is left out.

    A cell with a training that failed has no mean: it is left out, and named.

    Args:
        path: Its ``results.parquet``, or the directory that has it.
        family: The family of its tasks; None for that of the program that trains them.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it has not what is needed, or its family is not known.
    """
    import pandas

    place = path / "results.parquet" if path.is_dir() else path
    if not place.is_file():
        raise FileNotFoundError(
            f"A sweep must have its table, which `python -m trainers.sweep --results={path}` "
            f"writes. Received: {place}"
        )
    table = pandas.read_parquet(place)
    needed = ("program", "optimizer", "phase", "momentum", "goal", "value")
    if lacking := [name for name in needed if name not in table.columns]:
        raise ValueError(
            f"The table of a sweep must have the columns {', '.join(needed)}. Received: {place}, "
            f"without {', '.join(lacking)}: run the command of the sweep again"
        )
    measured = table[table["phase"] == "measurement"]
    keys = ["sweep", "program", "setting", "workload", "optimizer", "budget"]
    keys += ["schedule", "momentum", "precision", "goal", "goal_mode"]
    found, left = [], []
    for key, group in measured.groupby(keys, sort=True):
        cell = dict(zip(keys, key, strict=True))
        name = f"{cell['setting']}, {cell['schedule']} at {100 * cell['budget']:g} %"
        values = group["value"].tolist()
        failed = sum(value is None or math.isnan(value) for value in values)
        if failed:
            left.append(f"{name}: {failed} of {len(values)} trainings failed")
            continue
        if cell["goal_mode"] == "max" and not all(0.0 <= value <= 1.0 for value in values):
            raise ValueError(
                f"A goal that is to be high must be a share, from 0 to 1. Received: {values} in "
                f"{place}, {name}"
            )
        found.append(_of_cell(cell, values, group["count"].iloc[0], family))
    return distinct(found), left


def _of_cell(
    found: dict[str, Any], values: Sequence[float], count: float, family: str | None
) -> Evidence:
    known = family or _PROGRAMS.get(found["program"])
    if known is None:
        raise ValueError(
            f"`--family` must say what the tasks are of a program of one's own. Received: "
            f"program={found['program']!r}"
        )
    is_share = found["goal_mode"] == "max"
    losses = [100.0 * (1.0 - value) if is_share else value for value in values]
    metric = "error %" if is_share else "loss"
    if "perplexity" in found["goal"]:
        metric = "perplexity"
    schedule, momentum = _named(found["schedule"], found["momentum"])
    # No error at all has no logarithm: it counts as half of one, in all examples of all seeds.
    least = 50.0 / (count * len(losses)) if is_share and not math.isnan(count) else 0.0
    return Evidence(
        source=found["sweep"],
        measured_by="here",
        setting=found["workload"],
        family=known,
        optimizer=kind_of(found["optimizer"]),
        budget=found["budget"],
        schedule=schedule,
        momentum=momentum,
        precision=found["precision"],
        metric=metric,
        value=max(statistics.fmean(losses), least),
        std=statistics.stdev(losses) if len(losses) > 1 else None,
        n=len(losses),
    )


def _named(schedule: str, momentum: str) -> tuple[str, str]:
    """Return schedule and momentum as evidence has them.

    A row of a sweep that changes the momentum, too, has both in its name; 1cycle moves it itself.
    """
    if momentum == "constant" or (schedule, momentum) == ("OneCycle", "one_cycle_momentum"):
        return schedule, "constant"
    if schedule.endswith(" momentum"):
        return "None", schedule
    if momentum.casefold() != "demon":
        return schedule, momentum
    return schedule.replace("Demon", "").strip() or "None", "Demon"
