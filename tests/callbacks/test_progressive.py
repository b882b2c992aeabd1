"""ProgressivePrecision beside the rule computed by hand, through a real training, and resumed."""

import keras
import numpy as np
import pytest

import keras_sched as ks


def _model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def _climb(losses, callback, model):
    """Show the callback a training whose epochs have these losses; return the rung after each."""
    callback.set_model(model)
    callback.on_train_begin()
    rungs = []
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"loss": loss})
        rungs.append(callback.rung)
    return rungs


def _by_hand(losses, threshold, decay, window, top):
    """The released code's rule, written on its own: history, scale and threshold of each rung."""
    rung, history, rungs = 0, [], []
    for epoch, loss in enumerate(losses):
        scale = np.mean(losses[: min(epoch + 1, 10)])
        history.append(loss)
        last = history[-window:]
        flat = [abs(other - last[-1]) / scale < threshold for other in last[:-1]]
        if rung < top and len(last) == window and all(flat):
            rung, history, threshold = rung + 1, [], threshold * decay
        rungs.append(rung)
    return rungs


@pytest.mark.parametrize("seed", range(5))
def test_rungs_are_those_of_the_rule(seed):
    rng = np.random.default_rng(seed)
    losses = (2.0 * np.exp(-np.arange(80) / 9) + 0.02 * rng.random(80) + 0.3).tolist()
    model = _model()
    with ks.precision.quantize(model, weights=3, activations=3, gradients=6):
        got = _climb(losses, ks.ProgressivePrecision(), model)
    assert got == _by_hand(losses, 0.05, 0.3, 5, 3)
    assert got[-1] >= 2 and got[0] == 0


def test_a_falling_loss_never_climbs():
    model = _model()
    with ks.precision.quantize(model, weights=3, activations=3, gradients=6):
        assert (
            _climb([2.0**-i for i in range(30)], ks.ProgressivePrecision(threshold=1e-12), model)[
                -1
            ]
            == 0
        )


def test_bits_of_a_real_training_climb_and_nothing_is_traced_anew():
    model = _model()
    traces = []
    step = model.train_step
    model.train_step = lambda data: traces.append(1) or step(data)
    x = np.random.default_rng(0).random([32, 4])
    log = ks.StepLogger()
    climb = ks.ProgressivePrecision((2, 5, 8), gradient_bits=(4, 6, 8), threshold=1e9, window=2)
    with ks.precision.quantize(model, weights=2, activations=2, gradients=4):
        model.fit(x, x[:, :1], batch_size=16, epochs=6, verbose=0, callbacks=[climb, log])
    assert log.history["weight_bits"].tolist() == [2] * 4 + [5] * 4 + [8] * 4
    assert log.history["gradient_bits"].tolist() == [4] * 4 + [6] * 4 + [8] * 4
    assert len(traces) == 1


def test_a_resumed_training_stands_on_the_same_rung():
    rng = np.random.default_rng(1)
    losses = (np.exp(-np.arange(40) / 5) + 0.02 * rng.random(40) + 0.3).tolist()
    model = _model()
    with ks.precision.quantize(model, weights=3, activations=3, gradients=6) as handle:
        whole = _climb(losses, ks.ProgressivePrecision(), model)
        for cut in (3, 12, 25):
            first, second = ks.ProgressivePrecision(), ks.ProgressivePrecision()
            before = _climb(losses[:cut], first, model)
            handle.weights.assign(2)
            second.set_state(first.get_state())
            assert before + _climb(losses[cut:], second, model) == whole
            assert float(handle.weights.value()) == second.bits[second.rung]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": (8, 3)}, "not fall"),
        ({"bits": (1, 3)}, r"\[2, 16\]"),
        ({"bits": ()}, "numbers of bits"),
        ({"bits": (3, 8), "gradient_bits": (8,)}, "a rung for each"),
        ({"threshold": 0.0}, "threshold"),
        ({"decay": 1.5}, "decay"),
        ({"window": 1}, "window"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ks.ProgressivePrecision(**arguments)


def test_what_cannot_climb_is_refused_before_training():
    model = _model()
    x = np.ones([4, 4])
    with pytest.raises(ValueError, match="needs a quantized model"):
        model.fit(x, x[:, :1], verbose=0, callbacks=[ks.ProgressivePrecision()])
    with (
        ks.precision.quantize(model, weights=3, activations=3, gradients=None) as handle,
        pytest.raises(ValueError, match="`gradients` cannot climb"),
    ):
        model.fit(
            x,
            x[:, :1],
            verbose=0,
            callbacks=[ks.ProgressivePrecision((4, 8), gradient_bits=(6, 8))],
        )
    assert float(handle.weights.value()) == 3
    with pytest.raises(ValueError, match="must be below 4"):
        ks.ProgressivePrecision().set_state({"rung": 4, "losses": [], "first": []})


def test_a_rung_that_a_dtype_cannot_hold_is_refused_before_training():
    model = keras.Sequential(
        [keras.Input([4]), keras.layers.Dense(3, dtype="mixed_bfloat16"), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    x = np.ones([4, 4])
    with (
        ks.precision.quantize(model, weights=4, activations=4) as handle,
        pytest.raises(ValueError, match=r"at most 8 bits. Received: weight_bits=12"),
    ):
        model.fit(
            x, x[:, :1], verbose=0, callbacks=[ks.ProgressivePrecision((3, 12), gradient_bits=None)]
        )
    assert float(handle.weights.value()) == 4
