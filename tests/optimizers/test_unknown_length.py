"""Data of unknown length end an epoch with a call that finds no batch: it must change nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched._waiting import waiting_for
from keras_sched.hyperparameters import attach, current

# Keras warns where an epoch ends, as it does not know the length.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data")

BATCHES, BATCH, EPOCHS = 5, 4, 3
RNG = np.random.default_rng(0)
X = RNG.integers(0, 6, size=(BATCHES * BATCH, 3))
Y = RNG.normal(size=(BATCHES * BATCH, 1)).astype("float32")


def finite():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)


def filtered():
    return finite().filter(lambda x, y: tf.reduce_max(x) >= 0)


def generated():
    def batches():
        for first in range(0, len(X), BATCH):
            yield X[first : first + BATCH], Y[first : first + BATCH]

    signature = (tf.TensorSpec([BATCH, 3], tf.int64), tf.TensorSpec([BATCH, 1], tf.float32))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def generator():
    """Python's own: it lasts for the whole of `fit`."""
    while True:
        for first in range(0, len(X), BATCH):
            yield X[first : first + BATCH], Y[first : first + BATCH]


def plain():
    options = {"weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.9}
    return keras.optimizers.SGD(0.1, momentum=0.9, **options)


def accumulating():
    return keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1, gradient_accumulation_steps=2)


def scaled():
    return keras.optimizers.LossScaleOptimizer(plain(), initial_scale=8.0, dynamic_growth_steps=4)


def drive(optimizer):
    length = BATCHES * EPOCHS
    attach(
        optimizer,
        schedules={
            "learning_rate": ks.Linear(0.1, steps=length),
            "momentum": ks.Demon(0.9, steps=length),
            "weight_decay": ks.Linear(0.1, end=0.2, steps=length),
        },
    )
    return optimizer


def train(data, optimizer, steps_per_execution=1, strategy=None, **fitted):
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int64"),
                keras.layers.Embedding(6, 2),  # its gradients are sparse
                keras.layers.Flatten(),
                keras.layers.Dense(1),
            ]
        )
        made = drive(optimizer())
        model.compile(made, "mse", jit_compile=False, steps_per_execution=steps_per_execution)
        made.build(model.trainable_variables)
    model.fit(data, epochs=EPOCHS, shuffle=False, verbose=0, **fitted)
    variables = [*model.weights, *made.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables], made


def counted(optimizer):
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return int(keras.ops.convert_to_numpy(optimizer._iterations))


@pytest.mark.parametrize("steps_per_execution", [1, 3])
@pytest.mark.parametrize("optimizer", [plain, accumulating, scaled])
@pytest.mark.parametrize("data", [filtered, generated])
def test_the_count_and_all_variables_are_those_of_finite_data(data, optimizer, steps_per_execution):
    got, made = train(data(), optimizer, steps_per_execution)
    assert counted(made) == BATCHES * EPOCHS
    assert float(current(made)["learning_rate"]) == 0.0 or optimizer is accumulating
    expected, _ = train(finite(), optimizer, steps_per_execution)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_control_the_count_runs_ahead(monkeypatch):
    """The negative control: it is this that the dependencies prevent."""
    monkeypatch.setattr("keras_sched._driver.waiting_for", lambda gradients: tf.name_scope("none"))
    _, made = train(filtered(), plain)
    assert counted(made) > BATCHES * EPOCHS


def test_generators_of_python_count_their_steps():
    got, made = train(generator(), plain, steps_per_epoch=BATCHES)
    assert counted(made) == BATCHES * EPOCHS
    expected, _ = train(finite(), plain)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_replicas_count_together():
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    got, made = train(filtered(), plain, strategy=strategy)
    assert counted(made) == BATCHES * EPOCHS
    expected, _ = train(finite(), plain, strategy=strategy)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_gradient_that_is_none_is_passed_over(jit_compile):
    optimizer = drive(plain())
    used, unused = keras.Variable([1.0]), keras.Variable([2.0])
    optimizer.build([used, unused])

    @tf.function(jit_compile=jit_compile)
    def step():
        optimizer.apply([tf.constant([1.0]), None], [used, unused])

    step()
    assert float(used.numpy()[0]) < 1.0
    assert float(unused.numpy()[0]) == 2.0


@pytest.mark.parametrize("count", [4, 64])
def test_what_waits_for_many_gradients_waits_for_one_operation(count):
    """N operations that each wait for N tensors are N^2 edges, which take minutes to optimize."""

    def edges(wait):
        @tf.function(autograph=False)
        def step(*tensors):
            with wait(tensors):
                return [tf.constant(1.0) + tensor for tensor in tensors]

        specs = [tf.TensorSpec([]) for _ in range(count)]
        graph = step.get_concrete_function(*specs).graph
        return sum(len(each.control_inputs) for each in graph.get_operations())

    assert edges(waiting_for) <= 4 * count
    # The negative control: the plain way has them all.
    assert edges(tf.control_dependencies) >= count**2
