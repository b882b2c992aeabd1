"""Data whose order is a function of the step, and the models that learn from them."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers import datasets, models
from trainers.datasets import DATA_DIR, Images
from trainers.models.resnet import resnet


@pytest.fixture(scope="module")
def digits():
    return datasets.get("digits")


def numbered(count=50, flip=True):
    """Images that can be told apart by their centre, whatever the augmentation."""
    images = np.zeros((count, 16, 16, 1), np.uint8)
    images[:] = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return Images("numbered", images, np.arange(count), images[:7], np.arange(7), count, flip)


def take(dataset, count):
    return list(dataset.take(count).as_numpy_iterator())


def test_the_embedded_digits(digits):
    assert digits.num_train == 1437
    assert len(digits.test_images) == 360
    assert digits.input_shape == (32, 32, 1)
    assert set(np.unique(digits.train_labels)) == set(range(10))
    images, labels = take(digits.train(64, seed=0), 1)[0]
    assert images.shape == (64, 32, 32, 1)
    assert images.dtype == np.float32
    assert labels.dtype == np.int32
    everything = np.concatenate([batch[0] for batch in digits.evaluate(100).as_numpy_iterator()])
    assert len(everything) == 360
    assert abs(everything.mean()) < 0.05
    assert everything.std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("start", [1, 3, 21, 22, 23, 50], ids=lambda s: f"from_{s}")
def test_from_any_step_the_batches_are_those_of_a_run_left_alone(digits, start):
    """Mid-epoch and across epochs, augmentation included: 22 steps are an epoch here."""
    assert digits.steps_per_epoch(64) == 22
    whole = take(digits.train(64, seed=3), start + 3)[start:]
    for (one, label), (two, other) in zip(whole, take(digits.train(64, 3, start), 3), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(label, other)


def test_an_epoch_sees_every_image_once_and_each_in_another_order():
    data = numbered()
    epochs = [
        np.concatenate([labels for _, labels in take(data.train(10, 0, 5 * epoch), 5)])
        for epoch in range(4)
    ]
    for order in epochs:
        assert sorted(order) == list(range(50))
    assert len({tuple(order) for order in epochs}) == 4
    assert sum(np.mean(order == np.arange(50)) for order in epochs) < 0.5


def test_another_seed_is_another_order_and_the_same_one_the_same():
    data = numbered()
    first, again, other = (take(data.train(10, seed), 2) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[1][0], again[1][0])
    assert (first[0][1] != other[0][1]).any()


def test_augmentation_shifts_by_up_to_four_pixels_and_mirrors_half():
    ramp = np.tile(np.arange(100, 116, dtype=np.uint8)[None, None, :, None], (64, 16, 1, 1))
    data = Images("ramp", ramp, np.zeros(64), ramp, np.zeros(64), 2, flip=True)
    seen = np.concatenate(
        [
            np.asarray(data._augmented(tf.constant(ramp), 0, tf.constant(t, tf.int64)))
            for t in range(8)
        ]
    )[:, 8, :, 0].astype(int)
    slopes = np.array([np.median(np.diff(row[row > 0])) for row in seen])
    assert set(slopes) == {-1, 1}
    assert 0.4 < np.mean(slopes == -1) < 0.6
    zeros = (seen == 0).sum(axis=1)
    assert set(zeros) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_a_shift_is_as_far_as_the_data_set_says(shift):
    ramp = np.tile(np.arange(100, 116, dtype=np.uint8)[None, :, None, None], (64, 1, 16, 1))
    data = Images("ramp", ramp, np.zeros(64), ramp, np.zeros(64), 2, flip=False, shift=shift)
    seen = np.asarray(data._augmented(tf.constant(ramp), 0, tf.constant(0, tf.int64)))
    moved = {
        int(column[8]) - 108 for image in seen for column in image[:, shift : -shift or None].T[0]
    }
    assert moved == set(range(-shift, shift + 1))


def test_held_out_images_are_neither_trained_on_nor_test_images():
    data = numbered()
    part = data.split("validation")
    held, trained = set(part.val_labels), set(part.train_labels)
    assert held == {0, 10, 20, 30, 40}
    assert trained == set(range(50)) - held
    np.testing.assert_array_equal(part.val_images[:, 0, 0, 0], part.val_labels)
    seen = np.concatenate([labels for _, labels in take(part.train(5, 0), 9)])
    assert sorted(seen) == sorted(trained)
    assert part.steps_per_epoch(9) == 5
    assert data.split("test") is data
    both = data.split("both")
    np.testing.assert_array_equal(both.test_images, data.test_images)
    np.testing.assert_array_equal(both.val_images, part.val_images)
    np.testing.assert_array_equal(both.train_images, part.train_images)
    for one, name in ((part, "test"), (data, "val")):
        with pytest.raises(ValueError, match="`evaluation` must be one that has images"):
            one.evaluate(5, name)
    with pytest.raises(ValueError, match="`split` must be one of test, validation"):
        data.split("train")


@pytest.mark.parametrize("share", [1.0, 0.5, 0.3, 0.07])
@pytest.mark.parametrize("split", ["test", "validation", "both"])
def test_a_share_of_the_training_images_is_evenly_spaced_and_all_is_evaluated(share, split):
    whole = numbered().split(split)
    data = whole.thinned(share)
    assert data.num_train == math.floor(whole.num_train * share)
    places = np.flatnonzero(np.isin(whole.train_labels, data.train_labels))
    assert set(np.diff(places)) <= {math.floor(1 / share), math.ceil(1 / share)}
    np.testing.assert_array_equal(data.train_images[:, 0, 0, 0], data.train_labels)
    for name in ("test_images", "val_images"):
        np.testing.assert_array_equal(getattr(data, name), getattr(whole, name))
    known = datasets.Facts((16, 16, 1), 50, 50, 7, flip=True, shift=4)
    if data.num_train >= 3:
        assert data.steps_per_epoch(3) == known.steps_per_epoch(split, 3, share)


def test_a_test_image_cannot_change_what_is_trained_or_validated():
    data = numbered()
    other = dataclasses.replace(data, test_images=255 - data.test_images)
    one, two = data.split("validation"), other.split("validation")
    for (x, _), (y, _) in zip(take(one.train(5, 0), 9), take(two.train(5, 0), 9), strict=True):
        np.testing.assert_array_equal(x, y)
    for (x, _), (y, _) in zip(
        take(one.evaluate(5, "val"), 1), take(two.evaluate(5, "val"), 1), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def test_many_test_images_are_normalised_as_few_are(digits, monkeypatch):
    few = take(digits.evaluate(100), 4)
    monkeypatch.setattr("trainers.datasets.images._FEW_PIXELS", 0)
    for (x, label), (y, other) in zip(few, take(digits.evaluate(100), 4), strict=True):
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(label, other)


@pytest.mark.parametrize("name", datasets.names())
def test_random_images_have_the_shape_and_the_number_of_a_data_set(name):
    known, data = datasets.facts(name), datasets.random(name)
    assert data.input_shape == known.input_shape
    assert data.classes == known.classes
    assert data.num_train == known.num_train
    if known.is_streamed:
        images, labels = next(iter(data.train(2, 0)))
        assert images.shape == (2, *known.input_shape) and labels.dtype == tf.int32
        assert len(data.test_part.numbers) == known.num_test
        return
    assert len(data.test_images) == known.num_test
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert set(np.unique(data.train_labels)) == set(range(known.classes))
    assert data.steps_per_epoch(64) == known.num_train // 64


@pytest.mark.parametrize("name", ["digits", "digits8"])
def test_facts_are_those_of_what_is_embedded(name):
    known, data = datasets.facts(name), datasets.get(name)
    assert data.input_shape == known.input_shape
    assert (data.num_train, len(data.test_images)) == (known.num_train, known.num_test)
    assert (data.flip, data.shift, data.classes) == (known.flip, known.shift, known.classes)


def test_what_is_not_the_data_set_is_refused(monkeypatch):
    wrong = dataclasses.replace(numbered(), classes=10)
    monkeypatch.setattr(datasets.sources, "from_tfds", lambda *arguments: wrong)
    with pytest.raises(ValueError, match="'cifar10' must have shape, classes, training and test"):
        datasets.get("cifar10")


def test_digits_are_not_mirrored(digits):
    assert not digits.flip
    data = numbered(flip=False)
    assert data.train(10, 0) is not None


@pytest.mark.parametrize("batch_size", [0, -1, 51])
def test_a_batch_that_cannot_be_is_refused(batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be in"):
        numbered().steps_per_epoch(batch_size)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="`dataset` must be one of cifar10"):
        datasets.get("cifar")
    with pytest.raises(ValueError, match="`model` must be one of cnn2"):
        models.get("resnet", (32, 32, 3), 10)


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_data_sets_of_tensorflow_datasets(name):
    place = os.environ.get(DATA_DIR)
    if not place or not (pathlib.Path(place) / name).exists():
        pytest.skip(f"{name} is not there: give the folder that has it in {DATA_DIR}")
    data = datasets.get(name)
    assert data.classes == 10
    assert data.num_train in (50_000, 60_000)
    images, _ = take(data.train(128, 0), 1)[0]
    assert abs(images.mean()) < 0.7
    assert 0.5 < images.std() < 1.5


def mobilenet_parameters(classes):
    """The parameters of MobileNetV2 for CIFAR, block by block: 2,296,922 for ten classes."""
    total, channels = 3 * 32 * 9 + 2 * 32, 32
    for expansion, filters, blocks, strides in [
        (1, 16, 1, 1),
        (6, 24, 2, 1),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]:
        for block in range(blocks):
            wide = expansion * channels
            total += channels * wide + 9 * wide + wide * filters + 2 * (2 * wide + filters)
            if (block or strides == 1) and channels != filters:
                total += channels * filters + 2 * filters
            channels = filters
    return total + 320 * 1280 + 2 * 1280 + 1280 * classes + classes


def test_the_count_of_mobilenet_by_hand():
    assert mobilenet_parameters(10) == 2_296_922


def wide_resnet_parameters(classes):
    """The parameters of WRN-16-8, block by block: 11.0 million in its paper's table 4."""
    total, channels = 3 * 16 * 9, 16
    for filters in (128, 256, 512):
        for _ in range(2):
            total += 9 * channels * filters + 9 * filters * filters + 2 * (channels + filters)
            total += channels * filters if channels != filters else 0
            channels = filters
    return total + 2 * 512 + 512 * classes + classes


@pytest.mark.parametrize(
    ("name", "channels", "classes", "parameters"),
    [
        ("resnet20", 3, 10, 269_722),
        # 558,000 in convolutions, 2,720 in normalisation, 6,500 in the logits.
        ("resnet38", 3, 100, 567_220),
        ("resnet56", 3, 10, 853_018),
        ("resnet8", 1, 10, 75_002),
        # 14,710,464 in convolutions, 8,448 in normalisation, 51,300 in the logits.
        ("vgg16", 3, 100, 14_770_212),
        # 1,138,608 in convolutions, 2,560 in shortcuts, 5,600 in normalisation, 650 in the logits.
        ("resnet74_projected", 3, 10, 1_147_418),
        # 2,396,592 in convolutions, 2,560 in shortcuts, 11,424 in normalisation, 6,500 in logits.
        pytest.param("resnet152_projected", 3, 100, 2_417_076, marks=pytest.mark.slow),
        ("mobilenet_v2", 3, 10, mobilenet_parameters(10)),
        ("wide_resnet16_8", 3, 10, wide_resnet_parameters(10)),
        # 144 and 4,608 in convolutions, 96 in normalisation, 330 in the logits.
        ("cnn2", 1, 10, 5_178),
        # 144, 4,608 and 9,216 in convolutions, 160 in normalisation, 330 in the logits.
        ("cnn3", 1, 10, 14_458),
    ],
)
def test_models_have_the_parameters_of_their_papers(name, channels, classes, parameters):
    model = models.get(name, (32, 32, channels), classes)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trainable == parameters
    assert model.output_shape == (None, classes)


def test_wide_resnets_are_as_deep_and_as_wide_as_they_are_called():
    assert wide_resnet_parameters(10) == pytest.approx(11.0e6, rel=5e-3)
    model = models.get("wide_resnet16_8", (96, 96, 3), 10)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sum(layer.kernel_size == (3, 3) for layer in convolutions) == 13
    assert sum(layer.kernel_size == (1, 1) for layer in convolutions) == 3
    assert convolutions[-1].output.shape == (None, 24, 24, 512)
    for depth, width, message in [(18, 8, "`depth` must be 6 n"), (16, 0, "`width` must be")]:
        with pytest.raises(ValueError, match=message):
            models.wide_resnet(depth, width, (32, 32, 3), 10)


def test_a_shortcut_without_parameters():
    layer = models.layers.PaddedShortcut(6, strides=2)
    x = np.arange(2 * 4 * 4 * 2, dtype="float32").reshape(2, 4, 4, 2)
    got = np.asarray(layer(x))
    np.testing.assert_array_equal(got[..., 2:4], x[:, ::2, ::2])
    assert (got[..., :2] == 0).all()
    assert (got[..., 4:] == 0).all()


def test_a_model_survives_its_file(tmp_path):
    model = models.get("resnet8", (32, 32, 1), 10)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(3, 32, 32, 1)).astype("float32")
    np.testing.assert_array_equal(model(x), loaded(x))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_fused_normalisation_is_that_of_keras_in_every_policy(policy):
    """Outputs, moving statistics and their dtypes, training and not."""
    x = np.random.default_rng(0).normal(2.0, 3.0, [16, 5, 5, 4]).astype("float32")
    ours = models.layers.BatchNorm(dtype=policy)
    stock = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=policy)
    tolerance = 1e-5 if policy == "float32" else 2e-2
    for training in (True, True, False):
        allowed = tolerance if training else max(tolerance, 2e-3)  # see the variance below
        one, two = ours(x, training=training), stock(x, training=training)
        assert one.dtype == two.dtype == keras.DTypePolicy(policy).compute_dtype
        np.testing.assert_allclose(
            np.asarray(tf.cast(one, "float32")),
            np.asarray(tf.cast(two, "float32")),
            rtol=allowed,
            atol=allowed,
        )
    assert {v.dtype for v in ours.variables} == {"float32"}
    np.testing.assert_allclose(ours.moving_mean, stock.moving_mean, rtol=1e-3)
    # The fused kernel divides by n - 1, as PyTorch does, Keras by n.
    np.testing.assert_allclose(ours.moving_variance, stock.moving_variance, rtol=1e-2)


def test_a_saved_model_comes_back(tmp_path):
    model = resnet(8, (32, 32, 1), 10, shortcut="projected")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).random([2, 32, 32, 1])
    np.testing.assert_array_equal(model(x), again(x))
