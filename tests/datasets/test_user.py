"""What is done where there is no test set, and what a split takes."""

import numpy as np
import pytest

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
