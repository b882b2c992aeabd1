"""What all settings share, and what a setting may say: the keys are those of every other file."""

from typing import Any

from ml_collections import ConfigDict


def setting(**changes: Any) -> ConfigDict:
    """Return the CIFAR setting of the papers with `changes`; momentum SGD, batches of 128, REX."""
    config = ConfigDict(
        {
            "name": "",
            "dataset": "",
            "model": "",
            "batch_size": 128,
            "epochs": 300,
            "budget": 1.0,
            "learning_rate": 0.1,
            "schedule": "rex",
            "schedule_options": ConfigDict(),
            "sampling": "",
            "schedule_delay": "0ep",
            "warmup": "0ep",
            "optimizer": "sgd",
            "momentum": 0.9,
            "momentum_schedule": "constant",
            "momentum_options": ConfigDict(),
            "precision_schedule": "none",
            "precision_options": ConfigDict(),
            "bits_min": 3,
            "bits_max": 8,
            "gradient_bits": 8,
            "cycles": 8,
            "quantized_layers": "cpt_cifar",
            "evaluation_bits": "max",
            "policy": "",
            "form": "pytorch",
            "l2": 1e-4,
            "weight_decay": 0.0,
            "steps_per_call": 10,
            "steps_per_checkpoint": 0,
            "split": "test",
        }
    )
    config.lock()  # from here on an unknown key is an error
    for name, value in changes.items():
        config[name] = ConfigDict(value) if isinstance(value, dict) else value
    return config
