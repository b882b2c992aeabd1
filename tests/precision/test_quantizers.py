"""The quantizers beside an oracle in NumPy, their levels, their gradients and their noise."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sched.precision import quantizers

BITS = [2, 3, 4, 5, 7, 8, 12, 16]


def width(bits):
    return tf.constant(float(bits))


def key(number):
    return tf.constant(number, tf.uint32)


def oracle(x, bits, axes=None, symmetric=False):
    """Round to the nearest of evenly spaced levels, halves to even, in float64."""
    x = np.asarray(x, np.float64)
    low = x.min(axis=axes, keepdims=True)
    high = x.max(axis=axes, keepdims=True)
    if symmetric:
        most = np.maximum(np.abs(low), np.abs(high))
        count, low, span = 2 ** (bits - 1) - 1, 0.0, most
    else:
        count, span = 2**bits - 1, high - low
    step = np.where(span > 0, span / count, 1.0)
    return np.rint((x - low) / step) * step + low, step


@pytest.mark.parametrize("symmetric", [False, True], ids=["asymmetric", "symmetric"])
@pytest.mark.parametrize("axes", [None, [0, 1]], ids=["one range", "one a channel"])
@pytest.mark.parametrize("bits", BITS)
def test_nearest_level_of_the_oracle(bits, axes, symmetric):
    x = np.random.default_rng(bits).normal(1.0, 3.0, [9, 5, 4]).astype("float32")
    got = quantizers.fake_quantize(tf.constant(x), width(bits), axes=axes, symmetric=symmetric)
    expected, step = oracle(x, bits, None if axes is None else tuple(axes), symmetric)
    # float32 may put a number that lies half way onto the other level, and rounds the level.
    far = np.abs(got - expected) > 1e-5 * (1 + np.abs(expected))
    assert far.mean() < 0.01
    assert (np.abs(got - x) <= step / 2 + 1e-5 * np.abs(x).max()).all()


@pytest.mark.parametrize("symmetric", [False, True])
def test_halves_go_to_the_even_level(symmetric):
    """Whole levels, so that the halves are exact in float32."""
    if symmetric:
        x = [-7.0, -2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 7.0]
        expected = [-7.0, -2.0, -2.0, -0.0, 0.0, 0.0, 2.0, 2.0, 7.0]
    else:
        x = [0.0, 0.5, 1.5, 2.5, 3.5, 14.5, 15.0]
        expected = [0.0, 0.0, 2.0, 2.0, 4.0, 14.0, 15.0]
    for axes in (None, [0]):
        got = quantizers.fake_quantize(tf.constant(x), width(4), axes=axes, symmetric=symmetric)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("axes", [None, [0]])
@pytest.mark.parametrize("value", [0.0, 5.0, -3.25, 1e-35, 1e30])
def test_a_constant_tensor_stays_what_it_is(value, axes):
    x = tf.fill([6, 2], tf.constant(value))
    np.testing.assert_array_equal(quantizers.fake_quantize(x, width(3), axes=axes), x)


@pytest.mark.parametrize("bits", range(2, 9))
def test_number_of_levels(bits):
    x = tf.linspace(-1.0, 2.0, 20_001)
    assert len(np.unique(quantizers.fake_quantize(x, width(bits)))) == 2**bits
    both = tf.linspace(-2.0, 2.0, 20_001)
    levels = np.unique(quantizers.fake_quantize(both, width(bits), symmetric=True))
    assert len(levels) == 2**bits - 1
    assert 0.0 in levels


def test_channels_have_ranges_of_their_own():
    x = np.stack([np.linspace(0, 1, 9), np.linspace(0, 100, 9)], axis=1).astype("float32")
    got = np.asarray(quantizers.fake_quantize(tf.constant(x), width(2), axes=[0]))
    np.testing.assert_allclose(got[:, 1], 100 * got[:, 0], rtol=1e-6)
    one = np.asarray(quantizers.fake_quantize(tf.constant(x), width(2)))
    assert (one[:, 0] == 0).all()


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=40),
    bits=st.integers(2, 16),
    symmetric=st.booleans(),
)
def test_a_number_never_moves_by_more_than_half_a_step(values, bits, symmetric):
    x = np.array(values, np.float32)
    got = quantizers.fake_quantize(tf.constant(x), width(bits), symmetric=symmetric)
    _, step = oracle(x, bits, symmetric=symmetric)
    assert (np.abs(got - x) <= 0.5 * step.max() + 1e-6 * np.abs(x).max() + 1e-30).all()


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("axes", [None, [0, 1]])
def test_eager_graph_and_xla_agree(axes, symmetric):
    x = tf.constant(np.random.default_rng(0).normal(size=[7, 6, 5]), tf.float32)

    def f(x, bits):
        return quantizers.fake_quantize(x, bits, axes=axes, symmetric=symmetric)

    for bits in (2, 5, 8):
        eager = f(x, width(bits))
        np.testing.assert_array_equal(tf.function(f)(x, width(bits)), eager)
        compiled = tf.function(f, jit_compile=True)(x, width(bits))
        np.testing.assert_allclose(compiled, eager, rtol=1e-6, atol=1e-6)


def test_the_bits_are_a_value_no_trace():
    traces = []

    @tf.function
    def f(x, bits):
        traces.append(1)
        return quantizers.fake_quantize(x, bits)

    counts = [len(np.unique(f(tf.linspace(0.0, 1.0, 5001), width(b)))) for b in range(2, 9)]
    assert counts == [2**b for b in range(2, 9)]
    assert len(traces) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("axes", [None, [0]])
def test_what_is_not_finite_is_not_hidden(bad, axes):
    x = tf.constant([[1.0, 2.0], [bad, 3.0], [0.0, 4.0]])
    got = np.asarray(quantizers.fake_quantize(x, width(4), axes=axes))
    assert np.isnan(got[:, 0]).all()
    assert np.isfinite(got[:, 1]).all() == (axes is not None)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (64,), (3, 5), (4, 3, 2), (2, 3, 5, 16)])
@pytest.mark.parametrize("is_known", [True, False], ids=["known shape", "unknown rows"])
def test_extremes_are_those_of_the_whole_tensor(shape, is_known):
    signature = tf.TensorSpec(shape if is_known or not shape else (None, *shape[1:]))
    extremes = tf.function(quantizers.extremes, input_signature=[signature])
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    for place in np.ndindex(shape):
        for bad in (9.0, -9.0, np.nan, np.inf, -np.inf):
            changed = x.copy()
            changed[place] = bad
            np.testing.assert_array_equal(extremes(changed), (changed.min(), changed.max()))


def test_an_empty_batch():
    assert quantizers.fake_quantize(tf.zeros([0, 3]), width(4)).shape == (0, 3)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_levels_are_computed_in_float32_whatever_comes_in(dtype):
    x = tf.cast(tf.linspace(-1.0, 1.0, 501), dtype)
    got = quantizers.fake_quantize(x, width(6))
    assert got.dtype == dtype
    expected = quantizers.fake_quantize(tf.cast(x, tf.float32), width(6))
    np.testing.assert_array_equal(got, tf.cast(expected, dtype))
    assert len(np.unique(np.asarray(tf.cast(got, tf.float32)))) == 64


def test_given_bounds_hold_what_lies_beyond_them():
    x = tf.constant([-5.0, 0.0, 0.9, 1.0, 7.0])
    got = quantizers.fake_quantize(x, width(2), bounds=(tf.constant(0.0), tf.constant(3.0)))
    np.testing.assert_array_equal(got, [0.0, 0.0, 1.0, 1.0, 3.0])


@pytest.mark.parametrize("axes", [None, [0]])
def test_the_gradient_passes_straight_through(axes):
    x = tf.Variable([[0.1, -4.0], [0.6, 9.0], [2.0, 0.0]])
    upstream = tf.constant([[1.0, -2.0], [3.0, 0.5], [7.0, 11.0]])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(upstream * quantizers.fake_quantize(x, width(2), axes=axes))
    np.testing.assert_array_equal(tape.gradient(y, x), upstream)


def test_the_gradient_of_a_table_stays_sparse():
    table = tf.Variable(np.random.default_rng(0).normal(size=[10, 3]), dtype=tf.float32)

    def gradient():
        with tf.GradientTape() as tape:
            y = tf.gather(quantizers.fake_quantize(table.read_value(), width(4)), [1, 7])
        return tape.gradient(y, table)

    for found in (gradient(), tf.function(gradient)()):
        assert isinstance(found, tf.IndexedSlices)
        np.testing.assert_array_equal(found.indices, [1, 7])


# --- stochastic rounding of gradients ------------------------------------------------------------


def gradients(dy, bits, keys, symmetric=False):
    """The quantized gradient for each key, of shape (keys, *dy.shape)."""
    x = tf.zeros_like(dy)

    @tf.function
    def one(k):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizers.quantize_gradient(x, width(bits), k, symmetric=symmetric)
        return tape.gradient(y, x, output_gradients=dy)

    return np.stack([one(key(k)) for k in keys])


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_stochastic_rounding_is_right_on_average_and_takes_one_of_two_levels(bits, symmetric):
    rng = np.random.default_rng(3)
    dy = tf.constant(rng.normal(size=[40]), tf.float32)
    many = gradients(dy, bits, range(3000), symmetric)
    _, step = oracle(dy, bits, symmetric=symmetric)
    step = float(np.max(step))
    assert (np.abs(many - dy.numpy()) < step * (1 + 1e-4)).all()
    for column, value in zip(many.T, dy.numpy(), strict=True):
        levels = np.unique(np.round(column / step, 3))
        assert len(levels) <= 2
        error = max(column.std() / np.sqrt(len(column)), 1e-6)
        assert abs(column.mean() - value) < 5 * error + 1e-5 * step


def test_nearest_rounding_would_not_be_right_on_average():
    """What the test above must be able to see."""
    dy = np.array([0.0, 0.2, 1.0], np.float32)
    assert abs(oracle(dy, 2)[0][1] - 0.2) > 0.1
    assert abs(gradients(tf.constant(dy), 2, range(3000)).mean(0)[1] - 0.2) < 0.02


def test_levels_stay_where_they_are():
    dy = tf.constant([0.0, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(gradients(dy, 2, range(50)), np.tile(dy, (50, 1)))
    both = tf.constant([-3.0, 0.0, 0.0, 3.0])
    np.testing.assert_array_equal(gradients(both, 3, range(50), True), np.tile(both, (50, 1)))


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_nothing_passes_the_last_level(bits):
    dy = tf.constant(np.random.default_rng(0).uniform(-1, 1, 5000), tf.float32)
    found = gradients(dy, bits, range(5))
    assert found.max() <= dy.numpy().max() * (1 + 1e-6)
    assert found.min() >= dy.numpy().min() * (1 + 1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6])
def test_small_gradients_are_not_silenced(scale):
    """A step of at least 1e-8, as in the papers' code, would make all of them one level."""
    dy = tf.constant(np.linspace(-1, 1, 64) * scale, tf.float32)
    assert len(np.unique(gradients(dy, 4, [1]))) == 16


def test_a_gradient_that_is_not_finite_is_not_hidden():
    assert np.isnan(gradients(tf.constant([1.0, np.nan]), 8, [1])).all()


def test_the_forward_value_is_untouched():
    x = tf.constant(np.random.default_rng(0).normal(size=100), tf.float32)
    np.testing.assert_array_equal(quantizers.quantize_gradient(x, width(2), key(1)), x)


# --- the noise -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noise():
    make = tf.function(lambda k: quantizers.hash_uniform([64, 1024], k), jit_compile=True)
    # Keys one apart and far apart, as those of neighbouring steps and of layers.
    return [np.asarray(make(key(k))).ravel() for k in (0, 1, 2, 3, 2**31, 2**32 - 1)]


def test_noise_is_uniform(noise):
    for sample in noise:
        assert sample.min() >= 0.0 and sample.max() < 1.0
        counts = np.histogram(sample, 256, (0, 1))[0]
        assert scipy.stats.chisquare(counts).pvalue > 1e-4
        assert scipy.stats.kstest(sample, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("lag", [1, 2, 3, 16, 64, 1024])
def test_neighbours_are_independent(noise, lag):
    for sample in noise:
        r = np.corrcoef(sample[:-lag], sample[lag:])[0, 1]
        assert abs(r) < 5 / np.sqrt(len(sample))


def test_keys_give_independent_noise(noise):
    for i, one in enumerate(noise):
        for two in noise[i + 1 :]:
            assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(len(one))
            shifted = [np.corrcoef(one[k:], two[: len(two) - k])[0, 1] for k in (1, 2, 64)]
            assert np.abs(shifted).max() < 6 / np.sqrt(len(one))


def test_the_same_key_gives_the_same_noise_compiled_or_not():
    eager = quantizers.hash_uniform([5, 7], key(9))
    compiled = tf.function(quantizers.hash_uniform, jit_compile=True)([5, 7], key(9))
    np.testing.assert_array_equal(eager, compiled)
