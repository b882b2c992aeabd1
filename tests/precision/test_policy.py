"""`PrecisionPolicy`: what layers compute in at every step, and everything that must not change."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from keras_sched.precision.attach import quantize
from keras_sched.precision.phases import Ladder, Lengths
from keras_sched.precision.policy import PrecisionPolicy
from tests.trainers import toy
from trainers import experiment

HALF, FULL, SCALED = "mixed_bfloat16", "float32", "mixed_float16"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
SEEN: list[str] = []


@keras.saving.register_keras_serializable("test_policy")
class Spy(keras.layers.Layer):
    """Notes the dtype of what it is given each time the graph runs, not only when it is traced."""

    def call(self, x):
        tf.numpy_function(lambda: SEEN.append(x.dtype.name), [], [], stateful=True)
        return x


class Each(keras.callbacks.Callback):
    """Calls a function after every call of the compiled step."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def on_train_batch_end(self, batch, logs=None):
        self.call(self.model, batch)


class Interrupt(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.left = at

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _forget():
    SEEN.clear()


def network(dtype=None, spy=True):
    layers = [keras.layers.Dense(6, activation="tanh", name="hidden", dtype=dtype)]
    layers += [Spy(name="spy", dtype=dtype)] if spy else []
    return keras.Sequential(
        [keras.layers.Input((4,)), *layers, keras.layers.Dense(1, name="out", dtype="float32")]
    )


def compiled(optimizer=None, model=None, **options):
    model = model or network()
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), "mse", **options)
    return model


def scaled(**options):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), **options)


def fit(model, *callbacks, epochs=2, x=X, **options):
    """Twelve steps an epoch."""
    return model.fit(
        x, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **options
    )


def counting(model):
    """Count the traces of the training step; what it returns has one entry for each."""
    traces, own = [], model.train_step

    def step(data):
        traces.append(model.get_layer("hidden").compute_dtype)
        return own(data)

    model.train_step = step
    return traces


def numbers(variables):
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# --- when --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([(HALF, 0.9), (FULL, 0.1)], [(0, HALF), (90, FULL)]),
        ([(HALF, 0.35), (FULL, 0.3), (HALF, 0.35)], [(0, HALF), (35, FULL), (65, HALF)]),
        ([(HALF, "3ep"), (FULL, "15st"), (HALF, None)], [(0, HALF), (30, FULL), (45, HALF)]),
        ([(HALF, "0.25ep"), (FULL, "0.25ep"), (HALF, None)], [(0, HALF), (3, FULL), (5, HALF)]),
        ([(HALF, 0.2), (HALF, 0.3), (FULL, "0.5dur")], [(0, HALF), (50, FULL)]),
        ([(SCALED, "160sp"), (FULL, None)], [(0, SCALED), (20, FULL)]),
        ([(FULL, 1)], [(0, FULL)]),
        ([(HALF, 1 / 3), (FULL, 1 / 3), (HALF, 1 / 3)], [(0, HALF), (33, FULL), (67, HALF)]),
    ],
)
def test_lengths_are_counted_in_data_steps(phases, expected):
    run = ks.Run(steps=100, steps_per_epoch=10, batch_size=8)
    assert [tuple(phase) for phase in Lengths(phases).phases(run)] == expected


def test_a_schedule_takes_the_nearest_rung_and_the_higher_one_in_the_middle():
    ladder = Ladder(ks.Linear(16.0, end=32.0), {32: FULL, 16: HALF})
    assert ladder.phases(ks.Run(steps=16)) == ((0, HALF), (8, FULL))
    three = Ladder(ks.Linear(2.0, end=0.0), {0: FULL, 1: SCALED, 2: HALF})
    assert three.phases(ks.Run(steps=8)) == ((0, HALF), (3, SCALED), (7, FULL))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "either `phases`"),
        ({"phases": []}, ValueError, "at least one phase"),
        ({"phases": "float32"}, TypeError, "pairs"),
        ({"phases": [FULL]}, TypeError, "pairs"),
        ({"phases": [("bfloat16", 1.0)]}, ValueError, "must be one of"),
        ({"phases": [("mixed_bfloat61", 1.0)]}, ValueError, "must be one of"),
        ({"phases": [(HALF, 0.9), (FULL, 0.2)]}, ValueError, "sum to 1"),
        ({"phases": [(HALF, "90%"), (FULL, 0.05)]}, ValueError, "sum to 1"),
        ({"phases": [(HALF, 1.0), (FULL, None)]}, ValueError, "less than 1"),
        ({"phases": [(HALF, None), (FULL, 0.1)]}, ValueError, "Only the last"),
        ({"phases": [(HALF, 500), (FULL, None)]}, ValueError, "'500st'"),
        ({"phases": [(HALF, "0ep"), (FULL, None)]}, ValueError, "above 0"),
        ({"phases": [(HALF, "3 moons"), (FULL, None)]}, ValueError, "number with a unit"),
        ({"phases": [(FULL, 1.0)], "ladder": {16: HALF}}, ValueError, "for a schedule"),
        ({"phases": [(FULL, 1.0)], "exclude": "out"}, TypeError, "list of regular"),
        ({"phases": [(FULL, 1.0)], "exclude": ["("]}, ValueError, "regular expressions"),
        ({"schedule": 16}, TypeError, "must be a keras_sched schedule"),
        ({"schedule": lambda step: 16}, TypeError, "must be a keras_sched schedule"),
        ({"schedule": ks.Constant(16.0), "ladder": [HALF]}, TypeError, "must map"),
        ({"schedule": ks.Constant(16.0), "ladder": {}}, ValueError, "at least one rung"),
        ({"schedule": ks.Constant(16.0), "ladder": {16: "int8"}}, ValueError, "one of"),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        PrecisionPolicy(**arguments)


# --- what it does ------------------------------------------------------------------------------


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


def many_layers():
    """Convolution, batch normalisation, attention, recurrence, embedding; two kinds of input."""
    image, words = keras.Input((8, 8, 3)), keras.Input((5,), dtype="int32")
    x = keras.layers.Conv2D(4, 3, padding="same", name="convolution")(image)
    x = keras.layers.BatchNormalization(name="normalisation")(x)
    x = keras.layers.Reshape((16, 16))(keras.layers.Activation("relu")(x))
    w = keras.layers.Embedding(9, 16, name="embedding")(words)
    x = keras.layers.MultiHeadAttention(2, 4, dropout=0.1, name="attention")(x, w)
    x = keras.layers.LayerNormalization()(x)
    x = keras.layers.LSTM(6, name="recurrence", recurrent_dropout=0.1)(x)
    logits = keras.layers.Dense(3, name="logits")(x)
    return keras.Model([image, words], keras.layers.Softmax(name="softmax")(logits))


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
    np.testing.assert_array_equal(logger.history["learning_rate"], ks.simulate(ks.REX(0.1), 24))
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
    assert scales[0] < 2.0**20
    assert scales[-1] == scales[-12] < 2.0**20
    assert 0 < int(model.optimizer.iterations) < 24


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


def test_a_training_that_raised_is_tidied_up():
    model = compiled(scaled(initial_scale=2.0**8))
    before = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]

    def is_as_found():
        return all(layer.dtype_policy is policy for layer, policy in before)

    first = PrecisionPolicy([(HALF, 1.0)])
    with pytest.raises(KeyboardInterrupt):
        fit(model, first, Interrupt(3))
    assert not is_as_found()
    # The next one raises before any work, and yet undoes what the first has left.
    with pytest.raises(ValueError, match="sum to the run's"):
        fit(model, PrecisionPolicy([(HALF, "7ep"), (FULL, "1ep")]))
    assert is_as_found()
    assert float(model.optimizer.dynamic_scale) == 2.0**8
    with pytest.raises(KeyboardInterrupt):
        fit(model, first, Interrupt(3))
    other = compiled()
    fit(other, first)  # The same callback on another model.
    assert is_as_found()
    with pytest.raises(KeyboardInterrupt):
        fit(model, first, Interrupt(3))
    first.restore()
    first.restore()
    assert is_as_found()
    SEEN.clear()
    fit(model, epochs=1)
    assert set(SEEN) == {"float32"}


# --- which layers ------------------------------------------------------------------------------


def policies_of(model, **options):
    """Name of the layer -> the policy it has in a phase in bfloat16."""
    found = {}
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    fit(
        model,
        PrecisionPolicy([(HALF, 1.0)], **options),
        Each(lambda model, batch: found.update({x.name: x.dtype_policy.name for x in walk(model)})),
        epochs=1,
    )
    return found


def walk(model):
    return [x for x in model._flatten_layers() if not isinstance(x, keras.layers.InputLayer)]


def test_every_output_is_held_in_float32_back_to_its_weights():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="trunk")(inputs)
    head = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4, name="a0"), keras.layers.Dense(1, name="a1")],
        name="head",
    )
    a = keras.layers.Activation("sigmoid", name="a2")(head(x) * 2.0)
    b = keras.layers.BatchNormalization(name="b1")(keras.layers.Dense(1, name="b0")(x))
    found = policies_of(keras.Model(inputs, keras.layers.Add(name="sum")([a, b])))
    full = {name for name, policy in found.items() if policy == FULL}
    assert {"a1", "a2", "b0", "b1", "sum"} <= full
    assert not {"trunk", "a0", "head"} & full


class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.one = keras.layers.Dense(3, name="one")
        self.two = keras.layers.Dense(1, name="two")
        self.three = keras.layers.Activation("tanh", name="three")

    def call(self, x):
        return self.three(self.two(self.one(x)))


def test_of_a_subclassed_model_the_last_layers_are_held():
    model = Subclassed(name="own")
    model(X[:1])
    expected = {"own": HALF, "one": HALF, "two": FULL, "three": FULL}
    assert policies_of(model) == expected


def test_exclude_leaves_layers_as_they_are_with_all_within_them():
    found = policies_of(network(), exclude=["h.*"])
    assert (found["hidden"], found["spy"], found["out"]) == (FULL, HALF, HALF)
    assert policies_of(network(), exclude=[])["out"] == HALF
    model = network(HALF)
    assert policies_of(model, exclude=["out"])["out"] == FULL
    model = many_layers()
    model.compile("sgd", "sparse_categorical_crossentropy")
    seen = []
    x = [np.zeros((2, 8, 8, 3), "float32"), np.zeros((2, 5), "int32")]
    note = Each(
        lambda m, b: seen.append(
            {x.dtype_policy.name for x in m.get_layer("attention")._flatten_layers()}
        )
    )
    policy = PrecisionPolicy([(HALF, 1.0)], exclude=["attention", "logits", "softmax"])
    model.fit(x, np.zeros(2), verbose=0, callbacks=[policy, note])
    assert seen == [{FULL}]


def test_a_mixed_model_whose_last_layers_are_mixed_ends_in_float32():
    """The guide's pattern: everything mixed but the last activation."""
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="hidden", dtype=HALF)(inputs)
    x = keras.layers.Dense(1, name="logits", dtype=HALF)(x)
    model = compiled(
        model=keras.Model(inputs, keras.layers.Activation("tanh", dtype=FULL)(x)), jit_compile=False
    )
    found = []
    look = Each(lambda m, batch: found.append({x.dtype_policy.name for x in walk(m)}))
    fit(model, PrecisionPolicy([(FULL, 1.0)]), look)
    assert found[0] == {FULL}
    assert model.get_layer("logits").dtype_policy.name == HALF


def mapped():
    model = network()
    model.get_layer("hidden").dtype_policy = keras.dtype_policies.DTypePolicyMap()
    return model


def by_keras():
    model = network()
    model.get_layer("hidden").quantize("int8")
    return model


def mixed():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, name="low", dtype=HALF)(inputs)
    x = keras.layers.BatchNormalization(name="high", dtype=FULL)(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="out")(x))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (mapped, {}, "same policy.*DTypePolicyMap.*hidden"),
        (by_keras, {}, "same policy.*int8.*hidden"),
        (mixed, {}, "mixed_bfloat16: low; float32: high"),
        (lambda: network("float64"), {}, "same policy.*float64"),
        (network, {"exclude": ["hiden"]}, "'hiden'.*one of: .*hidden"),
        (network, {"exclude": [".*"]}, "No layer is left"),
        (network, {"phases": [(HALF, "1ep"), (FULL, "2ep")]}, "end.*24|sum to the run's"),
        (network, {"phases": [(HALF, "1ep"), (FULL, None)]}, None),
        (network, {"phases": [(HALF, "24st"), (FULL, None)]}, "at least one data step"),
        (network, {"phases": [(HALF, "8sp"), (FULL, None)]}, "needs `batch_size`"),
        (network, {"phases": None, "schedule": ks.Linear(0.1)}, r"in \[16, 32\]"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), {}, "compiled and built"),
    ],
)
def test_what_cannot_be_trained_so_is_refused_and_left_alone(model, options, message):
    model = model()
    model.compile(keras.optimizers.SGD(0.01), "mse")
    before = [(layer, layer.dtype_policy) for layer in model._flatten_layers()]
    policy = PrecisionPolicy(**{"phases": [(HALF, 0.5), (FULL, 0.5)], **options})
    if message is None:
        fit(model, policy)
    else:
        with pytest.raises(ValueError, match=message):
            fit(model, policy)
    assert all(layer.dtype_policy is policy for layer, policy in before)


def test_a_run_of_unknown_length_is_refused():
    data = tf.data.Dataset.from_generator(
        lambda: iter([(X[:8], Y[:8])]),
        output_signature=(tf.TensorSpec((8, 4)), tf.TensorSpec((8, 1))),
    )
    with pytest.raises(ValueError, match="steps_per_epoch"):
        compiled().fit(data, verbose=0, shuffle=False, callbacks=[PrecisionPolicy([(HALF, 1.0)])])


def test_two_policies_in_one_training_are_refused():
    policies = [PrecisionPolicy([(HALF, 1.0)]) for _ in range(2)]
    with pytest.raises(ValueError, match="one place"):
        fit(compiled(), *policies)


@pytest.mark.parametrize(("bits", "policy"), [(8, HALF), (9, HALF), (10, SCALED), (11, SCALED)])
def test_a_quantized_model_keeps_its_levels(bits, policy):
    model = compiled(scaled(initial_scale=2.0**8))
    callback = PrecisionPolicy([(policy, 1.0)])
    with quantize(model, weights=4, activations=bits):
        if bits in (8, 10):
            fit(model, callback)
            assert set(SEEN) == {policy.removeprefix("mixed_")}
        else:
            with pytest.raises(ValueError, match=f"up to {bits} bits"):
                fit(model, callback)
            assert SEEN == []


# --- the trainers' loop ------------------------------------------------------------------------


def toy_model():
    inputs = keras.layers.Input((4,))
    x = Spy()(keras.layers.Dense(16, activation="tanh", name="hidden")(inputs))
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(inputs, {name: keras.layers.Dense(1)(x) for name in ("mean", "sign")})


def run(tmp_path, *callbacks):
    policy = PrecisionPolicy([(SCALED, "20st"), (HALF, "31st"), (FULL, "29st"), (SCALED, None)])
    made = experiment.Experiment(
        toy.setting(
            2, lambda: scaled(initial_scale=2.0**8, dynamic_growth_steps=6), model=toy_model
        ),
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
    assert record["status"] == "finished"
    assert float(whole.optimizer.dynamic_scale) == 2.0**11, "it grew three times in 20 steps"
    # Goes on from step 70, while the scale is held, and from step 90, while it grows.
    for calls in (9, 10):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / f"cut{calls}", Interrupt(calls))
        again, _ = run(tmp_path / f"cut{calls}", Interrupt(0))
        assert whole.variables.keys() == again.variables.keys()
        for name, variable in whole.variables.items():
            np.testing.assert_array_equal(variable, again.variables[name], err_msg=name)
