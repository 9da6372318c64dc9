"""Image folders that do not fit into memory, by a bound of 0 bytes, and what layouts and sizes mean."""

import copy
import os

import numpy as np
import pytest
from PIL import Image

from sfumato.datasets import DataNote, image_files, load_dataset, on_demand
from sfumato.datasets.on_demand import OnDemand, in_threads, read_ahead
from sfumato.errors import DataError, SettingError

pytestmark = pytest.mark.filterwarnings("ignore::sfumato.errors.DataNote")


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setattr(on_demand, "HELD_BYTES", 0)


def picture(path, shape=(16, 16, 3), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


def fill(root, parts=("train", "test"), classes="ab", count=6):
    for p, part in enumerate(parts):
        for c, name in enumerate(classes):
            for index in range(count):
                picture(root / part / name / f"{index}.png", seed=[p, c, index])
    return root


@pytest.mark.parametrize("parts", [("train", "test"), (".",)])
def test_what_is_read_on_demand_is_what_would_be_held(tmp_path, monkeypatch, parts):
    fill(tmp_path, parts)
    held = load_dataset(tmp_path)
    monkeypatch.setattr(on_demand, "HELD_BYTES", 0)
    streamed = load_dataset(tmp_path)
    assert isinstance(held.train.x, np.ndarray)
    for name in ("train", "test"):
        one, other = getattr(held, name), getattr(streamed, name)
        assert isinstance(other.x, OnDemand)
        assert (other.x.shape, other.x.ndim, other.x.nbytes) == (one.x.shape, one.x.ndim, one.x.nbytes)
        assert np.array_equal(other.x[:], one.x)
        assert np.array_equal(np.asarray(other.x), one.x)
        assert np.array_equal(other.y, one.y)
        for rows in (1, slice(1, 4), [1, 0], np.array([1, 1])):
            assert np.array_equal(other.x[rows], one.x[rows])
        assert np.array_equal(other.part([1, 0]).part(slice(1)).x[:], one.x[[1]])
    assert np.allclose(streamed.channel_mean, held.channel_mean, atol=1e-6)
    assert np.allclose(streamed.channel_std, held.channel_std, atol=1e-6)
    batches = [np.array([4, 1]), np.array([0]), np.array([3, 2, 1]), np.array([0])]
    sent = copy.deepcopy(streamed.train.x)  # as a worker gets it
    found = list(read_ahead(sent, batches))
    assert all(np.array_equal(x, held.train.x[rows]) for x, rows in zip(found, batches, strict=True))


def test_work_in_threads_leaves_nothing_out_and_keeps_the_order(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert list(in_threads(lambda n: n * n, iter(range(10)), 10, at_a_time=3)) == [n * n for n in range(10)]


def test_the_checksum_is_of_contents_labels_order_and_size(tmp_path, streamed):
    root = fill(tmp_path / "d")
    found = load_dataset(root).checksum()
    moved = root.rename(tmp_path / "moved")
    os.utime(moved / "train" / "a" / "0.png", (1, 1))
    assert load_dataset(moved).checksum() == found
    assert load_dataset(moved, size=16).checksum() != found  # another rule makes the images
    (moved / "train" / "a" / "0.png").rename(moved / "train" / "b" / "9.png")
    relabelled = load_dataset(moved).checksum()
    picture(moved / "train" / "b" / "9.png", seed=[0, 0, 77])
    assert len({found, relabelled, load_dataset(moved).checksum()}) == 3


def test_a_file_that_changes_after_its_folder_was_read_is_refused(tmp_path, streamed):
    data = load_dataset(fill(tmp_path))
    picture(tmp_path / "test" / "a" / "3.png", seed=99)
    assert data.test.x[:3].shape == (3, 3, 16, 16)
    with pytest.raises(DataError, match=r"a/3\.png: has changed since its folder was read; start"):
        data.test.x[:]


def test_what_is_known_of_many_files_is_kept_until_one_changes(tmp_path, streamed, monkeypatch):
    monkeypatch.setattr(image_files, "_WORTH_KEEPING", 0)
    monkeypatch.setattr(image_files, "_SETTLED_SECONDS", 0)
    looked = []
    header = image_files.read_header
    monkeypatch.setattr(image_files, "read_header", lambda *given: looked.append(given[1]) or header(*given))
    first = load_dataset(fill(tmp_path))
    assert len(looked) == 24
    again = load_dataset(tmp_path)
    assert (len(looked), again.checksum()) == (24, first.checksum())
    picture(tmp_path / "test" / "a" / "3.png", seed=99)
    assert load_dataset(tmp_path).checksum() != first.checksum()
    assert len(looked) == 36  # of the part that changed


@pytest.mark.parametrize("shape", [(40, 25, 3), (25, 40), (10, 13, 3), (16, 16, 3)])
def test_a_size_resizes_the_shorter_side_and_crops_the_middle(tmp_path, shape):
    """Numbers as of torchvision's Resize(16) and CenterCrop(16): int(16 * long / short), rounded halves."""
    for name in "ab":
        picture(tmp_path / name / "0.png", shape)
    sides = {(40, 25, 3): (16, 25), (25, 40): (25, 16), (10, 13, 3): (20, 16), (16, 16, 3): (16, 16)}[shape]
    left, top = {(16, 25): (0, 4), (25, 16): (4, 0), (20, 16): (2, 0), (16, 16): (0, 0)}[sides]
    with Image.open(tmp_path / "a" / "0.png") as image:
        expected = np.asarray(image.resize(sides, Image.Resampling.BILINEAR))[
            top : top + 16, left : left + 16
        ]
    expected = np.moveaxis(expected.reshape(16, 16, -1), -1, 0) / 255
    assert np.allclose(load_dataset(tmp_path, size=16).test.x[0], expected, atol=1e-6)


def test_deep_grey_keeps_its_levels_when_it_is_resized(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((20, 30), 30_001, np.uint16)).save(tmp_path / name / "0.png")
    assert np.allclose(load_dataset(tmp_path, size=16).test.x, 30_001 / 65_535, atol=1e-6)


def test_images_of_several_sizes_are_refused_without_a_size(tmp_path, refused):
    fill(tmp_path / "d")
    picture(tmp_path / "d" / "test" / "a" / "x.png", (20, 16, 3))
    refused(
        ["data", "d"],
        "has shape (3, 16, 16) but d/test/a/x.png (3, 20, 16); all must have the same shape: --size",
    )
    refused(["data", "d", "--size", "0"], "size must be")
    refused(["data", "digits", "--size", "8"], "size is for a folder of images, 'digits' is none")
    with pytest.raises(SettingError, match="none; leave it out"):
        load_dataset("mnist", size=8)


@pytest.mark.parametrize("held", [True, False])
def test_grey_beside_colour_becomes_colour_and_is_noted(tmp_path, monkeypatch, held):
    if not held:
        monkeypatch.setattr(on_demand, "HELD_BYTES", 0)
    fill(tmp_path)
    picture(tmp_path / "test" / "b" / "z.png", (16, 16))
    with pytest.warns(DataNote, match=r"test: 1 of 13 images are grey, and are read as colour .*z\.png"):
        data = load_dataset(tmp_path)
    assert data.input_shape == (3, 16, 16)
    last = data.test.x[12]
    assert np.array_equal(last[0], last[1])
    assert np.array_equal(last[0], last[2])


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_test_part_alone_is_a_test_set(tmp_path, part, sfumato):
    fill(tmp_path, [part], count=3)
    with pytest.warns(DataNote, match="no training images; classes are numbered .* 0 is a"):
        data = load_dataset(tmp_path)
    assert (len(data.train), len(data.test), data.class_names) == (0, 6, ("a", "b"))
    assert (data.input_shape, data.test.y.tolist()) == ((3, 16, 16), [0, 0, 0, 1, 1, 1])
    code, _, error = sfumato("train", "--data", tmp_path, "--alpha", 0.1, "--out", tmp_path / "m.safetensors")
    assert (code, error.splitlines()[-1]) == (
        2,
        f"error: {tmp_path}: holds no training images, which train needs; put them into train",
    )


def test_class_folders_that_are_called_like_a_part_stay_classes(tmp_path):
    fill(tmp_path, ["."], classes=["val", "other"], count=5)
    assert load_dataset(tmp_path).class_names == ("other", "val")


@pytest.mark.parametrize("folder", [".", "test"])
def test_images_without_classes_are_a_test_set_without_labels(tmp_path, folder):
    for index in range(3):
        picture(tmp_path / folder / f"{index}.png", seed=index)
    (tmp_path / folder / "notes.txt").write_text("x")
    data = load_dataset(tmp_path)
    assert (len(data.train), data.test.y.tolist(), data.class_names) == (0, [-1, -1, -1], ())
    assert "without class folders" in " ".join(data.notes)
    assert "notes.txt" in " ".join(data.notes)
    with pytest.raises(
        DataError, match="no labels, which risk needs; put them into one folder for each class"
    ):
        data.require_labels("risk")
