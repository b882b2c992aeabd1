"""What every test stands on: two logical CPUs for `tf.distribute`, and a seed before each test."""

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest


def pytest_configure(config):
    # The process that only hands tests to others need not wait for TensorFlow.
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


def pytest_collection_modifyitems(items):
    """Refuses names that differ from process to process: workers could not share such tests."""
    for each in items:
        if " at 0x" in each.nodeid:
            raise pytest.UsageError(f"the name of a test has an address in it: {each.nodeid}")


@pytest.fixture(autouse=True)
def _seed():
    import keras

    keras.utils.set_random_seed(0)
