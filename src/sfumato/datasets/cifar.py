"""CIFAR-10 in its official binary and python versions (Krizhevsky 2009).

The python version is a pickle. It is read by an unpickler that knows four names, all of which it
replaces with inert stand-ins of its own, so that a hostile file can construct nothing but lists,
dictionaries, strings, numbers and byte arrays.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.datasets.base import Dataset, checked_split
from sfumato.datasets.locate import OfficialFile, check_digest, download, files_in, find_files, not_here
from sfumato.datasets.reading import damage_is_a_data_error, read_file
from sfumato.datasets.units import PIXELS, pixels_from_bytes
from sfumato.errors import DataError

_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS

CIFAR10_ARCHIVE = OfficialFile(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
)

# published for each batch, decompressed
CIFAR10_BINARY_MD5: dict[str, str] = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}

CIFAR10_PYTHON_MD5: dict[str, str] = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def parse_binary_batch(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (images uint8 (n, 3, 32, 32), labels) of one binary batch.

    Raises:
        DataError: a length that is no whole number of records, or a label above 9.
    """
    if len(content) == 0 or len(content) % _RECORD:
        raise DataError(
            f"{path}: truncated, {len(content)} bytes are not a whole number of {_RECORD}-byte records"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0]
    if labels.max() > 9:
        raise DataError(f"{path}: label {labels.max()} is outside 0..9 (the classes)")
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


class _ByteArray:
    """Stands in for the pickled uint8 array: keeps shape and bytes, runs nothing."""

    def __init__(self, *_: object) -> None:
        self.array = np.empty((0, _PIXELS), np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, _, data = state
        content = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(dtype, _ByteType) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("the pixels are not an array of unsigned bytes")
        self.array = np.frombuffer(content, np.uint8).reshape(shape)


class _ByteType:
    """Stands in for numpy.dtype; accepts unsigned bytes only."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"array type {code!r}, must be unsigned bytes (u1)")

    def __setstate__(self, state: object) -> None:
        """The state of a byte type says nothing."""


def _latin1_bytes(text: str | bytes, encoding: str | bytes) -> bytes:
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"encoding {encoding!r}, must be latin1")
    return text.encode("latin1") if isinstance(text, str) else text


class _CifarUnpickler(pickle.Unpickler):
    _KNOWN: dict[tuple[str, str], Any] = {  # noqa: RUF012 - constant table
        ("numpy.core.multiarray", "_reconstruct"): _ByteArray,
        ("numpy._core.multiarray", "_reconstruct"): _ByteArray,
        ("numpy", "ndarray"): _ByteArray,
        ("numpy", "dtype"): _ByteType,
        ("_codecs", "encode"): _latin1_bytes,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name that CIFAR's batches use; refuse every other."""
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs") from None


def parse_python_batch(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (images uint8 (n, 3, 32, 32), labels) of one python batch, running nothing from it.

    Raises:
        DataError: a pickle that holds anything but the expected dictionary of bytes and numbers.
    """
    with damage_is_a_data_error(path, "CIFAR-10 python batch"):
        batch = _CifarUnpickler(io.BytesIO(content), encoding="bytes").load()
        fields = {k.decode() if isinstance(k, bytes) else k: v for k, v in batch.items()}
        images = fields["data"].array.reshape(-1, 3, 32, 32)
        labels = np.asarray(fields["labels"], dtype=np.int64).reshape(len(images))
    if outside := [label for label in labels.tolist() if not 0 <= label <= 9]:
        raise DataError(f"{path}: label {outside[0]} is outside 0..9 (the classes)")
    return images, labels


@dataclass(frozen=True)
class _Version:
    """One of the two official versions.

    Attributes:
        folder: its own name for the folder of the batches.
        digests: MD5 of each batch by its name.
        parse: from a batch's content and path to images and labels.
    """

    folder: str
    digests: dict[str, str]
    parse: Callable[[bytes, Path], tuple[np.ndarray, np.ndarray]]


_BINARY = _Version("cifar-10-batches-bin", CIFAR10_BINARY_MD5, parse_binary_batch)
_PYTHON = _Version("cifar-10-batches-py", CIFAR10_PYTHON_MD5, parse_python_batch)


def load_cifar10(data_dir: Path | None, fetch: bool = True) -> Dataset:
    """Return CIFAR-10 from binary batches, else python batches, else a download of the binary archive."""
    for version in (_BINARY, _PYTHON):
        folders = (f"cifar10/{version.folder}", version.folder, "cifar10")
        if paths := find_files(folders, version.digests, data_dir):
            return _from_batches("cifar10", version, paths)
    if not fetch:
        raise not_here("cifar10")
    return _from_batches("cifar10", _BINARY, _download_binary())


def load_cifar10_folder(folder: Path) -> Dataset | None:
    """Return CIFAR-10 from the batches in exactly this folder, None where it holds none of them.

    Raises:
        DataError: some of the batches but not all, or other content than the official.
    """
    for version in (_BINARY, _PYTHON):
        if paths := files_in(folder, version.digests):
            return _from_batches(str(folder), version, paths)
    return None


def _from_batches(name: str, version: _Version, paths: dict[str, Path]) -> Dataset:
    batches = {}
    for batch, path in paths.items():
        content = read_file(path)
        check_digest(content, version.digests[batch], path, "md5")
        batches[batch.removesuffix(".bin")] = version.parse(content, path)
    source = str(next(iter(paths.values())).parent)
    training = [batches[f"data_batch_{number}"] for number in range(1, 6)]
    train_x = np.concatenate([x for x, _ in training])
    train_y = np.concatenate([y for _, y in training])
    test_x, test_y = batches["test_batch"]
    return Dataset(
        name,
        checked_split(pixels_from_bytes(train_x), train_y, 10, f"{source} (train)"),
        checked_split(pixels_from_bytes(test_x), test_y, 10, f"{source} (test)"),
        CIFAR10_CLASSES,
        PIXELS,
        source,
        augmentation="crop-flip",
    )


def _download_binary() -> dict[str, Path]:
    """Fetch the archive and unpack its six batches; the folder appears complete or not at all."""
    archive = download(CIFAR10_ARCHIVE, "cifar10")
    folder = archive.parent / _BINARY.folder
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        unpacked = Path(scratch) / "batches"
        unpacked.mkdir()
        with tarfile.open(archive) as members:
            for member in members:
                name = Path(member.name).name
                content = members.extractfile(member) if name in CIFAR10_BINARY_MD5 else None
                if content is not None:
                    (unpacked / name).write_bytes(content.read())
        unpacked.rename(folder)
    return {name: folder / name for name in CIFAR10_BINARY_MD5}
