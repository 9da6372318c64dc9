"""Official files as torchvision, Kaggle and people lay them out: found by name and by path."""

import gzip
import shutil
import struct

import numpy as np
import pytest

from sfumato.datasets import load_dataset
from sfumato.datasets.idx import NAMES, read_idx
from sfumato.errors import DataError
from support import SHARED_DATA

PARTS = {part: name.removesuffix(".gz") for part, name in NAMES.items()}
RNG = np.random.default_rng(0)


def idx_bytes(array):
    return struct.pack(f">I{array.ndim}I", 0x0800 | array.ndim, *array.shape) + array.tobytes()


SMALL = idx_bytes(np.zeros((2, 3, 4), np.uint8))


def write_set(folder, rename=lambda name: name, pack=lambda content: content, labels=3):
    """Write a small set in MNIST's format; return its training images."""
    folder.mkdir(parents=True)
    images = {}
    for part, name in PARTS.items():
        count = 9 if part.startswith("train") else 6
        shape = (count, 4, 5) if part.endswith("x") else (count,)
        array = RNG.integers(0, 256, shape, dtype=np.uint8) if len(shape) > 1 else np.arange(count) % labels
        images[part] = array.astype(np.uint8)
        (folder / rename(name)).write_bytes(pack(idx_bytes(images[part])))
    return images["train_x"]


@pytest.mark.parametrize("below", ["", "raw"])
@pytest.mark.parametrize(
    ("rename", "pack"),
    [
        (lambda name: name, lambda content: content),
        (lambda name: f"{name}.gz", gzip.compress),
        (lambda name: name.replace("-idx", ".idx"), lambda content: content),
        (lambda name: f"{name}.gz", lambda content: content),  # unpacked by a browser, which keeps the name
    ],
)
def test_idx_files_are_read_from_the_folder_that_is_given(tmp_path, below, rename, pack):
    images = write_set(tmp_path / "set" / below, rename, pack)
    data = load_dataset(str(tmp_path / "set"))
    assert np.array_equal(data.train.x[:, 0], images / np.float32(255))
    assert (data.num_classes, len(data.test), data.unit) == (3, 6, "pixels in [0, 1]")


def test_some_of_the_files_are_not_enough(tmp_path):
    write_set(tmp_path / "mnist")
    (tmp_path / "mnist" / PARTS["test_y"]).unlink()
    for arguments in ([tmp_path / "mnist"], ["mnist", tmp_path]):
        with pytest.raises(DataError, match=r"lacks t10k-labels-idx1-ubyte\.gz"):
            load_dataset(*arguments)
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3073))
    with pytest.raises(DataError, match=r"lacks data_batch_2\.bin"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("layout", ["MNIST/raw", "mnist", "raw", "."])
def test_mnist_is_found_in_torchvisions_layout_unpacked(tmp_path, mnist, layout):
    folder = tmp_path / layout
    folder.mkdir(parents=True, exist_ok=True)
    for name in PARTS.values():
        with gzip.open(SHARED_DATA / "mnist" / f"{name}.gz") as packed, (folder / name).open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    assert load_dataset("mnist", str(tmp_path)).checksum() == mnist.checksum()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SMALL[:-1], "truncated, 39 bytes where the header announces 40"),
        (SMALL + b"x", "too long"),
        (SMALL[:5], "fewer than the header"),
        (b"\0\0\x0d" + SMALL[3:], "wrong magic number 0x00000d03, must be 0x00000803"),
        (struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1), "truncated"),
        (gzip.compress(struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 9), mtime=0), "cannot hold"),
        (struct.pack(">4I", 0x803, 0, 28, 28), "holds no values"),
        (struct.pack(">4I", 0x803, 0, 2**32 - 1, 2**32 - 1), "holds no values"),
        (gzip.compress(SMALL + b"x", mtime=0), "too long"),
        (gzip.compress(SMALL, mtime=0)[:-4], "not a readable gzip file"),
        (gzip.compress(b"", mtime=0), "truncated"),
        (b"\x1f\x8b", "not a readable gzip file"),
        (b"", "truncated"),
    ],
)
def test_a_damaged_idx_file_is_refused_before_memory_is_asked_for(tmp_path, content, words):
    (tmp_path / "i").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_idx(tmp_path / "i", 3)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_missing_set_that_is_not_to_be_fetched_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr("sfumato.datasets.locate.data_roots", lambda data_dir: [tmp_path])
    with pytest.raises(DataError, match=f"{name}: not found locally; name its folder by --data-dir"):
        load_dataset(name, fetch=False)
