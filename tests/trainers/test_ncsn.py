"""Score networks: loss and norm by NumPy, the network by PyTorch, and what is drawn."""

import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import torch

from configs.ncsn_digits import get_config
from trainers.models.ncsn import ConditionalNorm, ncsn
from trainers.tasks.ncsn import NCSN, SAMPLES
from trainers.tasks.samples import Normal, Pixels


def task(**changes):
    small = {"channels": 4, "samples": 4, "sampling_steps": 2}
    made = NCSN.of({**get_config().to_dict(), **small, **changes})
    made.data = NCSN.load(made.config)
    return made


def normed(x, level, table, levels):
    """Return the norm of one image after another, in float64."""
    gamma, alpha, beta = np.split(np.asarray(table, np.float64).reshape(levels, -1), 3, axis=1)
    out = np.empty_like(x)
    for image, k, made in zip(x, level, out, strict=True):
        mean, variance = image.mean((0, 1)), image.var((0, 1))
        between = (mean - mean.mean()) / np.sqrt(mean.var() + 1e-5)
        scaled = (image - mean) / np.sqrt(variance + 1e-5)
        made[:] = gamma[k] * (scaled + alpha[k] * between) + beta[k]
    return out


def test_the_norm_is_that_of_numpy():
    draw = np.random.default_rng(0)
    layer = ConditionalNorm(3)
    x, level = draw.normal(2.0, 3.0, (5, 4, 6, 7)), np.array([0, 2, 1, 2, 0], "int32")
    layer.build([x.shape, level.shape])
    gamma, alpha, beta = np.split(layer.table.numpy().reshape(3, -1), 3, axis=1)
    assert np.abs(gamma - 1).max() < 0.1 and np.abs(alpha - 1).max() < 0.1 and not beta.any()
    layer.table.assign(draw.normal(size=layer.table.shape))
    found = layer([x.astype("float32"), level])
    np.testing.assert_allclose(found, normed(x, level, layer.table, 3), rtol=1e-3, atol=1e-4)
    other = layer([x.astype("float32"), np.roll(level, 1)])
    assert np.abs(np.asarray(found - other)).max() > 0.1


def test_the_network_is_that_of_pytorch():
    """Every convolution, unit and cascade, written down in PyTorch with the same weights."""
    model = ncsn((8, 8, 1), 3, 4, cascades=3)
    draw = np.random.default_rng(0)
    x, level = draw.random((2, 8, 8, 1), np.float32), np.array([0, 2], "int32")
    queue = [np.asarray(w, np.float64) for w in model.get_weights()]
    order = [layer for layer in model.layers if layer.weights]
    held = {layer.name: [queue.pop(0) for _ in layer.weights] for layer in order}
    assert not queue

    def made_as(name):  # Layers are in order of depth, their names in that of making.
        return int("0" + name.rpartition("_")[2]) if name[-1].isdigit() else 0

    norms = iter(sorted((n for n in held if "norm" in n), key=made_as))
    convolutions = iter(sorted((n for n in held if "conv2d" in n), key=made_as))
    functional = torch.nn.functional

    def norm(h):
        table = held[next(norms)][0]
        rows = np.moveaxis(h.numpy(), 1, -1)
        return torch.tensor(np.moveaxis(normed(rows, level, table, 3), -1, 1))

    def conv(h, dilation=1):
        kernel, *bias = held[next(convolutions)]
        kernel = torch.tensor(kernel).permute(3, 2, 0, 1)
        bias = torch.tensor(bias[0]) if bias else None
        pad = dilation * (kernel.shape[-1] // 2)
        return functional.conv2d(h, kernel, bias, padding=pad, dilation=dilation)

    def act(h):
        return functional.elu(norm(h))

    def residual(h, dilation=1, halved=False, begins=False):
        out = conv(act(h), dilation)
        out = conv(act(out), dilation)
        kept = conv(h, dilation) if begins else h
        if halved:
            out, kept = functional.avg_pool2d(out, 2), functional.avg_pool2d(kept, 2)
        return kept + out

    def unit(h):
        return h + conv(act(conv(act(h))))

    def refined(hs, units=1):
        hs = [unit(unit(h)) for h in hs]
        if len(hs) > 1:
            hs = [conv(norm(h)) for h in hs]
            size = hs[0].shape[2:]
            hs = [h if h.shape[2:] == size else upsampled(h, size) for h in hs]
        h = path = functional.elu(sum(hs))
        for _ in range(2):
            path = norm(path)
            path = conv(functional.avg_pool2d(path, 5, 1, 2, count_include_pad=False))
            h = h + path
        for _ in range(units):
            h = unit(h)
        return h

    def upsampled(h, size):
        return functional.interpolate(h, size, mode="bilinear", align_corners=False)

    h = conv(2 * torch.tensor(x, dtype=torch.float64).permute(0, 3, 1, 2) - 1)
    one = residual(residual(h))
    two = residual(residual(one, halved=True, begins=True))
    three = residual(residual(two, 2, begins=True), 2)
    h = refined([three])
    h = refined([two, h])
    h = refined([one, h], units=3)
    expected = conv(act(h)).permute(0, 2, 3, 1)
    found = model([x, level])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_the_loss_is_that_of_numpy():
    made = task()
    model = made.network()
    images, level, noise = next(iter(made.evaluations["test"].data()))
    assert set(level.numpy()) == set(range(10))
    spread = np.geomspace(1.0, 0.01, 10)[level.numpy()][:, None, None, None]
    score = np.asarray(model([images + spread.astype("float32") * noise, level]), np.float64)
    # That of the density of noisy images: - noise / spread. The weight is the variance.
    expected = 0.5 * ((score + noise.numpy() / spread) ** 2 * spread**2).sum((1, 2, 3))
    found = made.forward(model, (images, level, noise), "test").losses["score_matching"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_levels_and_noise_are_functions_of_seed_and_step():
    made, other = task(), task(seed=1)
    batches = list(made.train(0).take(20))
    for one, two in zip(batches[17], next(iter(made.train(17))), strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.abs(next(iter(other.train(17)))[2] - batches[17][2]).max() > 0.1
    assert not np.array_equal(batches[0][1], batches[1][1])
    again, first = (next(iter(made.evaluate("test"))) for _ in range(2))
    np.testing.assert_array_equal(again[2], first[2])


class Gauss:
    """The true score of images that are normally distributed."""

    def __init__(self, mean, spread, noises):
        self.mean, self.variance = mean, spread**2 + tf.constant(noises) ** 2

    def __call__(self, inputs, training):
        assert training is False
        x, level = inputs
        return (self.mean - x) / tf.gather(self.variance, level)[:, None, None, None]


@pytest.mark.parametrize("spread", [0.05, 0.3])
def test_langevin_dynamics_draw_from_the_distribution_whose_score_they_follow(spread):
    made = task(samples=300, sampling_steps=200, sampling_rate=2e-5)
    model = Gauss(0.7, spread, made.noises)

    @tf.function
    def draw(*batch):
        return made.forward(model, batch, SAMPLES).outputs["drawn"]

    drawn = [draw(*batch) for batch in made.evaluations[SAMPLES].data()]
    assert [len(each) for each in drawn] == [250, 50]
    images = np.concatenate(drawn)
    assert images.mean() == pytest.approx(0.7, abs=0.02)
    # At the least noise all is smeared by it.
    assert images.std() == pytest.approx(np.hypot(spread, 0.01), rel=0.12)
    assert len(np.unique(images[:, 0, 0, 0])) == 300
    # The negative control: another distribution is told apart.
    assert abs(images.std() / np.hypot(2 * spread, 0.01) - 1) > 0.3


def test_samples_are_the_same_each_time_and_begin_with_noise():
    made = task()
    model = made.network()
    (batch,) = made.evaluations[SAMPLES].data()
    one, two = (made.forward(model, batch, SAMPLES).outputs for _ in range(2))
    np.testing.assert_array_equal(one["drawn"], two["drawn"])
    assert one["way"].shape == (11, 4, 8, 8, 1)
    np.testing.assert_array_equal(one["way"][0], batch[0])
    np.testing.assert_array_equal(one["way"][-1], one["drawn"])
    assert float(tf.reduce_min(batch[0])) >= 0.0 and float(tf.reduce_max(batch[0])) <= 1.0


def test_what_is_drawn_is_judged_and_shown():
    made = task(samples=12)
    drawn = np.random.default_rng(0).random((12, 8, 8, 1), np.float32)
    way = np.stack([drawn[:8]] * 11)
    judged = made.judge(SAMPLES, {}, {"drawn": [drawn], "way": [way]})
    images = np.concatenate([batch[0] for batch in made.evaluations["test"].data()])
    assert judged == {"frechet": Pixels.of(images).distance(drawn)}
    lost = made.judge(SAMPLES, {}, {"drawn": [drawn * np.nan], "way": [way]})
    assert np.isnan(lost["frechet"]) and made.artefacts(None, 0) == {}
    made.judge(SAMPLES, {}, {"drawn": [drawn], "way": [way]})
    shown = made.artefacts(None, 0)
    assert shown["samples"].shape == (2 * 48 + 2, 10 * 50 - 2, 1)
    assert shown["annealing"].shape == (8 * 50 - 2, 11 * 50 - 2, 1)
    assert made.judge("test", {}, {}) == {}
    assert SAMPLES not in task(samples=0).evaluations


# --- how like images samples are ------------------------------------------------------------------


def test_the_frechet_distance_is_that_of_the_formula():
    draw = np.random.default_rng(0)
    one, two = (
        Normal.of(draw.normal(m, s, (50, 6)) @ draw.normal(size=(6, 6)))
        for m, s in ((0, 1), (1, 2))
    )
    root = scipy.linalg.sqrtm(one.covariance @ two.covariance)
    expected = ((one.mean - two.mean) ** 2).sum() + np.trace(
        one.covariance + two.covariance - 2 * root.real
    )
    assert one.distance(two) == pytest.approx(expected, rel=1e-6)
    assert two.distance(one) == pytest.approx(expected, rel=1e-6)
    assert one.distance(one) == pytest.approx(0.0, abs=1e-6 * np.trace(one.covariance))
    # By hand, of one number: (m - m')^2 + (s - s')^2.
    left, right = (
        Normal(np.array([1.0]), np.array([[4.0]])),
        Normal(np.array([3.0]), np.array([[1.0]])),
    )
    assert left.distance(right) == pytest.approx(4.0 + 1.0)


def test_real_images_are_nearer_than_noise():
    images = task().data.train_images / 255.0
    pixels = Pixels.of(images)
    noise = np.random.default_rng(0).random(images[:200].shape)
    shuffled = images[:200].reshape(200, -1)[:, ::-1].reshape(images[:200].shape)
    near, far, turned = (pixels.distance(each) for each in (images[::7], noise, shuffled))
    assert near < 0.1 * turned < far


def test_a_classifier_judges_by_its_classes(tmp_path):
    classifier = tmp_path / "judge.weights.h5"
    made = task(samples=20)
    from trainers import models

    model = models.get("cnn2", (8, 8, 1), 10)
    model.save_weights(classifier)
    judged = task(samples=20, judge_model="cnn2", judge_weights=str(classifier))
    images = np.concatenate([batch[0] for batch in made.evaluations["test"].data()])
    found = judged.judge(SAMPLES, {}, {"drawn": [images], "way": [images[None, :8]]})
    assert found["classifier_frechet"] == pytest.approx(0.0, abs=1e-6)
    logits = np.asarray(model(judged.data.normalised(images)), np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    divergence = (shares * np.log(shares / shares.mean(0))).sum(1).mean()
    assert found["classifier_score"] == pytest.approx(np.exp(divergence), rel=1e-5)
    # As many classes as there are, each certain, is the most; one class the least.
    assert judged._judge.score(np.eye(10)) == pytest.approx(10.0)
    assert judged._judge.score(np.eye(10)[[3] * 5]) == pytest.approx(1.0)


@pytest.mark.slow
def test_inception_judges_by_its_classes(tmp_path):
    """With random weights: those of ImageNet are no part of the project."""
    path = tmp_path / "inception.weights.h5"
    inception = keras.applications.InceptionV3(weights=None)
    inception.save_weights(path)
    judged = task(judge_model="inception_v3", judge_weights=str(path))
    images = np.random.default_rng(0).random((4, 32, 32, 1), np.float32)
    features, shares = judged._judge.judged(judged.data, images)
    large = tf.image.resize(np.repeat(images, 3, axis=-1), (299, 299))
    np.testing.assert_allclose(shares, inception(2.0 * large - 1.0), rtol=1e-3, atol=1e-6)
    assert features.shape == (4, 2048)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)
    found = judged.judge(SAMPLES, {}, {"drawn": [images], "way": [images[None]]})
    assert {"classifier_frechet", "classifier_score"} < found.keys()
    assert 1.0 <= found["classifier_score"] < 1.1


def test_a_flag_about_samples_without_samples_is_refused():
    with pytest.raises(ValueError, match="--sampling_steps is not used where no samples"):
        task(samples=0).check_flags({"sampling_steps"})
    with pytest.raises(ValueError, match="--bits_max is not used"):
        task(samples=0).check_flags({"bits_max"})
    task().check_flags({"sampling_steps", "samples"})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"judge_model": "cnn2"}, ValueError, "must be given together"),
        (
            {"judge_model": "cnn9", "judge_weights": "x.weights.h5"},
            ValueError,
            "the name of a classifier",
        ),
        (
            {"judge_model": "cnn2", "judge_weights": "x.weights.h5"},
            ValueError,
            "must be a file of weights",
        ),
        (
            {"judge_model": "cnn2", "judge_weights": "x.weights.h5", "samples": 0},
            ValueError,
            "must be empty where no samples are drawn",
        ),
        ({"samples": 1}, ValueError, "`samples` must be 0 for none, or at least 2"),
        ({"noise_min": 1.0}, ValueError, "`noise_min` must be below `noise_max`"),
    ],
)
def test_a_wrong_value_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        task(**changes)


def test_samples_are_compared_with_images_evenly_spaced(monkeypatch):
    made = task()
    monkeypatch.setattr("trainers.tasks.ncsn._COMPARED", 50)
    np.testing.assert_array_equal(
        made._compared, made.data.test_images[::8].astype(np.float32) / 255.0
    )


def test_weights_of_another_classifier_are_refused(tmp_path):
    from trainers import models

    models.get("cnn3", (8, 8, 1), 10).save_weights(tmp_path / "cnn3.weights.h5")
    with pytest.raises(ValueError, match="`judge_weights` must be of this model"):
        task(judge_model="cnn2", judge_weights=str(tmp_path / "cnn3.weights.h5"))


# --- the network ----------------------------------------------------------------------------------


def parameters(channels, image, levels):
    """Return the parameters of four cascades, block by block."""
    wide = 2 * channels

    def conv(before, after, kernel=3, bias=True):
        return kernel * kernel * before * after + bias * after

    def norm(size):
        return 3 * levels * size

    def residual(before, after, first=None):
        total = norm(before) + conv(before, before) + norm(before) + conv(before, after)
        return total + (conv(before, after, first) if first else 0)

    def unit(size):
        return 2 * (norm(size) + conv(size, size, bias=False))

    def refined(inputs, after, units=1):
        total = sum(2 * unit(size) for size in inputs)
        if len(inputs) > 1:
            total += sum(norm(size) + conv(size, after) for size in inputs)
        return total + 2 * (norm(after) + conv(after, after, bias=False)) + units * unit(after)

    total = conv(image, channels) + 2 * residual(channels, channels)
    total += residual(channels, wide, 1) + residual(wide, wide)
    total += 2 * (residual(wide, wide, 3) + residual(wide, wide))
    total += refined([wide], wide) + refined([wide, wide], wide)
    total += refined([wide, wide], channels) + refined([channels, channels], channels, 3)
    return total + norm(channels) + conv(channels, image)


def test_the_parameters_by_hand():
    assert parameters(128, 3, 10) == 30_117_635
    assert ncsn((8, 8, 1), 10, 8).count_params() == parameters(8, 1, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(((7, 8, 1), 10), "must have even sides"), (((8, 8, 1), 10, 4, 0), "`cascades` must be")],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ncsn(*arguments)


def test_a_model_comes_back_from_its_file(tmp_path):
    model = ncsn((8, 8, 1), 3, 2, 2)
    model.save(tmp_path / "model.keras")
    inputs = [np.random.default_rng(0).random((2, 8, 8, 1), np.float32), np.array([0, 2], "int32")]
    np.testing.assert_array_equal(
        model(inputs), keras.saving.load_model(tmp_path / "model.keras")(inputs)
    )
