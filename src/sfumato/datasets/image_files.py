"""Image files as the examples of a data set, read when they are needed.

All files are looked at once: their content is hashed, and their headers say size and channels, without any
pixels being unpacked. For many files what was found is kept in the cache and used again as long as every
name, length and time of change is the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from sfumato.datasets.images import (
    ALPHA,
    CMYK,
    EIGHT_OF_SIXTEEN,
    FIRST_FRAME,
    TURNED,
    pixels_of,
    quiet_pillow,
    read_header,
)
from sfumato.datasets.on_demand import Source, in_threads
from sfumato.datasets.reading import read_file, shown
from sfumato.errors import DataError, SfumatoError
from sfumato.files import cache_folder, write_bytes

_REMARKS = (ALPHA, TURNED, EIGHT_OF_SIXTEEN, FIRST_FRAME, CMYK)
_VERSION = "image files 1"
_WORTH_KEEPING = 256 * 2**20  # bytes of files, which take about a second to hash
_SETTLED_SECONDS = 2.0  # a file that changed a moment ago may change again within the clock's resolution


@dataclass(frozen=True)
class Looked:
    """What is known of image files without unpacking them, one row each.

    Attributes:
        root: their folder.
        names: below it.
        digests: SHA-256 of the content.
        shapes: channels, height, width.
        remarks: bits in the order of the known remarks.
    """

    root: Path
    names: Sequence[str]
    digests: UInt8[np.ndarray, "files 32"]
    shapes: Int32[np.ndarray, "files 3"]
    remarks: UInt8[np.ndarray, " files"]

    @property
    def channels(self) -> int:
        """Channels that every image can have: grey becomes colour where there is any."""
        return int(self.shapes[:, 0].max())

    def notes(self, channels: int) -> list[str]:
        """Return what was remarkable, where the images get so many channels."""
        found = [(remark, np.flatnonzero(self.remarks & (1 << bit))) for bit, remark in enumerate(_REMARKS)]
        grey = np.flatnonzero(self.shapes[:, 0] < channels)
        found.append(("are grey, and are read as colour beside others that have some", grey))
        return [
            f"{self.root}: {len(rows)} of {len(self.names)} images {remark} "
            f"(first: {shown(Path(self.names[rows[0]]).name)})"
            for remark, rows in sorted(found)
            if len(rows)
        ]


class ImageFiles(Source):
    """Image files with pixels in [0, 1], all of one shape.

    Args:
        looked: the files.
        channels: 1, or 3 to make all of them colour.
        size: side of the squares that they are resized and cropped to; None where they have one size.
    """

    threaded = True

    def __init__(self, looked: Looked, channels: int, size: int | None) -> None:
        self.root, self.names, self.size = looked.root, looked.names, size
        self.name, self.digests = str(looked.root), looked.digests
        sides = looked.shapes[0, 1:].tolist() if size is None else [size, size]
        self.shape = (channels, *sides)
        fitted = "" if size is None else ", shorter side resized, bilinear, and cropped to the middle"
        self.covers = f"the bytes of image files{fitted}"

    def read(self, index: int) -> Float32[np.ndarray, "channels height width"]:
        """Return the pixels of one file.

        Raises:
            DataError: it cannot be read, or has changed since the folder was looked at.
        """
        file = self.root / self.names[index]
        content = read_file(file)
        self.require_same(
            index, content, f"{file}: has changed since its folder was read; start the command again"
        )
        pixels = pixels_of(content, file, self.size)
        return np.repeat(pixels, self.shape[0], axis=0) if len(pixels) < self.shape[0] else pixels


def look_at(root: Path, names: Sequence[str]) -> Looked:
    """Return what is known of the files without unpacking them.

    Raises:
        DataError: one of them is no image, or cannot be read.
    """
    place = _kept_at(root, names)
    if place is not None and (kept := _kept(place, root, names)) is not None:
        return kept
    digests = np.empty((len(names), 32), np.uint8)
    shapes, remarks = np.empty((len(names), 3), np.int32), np.zeros(len(names), np.uint8)

    def look(row: int) -> None:
        file = root / names[row]
        content = read_file(file)
        digests[row] = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
        header = read_header(content, file)
        shapes[row] = header.shape
        remarks[row] = sum(1 << _REMARKS.index(remark) for remark in header.remarks)

    with quiet_pillow():
        for _ in in_threads(look, range(len(names)), len(names)):
            pass
    if place is not None:
        written = io.BytesIO()
        np.savez(written, digests=digests, shapes=shapes, remarks=remarks)
        with suppress(SfumatoError):  # a cache that cannot be written costs time and nothing else
            write_bytes(place, written.getvalue())
    return Looked(root, names, digests, shapes, remarks)


def require_one_size(parts: Sequence[Looked], size: int | None) -> None:
    """Refuse images of different height or width where no ``size`` makes them equal.

    Raises:
        DataError: naming two of them.
    """
    if size is not None:
        return
    first = parts[0]
    for part in parts:
        if len(odd := np.flatnonzero((part.shapes[:, 1:] != first.shapes[0, 1:]).any(axis=1))):
            one, other = (tuple(shape.tolist()) for shape in (first.shapes[0], part.shapes[odd[0]]))
            raise DataError(
                f"{part.root}: {first.root / first.names[0]} has shape {one} but "
                f"{part.root / part.names[odd[0]]} {other}; all must have the same shape: --size (size=) "
                "resizes and crops them"
            )


def _kept_at(root: Path, names: Sequence[str]) -> Path | None:
    """Return where the cache keeps what is known of these files in their present state.

    None where the files are few, or one of them changed just now.
    """
    digest = hashlib.sha256(json.dumps([_VERSION, _REMARKS]).encode())
    total, latest = 0, 0.0
    for name in names:
        try:
            status = (root / name).stat()
        except OSError:
            return None  # reading it says what is wrong
        total, latest = total + status.st_size, max(latest, status.st_mtime, status.st_ctime)
        digest.update(f"{name!a} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
    if total < _WORTH_KEEPING or latest > time.time() - _SETTLED_SECONDS:
        return None
    digest.update(ascii(str(root.resolve())).encode())
    return cache_folder("folders") / f"{digest.hexdigest()}.npz"


def _kept(place: Path, root: Path, names: Sequence[str]) -> Looked | None:
    """Return what the cache keeps; None where that is nothing, or damaged."""
    try:
        with np.load(place, allow_pickle=False) as found:
            digests, shapes, remarks = found["digests"], found["shapes"], found["remarks"]
    except Exception:  # a damaged archive raises almost anything
        return None
    if (digests.shape, shapes.shape, remarks.shape) != ((len(names), 32), (len(names), 3), (len(names),)):
        return None
    return Looked(root, names, digests, shapes, remarks)
