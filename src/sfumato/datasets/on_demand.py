"""Examples that are read when they are needed: in place of an array that may not fit into memory.

``OnDemand`` has the length, shape and type of the float32 array that it stands for. Indexing it reads the
examples asked for, in threads; ``part`` picks examples without reading them. Every example is hashed once,
and compared with its hash whenever it is read, so that only the data that the checksum names is used.
"""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Int, UInt8

from sfumato.datasets.reading import require_memory
from sfumato.errors import DataError

HELD_BYTES = 2**30
"""Data of at most this size, as float32, are held in memory: reading them again and again costs time."""

BLOCK_BYTES = 64 * 2**20
"""About how much is read at once where the work does not say."""

_MOST_THREADS = 16
_READ_AHEAD = 2

Rows = slice | Sequence[int] | Int[np.ndarray, " rows"]
_T = TypeVar("_T")
_R = TypeVar("_R")


class Source(ABC):
    """Where examples come from, numbered from 0.

    Attributes:
        name: as errors call it.
        shape: of one example.
        digests: the SHA-256 of each example's content.
        covers: what the digests are of, and what is done with it on the way to an example; a part of the
            data's checksum.
        threaded: whether ``read`` may be called in several threads at once.
    """

    name: str
    shape: tuple[int, ...]
    digests: UInt8[np.ndarray, "examples 32"]
    covers: str
    threaded: bool

    @abstractmethod
    def read(self, index: int) -> Float32[np.ndarray, "*shape"]:
        """Return one example.

        Raises:
            DataError: it cannot be read, or is not what it was when it was hashed.
        """

    def require_same(self, index: int, content: bytes | memoryview, what: str) -> None:
        """Refuse content that differs from what was hashed.

        Raises:
            DataError: it does.
        """
        if hashlib.sha256(content).digest() != self.digests[index].tobytes():
            raise DataError(what)


@dataclass(frozen=True, eq=False)
class OnDemand:
    """Examples of a source in a given order, read when they are indexed.

    Attributes:
        source: where they come from.
        rows: which of its examples, in which order.
    """

    source: Source
    rows: Int[np.ndarray, " examples"]

    @staticmethod
    def whole(source: Source) -> OnDemand:
        """Return all examples of the source in its order."""
        return OnDemand(source, np.arange(len(source.digests)))

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.rows)

    def __repr__(self) -> str:
        return f"OnDemand({self.source.name}, shape {self.shape})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that this stands for."""
        return (len(self.rows), *self.source.shape)

    @property
    def ndim(self) -> int:
        """Number of its axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Type of its numbers."""
        return np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """How much memory it would take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def part(self, rows: Rows) -> OnDemand:
        """Return some of the examples, unread."""
        return OnDemand(self.source, self.rows[rows if isinstance(rows, slice) else np.asarray(rows)])

    def __getitem__(self, rows: int | Rows) -> Float32[np.ndarray, "..."]:
        """Return one example, or an array of some, read now.

        Raises:
            DataError: as ``Source.read``.
        """
        if isinstance(rows, int | np.integer):
            return self.source.read(int(self.rows[rows]))
        part = self.part(rows)
        found = np.empty(part.shape, np.float32)
        places = zip(found, part.rows.tolist(), strict=True)
        for _ in in_threads(part._put, places, len(part) if part.source.threaded else 1):
            pass
        return found

    def _put(self, place: tuple[np.ndarray, int]) -> None:
        place[0][...] = self.source.read(place[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read everything.

        Raises:
            DataError: it does not fit into this machine's memory.
        """
        require_memory(self.nbytes, self.source.name)
        return self[:].astype(dtype or np.float32, copy=False)

    def add_to(self, digest: Any) -> None:
        """Add what identifies the examples, in their order, to a hash."""
        digest.update(self.source.covers.encode())
        digest.update(np.ascontiguousarray(self.source.digests[self.rows]).data)


Examples = Float32[np.ndarray, "examples *shape"] | OnDemand
"""Examples of a split: in memory, or read when they are needed."""


def pick(x: Examples, rows: Rows) -> Examples:
    """Return some of the examples; what is read on demand is not read yet."""
    return x.part(rows) if isinstance(x, OnDemand) else x[rows]


def is_small(nbytes: int) -> bool:
    """Return whether data of this size are held in memory."""
    return nbytes <= HELD_BYTES


def held_or_streamed(*parts: OnDemand) -> tuple[Examples, ...]:
    """Return the parts as arrays if all of them together are small, else as they are."""
    small = is_small(sum(part.nbytes for part in parts))
    return tuple(part[:] if small else part for part in parts)


def per_block(x: Examples) -> int:
    """Return how many examples are about ``BLOCK_BYTES``, at least 1."""
    return max(1, BLOCK_BYTES // max(1, x.nbytes // max(1, len(x))))


def in_blocks(x: Examples) -> Iterator[Float32[np.ndarray, "block *shape"]]:
    """Yield all examples, in order, in blocks that fit into memory."""
    size = per_block(x) if isinstance(x, OnDemand) else max(1, len(x))
    for start in range(0, len(x), size):
        yield x[start : start + size]


def in_threads(
    work: Callable[[_T], _R], given: Iterable[_T], count: int, *, at_a_time: int = 256
) -> Iterator[_R]:
    """Yield ``work`` of each, in order, worked on in threads; ``count`` is about how many there are."""
    threads = min(_MOST_THREADS, os.cpu_count() or 1, count)
    if threads < 2:
        yield from map(work, given)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = iter(given)
        while group := list(islice(waiting, at_a_time)):
            yield from pool.map(work, group)


def read_ahead(
    x: OnDemand, batches: Iterable[Int[np.ndarray, " batch"]]
) -> Iterator[Float32[np.ndarray, "batch *shape"]]:
    """Yield the examples of each batch of rows; the next batches are read in a thread meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        waiting = iter(batches)
        coming = [reader.submit(x.__getitem__, rows) for rows in islice(waiting, _READ_AHEAD)]
        while coming:
            found = coming.pop(0).result()
            if (rows := next(waiting, None)) is not None:
                coming.append(reader.submit(x.__getitem__, rows))
            yield found
