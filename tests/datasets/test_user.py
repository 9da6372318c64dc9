"""Folders of images, and what is done where there is no test set."""

import numpy as np
import pytest
from PIL import Image

from sfumato.datasets import Split, load_dataset
from sfumato.errors import DataError
from support import write_npz

RNG = np.random.default_rng(0)


def test_without_a_test_set_a_fixed_fifth_is_set_aside(tmp_path):
    path = write_npz(tmp_path / "d.npz", x=RNG.normal(size=(50, 4)), y=np.arange(50) % 2)
    first, again = load_dataset(str(path)), load_dataset(str(path))
    assert (len(first.train), len(first.test)) == (40, 10)
    assert first.checksum() == again.checksum()
    assert first.unit == "the data's own unit"
    rows = {tuple(row) for row in first.train.x} | {tuple(row) for row in first.test.x}
    assert len(rows) == 50


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
    with pytest.raises(DataError, match="all must have the same shape"):
        load_dataset(str(image_folder(tmp_path, sizes=((6, 5), (7, 5)))))


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
