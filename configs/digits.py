"""A small ResNet on scikit-learn's digits: the embedded default, which needs no download.

Source:    none; it shows that everything works.
Command:   python -m trainers.cifar
Cost:      see README.md.
Published: none. A reduced-scale setting: its numbers say nothing about CIFAR.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the setting."""
    return ConfigDict(
        {
            "name": "digits",
            "dataset": "digits",
            "model": "resnet8",
            "batch_size": 64,
            "epochs": 12,
            "budget": 1.0,
            "learning_rate": 0.05,
            "schedule": "rex",
            "schedule_options": ConfigDict(),
            "warmup": "0ep",
            "momentum": 0.9,
            "momentum_schedule": "constant",
            "momentum_options": ConfigDict(),
            "form": "pytorch",
            "l2": 1e-4,
            "steps_per_call": 11,
            "steps_per_checkpoint": 0,
        }
    )
