"""Official formats, read strictly: each damage gives one clear line."""

import gzip
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from sfumato.datasets import cifar, load_dataset
from sfumato.datasets.cifar import parse_binary_batch, parse_python_batch
from sfumato.errors import DataError
from support import SHARED_DATA


def test_mnist_is_the_official_one(mnist):
    assert (len(mnist.train), len(mnist.test), mnist.input_shape) == (60_000, 10_000, (1, 28, 28))
    assert np.bincount(mnist.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.train.x.dtype == np.float32
    assert (mnist.train.x.min(), mnist.train.x.max()) == (0.0, 1.0)
    assert mnist.channel_mean[0] == pytest.approx(0.1307, abs=1e-4)


def test_a_changed_pixel_is_a_wrong_checksum(mnist, tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    for file in (SHARED_DATA / "mnist").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    content = bytearray(gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes()))
    content[500] ^= 1
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(content), 1))
    with pytest.raises(DataError, match="wrong checksum"):
        load_dataset("mnist", tmp_path)


def cifar_arrays():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (20, 3072), dtype=np.uint8), rng.integers(0, 10, 20)


class Hostile:
    def __reduce__(self):
        return (os.system, ("touch /tmp/sfumato-was-here",))


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({b"data": Hostile(), b"labels": []}, protocol=2),
        pickle.dumps({b"data": np.array([Hostile()], dtype=object), b"labels": [1]}, protocol=2),
        pickle.dumps({b"data": np.zeros((1, 3072)), b"labels": [1]}, protocol=2),
        pickle.dumps([1, 2], protocol=2),
        b"\x80\x02garbage",
        b"",
    ],
)
def test_a_pickle_that_is_no_cifar_batch_runs_nothing(tmp_path, content):
    with pytest.raises(DataError, match="not a readable CIFAR-10 python batch"):
        parse_python_batch(content, tmp_path)
    assert not Path("/tmp/sfumato-was-here").exists()


def test_a_truncated_binary_batch_and_a_label_outside_are_refused(tmp_path):
    with pytest.raises(DataError, match="truncated"):
        parse_binary_batch(bytes(3073 + 5), tmp_path)
    with pytest.raises(DataError, match=r"label 10 is outside 0\.\.9"):
        parse_binary_batch(bytes([10]) + bytes(3072), tmp_path)


def test_cifar_is_loaded_from_either_version(tmp_path, monkeypatch):
    pixels, labels = cifar_arrays()
    binary = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1).tobytes()
    python = pickle.dumps({b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x"}, protocol=2)
    loaded = []
    for content, table, folder in (
        (binary, cifar.CIFAR10_BINARY_MD5, "cifar-10-batches-bin"),
        (python, cifar.CIFAR10_PYTHON_MD5, "cifar-10-batches-py"),
    ):
        root = tmp_path / f"with-{folder}"
        (root / folder).mkdir(parents=True)
        for name in table:
            monkeypatch.setitem(table, name, hashlib.md5(content).hexdigest())
            (root / folder / name).write_bytes(content)
        loaded.append(load_dataset("cifar10", root))
    assert loaded[0].input_shape == (3, 32, 32)
    assert loaded[0].checksum() == loaded[1].checksum()
    assert np.array_equal(loaded[0].test.x.reshape(20, -1), pixels / np.float32(255))
