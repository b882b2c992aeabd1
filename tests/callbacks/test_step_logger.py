"""StepLogger against values computed by hand: what was used, and the loss of the batch itself."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.callbacks import StepLogger
from tests.tensorboard_plugins.reading import read_run

BATCH, EPOCHS = 4, 2
RATE = 0.1
rng = np.random.default_rng(0)
X = rng.normal(size=(44, 3)).astype("float32")  # 11 batches: the last execution of 4 is not full
Y = rng.normal(size=(44, 1)).astype("float32")
STEPS = EPOCHS * len(X) // BATCH


def linear_model(optimizer=None, **compile_options) -> keras.Model:
    model = keras.Sequential(
        [keras.Input([3]), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    )
    optimizer = optimizer or keras.optimizers.SGD(0.5, momentum=0.5)
    model.compile(optimizer, "mse", **compile_options)
    return model


def scheduler() -> ks.Scheduler:
    return ks.Scheduler(learning_rate=ks.Linear(RATE), momentum=ks.Demon(0.9))


def fit(model: keras.Model, *callbacks, **options) -> keras.callbacks.History:
    options = {"batch_size": BATCH, "epochs": EPOCHS, "shuffle": False, "verbose": 0} | options
    return model.fit(X, Y, callbacks=list(callbacks), **options)


def by_hand() -> dict[str, np.ndarray]:
    """SGD with momentum on the mean square error, in float64."""
    weights, velocity = np.ones([3, 1]), np.zeros([3, 1])
    rates = ks.simulate(ks.Linear(RATE), n=STEPS)
    momenta = ks.simulate(ks.Demon(0.9), n=STEPS)
    losses = []
    for step in range(STEPS):
        at = (step * BATCH) % len(X)
        x, y = X[at : at + BATCH].astype(float), Y[at : at + BATCH].astype(float)
        error = x @ weights - y
        losses.append(np.mean(error**2))
        velocity = momenta[step] * velocity - rates[step] * (2 / BATCH) * x.T @ error
        weights = weights + velocity
    return {"learning_rate": rates, "momentum": momenta, "loss": np.array(losses)}


EXPECTED = by_hand()


def assert_as_expected(history: dict[str, np.ndarray], every: int = 1) -> None:
    np.testing.assert_array_equal(history["step"], np.arange(0, STEPS, every))
    np.testing.assert_array_equal(history["learning_rate"], EXPECTED["learning_rate"][::every])
    np.testing.assert_array_equal(history["momentum"], EXPECTED["momentum"][::every])
    np.testing.assert_allclose(history["loss"], EXPECTED["loss"][::every], rtol=2e-5)


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("steps_per_execution", [1, 4])
@pytest.mark.parametrize("first", ["logger", "scheduler"])
def test_rows_are_what_the_steps_used(jit, steps_per_execution, first) -> None:
    model = linear_model(jit_compile=jit, steps_per_execution=steps_per_execution)
    log = StepLogger(capacity=5)
    callbacks = [log, scheduler()] if first == "logger" else [scheduler(), log]
    history = fit(model, *callbacks)
    assert_as_expected(log.history)
    assert history.by_step["loss"] is not None
    np.testing.assert_allclose(
        history.history["learning_rate"], EXPECTED["learning_rate"][[10, 21]], rtol=1e-6
    )


def test_eager(monkeypatch) -> None:
    log = StepLogger()
    fit(linear_model(run_eagerly=True), log, scheduler())
    assert_as_expected(log.history)


def test_t20_loss_is_not_the_running_mean_that_keras_shows() -> None:
    """The control: the loss of `on_train_batch_end` fails the test above."""

    class Shown(keras.callbacks.Callback):
        losses: list[float] = []  # noqa: RUF012

        def on_train_batch_end(self, batch, logs=None):
            self.losses.append(logs["loss"])

    shown = Shown()
    fit(linear_model(), shown, scheduler())
    assert np.max(np.abs(np.array(shown.losses) - EXPECTED["loss"])) > 0.1


@pytest.mark.parametrize("every", [2, 3, 5])
def test_every(every) -> None:
    log = StepLogger(every=every, capacity=3)
    fit(linear_model(steps_per_execution=4), log, scheduler())
    assert_as_expected(log.history, every)


def test_capacity_below_one_call_is_refused() -> None:
    with pytest.raises(ValueError, match="`capacity` must be at least"):
        fit(linear_model(steps_per_execution=4), StepLogger(capacity=1))


def test_calls_of_unequal_length_need_no_more_capacity_than_the_longest() -> None:
    """As a loop makes them whose calls end at checkpoints: a short one first, then a full one."""
    model = linear_model()
    log = StepLogger(capacity=5)
    log.set_model(model)
    log.on_train_begin()
    batches = iter(tf.data.Dataset.from_tensors((X[:4], Y[:4])).repeat())
    first = 0
    for length in (2, 5, 5, 1, 5):
        model.steps_per_execution = length
        model.make_train_function(force=True)
        log.on_train_batch_begin(first)
        model.train_function(batches)
        first += length
        log.on_train_batch_end(first - 1)
    log.on_train_end()
    np.testing.assert_array_equal(log.history["step"], np.arange(first))


def test_what_a_checkpoint_counts_is_in_the_file(tmp_path) -> None:
    """A process that is killed after a checkpoint leaves every row before it."""
    seen = {}

    class Checkpoint(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            step = log.get_state()["step"]
            seen[step] = len(path.read_text().splitlines()) - 1

    path = tmp_path / "log.csv"
    log = StepLogger(csv=path)
    fit(linear_model(), log, Checkpoint())
    assert list(seen) == list(range(1, STEPS + 1))
    assert all(rows == step for step, rows in seen.items())


def mirrored() -> tf.distribute.Strategy:
    # Without collectives: a second strategy in one process meets the keys of the first.
    return tf.distribute.MirroredStrategy(
        [device.name for device in tf.config.list_logical_devices("CPU")],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside_scope"])
def test_mirrored_strategy(inside) -> None:
    strategy = mirrored()
    assert strategy.num_replicas_in_sync == 2
    log = StepLogger()
    with strategy.scope():
        model = linear_model()
        if inside:
            fit(model, log, scheduler())
    if not inside:
        fit(model, log, scheduler())
    assert_as_expected(log.history)


def test_mirrored_strategy_weighs_uneven_replicas() -> None:
    """A batch of 3 is 2 and 1 samples: the mean of the means would be another number."""
    strategy = mirrored()
    with strategy.scope():
        model = linear_model(keras.optimizers.SGD(0.0))
    log = StepLogger()
    model.fit(X[:7], Y[:7], batch_size=4, shuffle=False, verbose=0, callbacks=[log])
    squares = ((X[:7].sum(1, keepdims=True) - Y[:7]) ** 2)[:, 0]
    expected = [squares[:4].mean(), squares[4:].mean()]
    np.testing.assert_allclose(log.history["loss"], expected, rtol=1e-5)
    assert abs(expected[1] - (squares[4:6].mean() + squares[6]) / 2) > 1e-3


def test_own_train_step_that_returns_its_loss() -> None:
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self(x) - y))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return {"loss": loss}

    model = Own()
    model.compile(keras.optimizers.SGD(0.5, momentum=0.5))
    log = StepLogger()
    fit(model, log, scheduler())
    assert_as_expected(log.history)


def test_groups_of_a_multi_optimizer() -> None:
    model = keras.Sequential(
        [
            keras.Input([3]),
            keras.layers.Dense(2, name="body"),
            keras.layers.Dense(1, name="head"),
        ]
    )
    body = keras.optimizers.SGD(ks.Linear(0.1, steps=STEPS), name="slow")
    head = keras.optimizers.SGD(0.01, momentum=0.9, name="fast")
    optimizer = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(head, {".*body/.*": body})
    )
    model.compile(optimizer, "mse")
    log = StepLogger()
    fit(model, log, ks.Scheduler(groups={"fast": {"momentum": ks.Demon(0.9)}}))
    np.testing.assert_array_equal(log.history["slow/learning_rate"], EXPECTED["learning_rate"])
    np.testing.assert_array_equal(log.history["fast/momentum"], EXPECTED["momentum"])
    np.testing.assert_array_equal(log.history["fast/learning_rate"], np.float32(0.01))


def test_skipped_float16_steps_are_rows_too() -> None:
    """Loss scaling skips the update of an overflow: the schedule waits, the data go on."""
    inner = keras.optimizers.SGD(ks.Linear(0.001, steps=STEPS))
    model = linear_model(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127))
    log = StepLogger()
    fit(model, log)
    skipped = STEPS - int(inner.iterations)
    assert 0 < skipped < STEPS
    assert len(log.history["step"]) == STEPS
    np.testing.assert_array_equal(
        log.history["learning_rate"][skipped:],
        ks.simulate(ks.Linear(0.001, steps=STEPS), n=STEPS)[: STEPS - skipped],
    )


def test_csv_and_tensorboard_hold_the_same_bits(tmp_path) -> None:
    log = StepLogger(csv=tmp_path / "log.csv", tensorboard=tmp_path / "board", capacity=6)
    fit(linear_model(), log, scheduler())
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "learning_rate", "momentum", "loss"]
    (events,) = (tmp_path / "board").iterdir()
    board: dict[str, dict[int, float]] = {}
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            if not value.tag.startswith("step/"):
                continue
            board.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor).item()
    for name in ("learning_rate", "momentum", "loss"):
        written = np.array([row[name] for row in rows]).astype("float32")
        np.testing.assert_array_equal(written, log.history[name])
        assert sorted(board[f"step/{name}"]) == list(range(STEPS))
        drawn = np.array([board[f"step/{name}"][step] for step in range(STEPS)], "float32")
        np.testing.assert_array_equal(drawn, log.history[name])


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_dashboard_has_what_was_planned_and_measured_in_both_trainings(tmp_path) -> None:
    log = StepLogger(tensorboard=tmp_path / "board")
    model = linear_model()
    for _ in range(2):
        fit(model, log, scheduler())
    run = read_run(tmp_path)
    steps = run.column("steps", "step")
    np.testing.assert_array_equal(steps, np.arange(2 * STEPS))
    for name in ("learning_rate", "momentum"):
        # The schedules of the second training begin anew.
        expected = np.concatenate([EXPECTED[name], EXPECTED[name]])
        np.testing.assert_array_equal(run.column("steps", name), expected)
        np.testing.assert_array_equal(run.column("steps", f"planned {name}"), expected)
    np.testing.assert_array_equal(run.column("steps", "loss")[STEPS:], log.history["loss"])
    assert run.status == "finished" and np.isfinite(run.column("evaluations", "loss")).all()
    # Without lengths: the same schedules over another training are the same method.
    assert "Demon" in run.trial["method"] and "steps" not in run.trial["method"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_dashboard_knows_of_a_training_that_was_interrupted(error, tmp_path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:
                raise error

    log = StepLogger(tensorboard=tmp_path / "board")
    with pytest.raises(error):
        fit(linear_model(), log, scheduler(), Stop())
    assert read_run(tmp_path).status == "interrupted"
    fit(linear_model(), log, scheduler())
    assert read_run(tmp_path).status == "finished"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_dashboard_knows_of_a_training_that_diverged(tmp_path) -> None:
    model = linear_model(keras.optimizers.SGD(ks.Linear(1e30, steps=STEPS)))
    fit(model, StepLogger(tensorboard=tmp_path / "board"))
    run = read_run(tmp_path)
    assert (run.status, run.state["reason"]) == ("diverged", "The loss is not finite")


@pytest.mark.parametrize("given", [True, 3, 1.5])
def test_tensorboard_must_be_a_directory(given, tmp_path) -> None:
    with pytest.raises(TypeError, match=r"`tensorboard` must be a directory\. Received"):
        StepLogger(tensorboard=given)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"`tensorboard` must be a directory.*which is a file"):
        StepLogger(tensorboard=tmp_path / "file")


def test_a_directory_is_of_one_logger_at_a_time(tmp_path) -> None:
    loggers = [StepLogger(tensorboard=tmp_path / "board") for _ in range(2)]
    with pytest.raises(ValueError, match="a directory of its own for each logger"):
        fit(linear_model(), *loggers)
    fit(linear_model(), loggers[1])  # One after the other may.


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_logs_that_are_no_numbers_are_left_to_others(tmp_path) -> None:
    class Odd(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs |= {"matrix": np.ones((2, 2)), "word": "x", "none": None, "right": 7}

    fit(linear_model(), Odd(), StepLogger(tensorboard=tmp_path / "board"))
    found = read_run(tmp_path).final
    assert found["right"] == 7.0 and not {"matrix", "word", "none"} & found.keys()


def test_an_existing_csv_is_refused_and_untouched(tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("mine\n")
    with pytest.raises(FileExistsError, match="resume=True"):
        StepLogger(csv=path)
    log = StepLogger(csv=path, resume=True)
    with pytest.raises(ValueError, match="must have the columns of this training"):
        fit(linear_model(), log)
    assert path.read_text() == "mine\n"


def test_resumed_csv_is_that_of_the_whole_run(tmp_path) -> None:
    """The rows after the backup are dropped with the torn line, and written again."""
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    schedule = ks.Linear(RATE, steps=STEPS)
    fit(linear_model(keras.optimizers.SGD(schedule)), StepLogger(csv=whole))

    first = linear_model(keras.optimizers.SGD(schedule))
    fit(first, StepLogger(csv=parts), epochs=1)
    first.save_weights(tmp_path / "first.weights.h5")
    with open(parts, "a") as file:
        file.write("11,9,9\n12,9,9\n13,0.0")
    second = linear_model(keras.optimizers.SGD(schedule))
    second.optimizer.build(second.trainable_variables)
    second.load_weights(tmp_path / "first.weights.h5")
    fit(second, StepLogger(csv=parts, resume=True), epochs=1)
    assert parts.read_text() == whole.read_text()


def test_state_sets_the_next_step() -> None:
    log = StepLogger()
    log.set_state({"step": 100})
    fit(linear_model(), log, epochs=1)
    np.testing.assert_array_equal(log.history["step"], 100 + np.arange(11))


def test_a_second_fit_goes_on() -> None:
    model, log = linear_model(), StepLogger()
    fit(model, log, epochs=1)
    fit(model, log, epochs=1)
    np.testing.assert_array_equal(log.history["step"], 11 + np.arange(11))


def test_model_is_left_as_it_was_found(tmp_path) -> None:
    model = linear_model()
    before = set(vars(model))
    tracker = dict(vars(model._loss_tracker))
    variables = len(model.variables) + len(model.optimizer.variables)
    plain = linear_model()
    fit(plain)
    fit(model, StepLogger())
    assert "train_step" not in vars(model)
    assert vars(model._loss_tracker).get("update_state") is tracker.get("update_state")
    assert set(vars(model)) - before <= set(vars(plain))
    fit(model)
    fit(plain)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert variables <= len(model.variables) + len(model.optimizer.variables)
    model.save_weights(tmp_path / "a.weights.h5")
    plain.load_weights(tmp_path / "a.weights.h5")


def test_after_a_training_that_raised_the_logger_works_again() -> None:
    class Fails(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("stop here")

    model, log = linear_model(), StepLogger()
    with pytest.raises(RuntimeError, match="stop here"):
        fit(model, log, Fails())
    model.optimizer.iterations.assign(0)
    model.set_weights([np.ones([3, 1], "float32")])
    fit(model, log, epochs=1)
    assert len(log.history["step"]) == 11
    assert "train_step" not in vars(model)


@pytest.mark.parametrize(
    "arguments",
    [{"every": 0}, {"every": 1.5}, {"capacity": 0}, {"every": float("nan")}],
    ids=str,
)
def test_bad_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="must be"):
        StepLogger(**arguments)
