import numpy as np
import pytest
from PIL import Image

from sfumato.datasets import Split, load_dataset
from sfumato.errors import DataError
from support import write_npz

RNG = np.random.default_rng(0)


def test_an_npz_of_bytes_becomes_pixels_in_the_unit_interval(tmp_path):
    x = RNG.integers(0, 256, (10, 5, 6), dtype=np.uint8)
    data = load_dataset(
        str(write_npz(tmp_path / "d.npz", x=x, y=np.arange(10) % 3, x_test=x, y_test=np.arange(10) % 3))
    )
    assert data.input_shape == (1, 5, 6)
    assert data.num_classes == 3
    assert np.array_equal(data.test.x[:, 0], x / np.float32(255))
    assert data.unit == "pixels in [0, 1]"


def test_channels_last_images_are_turned(tmp_path):
    x = RNG.random((10, 8, 7, 3)).astype(np.float32)
    data = load_dataset(str(write_npz(tmp_path / "d.npz", x=x, y=np.arange(10) % 2)))
    assert data.input_shape == (3, 8, 7)


def test_without_a_test_set_a_fixed_fifth_is_set_aside(tmp_path):
    path = write_npz(tmp_path / "d.npz", x=RNG.normal(size=(50, 4)), y=np.arange(50) % 2)
    first, again = load_dataset(str(path)), load_dataset(str(path))
    assert (len(first.train), len(first.test)) == (40, 10)
    assert first.checksum() == again.checksum()
    assert first.unit == "the data's own unit"
    rows = {tuple(row) for row in first.train.x} | {tuple(row) for row in first.test.x}
    assert len(rows) == 50


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((4, 2)), "y": np.zeros(3, int)}, "x has 4 examples but y has 3"),
        ({"x": np.array([[0.0], [np.nan]]), "y": np.array([0, 1])}, "example 1 holds NaN"),
        ({"x": np.zeros((2, 2)), "y": np.array([0, -1])}, "label -1 is negative"),
        ({"x": np.zeros((2, 2)), "y": np.array([0.0, 1.5])}, "whole numbers, got 1.5"),
        ({"x": np.zeros((2, 2))}, "lacks the array 'y'"),
        (
            {"x": np.zeros((2, 2)), "y": np.zeros(2, int), "x_test": np.zeros((2, 2))},
            "lacks the array 'y_test'",
        ),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, "no examples"),
        ({"x": np.array([["a"], ["b"]]), "y": np.array([0, 1])}, "must hold real numbers"),
    ],
)
def test_unusable_arrays_are_refused_in_one_line(tmp_path, arrays, words):
    with pytest.raises(DataError, match=words) as error:
        load_dataset(str(write_npz(tmp_path / "d.npz", **arrays)))
    assert "\n" not in str(error.value)


def test_an_npz_of_objects_is_not_unpickled(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([{}, {}], dtype=object), y=np.array([0, 1]))
    with pytest.raises(DataError, match="plain arrays"):
        load_dataset(str(path))


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a readable"):
        load_dataset(str(path))


def image_folder(root, sizes=((6, 5),), classes=("cat", "dog")):
    for name in classes:
        (root / name).mkdir(parents=True)
        for index in range(5):
            width, height = sizes[index % len(sizes)]
            pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def test_a_folder_of_images_is_read_by_class(tmp_path):
    image_folder(tmp_path / "train")
    image_folder(tmp_path / "test")
    data = load_dataset(str(tmp_path))
    assert data.class_names == ("cat", "dog")
    assert data.input_shape == (3, 5, 6)
    assert data.test.y.tolist() == [0] * 5 + [1] * 5
    with Image.open(tmp_path / "test" / "cat" / "0.png") as image:
        assert np.allclose(data.test.x[0], np.asarray(image).transpose(2, 0, 1) / 255)


def test_images_of_different_size_are_refused(tmp_path):
    with pytest.raises(DataError, match="all must be alike"):
        load_dataset(str(image_folder(tmp_path, sizes=((6, 5), (7, 5)))))


def test_a_file_that_only_looks_like_an_image_is_refused(tmp_path):
    image_folder(tmp_path)
    (tmp_path / "cat" / "9.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"9\.png: not a readable image"):
        load_dataset(str(tmp_path))


def test_an_unknown_name_says_what_is_accepted():
    with pytest.raises(DataError, match=r"'minst' is not known; accepted are digits, mnist, .*\.npz"):
        load_dataset("minst")


def test_a_data_dir_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not a directory"):
        load_dataset("mnist", tmp_path / "nowhere")


def test_a_split_takes_every_order_of_bytes_and_strides_and_no_bytes():
    x, y = RNG.random((6, 4)), np.arange(6) % 2
    split = Split(x.astype(">f4")[::-1], y.astype(">i2")[::-1])
    assert np.array_equal(split.x, x[::-1].astype(np.float32))
    assert (split.x.dtype, split.x.flags["C_CONTIGUOUS"], split.y.dtype) == (np.float32, True, np.int64)
    assert split.y.tolist() == y[::-1].tolist()
    with pytest.raises(DataError, match="floating point numbers in the unit of the noise, got uint8"):
        Split((255 * x).astype(np.uint8), y)
    with pytest.raises(DataError, match="y must be whole numbers, got float64"):
        Split(x, y.astype(float))
