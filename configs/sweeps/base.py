"""What a sweep may say; see `trainers.sweeps.grid` for what becomes of it."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

__all__ = ["setting", "sweep"]


def setting(
    config: ConfigDict, learning_rates: Sequence[float], workload: str = "", **changes: Any
) -> dict[str, Any]:
    """Return a setting of a sweep.

    Args:
        config: The setting's own configuration, as `configs.rn20_cifar10.get_config()`.
        learning_rates: Rates to choose from; under the protocol "shared" the one that is used.
        workload: A name that settings share which train the same model on the same data, as with
            two optimizers: a report compares their optimizers. Empty if there is no other one.
        **changes: What is changed in the configuration.

    Raises:
        ValueError: If a change is of a key that the configuration does not have.
    """
    changed = config.copy_and_resolve_references()
    for name, value in changes.items():
        if name not in changed and changed.is_locked:
            near = difflib.get_close_matches(name, list(changed), n=1)
            raise ValueError(
                f"A change must be of a key of the configuration. Received: {name}={value!r}."
                + (f" Did you mean {near[0]!r}?" if near else "")
            )
        changed[name] = value
    return {
        "config": changed.to_dict(),
        "learning_rates": list(learning_rates),
        "workload": workload,
    }


def sweep(
    name: str,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    schedules: Mapping[str, Mapping[str, Any]],
    momenta: Mapping[str, Mapping[str, Any]] | None = None,
    precisions: Mapping[str, Mapping[str, Any]] | None = None,
    budgets: Sequence[float] = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0),
    seeds: Sequence[int] = (0, 1, 2),
    tuning_seeds: Sequence[int] = (100, 101, 102),
    protocol: str = "tuned",
    goal: str = "accuracy",
    goal_mode: str = "max",
    judged: str = "final",
    source: str = "",
    threads: int = 1,
    program: str = "classification",
    margin: float | None = None,
) -> ConfigDict:
    """Return the configuration of a sweep.

    Args:
        name: Its name.
        settings: Settings by name; see `setting`. A paper's setting has the paper's name.
        schedules: What each learning-rate schedule changes in a setting, by its name in tables.
        momenta: What each momentum schedule changes; nothing if None.
        precisions: What each precision changes; nothing if None.
        budgets: Shares of the setting's epochs.
        seeds: Seeds of what is measured.
        tuning_seeds: Other seeds, of what decides the learning rate.
        protocol: "tuned", "halving" or "shared"; see `trainers.sweeps.grid`.
        goal: The metric that is judged: of validation data where a learning rate is tuned, of test
            data where it is measured.
        goal_mode: "max" or "min": whether more of it is better.
        judged: "final", its value at the end of a trial, or "best", that of its best epoch.
        source: The table of a paper whose settings these are; empty for none.
        threads: Threads of a worker; 0 for what TensorFlow takes.
        program: What trains: the name of a task, or a class of one's own as "module:Class".
        margin: Methods whose means differ by less count as equivalent where a report can show it:
            in units of the goal, in points of per cent for shares. It must be said before there are
            results; None for no such claims.
    """
    values = dict(locals())
    values["momenta"] = momenta or {"constant": {}}
    values["precisions"] = precisions or {"float32": {}}
    # Names of schedules may have dots, which a ConfigDict takes for paths: kept as plain mappings.
    config = ConfigDict(convert_dict=False)
    for key, value in values.items():
        config[key] = value
    return config.lock()
