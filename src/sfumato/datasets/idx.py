"""The IDX format of MNIST and Fashion-MNIST (LeCun & Cortes): magic, dimensions, bytes; often gzipped."""

from __future__ import annotations

import gzip
import io
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sfumato.datasets.base import Dataset, checked_split, require_one_shape
from sfumato.datasets.labels import class_labels
from sfumato.datasets.locate import OfficialFile, check_digest, download, files_in, find_files, not_here
from sfumato.datasets.reading import DEFLATE_LIMIT, damage_is_a_data_error, escaped, read_file
from sfumato.datasets.units import in_one_unit
from sfumato.errors import DataError

_UNSIGNED_BYTE = 0x08
_GZIP = b"\x1f\x8b"

# the four files, the same in every set of this format
NAMES = {
    "train_x": "train-images-idx3-ubyte.gz",
    "train_y": "train-labels-idx1-ubyte.gz",
    "test_x": "t10k-images-idx3-ubyte.gz",
    "test_y": "t10k-labels-idx1-ubyte.gz",
}


def parse_idx(content: bytes, path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an IDX file's decompressed ``content``.

    Raises:
        DataError: wrong magic, no values, or more or fewer bytes than the header announces.
    """
    shape = _announced_shape(content, path, dimensions)
    expected = _header_length(dimensions) + math.prod(shape)
    if len(content) != expected:
        raise DataError(
            f"{path}: {'truncated' if len(content) < expected else 'too long'}, {len(content)} bytes "
            f"where the header announces {expected}"
        )
    return np.frombuffer(content, np.uint8, offset=_header_length(dimensions)).reshape(shape)


def _header_length(dimensions: int) -> int:
    return 4 + 4 * dimensions


def _announced_shape(content: bytes, path: Path, dimensions: int) -> tuple[int, ...]:
    header = _header_length(dimensions)
    magic = (_UNSIGNED_BYTE << 8) | dimensions
    if len(content) < header:
        raise DataError(f"{path}: truncated, {len(content)} bytes are fewer than the header's {header}")
    found, *shape = struct.unpack(f">{1 + dimensions}I", content[:header])
    if found != magic:
        raise DataError(f"{path}: wrong magic number 0x{found:08x}, must be 0x{magic:08x}")
    if 0 in shape:
        raise DataError(f"{path}: holds no values, its shape is {tuple(shape)}")
    return tuple(shape)


def read_idx(path: Path, dimensions: int, official: OfficialFile | None = None) -> np.ndarray:
    """Return the array in the IDX file at ``path``, gzipped or not, checked against ``official`` if given.

    Raises:
        DataError: damaged gzip, truncated, wrong magic, wrong checksum.
    """
    content = _unpacked(read_file(path), path, dimensions)
    array = parse_idx(content, path, dimensions)
    if official is not None and official.content_sha256 is not None:
        check_digest(content, official.content_sha256, path, "sha256")
    return array


def _unpacked(content: bytes, path: Path, dimensions: int) -> bytes:
    """Return what a gzipped file holds; no more is unpacked than its header announces."""
    if not content.startswith(_GZIP):
        return content
    with damage_is_a_data_error(path, "gzip file"), gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        head = stream.read(_header_length(dimensions))
        announced = math.prod(_announced_shape(head, path, dimensions))
        if announced > DEFLATE_LIMIT * len(content):
            raise DataError(
                f"{path}: announces {announced:,} bytes, which {len(content):,} gzipped ones cannot hold"
            )
        return head + stream.read(announced) + stream.read(1)


def spellings(name: str) -> tuple[str, ...]:
    """Return the names under which people have an official file: gzipped or not, and as Kaggle unpacks it.

    >>> spellings("t10k-labels-idx1-ubyte.gz")[1:3]
    ('t10k-labels-idx1-ubyte', 't10k-labels.idx1-ubyte.gz')
    """
    plain = name.removesuffix(".gz")
    dotted = plain.replace("-idx", ".idx")
    return (f"{plain}.gz", plain, f"{dotted}.gz", dotted)


@dataclass(frozen=True)
class IdxSet:
    """An official set of four IDX files.

    Attributes:
        name: of the set.
        class_names: one per label.
        folders: where its files may lie below a root: in the folder of its name, or as torchvision lays them
            out.
        address: of the folder that they are fetched from.
        checksums: by part (``train_x``, ...), those of its ``OfficialFile``: the published MD5 and the
            SHA-256 of the content.
    """

    name: str
    class_names: tuple[str, ...]
    folders: tuple[str, ...]
    address: str
    checksums: Mapping[str, tuple[str, str]]

    @property
    def files(self) -> dict[str, OfficialFile]:
        """The files by part."""
        return {
            part: OfficialFile(name, self.address + name, *self.checksums[part])
            for part, name in NAMES.items()
        }

    def load(self, data_dir: Path | None, fetch: bool = True) -> Dataset:
        """Return the set from its files, gzipped or not, each checked.

        Raises:
            DataError: damaged files; missing ones that are not to be fetched.
            DownloadError: missing ones that cannot be fetched.
        """
        found = find_files(self.folders, NAMES.values(), data_dir, spellings)
        if found is None and not fetch:
            raise not_here(self.name)
        files = self.files
        paths = {
            part: found[file.name] if found else download(file, self.name) for part, file in files.items()
        }
        arrays = {part: read_idx(path, _dimensions(part), files[part]) for part, path in paths.items()}
        return _dataset(self.name, arrays, self.class_names, paths["train_x"].parent)


def load_idx_folder(path: Path) -> Dataset | None:
    """Return the data of the four IDX files in a folder or its folder ``raw``; None where there are none.

    The contents are the user's own (there are many sets in this format), so no checksum is known.

    Raises:
        DataError: some of the files but not all, or damaged ones.
    """
    for folder in (path, path / "raw"):
        if found := files_in(folder, NAMES.values(), spellings):
            arrays = {part: read_idx(found[name], _dimensions(part)) for part, name in NAMES.items()}
            labels = class_labels({part: arrays[part] for part in ("train_y", "test_y")}, str(folder))
            return _dataset(str(path), arrays, labels.class_names, folder)
    return None


def _dimensions(part: str) -> int:
    return 3 if part.endswith("x") else 1


def _dataset(name: str, arrays: dict[str, np.ndarray], classes: tuple[str, ...], folder: Path) -> Dataset:
    source = escaped(folder)
    units = in_one_unit({part: arrays[part] for part in ("train_x", "test_x")}, source)
    splits = {
        split: checked_split(x[:, None], arrays[f"{split}_y"], len(classes), f"{source} ({split})")
        for split, x in zip(("train", "test"), units.arrays, strict=True)
    }
    require_one_shape(splits["train"], splits["test"], source)
    return Dataset(name, splits["train"], splits["test"], classes, units.unit, source, units.notes)
