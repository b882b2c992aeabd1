"""Data whose number of batches nobody knows: the last call of an epoch has none, and counts none.

Keras notices the end of such data by a step that finds no batch. What the step does without one is
done all the same: Keras' own optimizers count one update more, in every epoch.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from tests.callbacks.models import BATCH, ONES, STEPS, line

pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")
EPOCHS = 3
RATE = ks.Linear(0.125, steps=EPOCHS * STEPS)


def dataset():
    return tf.data.Dataset.from_tensor_slices((ONES, ONES)).batch(BATCH)


def filtered():
    return dataset().filter(lambda x, y: True)


def generated():
    return tf.data.Dataset.from_generator(
        lambda: iter([(ONES[:BATCH], ONES[:BATCH])] * STEPS),
        output_signature=(tf.TensorSpec([None, 1]), tf.TensorSpec([None, 1])),
    )


CALLBACKS = {
    "logger": lambda: [ks.StepLogger()],
    "scheduler": lambda: [ks.Scheduler(RATE)],
    "plateau": lambda: [ks.Plateau("loss")],
    "all": lambda: [ks.StepLogger(), ks.Scheduler(RATE), ks.Plateau("loss")],
}


def train(data, callbacks, optimizer=None, **options):
    model = line(optimizer or keras.optimizers.SGD(0.5, momentum=0.5), **options)
    model.fit(data(), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.parametrize("callbacks", CALLBACKS)
@pytest.mark.parametrize("data", [filtered, generated], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "options",
    [{}, {"steps_per_execution": 4}, {"jit_compile": True}, {"run_eagerly": True}],
    ids=["graph", "several", "xla", "eager"],
)
def test_the_count_and_the_weights_are_those_of_finite_data(callbacks, data, options):
    ours, theirs = CALLBACKS[callbacks](), CALLBACKS[callbacks]()
    model, reference = train(data, ours, **options), train(dataset, theirs, **options)
    assert int(model.optimizer.iterations) == EPOCHS * STEPS
    np.testing.assert_array_equal(model.get_weights()[0], reference.get_weights()[0])
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, ks.StepLogger):
            assert len(one.history["step"]) == EPOCHS * STEPS
            for name, column in other.history.items():
                np.testing.assert_array_equal(one.history[name], column)
            assert np.isfinite(one.history["loss"]).all()


def test_control_keras_counts_one_more_in_each_epoch():
    model = train(filtered, [])
    assert int(model.optimizer.iterations) == EPOCHS * (STEPS + 1)


@pytest.mark.parametrize("data", [filtered, generated], ids=lambda f: f.__name__)
def test_a_range_test_sees_no_divergence_at_the_end_of_the_data(data):
    x = np.linspace(0.5, 1.5, len(ONES), dtype="float32")[:, None]
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    batches = data().map(lambda a, b: (a * x[:BATCH], b))

    def train(callbacks):
        model.fit(batches, epochs=4, shuffle=False, verbose=0, callbacks=callbacks)

    result = ks.LRRangeTest(1e-5, end=1e-3, steps=4 * STEPS).run(model, train=train)
    assert not result.diverged
    assert len(result.losses) == 4 * STEPS
    assert np.isfinite(result.losses).all()
