"""What attaching refuses, and that it leaves an optimizer as it was found."""

from __future__ import annotations

import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched._driver import driver_of
from keras_sched._scheduled import Options
from keras_sched.hyperparameters import attach, attached, begin, current, replace, schedulable

NAMES = [
    name
    for name in ks.optimizers.__all__
    if name not in ("DemonAdam",) and isinstance(getattr(keras.optimizers, name), type)
]
X = np.linspace(-1, 1, 32).reshape(16, 2).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def network(optimizer, **compiled):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse", jit_compile=False, **compiled)
    return model


def four_steps(model):
    for first in range(0, 16, 4):
        model.train_on_batch(X[first : first + 4], Y[first : first + 4])


def schedules_for(optimizer, steps=8):
    """A schedule for everything that can have one and is above 0."""
    return {
        name: ks.Linear(0.5, end=0.25, steps=steps)
        for name in schedulable(optimizer)
        if name not in ("momentum", "clip_threshold")
    }


@pytest.mark.parametrize("name", NAMES)
def test_detach_leaves_the_optimizer_as_it_was_found(name):
    optimizer = getattr(keras.optimizers, name)()
    network(optimizer).train_on_batch(X, Y)
    before = {key: id(value) for key, value in vars(optimizer).items()}
    config, count = optimizer.get_config(), len(optimizer.variables)
    attachment = attach(optimizer, schedules=schedules_for(optimizer))
    assert len(optimizer.variables) == count
    assert optimizer.get_config() == config, "saved while attached, it is the stock optimizer"
    attachment.detach()
    assert {key: id(value) for key, value in vars(optimizer).items()} == before
    attachment.detach()


@pytest.mark.parametrize("name", ks.optimizers.__all__)
def test_optimizers_survive_their_config_and_their_file(name, tmp_path):
    def make():
        options = {"momentum": ks.Demon(0.9, steps=8)} if name in ("SGD", "Muon") else {}
        return getattr(ks.optimizers, name)(
            ks.Cosine(0.01, steps=8), weight_decay=ks.Linear(0.1, steps=8), **options
        )

    optimizer = make()
    config = json.loads(json.dumps(optimizer.get_config()))
    assert type(optimizer).from_config(config).get_config() == optimizer.get_config()
    model = network(optimizer)
    four_steps(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == optimizer.get_config()
    for one, other in zip(optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    four_steps(model)
    four_steps(loaded)
    assert int(loaded.optimizer.iterations) == 8


@pytest.mark.parametrize("rate", [0.1, keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)])
def test_t15_weights_of_stock_optimizers_load_into_ours(rate, tmp_path):
    """With a number or with a schedule of its own, whose optimizer has one variable less."""
    stock = keras.optimizers.SGD(rate, momentum=0.9)
    model = network(stock)
    four_steps(model)
    model.save_weights(tmp_path / "stock.weights.h5")
    ours = ks.optimizers.SGD(ks.Linear(0.1, steps=8), momentum=ks.Demon(0.9, steps=8))
    other = network(ours)
    ours.build(other.trainable_variables)
    other.load_weights(tmp_path / "stock.weights.h5")
    assert int(ours.iterations) == 4
    for one, two in zip(stock.variables[-2:], ours.variables[-2:], strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_t15_weights_of_ours_load_into_stock_optimizers(tmp_path):
    ours = ks.optimizers.SGD(ks.Linear(0.1, steps=8), momentum=ks.Demon(0.9, steps=8))
    model = network(ours)
    four_steps(model)
    model.save_weights(tmp_path / "ours.weights.h5")
    stock = keras.optimizers.SGD(0.1, momentum=0.9)
    other = network(stock)
    stock.build(other.trainable_variables)
    other.load_weights(tmp_path / "ours.weights.h5")
    for one, two in zip(ours.variables, stock.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_t15_checkpoints_of_tensorflow_load_both_ways(tmp_path):
    stock = keras.optimizers.SGD(0.1, momentum=0.9)
    model = network(stock)
    four_steps(model)
    ours = ks.optimizers.SGD(ks.Linear(0.1, steps=8), momentum=ks.Demon(0.9, steps=8))
    other = network(ours)
    ours.build(other.trainable_variables)
    whole = tf.train.Checkpoint(model=model, optimizer=stock)
    ours_whole = tf.train.Checkpoint(model=other, optimizer=ours)
    for step, (source, target) in enumerate(((whole, ours_whole), (ours_whole, whole))):
        target.restore(source.save(tmp_path / str(step))).assert_existing_objects_matched()
        for one, two in zip(stock.variables, ours.variables, strict=True):
            np.testing.assert_array_equal(one.numpy(), two.numpy())
        four_steps(other)
    assert int(ours.iterations) == 12


def test_t15_weights_of_another_optimizer_are_refused(tmp_path):
    model = network(keras.optimizers.Adam())
    model.train_on_batch(X, Y)
    model.save_weights(tmp_path / "adam.weights.h5")
    ours = ks.optimizers.SGD(ks.Linear(0.1, steps=8), momentum=0.9)
    other = network(ours)
    ours.build(other.trainable_variables)
    with pytest.raises(ValueError, match="must be those of this SGD"):
        other.load_weights(tmp_path / "adam.weights.h5")


@pytest.mark.parametrize(
    ("schedules", "error", "message"),
    [
        ({"momentum": 0.9}, TypeError, "must be a keras_sched schedule"),
        ({"beta_1": ks.Constant(0.9)}, ValueError, "Expected one of: .*momentum"),
        ({"momentum": ks.Demon(0.9)}, ValueError, "must have its length in steps"),
        ({"momentum": ks.Linear(0.5, end=1.0, steps=90)}, ValueError, r"\[0, 1\) .* at step 90"),
        ({"nesterov": ks.Constant(0.5)}, ValueError, "no hyperparameter"),
        ({"encoder/momentum": ks.Constant(0.5)}, ValueError, "names no group"),
    ],
    ids=["number", "unknown", "open_length", "range", "switch", "group"],
)
def test_what_cannot_work_is_refused(schedules, error, message):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    before = dict(vars(optimizer))
    with pytest.raises(error, match=message):
        attach(optimizer, schedules=schedules)
    assert vars(optimizer) == before


def test_momentum_on_an_optimizer_built_without_is_refused():
    with pytest.raises(ValueError, match="built with momentum 0"):
        attach(keras.optimizers.SGD(0.1), schedules={"momentum": ks.Demon(0.9, steps=5)})


def test_one_hyperparameter_has_one_schedule():
    optimizer = ks.optimizers.SGD(ks.Linear(0.1, steps=8))
    with pytest.raises(ValueError, match="scheduled already"):
        attach(optimizer, schedules={"learning_rate": ks.Constant(0.1)})


def test_a_constructor_refuses_a_schedule_of_open_length():
    with pytest.raises(ValueError, match=r"use `ks\.Scheduler`"):
        ks.optimizers.SGD(ks.REX(0.1))


@pytest.mark.parametrize("per", ["batch", None, 3])
def test_per_is_update_or_micro(per):
    with pytest.raises(ValueError, match="`per` must be one of 'micro', 'update'"):
        ks.optimizers.SGD(ks.Constant(0.1), per=per)


def test_t16_a_late_number_for_a_scheduled_rate_is_an_error_not_a_dead_letter():
    optimizer = ks.optimizers.SGD(ks.Linear(0.1, steps=8))
    with pytest.raises(TypeError, match="driven by Linear"):
        optimizer.learning_rate = 0.5


def test_t27_decay_is_relative_to_the_rate():
    """At learning rate 0 nothing decays: the schedule of weight decay is relative to it."""
    optimizer = ks.optimizers.SGD(ks.Constant(0.0), weight_decay=ks.Constant(0.5))
    w = keras.Variable([1.0])
    optimizer.build([w])
    optimizer.apply([keras.ops.ones(1)], [w])
    assert float(w.numpy()[0]) == 1.0


def test_current_shows_the_live_values():
    optimizer = ks.optimizers.SGD(ks.Linear(1.0, steps=4), momentum=ks.Demon(0.9, steps=4))
    optimizer.iterations.assign(2)
    values = {name: float(value) for name, value in current(optimizer).items()}
    assert values == pytest.approx({"learning_rate": 0.5, "momentum": 0.9 * 0.5 / 0.55})


def test_an_optimizer_whose_schedules_were_replaced_is_saved_with_the_new_ones():
    optimizer = ks.optimizers.SGD(ks.Linear(1.0, steps=4), momentum=ks.Demon(0.9, steps=4))
    new = {"learning_rate": ks.Cosine(0.5, steps=9), "momentum": ks.Demon(0.8, steps=9)}
    replace(optimizer, schedules=new, steps=9)
    again = type(optimizer).from_config(optimizer.get_config())
    assert attached(again) == new


def test_products_of_a_schedule_in_the_trace_keep_it_from_being_replaced():
    beta = ks.Demon(0.9, steps=4)
    exact = ks.optimizers.Adam(0.1, beta_1=beta, exact_bias_correction=True)
    with pytest.raises(ValueError, match="exact_bias_correction=True"):
        replace(exact, schedules={"beta_1": ks.Demon(0.8, steps=9)}, steps=9)
    replace(
        ks.optimizers.Adam(0.1, beta_1=beta), schedules={"beta_1": ks.Demon(0.8, steps=9)}, steps=9
    )


# --- the optimizers that take schedules -----------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_defaults_are_those_of_keras(name):
    kind, stock = getattr(ks.optimizers, name), getattr(keras.optimizers, name)
    ours, theirs = (
        {each.name: each.default for each in inspect.signature(made).parameters.values()}
        for made in (kind, stock)
    )
    del ours["options"], theirs["kwargs"]
    assert ours.pop("exact_bias_correction", False) is False
    assert ours.pop("form", "keras") == "keras"
    assert ours.items() <= theirs.items()
    assert theirs.keys() - ours.keys() == Options.__annotations__.keys() - {"per"}
    mine, config = kind(name="one").get_config(), stock(name="one").get_config()
    assert {key: mine[key] for key in config} == config


@pytest.mark.parametrize("name", ks.optimizers.__all__)
def test_after_the_first_argument_everything_is_by_keyword(name):
    made = getattr(ks.optimizers, name)
    first, *others = inspect.signature(made).parameters.values()
    assert first.name == "learning_rate"
    assert {each.kind for each in others} <= {first.KEYWORD_ONLY, first.VAR_KEYWORD}
    with pytest.raises(TypeError, match="positional argument"):
        made(0.1, 0.9)
    with pytest.raises((TypeError, ValueError), match="momentumm"):
        made(0.1, momentumm=0.9)


@pytest.mark.parametrize("function", [attach, begin, replace])
def test_functions_take_everything_after_the_first_by_keyword(function):
    _, *others = inspect.signature(function).parameters.values()
    assert {each.kind for each in others} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("value", [1, 0, None, "yes"])
def test_exact_bias_correction_is_true_or_false(value):
    with pytest.raises(TypeError, match="`exact_bias_correction` must be True or False"):
        ks.optimizers.Adam(0.1, exact_bias_correction=value)


@pytest.mark.parametrize("form", ["torch", "", None])
def test_the_form_of_momentum_is_one_of_two(form):
    with pytest.raises(ValueError, match="`form` must be one of 'keras', 'pytorch'"):
        ks.optimizers.SGD(0.1, form=form)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta_1": 1.0}, "`beta_1`"),
        ({"beta_1": -0.1}, "`beta_1`"),
        ({"beta_2": 1.0}, "`beta_2`"),
        ({"beta_2": -0.1}, "`beta_2`"),
        ({"epsilon": 0.0}, "`epsilon`"),
    ],
)
def test_demon_adam_refuses_numbers_just_outside_their_ranges(options, message):
    with pytest.raises(ValueError, match=message):
        ks.optimizers.DemonAdam(0.1, **options)
    ks.optimizers.DemonAdam(0.1, beta_1=0.0, beta_2=0.0, epsilon=1e-12)


AVERAGES = [
    (name, each)
    for name in NAMES
    for each in (
        "momentum",
        "beta_1",
        "beta_2",
        "rho",
        "adam_beta_1",
        "adam_beta_2",
        "ema_momentum",
    )
    if hasattr(getattr(keras.optimizers, name)(), each)
]


@pytest.mark.parametrize(("name", "each"), AVERAGES)
def test_an_average_is_below_1_at_every_step(name, each):
    options = {"use_ema": True, **({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})}
    optimizer = getattr(keras.optimizers, name)(**options)
    reaches = ks.PiecewiseConstant([0.5, 1.0], boundaries=[7])
    with pytest.raises(ValueError, match=rf"`{each}` must be .*\[0, 1\).*=1.0 at step 7 of"):
        attach(optimizer, schedules={each: reaches})
    below = ks.PiecewiseConstant([0.5, 0.9999999], boundaries=[7])
    attach(optimizer, schedules={each: below}).detach()
    attach(optimizer, schedules={"learning_rate": ks.Constant(1.0)}).detach()


def test_a_rate_that_has_fallen_to_0_is_said_once_where_training_goes_on():
    def three_steps(optimizer, compiled, w):
        def step():
            optimizer.apply([tf.ones(1)], [w])

        step = tf.function(step) if compiled else step
        for _ in range(3):
            step()

    for compiled in (False, True):
        w = keras.Variable([1.0])
        optimizer = ks.optimizers.SGD(ks.Linear(0.1, steps=3))
        three_steps(optimizer, compiled, w)
        with pytest.warns(UserWarning, match=r"of this SGD stays 0: .*Linear.* is over") as said:
            three_steps(optimizer, compiled, w)
        assert len(said) == 1
        three_steps(optimizer, compiled, w)
        for fine in (ks.Linear(0.1, end=0.01, steps=3), ks.InverseSqrt(0.1, timescale=2)):
            optimizer = ks.optimizers.SGD(fine)
            three_steps(optimizer, compiled, w)
            three_steps(optimizer, compiled, w)


def test_in_replicas_too_a_rate_that_has_fallen_to_0_is_said():
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        optimizer = ks.optimizers.SGD(ks.Linear(0.1, steps=3))
        w = keras.Variable([1.0])
        optimizer.build([w])
    optimizer.iterations.assign(3)
    step = tf.function(lambda: strategy.run(lambda: optimizer.apply([tf.ones(1)], [w])))
    with pytest.warns(UserWarning, match="stays 0"):
        step()


# --- where schedules begin ------------------------------------------------------------------------


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.parametrize("per", ["update", "micro"])
def test_schedules_stand_where_they_begin_also_in_what_is_traced(per, jit_compile):
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    w = keras.Variable([0.0])
    optimizer.build([w])
    schedule = ks.Linear(8.0, end=0.0, steps=8)
    options = {"per": per, "first_step": None}
    attachment = attach(optimizer, schedules={"learning_rate": schedule}, **options)
    traces = []

    def step():
        traces.append(1)
        optimizer.apply([tf.ones(1)], [w])

    run = step if jit_compile is None else tf.function(step, jit_compile=jit_compile)

    def update():
        before = float(w.numpy()[0])
        run()
        run()
        return before - float(w.numpy()[0])

    behind = 1 if per == "micro" else 0  # an update is in the second of two calls
    assert update() == 8.0 - behind
    for first in (0, 3, 100):
        begin(optimizer, step=first, per=per)
        assert float(current(optimizer)["learning_rate"]) == max(8.0 - first, 0)
        assert update() == max(8.0 - first - behind, 0)
    assert jit_compile is None or len(traces) == 1
    driver_of(optimizer).offset(per).assign(10**6)
    assert update() == 8.0, "before its beginning a schedule has its first value"
    attachment.detach()
    begin(optimizer, step=2, per=per)
    attach(optimizer, schedules={"learning_rate": schedule}, **options)
    assert float(current(optimizer)["learning_rate"]) == 6.0
    assert update() == 6.0 - behind, "what was traced follows a later training"


def test_where_schedules_begin_is_no_variable_of_the_optimizer():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        optimizer = keras.optimizers.SGD(0.1)
        count = len(optimizer.variables)
        attach(optimizer, schedules={"learning_rate": ks.Constant(0.1)}, first_step=None)
        begin(optimizer, step=4)
    offset = driver_of(optimizer).offset("update")
    assert len(optimizer.variables) == count
    assert not isinstance(offset, tf.distribute.DistributedValues)
    assert (offset.dtype, int(offset), offset.trainable) == (tf.int64, -4, False)
    assert driver_of(optimizer).offset("update") is offset
    assert driver_of(optimizer).offset("micro") is not offset


@pytest.mark.parametrize("step", [-1, 0.5, None, True])
def test_a_beginning_is_a_whole_step(step):
    with pytest.raises((TypeError, ValueError), match="`step` must be"):
        begin(keras.optimizers.SGD(0.1), step=step)


@pytest.mark.parametrize("first_step", [-1, 0.5, "0", True])
def test_a_first_step_is_a_whole_one(first_step):
    with pytest.raises((TypeError, ValueError), match="`first_step` must be"):
        attach(
            keras.optimizers.SGD(0.1),
            schedules={"learning_rate": ks.Constant(0.1)},
            first_step=first_step,
        )


# --- replacing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedules", "steps", "error", "message"),
    [
        ({}, 9, ValueError, r"Received: \[\]. Expected: \['learning_rate', 'momentum'\]"),
        ({"learning_rate": ks.Constant(0.1)}, 9, ValueError, "must replace all"),
        ({"learning_rate": 0.1, "momentum": ks.Constant(0.5)}, 9, TypeError, "must be a"),
        ({"learning_rate": ks.REX(0.1), "momentum": ks.Constant(0.5)}, 9, ValueError, "in steps"),
        (
            {"learning_rate": ks.Constant(0.1), "momentum": ks.Linear(0.5, end=1.0, steps=9)},
            9,
            ValueError,
            r"\[0, 1\) at every step",
        ),
        ({"learning_rate": ks.Constant(0.1), "momentum": ks.Constant(0.5)}, 0, ValueError, "steps"),
    ],
    ids=["none", "some", "number", "open_length", "range", "steps"],
)
def test_what_cannot_replace_is_refused_and_changes_nothing(schedules, steps, error, message):
    optimizer = ks.optimizers.SGD(ks.Linear(1.0, steps=4), momentum=ks.Demon(0.9, steps=4))
    before = attached(optimizer)
    with pytest.raises(error, match=message):
        replace(optimizer, schedules=schedules, steps=steps)
    assert attached(optimizer) == before
    replace(
        optimizer,
        schedules={"learning_rate": ks.Constant(0.1), "momentum": ks.Constant(0.5)},
        steps=1,
    )


def test_a_rate_that_is_a_constant_of_the_trace_keeps_others_from_being_replaced():
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    optimizer = keras.optimizers.SGD(decay, momentum=0.9)
    attach(optimizer, schedules={"momentum": ks.Constant(0.5)})
    with pytest.raises(ValueError, match="must not follow a schedule that is not attached"):
        replace(optimizer, schedules={"momentum": ks.Constant(0.4)}, steps=3)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_what_is_replaced_trains_as_what_is_traced_anew(jit_compile):
    """To the bit, also in numbers that take part in arithmetic of 64 bits."""

    def schedules(peak):
        return {
            "learning_rate": ks.Linear(peak, steps=5),
            "beta_1": ks.Demon(0.9 * peak, steps=5),
        }

    def train(optimizers):
        w = keras.Variable([1.0, -2.0])
        optimizer = optimizers[0]
        optimizer.build([w])

        @tf.function(jit_compile=jit_compile)
        def step():
            optimizer.apply([2.0 * w.value], [w])

        for other in optimizers:
            replace(optimizer, schedules=attached(other), steps=5)
            for variable in optimizer.variables:
                if "learning_rate" not in variable.path:
                    variable.assign(tf.zeros_like(variable.value))
            w.assign([1.0, -2.0])
            for _ in range(5):
                step()
        return w.numpy()

    first, second = (ks.optimizers.Adam(**schedules(peak)) for peak in (1.0, 0.5))
    fresh = ks.optimizers.Adam(**schedules(0.5))
    np.testing.assert_array_equal(train([first, second]), train([fresh]))
