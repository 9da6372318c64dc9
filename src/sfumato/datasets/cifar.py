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
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.datasets.base import Dataset, checked_split, pixels_from_bytes
from sfumato.datasets.locate import check_digest, download, find_files, not_here
from sfumato.datasets.sources import (
    CIFAR10_ARCHIVE,
    CIFAR10_BINARY_MD5,
    CIFAR10_CLASSES,
    CIFAR10_PYTHON_MD5,
)
from sfumato.errors import DataError

_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS
_BINARY_FOLDERS = ("cifar10/cifar-10-batches-bin", "cifar-10-batches-bin", "cifar10")
_PYTHON_FOLDERS = ("cifar10/cifar-10-batches-py", "cifar-10-batches-py", "cifar10")


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
    try:
        batch = _CifarUnpickler(io.BytesIO(content), encoding="bytes").load()
        fields = {k.decode() if isinstance(k, bytes) else k: v for k, v in batch.items()}
        images = fields["data"].array.reshape(-1, 3, 32, 32)
        labels = np.asarray(fields["labels"], dtype=np.int64)
    except Exception as error:  # a damaged pickle can raise almost anything
        raise DataError(f"{path}: not a CIFAR-10 python batch ({error or type(error).__name__})") from error
    if len(labels) and not (labels.min() >= 0 and labels.max() <= 9):
        raise DataError(f"{path}: label {labels.max()} is outside 0..9 (the classes)")
    return images, labels


def load_cifar10(data_dir: Path | None, fetch: bool = True) -> Dataset:
    """Return CIFAR-10 from binary batches, else python batches, else a download of the binary archive."""
    paths = find_files(_BINARY_FOLDERS, list(CIFAR10_BINARY_MD5), data_dir)
    parse, digests = parse_binary_batch, CIFAR10_BINARY_MD5
    if paths is None:
        paths = find_files(_PYTHON_FOLDERS, list(CIFAR10_PYTHON_MD5), data_dir)
        parse, digests = parse_python_batch, CIFAR10_PYTHON_MD5
    if paths is None and not fetch:
        raise not_here("cifar10")
    if paths is None:
        paths = _download_binary()
        parse, digests = parse_binary_batch, CIFAR10_BINARY_MD5
    batches = {}
    for name, path in paths.items():
        content = path.read_bytes()
        check_digest(content, digests[name], path, "md5")
        batches[name.removesuffix(".bin")] = parse(content, path)
    source = str(next(iter(paths.values())).parent)
    names = [f"data_batch_{number}" for number in range(1, 6)]
    train_x = np.concatenate([batches[name][0] for name in names])
    train_y = np.concatenate([batches[name][1] for name in names])
    test_x, test_y = batches["test_batch"]
    return Dataset(
        "cifar10",
        checked_split(pixels_from_bytes(train_x), train_y, 10, f"{source} (train)"),
        checked_split(pixels_from_bytes(test_x), test_y, 10, f"{source} (test)"),
        CIFAR10_CLASSES,
        "pixels in [0, 1]",
        source,
    )


def _download_binary() -> dict[str, Path]:
    """Fetch the archive and unpack its six batches; the folder appears complete or not at all."""
    archive = download(CIFAR10_ARCHIVE, "cifar10")
    folder = archive.parent / "cifar-10-batches-bin"
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
