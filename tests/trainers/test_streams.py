"""Images that are read while they are trained on: which, in which order, and what is damaged."""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import configs.rn18_digits
from trainers import datasets
from trainers.datasets.encoded import Folder, Records, folder_parts
from trainers.datasets.parts import Part
from trainers.datasets.streams import Stream
from trainers.loop.errors import DamagedDataError
from trainers.tasks.classification import ImageClassification
from trainers.tasks.configured import experiment

ROOT = pathlib.Path(__file__).parents[2]
CLASSES = ("ant", "bee", "cat")


def picture(value, height=20, width=24, kind="png"):
    """Return an encoded image of one colour, so that it can be told from others."""
    pixels = np.full([height, width, 3], value, np.uint8)
    encode = {"png": tf.io.encode_png, "jpeg": lambda x: tf.io.encode_jpeg(x, quality=100)}
    return encode[kind](pixels).numpy()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder of images: 45 to train on, of values 0 to 44, and nine of 100 to 108 to test."""
    place = tmp_path_factory.mktemp("folder")
    for part, first, count in (("train", 0, 45), ("val", 100, 9)):
        for index in range(count):
            kind = "jpeg" if index % 2 else "png"
            path = place / part / CLASSES[index % 3] / f"image_{index:03d}.{kind}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(first + index, kind=kind))
    (place / "train" / "ant" / "notes.txt").write_text("no image")
    return place


@pytest.fixture(scope="session")
def tfds(tmp_path_factory):
    """Files of records: 4, 7 and 5 images of values 0 to 15, of label value % 3."""
    place = tmp_path_factory.mktemp("records")
    files, value, counts = [], 0, (4, 7, 5)
    for shard, count in enumerate(counts):
        files.append(str(place / f"shard-{shard}"))
        with tf.io.TFRecordWriter(files[-1]) as writer:
            for _ in range(count):
                features = {
                    "image": tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[picture(10 * value)])
                    ),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[value % 3])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
                value += 1
    return files, counts


def whole(source):
    return Part(source, np.arange(source.shards[-1], dtype=np.int64))


def stream(source, test=None, **changes):
    given = {
        "description": "images",
        "train_part": whole(source),
        "test_part": whole(test or source),
        "input_shape": (20, 24, 3),
        "classes": 3,
        "flip": False,
        "is_normalised": False,
    }
    return Stream(**{**given, **changes})


def values(batches):
    """Return which images were seen, by their colour."""
    found = [np.rint(255 * images.numpy()[:, 10, 12, 0]).astype(int) for images, _ in batches]
    return np.concatenate(found).tolist()


@pytest.fixture
def numbered(folder):
    parts = folder_parts(folder)
    return stream(parts["train"], parts["val"])


# --- sources --------------------------------------------------------------------------------------


def test_a_folder_has_its_images_and_their_classes(folder):
    parts = folder_parts(folder)
    assert {name: part.shards.tolist() for name, part in parts.items()} == {
        "train": [0, 45],
        "val": [0, 9],
    }
    for number in range(45):
        encoded, label = parts["train"].read(number)
        path = pathlib.Path(parts["train"].name(number))
        assert path.parent.name == CLASSES[label]
        assert encoded == path.read_bytes()


def test_records_are_read_by_their_number_in_any_order(tfds):
    files, counts = tfds
    source = Records(files, counts)
    assert source.shards.tolist() == [0, 4, 11, 16]
    for number in [15, 0, 3, 4, 10, 11, 7]:
        encoded, label = source.read(number)
        assert encoded == picture(10 * number) and label == number % 3
    assert source.name(4) == f"{files[1]}, record 0"


@pytest.mark.parametrize("damage", ["cut", "longer", "head", "fewer"])
def test_a_damaged_file_of_records_is_named(tfds, tmp_path, damage):
    files, counts = tfds
    path = tmp_path / "shard"
    whole = pathlib.Path(files[1]).read_bytes()
    path.write_bytes(
        {
            "cut": whole[:-20],
            "longer": whole + b"more",
            "head": b"\xff" * 8 + whole[8:],
            "fewer": whole,
        }[damage]
    )
    source = Records([str(path)], [counts[1] + (damage == "fewer")])
    with pytest.raises(ValueError, match="is damaged, or no TFRecord file: it must have") as caught:
        source.read(0)
    assert str(path) in str(caught.value)
    assert Records([files[1]], [counts[1]]).read(0)  # the control


def test_the_label_file_of_tiny_imagenet(folder, tmp_path):
    place = tmp_path / "tiny"
    shutil.copytree(folder / "train", place / "train")
    (place / "val" / "images").mkdir(parents=True)
    lines = []
    for index in range(4):
        (place / "val" / "images" / f"val_{index}.JPEG").write_bytes(picture(index))
        lines.append(f"val_{index}.JPEG\t{CLASSES[index % 3]}\t0\t0\t62\t62")
    annotations = place / "val" / "val_annotations.txt"
    annotations.write_text("\n".join(lines) + "\n")
    part = folder_parts(place)["val"]
    assert [part.read(number)[1] for number in range(4)] == [0, 1, 2, 0]
    for text, message in [
        ("\n".join([*lines[:2], "val_2.JPEG\tdog"]), "line 3, must be an image, a tab and a class"),
        ("\n".join(lines[:3]), r"must name every image .*val_3\.JPEG"),
        ("\n".join([*lines, "val_9.JPEG\tant"]), r"must name every image .*val_9\.JPEG"),
    ]:
        annotations.write_text(text)
        with pytest.raises(ValueError, match=message) as caught:
            folder_parts(place)
        assert str(annotations) in str(caught.value)


def test_a_folder_that_is_none_of_images_is_refused_with_its_name(folder, tmp_path):
    with pytest.raises(ValueError, match="must have train/, with a folder for each class"):
        folder_parts(tmp_path)
    shutil.copytree(folder / "train", tmp_path / "train")
    with pytest.raises(ValueError, match=r"val must have a folder of images for each class"):
        folder_parts(tmp_path)
    shutil.copytree(folder / "val", tmp_path / "val")
    assert folder_parts(tmp_path)
    (tmp_path / "val" / "dog").mkdir()
    with pytest.raises(ValueError, match="val/dog must be named after a class"):
        folder_parts(tmp_path)


# --- order ----------------------------------------------------------------------------------------


def test_an_epoch_sees_every_image_once_and_each_in_another_order(numbered):
    epochs = [values(numbered.train(9, 0, 5 * epoch).take(5)) for epoch in range(3)]
    for seen in epochs:
        assert sorted(seen) == list(range(45))
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != sorted(epochs[0])
    assert values(numbered.train(9, 1).take(5)) != epochs[0]


def test_labels_go_with_their_images(numbered):
    for images, labels in numbered.train(9, 0).take(5):
        seen = np.rint(255 * images.numpy()[:, 10, 12, 0]).astype(int)
        assert [value % 3 for value in seen] == labels.numpy().tolist()


@pytest.mark.parametrize("start", [0, 1, 4, 5, 6, 13])
@pytest.mark.parametrize("is_cropped", [True, False])
def test_from_any_step_the_batches_are_those_of_a_run_left_alone(numbered, start, is_cropped):
    data = dataclasses.replace(numbered, flip=True, shift=3, is_cropped=is_cropped)
    whole = list(data.train(8, 3).take(start + 3))[start:]
    for (one, label), (two, other) in zip(whole, data.train(8, 3, start).take(3), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(label, other)


def test_what_was_read_is_not_read_again(numbered):
    """Going on at step 4 of five reads no image of the steps before it."""
    read = []

    class Watched(Folder):
        def read(self, number):
            read.append(number)
            return super().read(number)

    source = numbered.train_part.source
    watched = Watched(source._files, source._labels)
    data = dataclasses.replace(numbered, train_part=whole(watched))
    order = data.order(0, 0)
    next(iter(data.train(9, 0, 4)))
    before = set(order[:36].tolist())
    # Of the epoch that follows some are read ahead.
    assert not before & set(read[:9]) and set(order[36:].tolist()) == set(read[:9])


def test_shards_are_shuffled_in_groups_that_stay_together(tfds):
    data = stream(Records(*tfds), interleaved=2)
    shard_of = np.repeat([0, 1, 2], tfds[1])
    seen = set()
    for epoch in range(20):
        order = data.order(0, epoch)
        assert sorted(order) == list(range(16))
        shards = shard_of[order]
        # The last group is one shard alone.
        (last,) = {*shards} - {*shards[: 16 - tfds[1][shards[-1]]]} or {None}
        assert last == shards[-1]
        seen.add(int(last))
        mixed = shards[: 16 - tfds[1][last]]
        assert np.count_nonzero(np.diff(mixed)) > 1
    assert seen == {0, 1, 2}
    np.testing.assert_array_equal(
        data.order(0, 3), stream(Records(*tfds), interleaved=2).order(0, 3)
    )


def test_the_order_is_written_down():
    """That of NumPy's frozen generator: a run goes on under another version with the same order."""
    source = Folder([""] * 8, range(8))
    assert stream(source).order(0, 0).tolist() == [2, 6, 0, 4, 1, 3, 5, 7]


# --- splits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test", "validation", "both"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_splits_are_those_of_images_in_memory(numbered, name, share):
    grey = np.arange(45, dtype=np.uint8)[:, None, None, None]
    tests = np.arange(100, 109, dtype=np.uint8)[:, None, None, None]
    memory = datasets.Images("", grey, np.arange(45), tests, np.arange(9), 3, False)
    found, expected = numbered.split(name).thinned(share), memory.split(name).thinned(share)
    assert found.num_train == expected.num_train
    np.testing.assert_array_equal(found.train_part.numbers, expected.train_labels)
    if expected.val_labels is not None:
        np.testing.assert_array_equal(found.val_part.numbers, expected.val_labels)
        # Files are in order of their classes, and so are their numbers.
        seen = values(found.evaluate(64, "val"))
        by_class = sorted(range(45), key=lambda value: value % 3)
        assert seen == [by_class[number] for number in expected.val_labels]
    assert len(found.test_part.numbers) == len(expected.test_labels)
    if name == "validation":
        with pytest.raises(ValueError, match="`evaluation` must be one that has images"):
            found.evaluate(4)
    else:
        assert values(found.evaluate(4)) == [
            100, 103, 106, 101, 104, 107, 102, 105, 108
        ]  # fmt: skip
    with pytest.raises(ValueError, match="`split` must be one of test"):
        numbered.split("train")


# --- augmentation ---------------------------------------------------------------------------------


def ramp(height, width):
    """An image whose red is its row and whose green is its column."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([rows, columns, np.full_like(rows, 200)], -1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_crop_is_a_part_of_the_photograph_of_the_area_and_the_sides_that_it_should_have(kind):
    encode = tf.io.encode_png if kind == "png" else lambda x: tf.io.encode_jpeg(x, quality=100)
    encoded = encode(ramp(160, 200))
    data = stream(Folder([""], [0]), is_cropped=True, input_shape=(32, 32, 3))
    areas, ratios = [], []
    for key in range(60):
        part = data._part_of(encoded, tf.constant([key, 0], tf.int64)).numpy()
        height = (part[-1, :, 0] - part[0, :, 0]).mean() * 32 / 31
        width = (part[:, -1, 1] - part[:, 0, 1]).mean() * 32 / 31
        areas.append(height * width / (160 * 200))
        ratios.append(width / height)
    assert 0.07 < min(areas) < 0.3 and 0.7 < max(areas) <= 1.05
    assert 0.7 < min(ratios) < 0.9 and 1.15 < max(ratios) < 1.4


def test_the_middle_of_a_photograph_is_evaluated():
    data = stream(Folder([""], [0]), is_cropped=True, input_shape=(56, 56, 3))
    middle = data._as_it_is(tf.io.encode_png(ramp(128, 200))).numpy()
    side = 128 * 224 / 256
    for axis, length in ((0, 128), (1, 200)):
        lines = middle[..., axis].mean(axis=1 - axis)
        assert lines.mean() == pytest.approx((length - 1) / 2, abs=0.5)
        assert (lines[-1] - lines[0]) * 56 / 55 == pytest.approx(side, rel=0.02)


def test_images_of_another_size_are_made_to_fit(numbered):
    data = dataclasses.replace(numbered, input_shape=(8, 8, 3))
    images, _ = next(iter(data.evaluate(4)))
    assert images.shape == (4, 8, 8, 3)
    assert values([(tf.image.resize(images, (20, 24)), None)]) == [100, 103, 106, 101]


def test_a_shift_is_as_far_as_it_should_be_and_half_are_mirrored():
    data = stream(Folder([""], [0]), shift=2, flip=True, input_shape=(40, 40, 3))
    encoded = tf.io.encode_png(ramp(40, 40))
    moved, mirrored = set(), 0
    for key in range(120):
        image = data._augmented(encoded, tf.constant([0, key], tf.int64)).numpy()
        mirrored += image[20, 30, 1] < image[20, 10, 1]
        moved.add(int(image[20, 20, 0]) - 20)
    assert moved == {-2, -1, 0, 1, 2}
    assert 40 < mirrored < 80


def test_normalised_images_have_the_mean_of_imagenet(numbered):
    plain, normalised = (
        next(iter(dataclasses.replace(numbered, is_normalised=n).evaluate(9)))[0].numpy()
        for n in (False, True)
    )
    expected = (plain - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(normalised, expected, rtol=1e-5, atol=1e-6)
    assert numbered.plain().is_normalised is False
    assert dataclasses.replace(numbered, is_cropped=True).plain().is_cropped is False


# --- data sets ------------------------------------------------------------------------------------


def test_facts_of_a_folder_are_what_is_in_it(folder):
    known = datasets.facts(str(folder))
    assert known == datasets.Facts((224, 224, 3), 3, 45, 9, True, 0, True, True)
    assert datasets.facts(str(folder), 32).input_shape == (32, 32, 3)
    data = datasets.get(str(folder), size=32)
    assert (data.num_train, data.input_shape) == (45, (32, 32, 3))
    with pytest.raises(ValueError, match="`image_size` must be 0 for images that are held in"):
        datasets.facts("cifar10", 64)
    with pytest.raises(ValueError, match="`dataset` must be a folder that is there"):
        datasets.facts(str(folder / "no"))


def test_a_known_data_set_must_be_whole(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "tiny-imagenet-200")
    datasets.check("tiny_imagenet", str(tmp_path))
    with pytest.raises(ValueError, match=r"'tiny_imagenet' must have shape.*200, 100000, 10000"):
        datasets.get("tiny_imagenet", str(tmp_path))


@pytest.mark.parametrize("name", ["imagenet", "tiny_imagenet"])
def test_what_is_missing_is_told_with_what_works(name, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        datasets.check(name, str(tmp_path))
    said = str(caught.value)
    assert f"python -m trainers.fetch {name} --data_dir={tmp_path}" in said
    assert "Without a download works --dataset=digits" in said
    assert str(tmp_path / {"imagenet": "imagenet"}.get(name, "tiny-imagenet-200")) in said


def test_tiny_imagenet_is_unpacked_whole_or_not_at_all(folder, tmp_path, monkeypatch):
    archive = tmp_path / "archive"
    shutil.copytree(folder, tmp_path / "made" / "tiny-imagenet-200")
    shutil.make_archive(str(archive), "zip", tmp_path / "made")
    place = tmp_path / "data"
    address = archive.with_suffix(".zip").as_uri()
    digest = hashlib.md5(archive.with_suffix(".zip").read_bytes()).hexdigest()
    # Another file there, or none.
    for found in ((address, 32 * "0"), ("file:///no.zip", digest)):
        monkeypatch.setattr("trainers.datasets.sources._ARCHIVES", {"tiny_imagenet": found})
        with pytest.raises(OSError, match="cannot be downloaded"):
            datasets.fetch("tiny_imagenet", str(place))
        assert list(place.iterdir()) == []
    known = {"tiny_imagenet": (address, digest)}
    monkeypatch.setattr("trainers.datasets.sources._ARCHIVES", known)
    assert datasets.fetch("tiny_imagenet", str(place)) == str(place / "tiny-imagenet-200")
    assert [each.name for each in place.iterdir()] == ["tiny-imagenet-200"]
    assert folder_parts(place / "tiny-imagenet-200")["train"].shards[-1] == 45
    assert datasets.fetch("tiny_imagenet", str(place)) == str(place / "tiny-imagenet-200")


def test_imagenet_of_tensorflow_datasets_is_streamed(tmp_path, monkeypatch):
    """In its layout, as TensorFlow Datasets writes it; what it reads is what is streamed."""
    import tensorflow_datasets

    draw = np.random.default_rng(0)
    features = tensorflow_datasets.features.FeaturesDict(
        {
            "image": tensorflow_datasets.features.Image(encoding_format="jpeg"),
            "label": tensorflow_datasets.features.ClassLabel(num_classes=1000),
            "file_name": tensorflow_datasets.features.Text(),
        }
    )

    def photographs(count):
        for number in range(count):
            image = draw.integers(0, 256, (30 + number, 40, 3), np.uint8)
            yield {"image": image, "label": 7 * number, "file_name": f"n{number}"}

    made = {
        split: tf.data.Dataset.from_generator(
            lambda count=count: photographs(count),
            output_signature={
                "image": tf.TensorSpec([None, 40, 3], tf.uint8),
                "label": tf.TensorSpec([], tf.int64),
                "file_name": tf.TensorSpec([], tf.string),
            },
        )
        for split, count in (("train", 12), ("validation", 5))
    }
    tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
        "imagenet2012", "5.1.0", features, made, data_dir=str(tmp_path)
    )
    small = dataclasses.replace(datasets.facts("imagenet"), num_train=12, num_test=5)
    monkeypatch.setitem(sys.modules["trainers.datasets.facts"]._FACTS, "imagenet", small)
    datasets.check("imagenet", str(tmp_path))
    data = datasets.get("imagenet", str(tmp_path), size=24)
    images, labels = next(iter(data.train(12, 0)))
    assert images.shape == (12, 24, 24, 3)
    assert sorted(labels.numpy()) == [7 * number for number in range(12)]
    builder = tensorflow_datasets.builder("imagenet2012", data_dir=str(tmp_path))
    skipped = {"image": tensorflow_datasets.decode.SkipDecoding()}
    expected = builder.as_dataset("validation", decoders=skipped, shuffle_files=False)
    for number, one in enumerate(expected.as_numpy_iterator()):
        assert data.test_part.source.read(number) == (one["image"], one["label"])


# --- training -------------------------------------------------------------------------------------


def task(folder, **changes):
    given = configs.rn18_digits.get_config().to_dict()
    smaller = {"model": "resnet8", "dataset": str(folder), "image_size": 16, "batch_size": 9}
    made = ImageClassification.of({**given, **smaller, "epochs": 2, **changes})
    made.data = made.load(made.config)
    return made


def test_a_training_on_a_folder_is_that_of_memory(folder, tmp_path):
    made = task(folder, split="both")
    assert made.steps_per_epoch == 40 // 9
    record = experiment(made, tmp_path).run()
    assert record.status == "finished"
    assert {"val_accuracy", "test_accuracy"} <= record.final.keys()
    assert record.counted["test_accuracy"] == 9


def test_a_damaged_record_is_named(tfds, tmp_path):
    files, counts = tfds
    path = tmp_path / "shard"
    whole = bytearray(pathlib.Path(files[1]).read_bytes())
    whole[12:60] = b"\xff" * 48
    path.write_bytes(whole)
    data = stream(Records([str(path)], [counts[1]]))
    said = data.damage(4, 0, 0)
    assert f"An image cannot be read: {path}, record 0 (the record is damaged" in said
    assert stream(Records(files, counts)).damage(4, 0, 0) is None


def test_out_of_memory_is_not_taken_for_a_damaged_image(folder, tmp_path, monkeypatch):
    made = task(folder)
    monkeypatch.setattr(made, "damage", lambda *arguments: "An image cannot be read")
    run = experiment(made, tmp_path)
    run.compiled.begin(made, 0, made.run.total)
    run._look_at_data(tf.errors.ResourceExhaustedError(None, None, "no memory"), None)
    with pytest.raises(DamagedDataError):
        run._look_at_data(tf.errors.InvalidArgumentError(None, None, "no image"), None)


def test_other_evaluations_than_those_of_the_data_have_no_damage(folder):
    assert task(folder).damage(0, "samples") is None


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text", "gone"])
def test_a_damaged_image_is_named(folder, tmp_path, part, damage):
    copied = tmp_path / "folder"
    shutil.copytree(folder, copied)
    made = task(copied)
    path = copied / part / "bee" / "image_001.jpeg"
    if damage == "gone":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[:40], "empty": b"", "text": b"<html>"}[damage])
    with pytest.raises(DamagedDataError, match="An image cannot be read") as caught:
        experiment(made, tmp_path / "runs").run()
    assert str(path) in str(caught.value)


def test_the_program_names_a_damaged_image_and_goes_on_when_it_is_mended(folder, tmp_path):
    copied = tmp_path / "folder"
    shutil.copytree(folder, copied)
    path = copied / "train" / "bee" / "image_001.jpeg"
    whole = path.read_bytes()
    path.write_bytes(whole[:40])
    words = [
        *(sys.executable, "-m", "trainers.imagenet", f"--dataset={copied}", "--image_size=16"),
        *("--model=resnet8", "--epochs=1", "--batch_size=9", f"--logdir={tmp_path / 'runs'}"),
    ]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert ended.returncode == 2, ended.stderr
    assert f"An image cannot be read: {path}" in ended.stderr
    assert "Traceback" not in ended.stderr
    path.write_bytes(whole)
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert ended.returncode == 0, ended.stderr
