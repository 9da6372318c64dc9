"""The IDX format of MNIST and Fashion-MNIST (LeCun & Cortes): magic, dimensions, bytes, gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from sfumato.datasets.base import Dataset, checked_split, pixels_from_bytes
from sfumato.datasets.locate import check_digest, download, find_files, not_here
from sfumato.datasets.sources import FASHION_CLASSES, IDX_FILES, OfficialFile
from sfumato.errors import DataError

_UNSIGNED_BYTE = 0x08


def parse_idx(content: bytes, path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an IDX file's decompressed ``content``.

    Raises:
        DataError: wrong magic, or more or fewer bytes than the header announces.
    """
    header = 4 + 4 * dimensions
    magic = (_UNSIGNED_BYTE << 8) | dimensions
    if len(content) < header:
        raise DataError(f"{path}: truncated, {len(content)} bytes are fewer than the header's {header}")
    found = struct.unpack(">I", content[:4])[0]
    if found != magic:
        raise DataError(f"{path}: wrong magic number 0x{found:08x}, must be 0x{magic:08x}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise DataError(
            f"{path}: {'truncated' if len(content) < expected else 'too long'}, {len(content)} bytes "
            f"where the header announces {expected}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_idx(path: Path, dimensions: int, official: OfficialFile | None = None) -> np.ndarray:
    """Return the array in the gzipped IDX file at ``path``, checked against ``official`` if given.

    Raises:
        DataError: not gzip, truncated, wrong magic, wrong checksum.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except EOFError as error:
        raise DataError(f"{path}: truncated gzip file") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"{path}: not a readable gzip file ({error})") from error
    array = parse_idx(content, path, dimensions)
    if official is not None and official.content_sha256 is not None:
        check_digest(content, official.content_sha256, path, "sha256")
    return array


def load_idx_dataset(name: str, data_dir: Path | None, fetch: bool = True) -> Dataset:
    """Return MNIST or Fashion-MNIST from its four official files."""
    table = IDX_FILES[name]
    found = find_files((name,), [file.name for file in table.values()], data_dir)
    if found is None and not fetch:
        raise not_here(name)
    arrays = {}
    for part, file in table.items():
        path = found[file.name] if found else download(file, name)
        arrays[part] = read_idx(path, 3 if part.endswith("x") else 1, file)
        source = str(path.parent)
    splits = {
        split: checked_split(
            pixels_from_bytes(arrays[f"{split}_x"])[:, None], arrays[f"{split}_y"], 10, f"{source} ({split})"
        )
        for split in ("train", "test")
    }
    classes = FASHION_CLASSES if name == "fashion-mnist" else tuple(str(digit) for digit in range(10))
    return Dataset(name, splits["train"], splits["test"], classes, "pixels in [0, 1]", source)
