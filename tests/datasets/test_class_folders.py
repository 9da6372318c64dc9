"""Folders of images as they lie on disks: with hidden, empty, nested and misnamed things among them."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.datasets import DataNote, load_dataset
from sfumato.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::sfumato.errors.DataNote")


def fill(folder, shades=range(0, 250, 50), suffix="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for shade in shades:
        Image.fromarray(np.full((8, 8), shade, np.uint8)).save(folder / f"{shade}.{suffix}")
    return folder


@pytest.fixture
def root(tmp_path):
    for name in "ab":
        fill(tmp_path / "d" / name)
    return tmp_path / "d"


def nested(root):
    fill(root / "a" / "more")


def text_file(root):
    (root / "a" / "labels.txt").write_text("x")


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda root: fill(root / ".ipynb_checkpoints"), "hidden folders are no classes .*ipynb"),
        (lambda root: fill(root / "__MACOSX"), "hidden folders are no classes .*__MACOSX"),
        (lambda root: (root / "empty").mkdir(), r"empty folders are no classes \(1: empty\)"),
        (nested, r"folders inside class folders are not read \(1: a/more\)"),
        (lambda root: fill(root, [7]), r"images beside the class folders are not read \(1: 7.png\)"),
        (text_file, r"without an image's suffix are not read \(1: a/labels.txt\)"),
        (lambda root: (root / "a" / "._0.png").write_bytes(b"x"), "hidden files are not read"),
        (lambda root: (root / "a" / ".DS_Store").write_bytes(b"x"), "hidden files are not read"),
    ],
)
def test_what_is_no_class_and_no_image_is_left_aside_and_said(root, add, words):
    add(root)
    with pytest.warns(DataNote, match=words):
        data = load_dataset(root)
    assert (data.class_names, len(data.train) + len(data.test)) == (("a", "b"), 10)
    assert len(data.notes) == 1


def test_a_plain_folder_has_no_notes(root):
    assert load_dataset(root).notes == ()


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda root: fill(root / "c" / "more"), r"c: holds no image but the folder c/more"),
        (lambda root: fill(root / "c", suffix="jp2"), r"c: holds no image but c/0\.jp2"),
        (lambda root: (root / "a" / "x.png").write_bytes(b""), "not a readable image"),
        (lambda root: os.mkfifo(root / "a" / "x.png"), "is a FIFO"),
        (lambda root: fill(root / "c\nd"), "control characters"),
        (
            lambda root: Image.new("L", (7, 8)).save(root / "a" / "x.png"),
            r"\(1, 8, 7\); all must have the same shape",
        ),
    ],
)
def test_what_would_silently_be_missing_is_refused(root, add, words):
    add(root)
    with pytest.raises(DataError, match=words):
        load_dataset(root)


def test_a_class_whose_name_is_not_utf_8_is_refused_at_once(root):
    fill(root / os.fsdecode(b"caf\xe9"))
    with pytest.raises(DataError, match=r"'caf\\udce9' is not UTF-8"):
        load_dataset(root)


def test_a_path_that_is_not_utf_8_is_refused_at_once(root):
    renamed = root.rename(root.with_name(os.fsdecode(b"d\xe9")))
    with pytest.raises(DataError, match="is not UTF-8"):
        load_dataset(renamed)


@pytest.mark.parametrize(
    ("train", "others", "test", "noted"),
    [
        ("train", ["test"], "test", False),
        ("Training", ["Testing"], "Testing", False),
        ("train", ["val"], "val", True),
        ("training", ["validation"], "validation", True),
        ("train", ["test", "val"], "test", True),
    ],
)
def test_the_parts_are_found_under_their_usual_names(tmp_path, train, others, test, noted):
    for number, part in enumerate([train, *others]):
        for name in "ab":
            fill(tmp_path / part / name, range(number, 40, 10))
    data = load_dataset(tmp_path)
    assert data.class_names == ("a", "b")
    assert np.unique(data.train.x * 255).round().tolist() == [0, 10, 20, 30]
    assert (data.test.x.min() * 255).round() == 1 + others.index(test)
    assert data.test.y.tolist() == sorted(data.test.y) == [0] * 4 + [1] * 4
    assert bool(data.notes) == noted


def test_the_validation_set_is_taken_where_the_test_set_has_no_classes(tmp_path):
    for number, part in enumerate(["train", "val"]):
        for name in "ab":
            fill(tmp_path / part / name, range(number, 40, 10))
    fill(tmp_path / "test", [7])
    data = load_dataset(tmp_path)
    assert ((data.test.x.min() * 255).round(), data.test.y.tolist()) == (1, [0] * 4 + [1] * 4)
    assert f"{tmp_path}: test holds no class folders, so val is the test set" in data.notes
    assert f"{tmp_path}: test is not used" in data.notes


def test_a_test_set_without_classes_is_refused_without_a_validation_set(tmp_path):
    for name in "ab":
        fill(tmp_path / "train" / name)
    fill(tmp_path / "test", [7])
    for part in ("test", "val"):
        fill(tmp_path / part, [7])
        with pytest.raises(DataError, match="test: holds no images in class folders"):
            load_dataset(tmp_path)


def test_a_folder_with_a_training_part_only_is_split(tmp_path):
    for name in "ab":
        fill(tmp_path / "train" / name)
    data = load_dataset(tmp_path)
    assert (data.class_names, len(data.train), len(data.test)) == (("a", "b"), 8, 2)


def test_two_folders_for_one_part_are_refused(tmp_path):
    for part in ("train", "val", "valid"):
        fill(tmp_path / part / "a")
    with pytest.raises(DataError, match="both val and valid"):
        load_dataset(tmp_path)


def test_a_class_without_training_images_is_refused(tmp_path):
    for name in "abc":
        fill(tmp_path / "train" / name, range(5 * (name != "c")))
        fill(tmp_path / "test" / name)
    with pytest.raises(DataError, match="class 'c' is not among those in"):
        load_dataset(tmp_path)


def test_remarkable_images_are_counted_in_one_note(root):
    for shade in (1, 2):
        Image.new("LA", (8, 8), (shade, 9)).save(root / "a" / f"{shade}.png")
    (line,) = load_dataset(root).notes
    assert line == f"{root}: 2 of 12 images have an alpha channel, which is dropped (first: 1.png)"


def test_depths_may_differ_within_a_folder(root):
    Image.fromarray(np.full((8, 8), 13107, np.uint16)).save(root / "a" / "deep.png")  # 0.2 of 65535
    data = load_dataset(root)
    values = np.concatenate([data.train.x, data.test.x]).reshape(11, -1).max(axis=1)
    assert np.isclose(values, 0.2).sum() == 1


@pytest.mark.parametrize(
    "name", ["a" * 300, "a" * 5000, "a" * 300 + ".npz", "a\0b", "/dev/null", "/dev/null.npz"]
)
def test_a_name_that_is_no_data_set_is_refused_in_one_line(name):
    with pytest.raises(DataError) as error:
        load_dataset(name)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 5500


@pytest.mark.parametrize("name", [3, None, b"digits", ["digits"]])
def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(DataError, match="must be a name or a path as text"):
        load_dataset(name)


@pytest.mark.parametrize("folder", ["a" * 300, "nowhere", Path("nowhere")])
def test_a_data_dir_that_does_not_exist_is_refused(folder):
    with pytest.raises(DataError, match="is not a directory"):
        load_dataset("mnist", folder)
