"""Detectors: boxes and losses by NumPy and by hand, precision by hand and by pycocotools."""

import contextlib
import dataclasses
import io
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_sched as ks
from configs.scattered_digits import get_config
from trainers.datasets import DATA_DIR, scene_sources
from trainers.datasets.scenes import Boxes, ScenePart, Scenes
from trainers.models.yolo import detector
from trainers.tasks.average_precision import Found, coco, voc
from trainers.tasks.boxes import overlaps, surest
from trainers.tasks.cells import Cells
from trainers.tasks.detection import Detection
from trainers.tasks.pictures import boxed

SIZE = (64, 64)


def task(**changes):
    made = Detection.of({**get_config().to_dict(), "channels": 4, **changes})
    made.data = Detection.load(made.config)
    return made


# --- cells and anchors ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells():
    """Two grids of 2x3 and 4x6 cells, with two anchors each."""
    anchors = [np.array([[32.0, 32.0], [64.0, 24.0]]), np.array([[8.0, 8.0], [16.0, 12.0]])]
    return Cells.of((64, 96), (32, 16), anchors, 0.5)


def test_a_box_is_that_of_the_cell_with_its_middle_and_the_anchor_most_like_it(cells):
    size = np.array([64, 96, 64, 96])
    for box, grid, row, column, anchor in [
        ((0, 0, 32, 32), 0, 0, 0, 0),
        ((0, 60, 64, 84), 0, 1, 2, 1),
        ((40, 50, 48, 58), 1, 2, 3, 0),
        ((48, 84, 64, 96), 1, 3, 5, 1),
        ((63, 95, 64, 96), 1, 3, 5, 0),
    ]:
        shaped = (np.array(box) / size)[None, None].astype("float32")
        index = int(cells.assigned(tf.constant(shaped))[0, 0])
        columns, first = ((3, 0), (6, 12))[grid]
        assert index == first + (row * columns + column) * 2 + anchor
        shares, logarithms = cells.numbers(tf.constant(shaped), tf.constant([[index]]))
        assert (shares.numpy() >= 0.0).all() and (shares.numpy() <= 1.0).all()
        raw = np.zeros([1, 60, 4], "float32")
        inner = np.clip(shares[0, 0], 1e-6, 1 - 1e-6)
        raw[0, index] = [*np.log(inner / (1 - inner)), *logarithms[0, 0]]
        np.testing.assert_allclose(cells.boxes(raw)[0, index], shaped[0, 0], atol=1e-5)


def test_predictions_lie_grid_after_grid_row_after_row(cells):
    boxes = cells.boxes(np.zeros([1, 60, 4], "float32"))[0].numpy() * [64, 96, 64, 96]
    np.testing.assert_allclose(boxes[0], [0, 0, 32, 32], atol=1e-4)
    np.testing.assert_allclose(boxes[1], [16 - 32, 16 - 12, 16 + 32, 16 + 12], atol=1e-4)
    np.testing.assert_allclose(boxes[2], [0, 32, 32, 64], atol=1e-4)
    np.testing.assert_allclose(boxes[12], [4, 4, 12, 12], atol=1e-4)


def test_the_network_gives_a_number_for_each_prediction_of_the_cells():
    made = task(model="yolov3", channels=16, height=64, width=96, anchors=[8] * 18)
    model = made.network()
    assert model.output_shape == (None, len(made._predictions.corners), 15)
    # A prediction looks at its own cell: where one pixel of the grid is changed, it changes.
    grid = detector("grid", (64, 96), 10, (2,), 4)
    last = grid.layers[-2]
    assert last.output.shape[1:] == (8, 12, 30)
    x = np.random.default_rng(0).random((1, 64, 96, 3), np.float32)
    rows = keras.Model(grid.input, [last.output, grid.output])(x)
    np.testing.assert_array_equal(rows[1][0, (3 * 12 + 5) * 2 + 1], rows[0][0, 3, 5, 15:])


def test_overlaps_by_hand():
    one = tf.constant([[[0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.0, 0.0]]])
    two = tf.constant([[[0.0, 0.2, 0.4, 0.6], [0.5, 0.5, 1.0, 1.0]]])
    np.testing.assert_allclose(overlaps(one, two), [[[1 / 3, 0.0], [0.0, 0.0]]], rtol=1e-5)


# --- losses ---------------------------------------------------------------------------------------


def bce(label, logit):
    return np.logaddexp(0.0, logit) - label * logit


def test_the_losses_are_those_of_numpy_box_by_box():
    made = task(anchors=[16, 16, 40, 24])
    draw = np.random.default_rng(0)
    count, classes = len(made._predictions.corners), 10
    raw = draw.normal(0.0, 1.0, (2, count, 15))
    boxes = np.zeros((2, 3, 4))
    labels = np.array([[3, 7, -1], [1, -1, -1]])
    boxes[0, 0], boxes[0, 1] = [0.1, 0.1, 0.35, 0.35], [0.3, 0.4, 0.9, 0.8]
    boxes[1, 0] = [0.5, 0.5, 0.75, 0.75]
    # Two that are not responsible, and overlap a box nearly whole.
    raw[0, 20, :4], raw[1, 88, :4] = [1.4, -4.0, 0.0, 0.0], [-4.0, 4.0, 0.0, 0.0]
    found = made._predictions.losses(
        tf.constant(raw, tf.float32), tf.constant(boxes, tf.float32), tf.constant(labels)
    )
    decoded = np.asarray(made._predictions.boxes(tf.constant(raw[..., :4], tf.float32)), np.float64)
    expected = {"box": [0.0, 0.0], "objectness": [0.0, 0.0], "classes": [0.0, 0.0]}
    for image in range(2):
        owners = set()
        overlapping = np.zeros(count)
        for box, label in zip(boxes[image], labels[image], strict=True):
            if label < 0:
                continue
            middle, shape = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
            anchors = np.array([[16, 16], [40, 24]]) / 64
            like = [
                np.prod(np.minimum(shape, a))
                / (shape.prod() + a.prod() - np.prod(np.minimum(shape, a)))
                for a in anchors
            ]
            row, column = (int(each * 8) for each in middle)
            own = (row * 8 + column) * 2 + int(np.argmax(like))
            owners.add(own)
            says = raw[image, own]
            share = middle * 8 - [row, column]
            size = np.log(shape / anchors[int(np.argmax(like))])
            each = bce(share, says[:2]).sum() + 0.5 * ((says[2:4] - size) ** 2).sum()
            expected["box"][image] += (2 - shape.prod()) * each
            expected["classes"][image] += bce(np.eye(classes)[label], says[5:]).sum()
            sides = np.minimum(decoded[image, :, 2:], box[2:]) - np.maximum(
                decoded[image, :, :2], box[:2]
            )
            both = np.maximum(sides, 0).prod(-1)
            area = (decoded[image, :, 2:] - decoded[image, :, :2]).prod(-1)
            overlapping = np.maximum(overlapping, both / (area + shape.prod() - both))
        for number in range(count):
            if number in owners or overlapping[number] <= 0.5:
                expected["objectness"][image] += bce(number in owners, raw[image, number, 4])
        assert (overlapping > 0.5).any() and len(owners) == (labels[image] >= 0).sum()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4)


def test_a_difficult_box_is_none():
    made = task()
    images, boxes, labels, difficult = next(iter(made.train(0)))
    model = made.network()
    all_difficult = tf.ones_like(difficult)
    found = made.forward(model, (images, boxes, labels, all_difficult), None).losses
    none = made.forward(model, (images, boxes, -tf.ones_like(labels), difficult), None).losses
    for name in ("box", "classes", "objectness"):
        np.testing.assert_array_equal(found[name], none[name])
    assert not np.any(found["box"]) and np.any(found["objectness"])


def test_what_is_found_are_the_surest_boxes_that_do_not_overlap():
    made = task()
    raw = np.full([1, 64, 15], -9.0, "float32")
    raw[..., :4] = 0.0
    for number, score in ((9, 3.0), (10, 2.0), (36, 1.0)):
        raw[0, number, 4], raw[0, number, 5 + 7] = score, 9.0
    raw[0, 10, 1] = -9.0  # Its middle is near that of its left neighbour.
    raw[0, 9, 1] = 9.0
    found = surest(made._predictions.candidates(tf.constant(raw)))
    count = int(found["count"][0])
    assert count == 2 and found["classes"][0, :2].numpy().tolist() == [7.0, 7.0]
    sigmoid = 1 / (1 + np.exp(-np.array([3.0, 1.0]))) / (1 + np.exp(-9.0))
    np.testing.assert_allclose(found["scores"][0, :2], sigmoid, rtol=1e-5)


# --- mean average precision -----------------------------------------------------------------------


def image(boxes=(), scores=(), classes=None, truth=(), true_classes=None, difficult=None):
    boxes, truth = (np.array(each, float).reshape(-1, 4) for each in (boxes, truth))
    return Found(
        boxes,
        np.array(scores, float),
        np.zeros(len(boxes), int) if classes is None else np.array(classes),
        truth,
        np.zeros(len(truth), int) if true_classes is None else np.array(true_classes),
        np.zeros(len(truth), bool) if difficult is None else np.array(difficult),
    )


UNIT = (0.0, 0.0, 0.2, 0.2)
OTHER = (0.5, 0.5, 0.9, 0.9)
NOTHING = (0.3, 0.0, 0.4, 0.1)


def test_precision_by_hand():
    """Two of three boxes are found, at the first and the third of four detections."""
    images = [
        image([UNIT, NOTHING, OTHER, UNIT], [0.9, 0.8, 0.7, 0.6], truth=[UNIT, OTHER]),
        image(truth=[UNIT]),
    ]
    # Precision 1, 1/2, 2/3, 1/2 at recall 1/3, 1/3, 2/3, 2/3; the second of UNIT is wrong.
    assert voc(images, 1) == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    # At 0, .1, .2, .3 one; at .4, .5, .6 two thirds; at .7 to 1 nothing.
    assert voc(images, 1, points=True) == pytest.approx((4 + 3 * 2 / 3) / 11)
    # Averaged over classes that are there: the second is not found, the third is not there.
    images[1] = dataclasses.replace(images[1], true_classes=np.array([1]))
    first = 1 / 2 * 1 + 1 / 2 * 2 / 3
    assert voc(images, 3) == pytest.approx((first + 0.0) / 2)


def test_a_detection_goes_to_the_box_that_it_overlaps_most_and_to_no_other():
    """In which VOC and COCO differ: the second detection overlaps both boxes by more than half."""
    truth = [(0.0, 0.0, 0.5, 0.5), (0.0, 0.1, 0.5, 0.6)]
    found = [(0.0, 0.0, 0.5, 0.5), (0.0, 0.04, 0.5, 0.54)]
    images = [image(found, [0.9, 0.8], truth=truth)]
    assert voc(images, 1) == pytest.approx(0.5)
    assert coco(images, 1, (100, 100))["coco_map50"] == pytest.approx(1.0, abs=1e-6)


def test_difficult_boxes_are_neither_found_nor_missed():
    hard = [image([UNIT, OTHER], [0.9, 0.8], truth=[UNIT, OTHER], difficult=[True, False])]
    assert voc(hard, 1) == 1.0
    assert voc([image([OTHER], [0.8], truth=[UNIT, OTHER], difficult=[True, False])], 1) == 1.0
    assert np.isnan(voc([image([UNIT], [0.9], truth=[UNIT], difficult=[True])], 1))
    # The control: were it not difficult, it would be missed.
    assert voc([image([OTHER], [0.8], truth=[UNIT, OTHER])], 1) == 0.5


def test_coco_counts_difficult_boxes_as_little():
    hard = [image([UNIT, OTHER], [0.9, 0.8], truth=[UNIT, OTHER], difficult=[True, False])]
    assert coco(hard, 1, (100, 100))["coco_map50"] == pytest.approx(1.0)
    none = [image([UNIT], [0.9], truth=[UNIT], difficult=[True])]
    assert np.isnan(coco(none, 1, (9, 9))["coco_map"])
    # No crowd: a small box within a difficult one is wrong.
    inner = (0.05, 0.05, 0.1, 0.1)
    inside = [image([inner, OTHER], [0.9, 0.8], truth=[UNIT, OTHER], difficult=[True, False])]
    assert coco(inside, 1, (100, 100))["coco_map50"] == pytest.approx(0.5, abs=0.01)


def test_where_nothing_is_there_or_found():
    assert np.isnan(voc([image([UNIT], [0.5])], 1))
    assert np.isnan(coco([image([UNIT], [0.5])], 1, (10, 10))["coco_map"])
    for found in (
        voc([image(truth=[UNIT])], 1),
        coco([image(truth=[UNIT])], 1, (9, 9))["coco_map50"],
    ):
        assert found == 0.0


def by_library(images, classes, points):
    """Return VOC's precision by pycocotools: precision is read at the recalls that VOC uses."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = [], []
    for number, each in enumerate(images):
        for (top, left, bottom, right), label in zip(
            each.true_boxes, each.true_classes, strict=True
        ):
            box = [left, top, right - left, bottom - top]
            truth.append({"id": len(truth) + 1, "image_id": number, "category_id": int(label),
                          "bbox": box, "area": box[2] * box[3], "iscrowd": 0})  # fmt: skip
        for (top, left, bottom, right), label, score in zip(
            each.boxes, each.classes, each.scores, strict=True
        ):
            found.append([number, left, top, right - left, bottom - top, score, label])
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {"images": [{"id": n} for n in range(len(images))],
                         "categories": [{"id": n} for n in range(classes)],
                         "annotations": truth}  # fmt: skip
        known.createIndex()
        made = COCOeval(known, known.loadRes(np.array(found)), "bbox")
        means = []
        for label in {each["category_id"] for each in truth}:
            count = sum(each["category_id"] == label for each in truth)
            made.params.catIds = [label]
            made.params.iouThrs = np.array([0.5])
            made.params.maxDets = [1000]
            made.params.recThrs = (
                np.linspace(0, 1, 11) if points else np.arange(1, count + 1) / count
            ) - 1e-9
            made.evaluate()
            made.accumulate()
            means.append(made.eval["precision"][0, :, 0, 0, 0].mean())
    return np.mean(means)


@pytest.mark.parametrize("points", [True, False], ids=["points", "area"])
def test_precision_is_that_of_the_library_on_random_images(points):
    """A hundred cases in which boxes do not overlap each other: there both match alike."""
    for case in range(100):
        draw = np.random.default_rng(case)
        classes, images = int(draw.integers(1, 4)), []
        for _ in range(draw.integers(1, 6)):
            there = draw.permutation(9)[: draw.integers(1, 8)]
            corners = np.stack(np.divmod(there, 3), -1) * 100.0 + draw.uniform(
                0, 20, (len(there), 2)
            )
            truth = np.concatenate([corners, corners + draw.uniform(30, 70, corners.shape)], 1)
            chosen = draw.integers(0, len(truth), draw.integers(1, 12))
            moved = truth[chosen] + draw.normal(0, 8, (len(chosen), 4))
            moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
            labels = draw.integers(0, classes, len(truth))
            says = np.where(
                draw.random(len(chosen)) < 0.8,
                labels[chosen],
                draw.integers(0, classes, len(chosen)),
            )
            images.append(image(moved, draw.random(len(chosen)), says, truth, labels))
        expected = by_library(images, classes, points)
        assert voc(images, classes, points) == pytest.approx(expected, abs=1e-9), case


def test_coco_is_that_of_exact_boxes():
    draw = np.random.default_rng(0)
    truth = np.array([UNIT, OTHER])
    shifted = truth + np.array([0.0, 0.0, 0.0, 0.05])  # overlaps of 0.8 and 0.89
    images = [image(shifted, draw.random(2), truth=truth)]
    found = coco(images, 1, (300, 200))
    assert found["coco_map50"] == pytest.approx(1.0, abs=1e-6)
    # Both at .5 to .75 and .8, one at .85: its precision is 1 or 1/2, at up to half of recall.
    assert 0.6 < found["coco_map"] < 0.8


# --- data -----------------------------------------------------------------------------------------


def test_boxes_without_area_are_dropped_and_wrong_ones_refused_with_their_name():
    kept = Boxes.of([[0.1, 0.1, 0.5, 0.5], [0.2, 0.2, 0.2, 0.4]], [1, 0], classes=2)
    assert kept.labels.tolist() == [1] and kept.boxes.shape == (1, 4)
    for boxes, labels, message in [
        ([[0.5, 0.1, 0.1, 0.5]], [0], "Boxes must be"),
        ([[0.0, 0.0, 2.0, 0.5]], [0], "Boxes must be"),
        ([[0.0, 0.0, float("nan"), 0.5]], [0], "Boxes must be"),
        ([UNIT], [2], "Labels must be one from 0 to 1"),
        ([UNIT], [0, 1], "Labels must be one from 0 to 1"),
    ]:
        with pytest.raises(ValueError, match=message) as caught:
            Boxes.of(boxes, labels, classes=2, name="photo.jpg")
        assert "photo.jpg" in str(caught.value)


def test_pages_of_digits_have_them_in_their_boxes():
    data = scene_sources.get("scattered_digits", SIZE)
    for number in range(0, 600, 60):
        page, truth = data.train_part.source.pixels(number).copy(), data.train_part.truth[number]
        assert page.shape == (64, 64, 3) and 1 <= len(truth.labels) <= 4
        for top, left, bottom, right in (truth.boxes * 64).astype(int):
            assert (bottom - top, right - left) == (16, 16)
            assert page[top:bottom, left:right].max() == 255
            page[top:bottom, left:right] = 0
        assert page.max() < 60
    one, two = (scene_sources.get("scattered_digits", SIZE).train_part for _ in range(2))
    np.testing.assert_array_equal(one.source.images, two.source.images)


class Ramp:
    """Images whose red is the row and whose green is the column, and blue the number."""

    def pixels(self, number):
        rows, columns = np.meshgrid(np.arange(48), np.arange(64), indexing="ij")
        return np.stack([5 * rows, 3 * columns, np.full_like(rows, number)], -1).astype(np.uint8)

    def name(self, number):
        return f"ramp {number}"


def scenes(**changes):
    box = np.array([12, 16, 36, 48]) / [48, 64, 48, 64]
    truth = [Boxes.of([box], [number % 2], classes=2) for number in range(20)]
    whole = ScenePart.whole(Ramp(), truth)
    given = {"size": (48, 64), "class_names": ("a", "b"), "flips": (1, 2)}
    parts = {"description": "ramps", "train_part": whole, "test_part": whole}
    return Scenes(**{**parts, **given, **changes})


def test_boxes_move_with_what_is_in_them():
    seen = set()
    for images, boxes, labels, _ in scenes().train(10, 0).take(8):
        for image_, box, label in zip(
            images.numpy(), boxes.numpy()[:, 0], labels.numpy()[:, 0], strict=True
        ):
            assert label in (0, 1)
            top, left, bottom, right = (np.array(box) * [48, 64, 48, 64]).round(2)
            rows, columns = image_[..., 0].mean(1), image_[..., 1].mean(0)
            # Brightness and contrast change both ends alike: order and place stay.
            turned = (rows[0] > rows[-1], columns[0] > columns[-1])
            seen.add(turned)
            middle = image_[int((top + bottom) / 2), int((left + right) / 2)]
            spread = image_[..., :2].max((0, 1)) - image_[..., :2].min((0, 1))
            inside = image_[int(top) + 1 : int(bottom) - 1, int(left) + 1 : int(right) - 1]
            assert abs(inside[..., 0].mean() - middle[0]) < 0.05 * max(spread[0], 0.1)
    assert len(seen) == 4


def test_what_is_cut_off_is_no_box():
    data = scenes(size=(48, 64))
    corner = [Boxes.of([[0.0, 0.0, 0.1, 0.1]], [1], classes=2)] * 20
    data = dataclasses.replace(data, train_part=ScenePart.whole(Ramp(), corner))
    labels = np.concatenate([batch[2].numpy() for batch in data.train(10, 0).take(10)])
    assert 0.2 < np.mean(labels == -1) < 0.9
    boxes = np.concatenate([batch[1].numpy() for batch in data.train(10, 0).take(10)])
    assert not boxes[labels == -1].any()


@pytest.mark.parametrize("start", [1, 2, 5])
def test_from_any_step_the_batches_are_those_of_a_run_left_alone(start):
    data = scenes()
    whole = list(data.train(8, 3).take(start + 3))[start:]
    for one, two in zip(whole, data.train(8, 3, start).take(3), strict=True):
        for left, right in zip(one, two, strict=True):
            np.testing.assert_array_equal(left, right)


def numbers(batches):
    """Return which ramps were seen, by their blue."""
    return {round(255 * float(ramp[0, 0, 2])) for images, *_ in batches for ramp in images}


def test_held_out_images_are_not_trained_on():
    data = scenes(is_augmented=False).split("both")
    trained = numbers(data.train(6, 0).take(3))
    held = numbers(data.evaluate(4, "val"))
    assert held == {0, 10} and trained == set(range(20)) - held


def test_blood_cells_of_tensorflow_datasets():
    place = os.environ.get(DATA_DIR)
    if not place or not (pathlib.Path(place) / "bccd").exists():
        pytest.skip(f"bccd is not there: give the folder that has it in {DATA_DIR}")
    data = scene_sources.get("bccd", (60, 80))
    assert data.num_train == 205 and len(data.test_part.numbers) == 72
    assert data.class_names == ("RBC", "WBC", "Platelets")
    # 4,888 boxes in all splits, of which two have no area.
    assert sum(len(each.labels) for each in data.train_part.truth) in (2803, 2804, 2805)
    images, boxes, labels, _ = next(iter(data.train(8, 0)))
    assert images.shape == (8, 60, 80, 3) and boxes.shape[:2] == labels.shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "coco"}, "`dataset` must be one of bccd"),
        ({"model": "yolov4"}, "the name of a detector"),
        ({"anchors": [3]}, "`anchors` must be pairs"),
        ({"anchors": []}, "`anchors` must be pairs"),
        ({"model": "yolov3"}, "`channels` is not used"),
        ({"model": "yolov3", "channels": 16}, "`anchors` must be as many for each of the 3 grids"),
        ({"height": 60}, "must be multiples of 8 for 'grid'"),
    ],
)
def test_a_wrong_value_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        task(**changes)


def test_missing_data_are_told_with_what_works(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"trainers\.fetch voc") as caught:
        scene_sources.check("voc", str(tmp_path))
    assert "--dataset=scattered_digits" in str(caught.value)


# --- networks and pictures ------------------------------------------------------------------------


def test_yolov3_has_the_parameters_and_the_operations_of_its_paper():
    """61.95 million weights for COCO's classes; 65.86 billion operations, two for each MAC."""
    model = detector("yolov3", (416, 416), 80, (3, 3, 3))
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 61_949_149
    assert model.output_shape == (None, 3 * (13**2 + 26**2 + 52**2), 85)
    assert 2e-9 * sum(each.macs for each in ks.precision.macs(model)) == pytest.approx(
        65.86, abs=0.01
    )


def test_a_new_detector_finds_nothing():
    model = detector("grid", SIZE, 10, (2,), 4)
    raw = model(np.random.default_rng(0).random((1, *SIZE, 3), np.float32))
    assert (1 / (1 + np.exp(-np.asarray(raw)[..., 4])) < 0.05).all()
    with pytest.raises(ValueError, match="`size` must be multiples of 32 for 'yolov3'"):
        detector("yolov3", (48, 64), 10, (1, 1, 1))


def test_a_model_comes_back_from_its_file(tmp_path):
    model = detector("grid", (16, 16), 3, (1,), 2)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    np.testing.assert_array_equal(model(x), keras.saving.load_model(tmp_path / "model.keras")(x))


def test_boxes_are_drawn_where_they_are():
    picture = boxed(np.zeros([60, 80, 3], np.uint8), np.array([UNIT]), np.array([OTHER]), ["x"])
    assert picture.shape == (240, 320, 3)
    assert picture[0, 10].tolist() == [0, 255, 0] and picture[47, 63].tolist() == [0, 255, 0]
    assert picture[215, 200].tolist() == [255, 0, 0] and picture[150, 287].tolist() == [255, 0, 0]
    assert not picture[100:115, 70:150].any()
