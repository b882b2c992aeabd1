"""RetinaNet: anchors and losses by NumPy, its network, and the weights that it begins with."""

import importlib.util
import math
import sys

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from configs.scattered_digits import get_config
from trainers import fetch
from trainers.loop.compiled import Compiled
from trainers.models import retinanet
from trainers.tasks import anchors
from trainers.tasks.anchors import Anchors
from trainers.tasks.boxes import surest
from trainers.tasks.configured import experiment, plan
from trainers.tasks.detection import Detection

SIZE = (64, 96)


def task(**changes):
    given = {**get_config().to_dict(), "model": "retinanet18", **changes}
    return Detection.of(given)


@pytest.fixture(scope="module")
def network():
    """A detector of three classes and the ResNet in it."""
    keras.utils.set_random_seed(0)
    encoder = retinanet.backbone("retinanet18", SIZE)
    return encoder, retinanet.detector(encoder, SIZE, 3)


# --- anchors --------------------------------------------------------------------------------------


def expected_anchors(size):
    """Return those of the paper, one after another, in pixels."""
    found = []
    for level in (3, 4, 5, 6, 7):
        stride = 2**level
        for row in range(math.ceil(size[0] / stride)):
            for column in range(math.ceil(size[1] / stride)):
                for ratio in (0.5, 1.0, 2.0):
                    for octave in (0, 1, 2):
                        area = (4 * stride * 2 ** (octave / 3)) ** 2
                        width = math.sqrt(area / ratio)
                        y, x = (row + 0.5) * stride, (column + 0.5) * stride
                        height = area / width
                        found.append([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    return np.array(found)


@pytest.mark.parametrize("size", [(64, 96), (608, 800), (32, 32)])
def test_anchors_are_those_of_the_paper(size):
    made, expected = Anchors.of(size), expected_anchors(size)
    assert made.count == len(expected)
    np.testing.assert_allclose(made.boxes * np.array([*size, *size]), expected, atol=1e-3)


def test_numbers_are_undone():
    made, draw = Anchors.of(SIZE), np.random.default_rng(0)
    corners = draw.uniform(0.0, 0.5, (2, made.count, 2))
    boxes = np.concatenate([corners, corners + draw.uniform(0.1, 0.5, corners.shape)], -1)
    found = made.decoded(made.numbers(tf.constant(boxes, tf.float32)))
    np.testing.assert_allclose(found, boxes, atol=1e-5)
    # Without numbers a box is the anchor, cut at the edges of the image.
    np.testing.assert_allclose(
        made.decoded(tf.zeros([1, made.count, 4]))[0], np.clip(made.boxes, 0, 1), atol=1e-6
    )


def iou(one, two):
    sides = np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2])
    both = np.prod(np.maximum(sides, 0.0))
    return both / (np.prod(one[2:] - one[:2]) + np.prod(two[2:] - two[:2]) - both)


def test_the_losses_are_those_of_numpy_anchor_by_anchor():
    made, draw, classes = Anchors.of(SIZE), np.random.default_rng(0), 3
    raw = draw.normal(0.0, 1.0, (3, made.count, 4 + classes))
    boxes = np.zeros((3, 3, 4))
    labels = np.array([[2, 0, -1], [1, -1, -1], [-1, -1, -1]])
    boxes[0, 0], boxes[0, 1] = [0.1, 0.1, 0.6, 0.5], [0.2, 0.4, 0.9, 0.9]
    boxes[0, 2] = [0.0, 0.0, 1.0, 1.0]  # It is none.
    boxes[1, 0] = [0.2, 0.3, 0.75, 0.7]
    found = made.losses(
        tf.constant(raw, tf.float32), tf.constant(boxes, tf.float32), tf.constant(labels)
    )
    expected, between = {"box": [], "classes": []}, 0
    for image in range(3):
        focal, apart, number = 0.0, [], 0
        for anchor, says in zip(made.boxes.astype(np.float64), raw[image], strict=True):
            overlap = [
                iou(anchor, box) if label >= 0 else 0.0
                for box, label in zip(boxes[image], labels[image], strict=True)
            ]
            best, truth = int(np.argmax(overlap)), np.zeros(classes)
            if overlap[best] >= 0.5:
                number += 1
                truth[labels[image, best]] = 1.0
                box, side = boxes[image, best], anchor[2:] - anchor[:2]
                middle = (box[:2] + box[2:] - anchor[:2] - anchor[2:]) / 2 / side
                target = [*(10 * middle), *(5 * np.log((box[2:] - box[:2]) / side))]
                far = np.abs(says[:4] - target)
                apart.append(np.where(far < 1 / 9, 4.5 * far**2, far - 1 / 18))
            elif overlap[best] >= 0.4:
                between += 1
                continue
            p = 1 / (1 + np.exp(-says[4:]))
            q = np.where(truth == 1, p, 1 - p)
            focal += (np.where(truth == 1, 0.25, 0.75) * (1 - q) ** 2 * -np.log(q)).sum()
        expected["classes"].append(focal / max(1, number))
        expected["box"].append(np.mean(apart) if apart else 0.0)
    assert between and expected["box"][0] and expected["box"][1]
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4)


def test_the_anchors_with_the_highest_scores_are_kept(monkeypatch):
    monkeypatch.setattr(anchors, "_DECODED", 4)
    made = Anchors.of(SIZE)
    raw = np.full([2, made.count, 7], -9.0, np.float32)
    raw[..., :4] = 0.0
    # Far from each other, in two images; the second of them is a little to the right.
    first, second, third = 9 * 13, 9 * 80, 9 * 98
    raw[0, first, 4], raw[0, second, 5] = 2.0, 1.0
    raw[1, third, 6], raw[1, third, 1] = 3.0, 0.5
    # Less likely than any that is kept.
    raw[0, 0, 4] = -8.0
    found = surest(made.candidates(tf.constant(raw)))
    sigmoid = 1 / (1 + np.exp(-np.array([2.0, 1.0, 3.0])))
    assert found["count"].numpy().tolist() == [2, 1]
    np.testing.assert_allclose(found["scores"][0, :2], sigmoid[:2], rtol=1e-5)
    np.testing.assert_allclose(found["scores"][1, 0], sigmoid[2], rtol=1e-5)
    assert found["classes"][0, :2].numpy().tolist() == [0.0, 1.0]
    assert found["classes"][1, 0] == 2.0
    moved = made.boxes[third] + np.array([0.0, 0.05, 0.0, 0.05]) * (
        made.boxes[third, 3] - made.boxes[third, 1]
    )
    for image, expected in ((0, made.boxes[[first, second]]), (1, moved[None])):
        boxes = found["boxes"][image, : len(expected)]
        np.testing.assert_allclose(boxes, np.clip(expected, 0, 1), atol=1e-5)
    # The control: only so many are decoded.
    monkeypatch.setattr(anchors, "_DECODED", 1)
    assert surest(made.candidates(tf.constant(raw)))["count"].numpy().tolist() == [1, 1]


def test_nothing_is_infinite_where_there_is_no_box():
    made = Anchors.of(SIZE)
    raw = tf.Variable(tf.random.stateless_normal([1, made.count, 7], [0, 0]))
    with tf.GradientTape() as tape:
        losses = made.losses(raw, tf.zeros([1, 2, 4]), tf.constant([[-1, -1]]))
        total = tf.add_n(list(losses.values()))
    assert np.isfinite(tape.gradient(total, raw)).all() and losses["box"] == 0.0


# --- the network ----------------------------------------------------------------------------------


def test_its_numbers_are_those_of_the_anchors_and_its_weights_those_of_the_paper(network):
    encoder, model = network
    assert model.output_shape == (None, Anchors.of(SIZE).count, 7)
    # The ResNet of torchvision without its last layer; lateral and output convolutions of the
    # pyramid, two more levels, and the heads.
    resnet = 11_689_512 - 513_000
    pyramid = (128 + 256 + 512) * 256 + 3 * 9 * 256**2 + 9 * (512 + 256) * 256 + 8 * 256
    each_head = 4 * (9 * 256**2 + 256)
    ends = (9 * 256 + 1) * 9 * (4 + 3)
    trained = sum(int(np.prod(each.shape)) for each in model.trainable_variables)
    assert trained == resnet + pyramid + 2 * each_head + ends
    assert sum(int(np.prod(v.shape)) for v in encoder.trainable_variables) == resnet


def test_the_other_resnet_has_101_layers():
    encoder = retinanet.backbone("retinanet101", (32, 32))
    trained = sum(int(np.prod(each.shape)) for each in encoder.trainable_variables)
    assert trained == 44_549_160 - 2_049_000  # torchvision's without the last layer
    with pytest.raises(ValueError, match="Received: model='retinanet9'"):
        retinanet.backbone("retinanet9", (32, 32))


def test_at_first_every_class_has_the_prior(network):
    images = np.random.default_rng(0).random((1, *SIZE, 3), np.float32)
    found = np.asarray(network[1](images))
    probability = 1 / (1 + np.exp(-found[..., 4:]))
    assert abs(probability.mean() - 0.01) < 1e-3 and np.abs(found[..., :4]).max() < 0.5


def test_predictions_lie_level_after_level_row_after_row(network):
    _, model = network
    images = np.random.default_rng(0).random((1, *SIZE, 3), np.float32)
    heads = [model.get_layer(name) for name in ("box_head", "class_head")]
    levels = keras.Model(model.input, [node.arguments.args[0] for node in heads[0]._inbound_nodes])
    first, whole = 0, np.asarray(model(images))
    for features in levels(images):
        one, other = (np.asarray(head(features))[0] for head in heads)
        rows, columns = one.shape[:2]
        for row in range(rows):
            for column in range(columns):
                at = first + 9 * (row * columns + column)
                expected = np.concatenate(
                    [one[row, column].reshape(9, 4), other[row, column].reshape(9, 3)], -1
                )
                np.testing.assert_allclose(whole[0, at : at + 9], expected, atol=1e-5)
        first += 9 * rows * columns
    assert first == whole.shape[1]


def test_all_of_it_can_be_quantized(network):
    _, model = network
    images = np.random.default_rng(0).random((1, *SIZE, 3), np.float32)
    before = np.asarray(model(images))
    with ks.precision.quantize(model, weights=3, activations=3, layers="all") as handle:
        assert len(handle.cost().layers) == 20 + 8 + 2 * 5  # ResNet, pyramid, and heads
        model(images, training=True)
        assert not np.array_equal(np.asarray(model(images)), before)
    # What each level costs is counted: a head is called once for each.
    macs = {each.path: each.macs for each in ks.precision.macs(model)}
    cells = sum(math.ceil(64 / 2**each) * math.ceil(96 / 2**each) for each in (3, 4, 5, 6, 7))
    heads = [count for name, count in macs.items() if "head" in name]
    assert sum(heads) == cells * 9 * 256 * (2 * 4 * 256 + 9 * 7)


# --- what it is given -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 8}, "`channels` is not used by the model 'retinanet18'"),
        ({"anchors": [8, 8]}, "`anchors` is not used"),
        ({"ignored_overlap": 0.7}, "`ignored_overlap` is not used"),
        ({"model": "grid", "backbone_weights": "w.weights.h5"}, "`backbone_weights` is not used"),
        ({"height": 48}, "must be multiples of 32 for 'retinanet18'. Received: height=48"),
        ({"backbone_weights": "none.weights.h5"}, "`backbone_weights` must be a file of weights"),
        ({"backbone_weights": "resnet.pt"}, "whose name ends with .weights.h5 or .keras"),
        (
            {"backbone_weights": "a.weights.h5", "initial_weights": "b.weights.h5"},
            "Only one of `backbone_weights` and `initial_weights`",
        ),
    ],
)
def test_what_it_does_not_read_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        task(**changes)


def test_images_too_small_for_every_anchor_are_refused():
    with pytest.raises(ValueError, match="where boxes have 16x16 pixels, and 0 of"):
        Detection.load(task().config)
    assert Detection.load(task(height=128, width=128).config)
    # A sweep whose trials share their data checks them once for each kind of detector.
    assert Detection.data_key(task().config) != Detection.data_key(task(model="grid").config)


def test_a_flag_that_it_does_not_use_is_refused_whatever_its_value():
    for model, flag in [("retinanet18", "channels"), ("grid", "backbone_weights")]:
        with pytest.raises(ValueError, match=f"--{flag} is not used by the model '{model}'"):
            task(model=model).check_flags({flag, "model"})
        task(model=model).check_flags({"model", "height"})


def test_without_keras_hub_it_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "keras_hub" else find(name)
    )
    with pytest.raises(ValueError, match=r"pip install -e '\.\[trainers,hub\]'"):
        task()
    assert task(model="grid")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights as `trainers.fetch` stores them, of a preset of keras-hub that is no one's."""
    place = tmp_path_factory.mktemp("weights")
    made = retinanet.backbone("retinanet18", (32, 32))
    for layer in made.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.linspace(-1.0, 1.0, layer.moving_mean.shape[0]))
    made.save_to_preset(str(place / "preset"))
    return place, made


@pytest.fixture(scope="module")
def fetched(weights):
    place, made = weights
    with pytest.MonkeyPatch.context() as patch:
        presets = keras_hub.models.ResNetBackbone
        real, local = presets.from_preset, str(place / "preset")
        patch.setattr(presets, "from_preset", lambda name: real(local))
        assert fetch.main(["resnet_18_imagenet", f"--data_dir={place / 'data'}"]) == 0
    return place / "data" / "resnet_18_imagenet.weights.h5", made


def test_weights_are_fetched_once(fetched, weights, capsys):
    path, _ = fetched
    before = path.stat().st_mtime_ns
    # No preset is needed now.
    assert fetch.main(["resnet_18_imagenet", f"--data_dir={path.parent}"]) == 0
    assert str(path) in capsys.readouterr().out and path.stat().st_mtime_ns == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_weights_that_cannot_be_had_end_with_4(tmp_path, monkeypatch, capsys):
    real, none = keras_hub.models.ResNetBackbone.from_preset, str(tmp_path / "none")
    monkeypatch.setattr(keras_hub.models.ResNetBackbone, "from_preset", lambda name: real(none))
    assert fetch.main(["resnet_18_imagenet", f"--data_dir={tmp_path / 'data'}"]) == 4
    assert "cannot be downloaded" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    assert fetch.main(["resnet_18_imagenet", f"--data_dir={tmp_path / 'data'}"]) == 2
    assert "pip install -e '.[trainers,hub]'" in capsys.readouterr().err


def test_it_begins_with_the_weights_and_keeps_their_statistics(fetched, tmp_path):
    path, made = fetched
    begun = task(backbone_weights=str(path), batch_size=2, height=128, width=128)
    begun.check_network()
    begun.data = Detection.load(begun.config)
    run = experiment(begun, tmp_path)
    own = begun.model()
    held = ("gamma", "beta", "moving_mean", "moving_variance")
    for expected, weight in zip(made.weights, own.get_layer("resnet").weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert run.plan.config["backbone_weights_digest"]
    batch = next(iter(begun.train(0)))
    model, optimizer = own, begun.optimizer(own)
    before = {each.path: np.asarray(each) for each in model.weights}
    with tf.GradientTape() as tape:
        losses = begun.forward(model, batch, None).losses
        total = tf.add_n([tf.reduce_mean(each) for each in losses.values()])
    gradients = tape.gradient(total, [each.value for each in model.trainable_variables])
    optimizer.build(model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    moved = {name for each in model.weights
             if (name := each.path) and not np.array_equal(each, before[name])}  # fmt: skip
    assert moved and not any(name.endswith(held) for name in moved)
    assert sum(name.endswith("kernel") for name in moved) == 20 + 8 + 2 * 5


def test_other_weights_in_the_same_place_begin_another_run(fetched, tmp_path):
    path, _ = fetched
    copy = tmp_path / "a.weights.h5"
    copy.write_bytes(path.read_bytes())
    config = task(backbone_weights=str(copy)).config
    first = plan(config, tmp_path).directory
    other = retinanet.backbone("retinanet18", (32, 32))
    other.save_weights(copy)
    assert plan(config, tmp_path).directory != first


def test_weights_of_another_network_are_refused(tmp_path, network):
    path = tmp_path / "other.weights.h5"
    network[1].save_weights(path)
    with pytest.raises(ValueError, match="`backbone_weights` must be of this model, resnet"):
        task(backbone_weights=str(path)).check_network()


def test_a_batch_is_learnt_by_heart():
    made = task(
        batch_size=1,
        height=128,
        width=128,
        epochs=1,
        optimizer="adam",
        learning_rate=3e-4,
        clip_norm=0.1,
        warmup="0ep",
        l2=0.0,
    )
    made.data = Detection.load(made.config)
    batch = next(iter(made.train(0)))
    compiled = Compiled()
    compiled.begin(made, 0, made.run.total)
    function = compiled.model.make_train_function()
    same = iter(tf.data.Dataset.from_tensors(batch).cache().repeat())
    first = float(function(same, tf.constant(1, tf.int64))["loss"])
    for _ in range(3):
        last = float(function(same, tf.constant(10, tf.int64))["loss"])
    assert last < 0.3 * first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("retinanet18", 20_165_400, 76_966_584_320),
        ("retinanet101", 55_716_120, 136_759_664_640),
    ],
)
def test_the_sizes_of_the_setting_are_those_of_its_header(name, parameters, macs):
    made = task(model=name, dataset="voc2012", height=608, width=800)
    model = made.network()
    assert sum(int(np.prod(each.shape)) for each in model.trainable_variables) == parameters
    assert sum(each.macs for each in ks.precision.macs(model)) == macs
