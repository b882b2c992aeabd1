"""What `StepLogger(tensorboard=)` leaves of everyday trainings: read back as the dashboard does."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.callbacks import StepLogger
from tensorboard_plugins.schedules.curves import curves
from tests.callbacks.test_step_logger import EPOCHS, STEPS, fit, linear_model, scheduler
from tests.tensorboard_plugins.reading import read_run

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Of TensorBoard's server.
EACH = STEPS // EPOCHS


class Stop(keras.callbacks.Callback):
    """Ends a training with an error, after a batch."""

    def __init__(self, error, batch=5, epoch=0):
        super().__init__()
        self.error, self.batch, self.epoch = error, batch, epoch
        self.now = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_logged_before_an_error_is_kept(error, tmp_path):
    log = StepLogger(tensorboard=tmp_path / "board", csv=tmp_path / "log.csv", capacity=100)
    with pytest.raises(error):
        fit(linear_model(), log, scheduler(), Stop(error, batch=5, epoch=1))
    done = EACH + 6
    run = read_run(tmp_path)
    assert run.status == "interrupted" and run.state["step"] == done
    np.testing.assert_array_equal(run.column("steps", "step"), np.arange(done))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + done
    assert len(log.history["step"]) == done
    # A loop of one's own asks after the error, too.
    assert log.get_state() == {"step": done}


def test_the_step_is_known_after_the_end():
    log = StepLogger()
    fit(linear_model(), log, scheduler())
    assert log.get_state() == {"step": STEPS}
    log.set_state({"step": 3})
    assert log.get_state() == {"step": 3}


@pytest.mark.parametrize("is_new", [False, True], ids=["same logger", "new logger"])
def test_an_initial_epoch_is_a_part_of_one_run(is_new, tmp_path):
    model = linear_model(keras.optimizers.SGD(ks.Linear(0.1, steps=3 * EACH)))
    log = StepLogger(tensorboard=tmp_path / "board")
    fit(model, log, epochs=1)
    log = StepLogger(tensorboard=tmp_path / "board") if is_new else log
    fit(model, log, initial_epoch=1, epochs=3)
    run = read_run(tmp_path)
    assert (run.state["steps"], run.state["epochs"]) == (3 * EACH, 3)
    np.testing.assert_array_equal(run.column("steps", "step"), np.arange(3 * EACH))
    assert run.column("evaluations", "epoch").tolist() == [1, 2, 3]
    rates = run.column("steps", "learning_rate")
    np.testing.assert_array_equal(rates, run.column("steps", "planned learning_rate"))


@pytest.mark.parametrize("is_new", [False, True], ids=["same logger", "new logger"])
def test_the_epochs_of_a_second_training_go_on(is_new, tmp_path):
    model = linear_model()
    log = StepLogger(tensorboard=tmp_path / "board")
    fit(model, log, scheduler())
    log = StepLogger(tensorboard=tmp_path / "board") if is_new else log
    fit(model, log, scheduler())
    run = read_run(tmp_path)
    assert run.column("evaluations", "epoch").tolist() == [1, 2, 3, 4]
    assert run.state["epochs"] == 2 * EPOCHS
    found = curves([run], "loss", "epoch", 5)
    assert found["x"][-1] == pytest.approx(2 * EPOCHS, abs=1 / EACH)


def test_a_loaded_model_goes_on_where_it_was_saved(tmp_path):
    """What was logged after the saving is done again, by another logger."""
    model = linear_model(keras.optimizers.SGD(ks.Linear(0.1, steps=2 * STEPS), momentum=0.5))
    fit(model, StepLogger(tensorboard=tmp_path / "board"), epochs=1)
    model.save(tmp_path / "model.keras")
    fit(model, StepLogger(tensorboard=tmp_path / "board"), initial_epoch=1, epochs=2)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fit(loaded, StepLogger(tensorboard=tmp_path / "board"), initial_epoch=1, epochs=4)
    run = read_run(tmp_path)
    assert run.column("steps", "step").tolist() == list(range(4 * EACH))
    assert run.column("evaluations", "epoch").tolist() == [1, 2, 3, 4]
    assert run.state["steps"] == 4 * EACH and run.status == "finished"


@pytest.mark.parametrize("is_new", [False, True], ids=["same logger", "new logger"])
def test_another_model_in_the_directory_begins_anew(is_new, tmp_path):
    """With another schedule, as one who tries them in a notebook."""
    log = StepLogger(tensorboard=tmp_path / "board")
    fit(linear_model(), log, scheduler())
    log = StepLogger(tensorboard=tmp_path / "board") if is_new else log
    fit(linear_model(), log, ks.Scheduler(learning_rate=ks.Cosine(0.5)))
    run = read_run(tmp_path)
    assert run.column("steps", "step").tolist() == list(range(STEPS))
    assert run.trial["method"] == "Cosine(0.5)" and set(run.planned) == {"learning_rate"}
    np.testing.assert_array_equal(
        run.column("steps", "learning_rate"), ks.simulate(ks.Cosine(0.5), n=STEPS)
    )


def test_back_to_an_earlier_state_with_the_same_logger(tmp_path):
    model = linear_model(keras.optimizers.SGD(ks.Linear(0.1, steps=3 * EACH), momentum=0.5))
    log = StepLogger(tensorboard=tmp_path / "board")
    fit(model, log, epochs=1)
    model.save(tmp_path / "model.keras")
    fit(model, log, initial_epoch=1, epochs=3)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fit(loaded, log, initial_epoch=1, epochs=3)
    run = read_run(tmp_path)
    assert run.column("steps", "step").tolist() == list(range(3 * EACH))
    assert run.column("evaluations", "epoch").tolist() == [1, 2, 3]
    assert (run.state["epochs"], run.state["steps"]) == (3, 3 * EACH)


def test_a_directory_is_free_after_an_error_of_the_logger_itself(tmp_path):
    model = linear_model(steps_per_execution=6)
    with pytest.raises(ValueError, match="`capacity` must be"):
        fit(model, StepLogger(tensorboard=tmp_path / "board", capacity=1))
    fit(linear_model(), StepLogger(tensorboard=tmp_path / "board"))
    assert read_run(tmp_path).status == "finished"


def test_a_second_training_after_skipped_updates_repeats_no_step(tmp_path):
    inner = keras.optimizers.SGD(ks.Linear(1e-3, steps=2 * STEPS))
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127)
    log = StepLogger(tensorboard=tmp_path / "board", csv=tmp_path / "log.csv")
    model = linear_model(optimizer)
    for _ in range(2):
        fit(model, log)
    assert int(inner._iterations) < 2 * STEPS
    run = read_run(tmp_path)
    assert run.column("steps", "step").tolist() == list(range(2 * STEPS))
    lines = (tmp_path / "log.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in lines] == list(range(2 * STEPS))


def test_what_is_logged_now_and_then_ends_with_the_run(tmp_path):
    log = StepLogger(every=4, tensorboard=tmp_path / "board")
    fit(linear_model(), log, scheduler())
    run = read_run(tmp_path)
    assert run.state["step"] == run.state["steps"] == STEPS
    assert run.column("steps", "step").tolist() == list(range(0, STEPS, 4))


@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_data_of_unknown_length(tmp_path):
    x = np.ones([4, 3], "float32")
    data = tf.data.Dataset.from_generator(
        lambda: iter([(x, x[:, :1])] * 6),
        output_signature=(tf.TensorSpec([4, 3]), tf.TensorSpec([4, 1])),
    )
    model = linear_model(keras.optimizers.SGD(ks.Linear(0.01, steps=18)))
    log = StepLogger(tensorboard=tmp_path / "board")
    model.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[log])
    run = read_run(tmp_path)
    assert run.state["steps"] == 18 and set(run.planned) == {"learning_rate"}
    found = curves([run], "loss", "epoch", 7)
    assert found["x"][-1] == pytest.approx(3.0, abs=0.2) and np.isfinite(found["y"]).all()


@pytest.mark.parametrize("accumulation", [None, 2])
def test_skipped_updates_are_no_drift(accumulation, tmp_path):
    """The control: read at the number of the step, plan and values differ from the first skip."""
    inner = keras.optimizers.SGD(
        ks.Linear(1e-3, steps=STEPS), gradient_accumulation_steps=accumulation
    )
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127)
    model = linear_model(optimizer)
    log = StepLogger(tensorboard=tmp_path / "board", csv=tmp_path / "log.csv")
    fit(model, log)
    assert set(log.history) == {"step", "learning_rate", "loss"}
    assert (tmp_path / "log.csv").read_text().startswith("step,learning_rate,loss\n")
    run = read_run(tmp_path)
    steps, rates = run.column("steps", "step"), run.column("steps", "learning_rate")
    np.testing.assert_array_equal(rates, run.column("steps", "planned learning_rate"))
    calls = int(inner._iterations)
    assert 0 < calls < STEPS  # Some were skipped, and some were not.
    at_steps = ks.Linear(1e-3, steps=STEPS)(steps.astype(np.int64))
    assert not np.array_equal(rates, at_steps)


@pytest.mark.parametrize(
    "kind",
    [
        *("generator", "jit", "several steps", "custom step", "two updates", "float16"),
        "accumulation",
    ],
)
def test_every_way_to_train_is_logged_step_by_step(kind, tmp_path, request):
    if kind == "float16":
        keras.config.set_dtype_policy("mixed_float16")
        request.addfinalizer(lambda: keras.config.set_dtype_policy("float32"))

    class Custom(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            for _ in range(2 if kind == "two updates" else 1):
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
                found = tape.gradient(loss, self.trainable_variables)
                self.optimizer.apply_gradients(zip(found, self.trainable_variables, strict=True))
            return {"loss": loss}

    optimizer = keras.optimizers.SGD(
        0.01, gradient_accumulation_steps=2 if kind == "accumulation" else None
    )
    options = {"jit_compile": kind == "jit"}
    options |= {"steps_per_execution": 4} if kind == "several steps" else {}
    if kind in ("custom step", "two updates"):
        model = Custom()
    else:
        model = keras.Sequential([keras.Input([3]), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **options)
    data = (np.ones([4, 3], "float32"), np.ones([4, 1], "float32"))
    given = (data for _ in range(12)) if kind == "generator" else None
    log = StepLogger(tensorboard=tmp_path / "board")
    plan = [ks.Scheduler(learning_rate=ks.Linear(0.01))]
    if kind == "two updates":  # A `Scheduler` refuses them: it would come to its end too soon.
        plan = []
        model.optimizer.learning_rate = ks.Linear(0.01, steps=24)
    if given is not None:
        model.fit(
            given, steps_per_epoch=6, epochs=2, shuffle=False, verbose=0, callbacks=[log, *plan]
        )
    else:
        x, y = (np.tile(part, [6, 1]) for part in data)
        model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[log, *plan])
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (kind == "float16")
    run = read_run(tmp_path)
    assert (run.status, run.state["step"], run.state["steps"]) == ("finished", 12, 12)
    assert run.column("steps", "step").tolist() == list(range(12))
    rates = run.column("steps", "learning_rate")
    np.testing.assert_array_equal(rates, run.column("steps", "planned learning_rate"))
    assert rates[0] == np.float32(0.01) and rates[-1] < rates[0]
    np.testing.assert_array_equal(run.column("steps", "loss"), log.history["loss"])
