"""The variational autoencoder: its bounds by NumPy and PyTorch, its noise, its pictures."""

import math

import numpy as np
import pytest
import tensorflow as tf
import torch

from configs.vae_digits import get_config
from trainers.models.vae import DECODER, vae
from trainers.tasks.configured import experiment
from trainers.tasks.pictures import gallery
from trainers.tasks.vae import VAE


def task(**changes):
    made = VAE.of({**get_config().to_dict(), "hidden": [20, 12], "epochs": 4, **changes})
    made.data = VAE.load(made.config)
    return made


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def through(x, layers):
    """Return what dense layers, all but the last with ReLU, make of `x`, in float64."""
    for kernel, bias in layers[:-1]:
        x = np.maximum(x @ kernel + bias, 0.0)
    kernel, bias = layers[-1]
    return x @ kernel + bias


def weights_of(model):
    """Return (kernel, bias) of the encoder, of mean and log variance, and of the decoder."""
    arrays = [np.asarray(each, np.float64) for each in model.get_weights()]
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    return pairs[:2], pairs[2], pairs[3], pairs[4:]


def bounds(model, images, noise):
    """Return reconstruction, divergence and importance-weighted bound of each image."""
    encoder, mean, log_variance, decoder = weights_of(model)
    x = images.reshape(len(images), -1).astype(np.float64)
    hidden = x
    for kernel, bias in encoder:
        hidden = np.maximum(hidden @ kernel + bias, 0.0)
    m, v = (hidden @ kernel + bias for kernel, bias in (mean, log_variance))
    kl = 0.5 * np.sum(np.exp(v) + m**2 - 1.0 - v, axis=-1)
    terms = []
    for k in range(noise.shape[1]):
        z = m + np.exp(0.5 * v) * noise[:, k]
        p = sigmoid(through(z, decoder))
        likelihood = np.sum(x * np.log(p) + (1.0 - x) * np.log(1.0 - p), axis=-1)
        prior = np.sum(-0.5 * z**2 - 0.5 * math.log(2 * math.pi), axis=-1)
        posterior = np.sum(
            -0.5 * (z - m) ** 2 / np.exp(v) - 0.5 * v - 0.5 * math.log(2 * math.pi), axis=-1
        )
        terms.append((likelihood, likelihood + prior - posterior))
    weights = np.exp([term for _, term in terms])
    return -terms[0][0], kl, -np.log(np.mean(weights, axis=0))


@pytest.mark.parametrize("codes", [1, 7])
def test_the_bounds_are_those_of_numpy(codes):
    made = task(importance_samples=codes)
    images, noise = next(iter(made.evaluations["test"].data()))
    model = made.network()
    found = made.forward(model, (images, noise), "test")
    expected = bounds(model, images.numpy(), noise.numpy())
    for name, value in zip(("reconstruction", "kl"), expected[:2], strict=True):
        np.testing.assert_allclose(found.losses[name], value, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(found.means["nll"], expected[2], rtol=2e-5)
    assert noise.shape == (len(images), codes, 2)
    # The negative control: other noise, another bound.
    other = bounds(model, images.numpy(), noise.numpy()[::-1])
    assert np.abs(other[2] - expected[2]).max() > 1e-3


def test_more_codes_make_the_bound_tighter():
    model = task().network()
    values = []
    for codes in (1, 4, 64):
        made = task(importance_samples=codes)
        batch = next(iter(made.evaluations["test"].data()))
        values.append(float(tf.reduce_mean(made.forward(model, batch, "test").means["nll"])))
    assert values[0] > values[1] > values[2]
    losses = made.forward(model, batch, "test").losses
    loss = float(tf.reduce_mean(losses["reconstruction"] + losses["kl"]))
    assert values[0] == pytest.approx(loss, rel=0.02)


def test_a_step_is_that_of_pytorch():
    made = task(optimizer="sgd", momentum=0.9, schedule="constant", learning_rate=1e-3)
    run = experiment(made, "unused")
    run.compiled.begin(made, 0, made.run.total)
    model = run.model
    encoder, mean, log_variance, decoder = weights_of(model)
    layers = [*encoder, mean, log_variance, *decoder]
    ours = [torch.tensor(a, requires_grad=True) for pair in layers for a in pair]
    function = model.make_train_function()
    batches = iter(made.train(0))
    data = list(made.train(0).take(3))
    function(batches, tf.constant(3, tf.int64))
    velocity = [torch.zeros_like(each) for each in ours]
    for images, noise in data:
        x = torch.tensor(images.numpy().reshape(len(images), -1), dtype=torch.float64)
        hidden = torch.relu(torch.relu(x @ ours[0] + ours[1]) @ ours[2] + ours[3])
        m, v = hidden @ ours[4] + ours[5], hidden @ ours[6] + ours[7]
        z = m + torch.exp(0.5 * v) * torch.tensor(noise.numpy()[:, 0], dtype=torch.float64)
        back = torch.relu(torch.relu(z @ ours[8] + ours[9]) @ ours[10] + ours[11])
        logits = back @ ours[12] + ours[13]
        cross = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
        loss = cross.sum(-1).mean() + 0.5 * (v.exp() + m**2 - 1 - v).sum(-1).mean()
        gradients = torch.autograd.grad(loss, ours)
        with torch.no_grad():
            for each, held, gradient in zip(ours, velocity, gradients, strict=True):
                held.mul_(0.9).add_(gradient)
                each.sub_(1e-3 * held)
    for found, expected in zip(model.get_weights(), ours, strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_noise_is_a_function_of_seed_and_step():
    made, other = task(), task(seed=1)
    noise = [batch[1].numpy() for batch in made.train(0).take(20)]
    np.testing.assert_array_equal(next(iter(made.train(17)))[1], noise[17])
    assert len({each.tobytes() for each in noise}) == 20
    assert not np.array_equal(next(iter(other.train(17)))[1], noise[17])
    assert np.std(noise) == pytest.approx(1.0, abs=0.05)
    held = [batch[1].numpy().tobytes() for batch in made.evaluations["test"].data()]
    assert held == [batch[1].numpy().tobytes() for batch in other.evaluations["test"].data()]


def test_images_are_as_they_are():
    made = task()
    for images, _ in made.train(0).take(3):
        assert images.numpy().min() == 0.0 and images.numpy().max() == 1.0
    held = np.concatenate([batch[0].numpy() for batch in made.evaluations["test"].data()])
    np.testing.assert_array_equal(held, made.data.test_images / np.float32(255.0))


@pytest.mark.parametrize(("latent", "second"), [(2, "plane"), (3, "samples")])
def test_people_see_reconstructions_and_what_codes_decode_to(latent, second):
    made = task(latent=latent)
    model = made.network()
    found = made.artefacts(model, 0)
    assert set(found) == {"reconstructions", second}
    # Each pixel is shown as a square of six.
    assert found["reconstructions"].shape == (2 * 48 + 2, 10 * 48 + 9 * 2, 1)
    assert found[second].shape == (15 * 48 + 14 * 2,) * 2 + (1,)
    first = made.data.test_images[0]
    np.testing.assert_array_equal(found["reconstructions"][:48:6, :48:6], first)
    if latent == 2:  # The middle of the plane is the mean of the prior.
        logits = model.get_layer(DECODER)(np.zeros([1, 2], np.float32))
        middle = np.rint(255.0 * sigmoid(logits.numpy())).reshape(8, 8, 1)
        np.testing.assert_array_equal(found[second][350:398:6, 350:398:6], middle)


def test_a_gallery_has_each_image_in_its_place():
    images = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) * np.ones([1, 50, 60, 3]) / 10.0
    picture = gallery(images, 2)
    assert picture.shape == (3 * 50 + 2 * 2, 2 * 60 + 2, 3) and picture.dtype == np.uint8
    for index in range(5):
        top, left = 52 * (index // 2), 62 * (index % 2)
        assert (picture[top : top + 50, left : left + 60] == round(25.5 * index)).all()
    assert (picture[104:, 62:] == 255).all() and (picture[50:52] == 255).all()


def test_small_images_are_enlarged_to_be_seen():
    images = np.random.default_rng(0).random([2, 20, 30, 1])
    picture = gallery(images, 1)
    assert picture.shape == (2 * 60 + 2, 90, 1)
    pixels = np.rint(255 * images[1]).astype(np.uint8)
    np.testing.assert_array_equal(picture[62:], pixels.repeat(3, 0).repeat(3, 1))


def test_it_has_as_many_parameters_as_its_layers():
    model = vae((28, 28, 1), 2, (512, 256))
    encoder = 784 * 512 + 512 + 512 * 256 + 256 + 2 * (256 * 2 + 2)
    decoder = 2 * 256 + 256 + 256 * 512 + 512 + 512 * 784 + 784
    assert model.count_params() == encoder + decoder == 1_068_820


def test_it_learns_a_batch_by_heart():
    made = task(hidden=[64, 32], latent=8, optimizer="adam", learning_rate=1e-2, batch_size=20)
    run = experiment(made, "unused")
    run.compiled.begin(made, 0, made.run.total)
    function = run.model.make_train_function()
    batch = next(iter(made.train(0)))
    once = tf.data.Dataset.from_tensors(batch).repeat()

    def reconstruction():
        return float(tf.reduce_mean(made.forward(run.model, batch, None).losses["reconstruction"]))

    before = reconstruction()
    for _ in range(40):
        function(iter(once), tf.constant(10, tf.int64))
    after = reconstruction()
    entropy = -np.mean(np.sum(_entropy(batch[0].numpy().astype(np.float64)), axis=(1, 2, 3)))
    assert entropy < after < entropy + 0.35 * (before - entropy)


def _entropy(p):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(p * np.log(p)) + np.nan_to_num((1 - p) * np.log(1 - p))
