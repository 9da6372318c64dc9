"""A strict reader of ``.npz``: nothing is unpickled, and nothing is allocated that the file does not hold.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. A header of a few bytes may
declare any shape, so it is compared with the bytes in the file before memory is allocated.
"""

from __future__ import annotations

import math
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import numpy as np

from sfumato.datasets.reading import (
    DEFLATE_LIMIT,
    damage_is_a_data_error,
    require_memory,
    require_regular_file,
)
from sfumato.errors import DataError

_AT_A_TIME = 1 << 24


def read_npz(path: Path, choose: Callable[[list[str]], Iterable[str]]) -> dict[str, np.ndarray]:
    """Return the arrays that ``choose`` picks from the names of all arrays in the file.

    Raises:
        DataError: no zip archive, encrypted, damaged, arrays of objects, sizes that are not true.
    """
    require_regular_file(path)
    with damage_is_a_data_error(path, ".npz of plain arrays"), zipfile.ZipFile(path) as archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            if name in members:
                raise DataError(f"{path}: holds two arrays called {name!r}; keep one")
            members[name] = info
        chosen = [members[name] for name in choose(list(members))]
        require_memory(sum(_declared_bytes(info, path) for info in chosen), path)
        arrays = {}
        for info in chosen:
            with archive.open(info) as member:
                arrays[info.filename.removesuffix(".npy")] = _read_array(
                    member, info.file_size, f"{path}: {info.filename}"
                )
        return arrays


def _declared_bytes(info: zipfile.ZipInfo, path: Path) -> int:
    """Return how many bytes a member unpacks to, as far as its own size makes that possible."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: {info.filename} has a compression unknown in .npz; save it with numpy")
    factor = DEFLATE_LIMIT if info.compress_type == zipfile.ZIP_DEFLATED else 1
    if info.file_size > factor * info.compress_size:
        raise DataError(
            f"{path}: {info.filename} declares {info.file_size:,} bytes, which {info.compress_size:,} packed "
            "ones cannot hold"
        )
    return info.file_size


def _read_array(member: IO[bytes], size: int, where: str) -> np.ndarray:
    """Return the array of one ``.npy`` stream of ``size`` bytes."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(member)
    else:
        raise DataError(f"{where}: format version {version} is for records with names; store plain arrays")
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects; store plain arrays of numbers")
    if dtype.itemsize == 0 or any(length < 0 for length in shape):
        raise DataError(f"{where}: shape {shape} of {dtype} is not an array")
    declared, held = math.prod(shape) * dtype.itemsize, size - member.tell()
    if declared != held:
        raise DataError(f"{where}: declares {declared:,} bytes of values but holds {held:,}")
    content = bytearray()
    while part := member.read(_AT_A_TIME):
        content += part
    if len(content) != declared:
        raise DataError(f"{where}: truncated, only {len(content):,} of {declared:,} bytes")
    if dtype.kind == "U" and (np.frombuffer(content, dtype.byteorder + "u4") > sys.maxunicode).any():
        raise DataError(f"{where}: holds text that is not Unicode")  # Python fails to read it
    return np.ndarray(shape, dtype, content, order="F" if fortran else "C")
