"""What a quantized training has cost so far, in every log, epoch by epoch."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import keras_sched as ks
from keras_sched import precision

X = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
Y = X[:, :2]
NAMES = {"bitops", "relative_to_fp32", "effective_bits"}
# MACs of an example: of the first layer, and of the last, which stays in full precision.
FIRST, LAST, FULL = 6 * 5, 5 * 2, 3 * 32**2


def model(gradients=8, **options):
    """Three steps of four examples an epoch."""
    made = keras.Sequential(
        [
            keras.Input([6]),
            keras.layers.Dense(5, name="first", activation="relu"),
            keras.layers.Dense(2, name="last"),
        ]
    )
    made.compile(keras.optimizers.SGD(0.01), "mse", **{"run_eagerly": True, **options})
    return made, precision.quantize(made, weights=8, activations=8, gradients=gradients)


def fit(made, *callbacks, epochs=1, **options):
    return made.fit(
        X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(callbacks), **options
    ).history


def expected(bits, quantized_only=False, gradients=8):
    """Return the logs of epochs from the bits of every step, three to an epoch."""
    q = np.asarray(bits, np.float64)
    first = 4 * FIRST * np.cumsum(q**2 + 2 * q * gradients)[2::3]
    steps = np.arange(3, len(q) + 1, 3)
    last = 0 if quantized_only else 4 * LAST * FULL * steps
    macs = 4 * (FIRST if quantized_only else FIRST + LAST) * steps
    relative = (first + last) / (FULL * macs)
    return {
        "bitops": first + last,
        "relative_to_fp32": relative,
        "effective_bits": 32 * np.sqrt(relative),
    }


def assert_logged(history, wanted):
    for name, values in wanted.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("quantized_only", [False, True])
def test_history_has_the_cost_so_far_after_every_epoch(quantized_only):
    made, _ = model()
    bits = precision.rungs((3, 4, 6, 8))
    history = fit(
        made, ks.Scheduler(bits=bits), ks.CostLogger(quantized_only=quantized_only), epochs=4
    )
    assert_logged(history, expected(np.repeat([3, 4, 6, 8], 3), quantized_only))
    assert (np.diff(history["effective_bits"]) > 0).all()
    assert {"loss", *NAMES} <= set(history)


def events(directory):
    """Return what TensorBoard's event files of a training hold, by tag, over epochs."""
    found = EventAccumulator(str(directory / "train"))
    found.Reload()
    return {
        tag: [
            (event.step, float(tensor_util.make_ndarray(event.tensor_proto)))
            for event in found.Tensors(tag)
        ]
        for tag in found.Tags()["tensors"]
    }


def test_callbacks_after_it_know_as_training_goes_and_tensorboard_shows_it(tmp_path):
    """A callback before it, the negative control, does not know."""
    made, _ = model(run_eagerly=False, jit_compile=False, steps_per_execution=3)
    seen = []
    history = fit(
        made,
        keras.callbacks.TensorBoard(tmp_path / "before", write_graph=False),
        ks.Scheduler(bits=precision.cr(3, bits_max=8, cycles=2)),
        ks.CostLogger(),
        keras.callbacks.TensorBoard(tmp_path / "after", write_graph=False),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs))),
        epochs=4,
    )
    # Cycles of 12 // 2 + 1 steps, cosine growth.
    assert_logged(history, expected([3, 3, 4, 5, 6, 7, 8, 3, 3, 4, 5, 6]))
    before, after = events(tmp_path / "before"), events(tmp_path / "after")
    for name in NAMES:
        assert [logs[name] for logs in seen] == history[name]
        written = np.float32(history[name]).tolist()
        assert after[f"epoch_{name}"] == list(enumerate(written))
        assert f"epoch_{name}" not in before
    assert "epoch_loss" in before


def test_further_trainings_add_up():
    made, handle = model()
    logger = ks.CostLogger()
    first = fit(made, logger, epochs=2)
    handle.weights.assign(4)
    handle.activations.assign(4)
    second = fit(made, logger, epochs=3, initial_epoch=2)
    together = {name: [*first[name], *second[name]] for name in NAMES}
    assert_logged(together, expected([8] * 6 + [4] * 3))
    # Without the logger it is counted all the same.
    fit(made)
    assert_logged(
        fit(made, ks.CostLogger()), {"bitops": expected([8] * 6 + [4] * 9)["bitops"][-1:]}
    )


def test_a_training_that_goes_on_elsewhere_knows_what_it_has_cost():
    """With the handle's variables; without them, the negative control, it begins at nothing."""
    made, handle = model()
    fit(made, ks.CostLogger(), epochs=2)
    state = [np.array(variable) for variable in handle.variables]
    wanted = expected([8] * 9)
    for restored in (True, False):
        again, other = model()
        if restored:
            for variable, value in zip(other.variables, state, strict=True):
                variable.assign(value)
        found = fit(again, ks.CostLogger(), epochs=3, initial_epoch=2)
        index = 2 if restored else 0
        assert found["bitops"] == [wanted["bitops"][index]]
    assert wanted["bitops"][2] != wanted["bitops"][0]


def test_a_model_that_is_not_quantized_is_refused_before_the_first_step():
    made, handle = model()
    handle.detach()
    before = made.get_weights()
    with pytest.raises(ValueError, match=r"needs a quantized model.*quantize\(model\)"):
        fit(made, ks.CostLogger())
    for old, new in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(made.optimizer.iterations) == 0


def test_it_finds_the_handle_of_each_model_it_is_used_on():
    logger = ks.CostLogger(quantized_only=True)
    for gradients in (8, 4):
        made, _ = model(gradients)
        assert_logged(fit(made, logger), expected([8] * 3, True, gradients))
    assert "emulated" in ks.CostLogger.__doc__
