"""`PrecisionPolicy`: what layers compute in at every step, and everything that must not change."""

from __future__ import annotations

import itertools
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.callbacks import PrecisionPolicy
from tests.precision.networks import (
    FULL,
    HALF,
    RNG,
    SCALED,
    SEEN,
    Each,
    Interrupt,
    Spy,
    X,
    Y,
    assert_same,
    compiled,
    counting,
    fit,
    many_layers,
    network,
    numbers,
    scaled,
)
from tests.trainers import toy
from trainers.loop import experiment
from trainers.loop.state import snapshot


@pytest.fixture(autouse=True)
def _forget():
    SEEN.clear()


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_each_policy_is_traced_once_however_often_they_alternate(steps_per_execution):
    model = compiled(jit_compile=False, steps_per_execution=steps_per_execution)
    traces = counting(model)
    lengths = [3, 4, 3, 4, 3, 3, 4]  # Boundaries at 3, 7, 10, 14, 17 and 20, within epochs of 12.
    names = [HALF, FULL, HALF, FULL, HALF, FULL, HALF]
    fit(model, PrecisionPolicy([(n, f"{k}st") for n, k in zip(names, lengths, strict=True)]))
    assert traces == ["bfloat16", "float32"]
    in_each = np.repeat([name.removeprefix("mixed_") for name in names], lengths)
    # A call of several steps has the policy of its first.
    starts = np.arange(24) // steps_per_execution * steps_per_execution
    assert in_each[starts].tolist() == SEEN


def test_without_a_new_trace_a_policy_changes_nothing():
    """The negative control: this is what assigning policies does by itself."""

    def assign(model, batch):
        for layer in model._flatten_layers():
            layer.dtype_policy = keras.DTypePolicy(HALF)

    model = compiled()
    fit(model, Each(assign))
    assert SEEN == ["float32"] * 24
    SEEN.clear()
    fit(compiled(), PrecisionPolicy([(HALF, 1.0)]))
    assert SEEN == ["bfloat16"] * 24


def test_a_phase_computes_what_a_model_built_in_its_policy_computes():
    """Weights and velocities after both phases, to the bit."""
    model = compiled()
    first, second = compiled(), compiled(model=network(HALF))
    first.set_weights(model.get_weights())
    fit(model, PrecisionPolicy([(FULL, 0.5), (HALF, 0.5)]))
    fit(first, epochs=1)
    second.set_weights(first.get_weights())
    second.optimizer.build(second.trainable_variables)
    for variable, value in zip(second.optimizer.variables, first.optimizer.variables, strict=True):
        variable.assign(value)
    fit(second, epochs=1)
    assert_same(numbers(model.variables), numbers(second.variables))
    assert_same(numbers(model.optimizer.variables), numbers(second.optimizer.variables))


def test_every_kind_of_layer_follows_and_every_variable_stays_float32():
    model = many_layers()
    before = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", jit_compile=False)
    x = [RNG.normal(size=(8, 8, 8, 3)).astype("float32"), RNG.integers(0, 9, (8, 5), "int32")]
    graphs = []

    def look(model, batch):
        graph = tf.function(lambda *x: model(list(x), training=True))
        spec = [tf.TensorSpec(a.shape, a.dtype) for a in x]
        graphs.append(graph.get_concrete_function(*spec).graph)
        for variable in (*model.variables, *model.optimizer.variables):
            # Seeds and counters are whole numbers.
            assert variable.dtype in ("float32", "uint32", "int32", "int64"), variable.path

    policy = PrecisionPolicy([(HALF, "1st"), (FULL, "1st")])
    model.fit(x, RNG.integers(0, 3, 8), batch_size=4, verbose=0, callbacks=[policy, Each(look)])
    half, full = (products(graph) for graph in graphs)
    assert set(full) == {"float32"}
    # Of attention 4 projections and 2 products, of the recurrence 2, the convolution.
    assert len(half["bfloat16"]) >= 9
    assert len(half["bfloat16"]) + 1 == len(full["float32"])
    assert len(half["float32"]) == 1
    assert "logits" in half["float32"][0]
    assert all(layer.dtype_policy is policy for layer, policy in before)


def products(graph):
    """Names of the multiplications in a graph and in the bodies of its loops, by dtype."""
    bodies = [function.graph for function in graph._functions.values()]
    found = {}
    for operation in [op for part in (graph, *bodies) for op in part.get_operations()]:
        if operation.type in ("Conv2D", "MatMul", "Einsum", "BatchMatMulV2"):
            found.setdefault(operation.get_attr("T").name, []).append(operation.name)
    return found


def test_evaluation_uses_the_policy_of_the_training():
    model = compiled()
    seen = []

    class Note(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            SEEN.clear()

        def on_test_end(self, logs=None):
            seen.append(set(SEEN))

    policy = PrecisionPolicy([(HALF, "1ep"), (FULL, "1ep"), (HALF, "1ep")])
    fit(model, policy, Note(), epochs=3, validation_data=(X, Y))
    assert seen == [{"bfloat16"}, {"float32"}, {"bfloat16"}]
    SEEN.clear()
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    assert set(SEEN) == {"float32"}


def test_a_step_that_another_callback_has_made_anew_is_made_anew_in_all_policies():
    model = compiled(jit_compile=False)
    frozen = []

    class Freeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.get_layer("hidden").trainable = False
                self.model.make_train_function(force=True)
                frozen.append(self.model.get_layer("hidden").get_weights()[0])

    traces = counting(model)
    fit(model, PrecisionPolicy([(HALF, 0.25), (FULL, 0.25)] * 2), Freeze())
    assert traces == ["bfloat16", "float32"] * 2
    np.testing.assert_array_equal(model.get_layer("hidden").get_weights()[0], frozen[0])


@pytest.mark.parametrize("order", [1, -1])
def test_it_works_beside_the_other_callbacks(order):
    model = compiled(jit_compile=False)
    logger = ks.StepLogger()
    policy = PrecisionPolicy([(HALF, 0.25), (FULL, 0.25)] * 2)
    others = [ks.Scheduler(learning_rate=ks.REX(0.1), momentum=ks.Demon(0.9)), logger]
    fit(model, *[policy, *others][::order])
    np.testing.assert_array_equal(logger.history["learning_rate"], ks.simulate(ks.REX(0.1), n=24))
    assert np.isfinite(logger.history["loss"]).all()
    assert SEEN == ["bfloat16"] * 6 + ["float32"] * 6 + ["bfloat16"] * 6 + ["float32"] * 6
    assert model.optimizer.momentum == 0.9
    assert "train_step" not in vars(model)


def test_a_schedule_of_bits_drives_it():
    policy = PrecisionPolicy(schedule=ks.Linear(16.0, end=32.0))
    fit(compiled(), policy)
    assert policy.phases == ((0, HALF), (12, FULL))
    assert SEEN == ["bfloat16"] * 12 + ["float32"] * 12


def test_two_replicas_follow_it():
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model = compiled(scaled(initial_scale=2.0**8))
    fit(model, PrecisionPolicy([(SCALED, 0.25), (FULL, 0.25)] * 2))
    assert SEEN == (["float16"] * 12 + ["float32"] * 12) * 2
    assert keras.ops.convert_to_numpy(model.optimizer.iterations) == 24


# --- loss scaling ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [None, SCALED])
def test_float16_without_loss_scaling_is_refused_before_any_work(dtype):
    """Also where Keras wraps the optimizer by itself: a file of that model loses its state."""
    model = network(dtype)
    if dtype:
        model.dtype_policy = keras.DTypePolicy(dtype)
    compiled(keras.optimizers.Adam(), model)
    before = model.get_weights()
    line = r"model\.compile\(keras\.optimizers\.LossScaleOptimizer\(Adam\(\.\.\.\)\), \.\.\.\)"
    with pytest.raises(ValueError, match=line):
        fit(model, PrecisionPolicy([(HALF, 0.9), (SCALED, 0.1)]))
    assert_same(before, model.get_weights())
    assert SEEN == []


def test_an_overflow_skips_updates_moves_no_boundary_and_is_recovered_from():
    x = X.copy()
    x[8:32] *= 1e5  # Steps 1, 2 and 3 of the first epoch are infinite in float16.
    model = compiled(scaled(initial_scale=2.0**10))
    weights, scales = [model.get_weights()], []

    def look(model, batch):
        weights.append(model.get_weights())
        scales.append(float(model.optimizer.dynamic_scale))

    fit(model, PrecisionPolicy([(SCALED, "10st"), (FULL, "2st")]), Each(look), epochs=1, x=x)
    assert SEEN == ["float16"] * 10 + ["float32"] * 2
    assert scales == [2.0**10, 2.0**9, 2.0**8] + [2.0**7] * 7 + [1.0] * 2
    assert int(model.optimizer.iterations) == 9
    same = [np.array_equal(a[0], b[0]) for a, b in itertools.pairwise(weights)]
    assert same == [False] + [True] * 3 + [False] * 8
    assert all(np.isfinite(array).all() for array in weights[-1])


def test_too_high_a_scale_comes_down():
    model = compiled(scaled(initial_scale=2.0**20))
    scales = []
    fit(
        model,
        PrecisionPolicy([(SCALED, 1.0)]),
        Each(lambda model, batch: scales.append(float(model.optimizer.dynamic_scale))),
    )
    # Each step that overflows halves it and is no update; how many do depends on the machine.
    assert scales[0] == 2.0**19
    updates = int(model.optimizer.iterations)
    assert 12 < updates < 24
    assert scales[-1] == 2.0 ** (20 - (24 - updates))


def test_the_scale_is_held_outside_of_float16_and_never_doubles_there():
    model = compiled(scaled(initial_scale=2.0**10, dynamic_growth_steps=4))
    scales = []
    fit(
        model,
        PrecisionPolicy([(HALF, 0.25), (SCALED, 0.25), (FULL, 0.25), (SCALED, 0.25)]),
        Each(lambda model, batch: scales.append(float(model.optimizer.dynamic_scale))),
    )
    growing = [2.0**10] * 3 + [2.0**11] * 3
    assert scales == [1.0] * 6 + growing + [1.0] * 6 + growing
    fit(model, PrecisionPolicy([(FULL, 1.0)]))
    assert float(model.optimizer.dynamic_scale) == 2.0**10, "the model goes on as it was found"


def test_a_gradient_that_is_not_finite_lets_the_scale_go_until_the_epoch_ends():
    x = X.copy()
    x[8:16] = np.nan  # Step 1 of each epoch.
    model = compiled(scaled(initial_scale=2.0**10, dynamic_growth_steps=4))
    each, at_the_ends = [], []

    def look(epoch, logs):
        at_the_ends.append(
            (float(model.optimizer.dynamic_scale), int(model.optimizer.step_counter))
        )

    fit(
        model,
        PrecisionPolicy([(HALF, 1.0)]),
        Each(lambda model, batch: each.append(float(model.optimizer.dynamic_scale))),
        keras.callbacks.LambdaCallback(on_epoch_end=look),
        x=x,
    )
    assert each[:6] == [1.0] + [0.5] * 4 + [1.0], "Keras halves it, and it grows again"
    assert each[12] == 1.0
    assert at_the_ends == [(1.0, 4)] * 2
    assert float(model.optimizer.dynamic_scale) == 2.0**10
    policy = PrecisionPolicy([(HALF, 1.0)])
    with pytest.raises(KeyboardInterrupt):
        fit(model, policy, Interrupt(3), x=x)
    assert float(model.optimizer.dynamic_scale) == 2.0**10


def test_bits_that_a_later_policy_cannot_hold_are_refused_when_it_begins():
    def more(model, batch):
        ks.precision.find(model).weights.assign(12)

    for options, callbacks in (({"evaluation": 12}, []), ({}, [Each(more)])):
        model = compiled()
        before = model.get_weights()
        with (
            ks.precision.quantize(model, weights=8, activations=8, layers="all", **options),
            pytest.raises(ValueError, match="up to 12 bits, and 'mixed_bfloat16' holds levels"),
        ):
            fit(model, PrecisionPolicy([(FULL, 0.5), (HALF, 0.5)]), *callbacks)
        is_untouched = all(map(np.array_equal, before, model.get_weights()))
        assert is_untouched == bool(options), "what is known before is refused before any step"


# --- files -------------------------------------------------------------------------------------


def test_a_file_of_any_phase_trains_on(tmp_path):
    """Saved in the middle of each phase; the rest of the run then ends at the same bits."""

    def phases():
        return PrecisionPolicy([(SCALED, "20st"), (HALF, "15st"), (FULL, "13st"), (SCALED, "12st")])

    model = compiled(scaled(initial_scale=2.0**8))
    saved = {}

    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            path = tmp_path / f"{epoch}.keras"
            self.model.save(path)
            saved[epoch + 1] = path, numbers(self.model.optimizer.variables)

    fit(model, phases(), Save(), epochs=5)
    expected = {1: SCALED, 2: HALF, 3: FULL, 4: FULL, 5: SCALED}
    for epoch, (path, state) in saved.items():
        loaded = keras.models.load_model(path)
        assert loaded.get_layer("hidden").dtype_policy.name == expected[epoch]
        assert loaded.get_layer("out").dtype_policy.name == FULL
        assert {v.dtype for v in loaded.variables} == {"float32"}
        assert_same(state, numbers(loaded.optimizer.variables))
        if epoch < 5:
            fit(loaded, phases(), initial_epoch=epoch, epochs=5)
            assert_same(numbers(model.variables), numbers(loaded.variables))
            assert_same(numbers(model.optimizer.variables), numbers(loaded.optimizer.variables))
            assert loaded.get_layer("hidden").dtype_policy.name == expected[epoch]


# --- the model is left as it was found ---------------------------------------------------------


def test_policies_are_restored_and_never_mutated():
    model = compiled()
    shared = keras.DTypePolicy(FULL)
    for layer in model._flatten_layers():
        layer.dtype_policy = shared
    during = []
    fit(
        model,
        PrecisionPolicy([(HALF, 1.0)]),
        Each(lambda model, batch: during.append([x.dtype_policy for x in model._flatten_layers()])),
    )
    assert shared.name == FULL
    assert all(layer.dtype_policy is shared for layer in model._flatten_layers())
    governed = [policy for policy in during[0] if policy.name == HALF]
    assert len(governed) == len({id(policy) for policy in governed}) == 3
    assert not [name for name in vars(model) if "keras_sched" in name]
    SEEN.clear()
    fit(model, epochs=1)
    assert set(SEEN) == {"float32"}


def test_a_training_that_raised_leaves_nothing():
    model = compiled(scaled(initial_scale=2.0**8))
    before = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]

    def is_as_found():
        is_scale = float(model.optimizer.dynamic_scale) == 2.0**8
        return is_scale and all(layer.dtype_policy is policy for layer, policy in before)

    during = []
    first = PrecisionPolicy([(HALF, 1.0)])
    for raised in range(2):  # the same callback again
        with pytest.raises(KeyboardInterrupt):
            fit(model, first, Each(lambda *_: during.append(is_as_found())), Interrupt(3))
        assert is_as_found() and first.policy is None, raised
    assert not any(during)
    with pytest.raises(ValueError, match="sum to the run's"):
        fit(model, PrecisionPolicy([(HALF, "7ep"), (FULL, "1ep")]))
    assert is_as_found()
    fit(compiled(), first)  # on another model
    SEEN.clear()
    fit(model, epochs=1)
    assert set(SEEN) == {"float32"}


def test_a_second_training_traces_nothing_anew():
    model = compiled(jit_compile=False)
    traces = counting(model)
    for _ in range(2):
        fit(model, PrecisionPolicy([(HALF, 0.5), (FULL, 0.5)]))
    assert traces == ["bfloat16", "float32"]
    fit(model, PrecisionPolicy([(HALF, 0.5), (FULL, 0.5)], exclude=[]))  # other layers
    assert traces == ["bfloat16", "float32"] * 2


# --- the trainers' loop ------------------------------------------------------------------------


def toy_model():
    inputs = keras.layers.Input((4,))
    x = Spy()(keras.layers.Dense(16, activation="tanh", name="hidden")(inputs))
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(inputs, {name: keras.layers.Dense(1)(x) for name in ("mean", "sign")})


def run(tmp_path, *callbacks):
    policy = PrecisionPolicy([(SCALED, "20st"), (HALF, "31st"), (FULL, "29st"), (SCALED, None)])
    made = experiment.Experiment(
        toy.Toy(2, lambda: scaled(initial_scale=2.0**8, dynamic_growth_steps=6), model=toy_model),
        toy.plan(tmp_path, 2, steps_per_call=10, steps_per_checkpoint=20),
        [policy, *callbacks],
    )
    return made, made.run()


class Note(keras.callbacks.Callback):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_test_begin(self, logs=None):
        self.steps.extend(SEEN)

    def on_test_end(self, logs=None):
        SEEN.clear()


def test_it_works_in_the_trainers_loop_and_goes_on_in_its_phase(tmp_path):
    steps: list[str] = []
    whole, record = run(tmp_path / "whole", Note(steps))
    # Epochs of 50, calls of 10: each boundary is taken at the next call.
    expected = ["float16"] * 20 + ["bfloat16"] * 40 + ["float32"] * 20 + ["float16"] * 20
    assert steps == expected
    assert record.status == "finished"
    scale = float(whole.compiled.optimizer.dynamic_scale)
    assert scale == 2.0**11, "it grew three times in 20 steps"
    # Goes on from step 70, while the scale is held, and from step 90, while it grows.
    for step in (70, 90):
        steps.clear()
        again, record = run(as_it_was(tmp_path, step), Note(steps))
        assert record.restarts == 1
        assert steps == expected[step:]
        whole_end, end = (snapshot(each.compiled.variables) for each in (whole, again))
        assert whole_end.keys() == end.keys()
        assert [name for name in end if (whole_end[name] != end[name]).any()] == []


def as_it_was(tmp_path, step):
    """Return a copy of the whole run's directory in which nothing after a step is done yet."""
    copy = shutil.copytree(tmp_path / "whole", tmp_path / f"cut{step}")
    (directory,) = copy.glob("toy/*")
    (directory / "record.json").unlink()
    for checkpoint in directory.glob("checkpoints/step_*"):
        if int(checkpoint.name.removeprefix("step_")) > step:
            shutil.rmtree(checkpoint)
    assert (directory / "checkpoints" / f"step_{step:08d}").is_dir()
    return copy
