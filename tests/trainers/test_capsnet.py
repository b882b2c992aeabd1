"""Capsule networks: routing and losses by NumPy, steps by PyTorch, counts by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import keras_sched as ks
from configs.caps_digits import get_config
from trainers import datasets
from trainers.models.capsnet import ClassCapsules, Squash, capsnet, lengths
from trainers.tasks.capsnet import CapsNet
from trainers.tasks.configured import experiment

EPSILON = 1e-7


def task(**changes):
    made = CapsNet.of({**get_config().to_dict(), "channels": 4, "primary": 1, **changes})
    made.data = CapsNet.load(made.config)
    return made


def squash(x):
    square = (x**2).sum(-1, keepdims=True)
    return x * np.sqrt(square + EPSILON) / (1.0 + square)


def routed(u, kernel, classes, dimensions, routing):
    """Return the capsules of classes of one example, loop by loop, in float64."""
    count = len(u)
    votes = np.zeros([count, classes, dimensions])
    for i in range(count):
        votes[i] = (u[i] @ kernel[i]).reshape(classes, dimensions)
    b = np.zeros([count, classes])
    for _ in range(routing):
        c = np.exp(b) / np.exp(b).sum(1, keepdims=True)
        v = squash(np.einsum("ij,ijd->jd", c, votes))
        b = b + np.einsum("ijd,jd->ij", votes, v)
    return v


@pytest.mark.parametrize("routing", [1, 2, 3, 5])
def test_routing_is_that_of_numpy(routing):
    draw = np.random.default_rng(0)
    u = draw.normal(size=(3, 7, 8))
    layer = ClassCapsules(5, 4, routing)
    layer.build(u.shape)
    layer.kernel.assign(draw.normal(size=layer.kernel.shape))
    kernel = np.asarray(layer.kernel, np.float64)
    found = np.asarray(layer(u.astype("float32")))
    expected = np.stack([routed(each, kernel, 5, 4, routing) for each in u])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    # The negative control: another number of repetitions gives other capsules.
    other = np.stack([routed(each, kernel, 5, 4, routing + 1) for each in u])
    assert np.abs(other - expected).max() > 1e-3


def test_squashing_keeps_the_direction_and_bounds_the_length():
    x = np.random.default_rng(0).normal(size=(50, 8)) * np.logspace(-3, 3, 50)[:, None]
    found = np.asarray(Squash()(x.astype("float32")), np.float64)
    np.testing.assert_allclose(found, squash(x), rtol=1e-5)
    norm = np.linalg.norm(x, axis=1)
    large = norm > 0.1
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1)[large], (norm**2 / (1 + norm**2))[large], rtol=1e-4
    )
    assert (np.linalg.norm(found, axis=1) < 1.0).all()


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_gradients_are_finite_where_capsules_are_zero(dtype):
    layer, squashed = ClassCapsules(3, 4, 3, dtype=dtype), Squash(dtype=dtype)
    u = tf.Variable(tf.zeros([2, 5, 8]))
    with tf.GradientTape() as tape:
        capsules = tf.cast(layer(squashed(u)), tf.float32)
        loss = tf.reduce_sum(tf.square(0.9 - lengths(capsules)))
    for gradient in tape.gradient(loss, [u, layer.kernel.value]):
        assert np.isfinite(gradient).all()


def test_the_losses_are_those_of_numpy():
    made = task()
    model = made.network()
    images, labels = next(iter(made.evaluations["test"].data()))
    mask = tf.one_hot(labels, 10)
    found = made.forward(model, (images, labels), "test")
    capsules, logits = (np.asarray(each, np.float64) for each in model([images, mask]))
    norms, truth = np.sqrt((capsules**2).sum(-1) + EPSILON), mask.numpy()
    margin = truth * np.maximum(0, 0.9 - norms) ** 2
    margin = margin + 0.5 * (1 - truth) * np.maximum(0, norms - 0.1) ** 2
    pixels = 1.0 / (1.0 + np.exp(-logits))
    error = ((images.numpy().reshape(len(labels), -1) - pixels) ** 2).sum(-1)
    np.testing.assert_allclose(found.losses["margin"], margin.sum(-1), rtol=1e-4)
    np.testing.assert_allclose(found.losses["reconstruction"], 0.0005 * error, rtol=1e-5)
    np.testing.assert_array_equal(found.means["accuracy"], norms.argmax(-1) == labels)
    without = task(reconstruction=0.0).forward(model, (images, labels), "test")
    assert without.losses.keys() == {"margin"}


def test_only_the_masked_capsule_is_decoded():
    model = capsnet((32, 32, 1), 10, channels=4, primary=1)
    images = np.random.default_rng(0).random([2, 32, 32, 1], np.float32)
    one = model([images, np.eye(10, dtype="float32")[[3, 3]]])
    two = model([images, np.eye(10, dtype="float32")[[4, 3]]])
    np.testing.assert_array_equal(one[0], two[0])
    assert np.abs(one[1][0] - two[1][0]).max() > 0
    np.testing.assert_array_equal(one[1][1], two[1][1])


def test_steps_are_those_of_pytorch():
    made = task(
        optimizer="sgd", momentum=0.9, schedule="constant", learning_rate=0.1, batch_size=16
    )
    run = experiment(made, "unused")
    run.compiled.begin(made, 0, made.run.total)
    model = run.model
    kinds = [np.asarray(each, np.float64) for each in model.get_weights()]
    ours = [torch.tensor(a, requires_grad=True) for a in kinds]
    data = list(made.train(0).take(3))
    model.make_train_function()(iter(made.train(0)), tf.constant(3, tf.int64))
    velocity = [torch.zeros_like(each) for each in ours]

    def squashed(x):
        square = (x**2).sum(-1, keepdim=True)
        return x * (square + EPSILON).sqrt() / (1 + square)

    for images, labels in data:
        count = len(labels)
        x = torch.tensor(images.numpy(), dtype=torch.float64).permute(0, 3, 1, 2)
        one, bias, two, other, kernel, *dense = ours
        convolved = torch.nn.functional.conv2d(x, one.permute(3, 2, 0, 1), bias)
        x = torch.nn.functional.conv2d(
            torch.relu(convolved), two.permute(3, 2, 0, 1), other, stride=2
        )
        u = squashed(x.permute(0, 2, 3, 1).reshape(count, -1, 8))
        votes = torch.einsum("bni,nio->bno", u, kernel).reshape(count, -1, 10, 16)
        b = torch.zeros(votes.shape[:3], dtype=torch.float64)
        for _ in range(3):
            v = squashed(torch.einsum("bnj,bnjd->bjd", torch.softmax(b, -1), votes))
            b = b + torch.einsum("bnjd,bjd->bnj", votes, v)
        truth = torch.eye(10, dtype=torch.float64)[torch.tensor(labels.numpy()).long()]
        norm = ((v**2).sum(-1) + EPSILON).sqrt()
        margin = (
            truth * torch.relu(0.9 - norm) ** 2 + 0.5 * (1 - truth) * torch.relu(norm - 0.1) ** 2
        )
        y = (v * truth[..., None]).reshape(count, -1)
        for place in (0, 2):
            y = torch.relu(y @ dense[place] + dense[place + 1])
        y = torch.sigmoid(y @ dense[4] + dense[5])
        target = torch.tensor(images.numpy(), dtype=torch.float64).reshape(count, -1)
        loss = margin.sum(-1).mean() + 0.0005 * ((target - y) ** 2).sum(-1).mean()
        gradients = torch.autograd.grad(loss, ours)
        with torch.no_grad():
            for each, held, gradient in zip(ours, velocity, gradients, strict=True):
                held.mul_(0.9).add_(gradient)
                each.sub_(0.1 * held)
    for found, expected, before in zip(model.get_weights(), ours, kinds, strict=True):
        moved = np.abs(expected.detach().numpy() - before).max()
        assert moved > 0
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-3 * moved)


def test_parameters_and_multiplications_are_those_of_the_paper():
    model = capsnet((28, 28, 1), 10)
    parameters = {
        "first": 81 * 256 + 256,
        "second": 81 * 256 * 256 + 256,
        "capsules": 36 * 32 * 8 * 160,
        "decoder": 160 * 512 + 512 + 512 * 1024 + 1024 + 1024 * 784 + 784,
    }
    # "8.2M parameters and 6.8M parameters without the reconstruction subnetwork".
    assert model.count_params() == sum(parameters.values()) == 8_215_568
    assert model.count_params() - parameters["decoder"] == 6_804_224
    counted = {each.path.split("/")[-1]: each.macs for each in ks.precision.macs(model)}
    votes = 36 * 32 * 160
    assert sorted(counted.values()) == sorted(
        [
            400 * 81 * 256,
            36 * 81 * 256 * 256,
            votes * 8 + 3 * votes + 2 * votes,  # three sums, and two products with the votes
            160 * 512,
            512 * 1024,
            1024 * 784,
        ]
    )


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="`input_shape` must have sides of at least 17"):
        capsnet((16, 28, 1), 10)
    assert capsnet((17, 17, 1), 10, 2, 1).output_shape[0] == (None, 10, 16)
    with pytest.raises(ValueError, match=r"at least 17\. Received: 8x8 of dataset='digits8'"):
        task(dataset="digits8")


def test_images_are_shifted_by_two_and_not_mirrored():
    data = CapsNet.prepared(datasets.random("fashion_mnist"))
    assert (data.flip, data.shift, data.is_normalised) == (False, 2, False)
    assert CapsNet.prepared(datasets.get("digits8")).shift == 1


def test_the_pictures_are_images_above_what_they_are_decoded_to():
    made = task()
    model = made.network()
    (picture,) = made.artefacts(model, 0).values()
    # Each pixel is shown as a square of two.
    assert picture.shape == (2 * 64 + 2, 10 * 66 - 2, 1)
    image = next(iter(made.evaluations["test"].data()))[0][:1].numpy()
    np.testing.assert_array_equal(picture[:64:2, :64:2], np.rint(255 * image[0]).astype("uint8"))
    capsules, _ = model([image, np.ones([1, 10], "float32")])
    best = int(np.linalg.norm(capsules, axis=-1).argmax())
    _, logits = model([image, np.eye(10, dtype="float32")[[best]]])
    expected = np.rint(255.0 / (1.0 + np.exp(-np.asarray(logits).reshape(32, 32))))
    np.testing.assert_allclose(picture[66::2, :64:2, 0].astype(float), expected, atol=1)
    assert task(reconstruction=0.0).artefacts(model, 0) == {}


def test_a_model_comes_back_from_its_file(tmp_path):
    model = capsnet((17, 17, 1), 10, 2, 1)
    model.save(tmp_path / "model.keras")
    inputs = [np.random.default_rng(0).random([2, 17, 17, 1], np.float32), np.eye(10)[:2]]
    again = keras.saving.load_model(tmp_path / "model.keras")
    for one, two in zip(model(inputs), again(inputs), strict=True):
        np.testing.assert_array_equal(one, two)
