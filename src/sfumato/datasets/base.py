"""The record of a data set, and the checks that every array must pass."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from sfumato.datasets.on_demand import Examples, OnDemand, Rows, in_blocks, pick
from sfumato.datasets.units import require_finite
from sfumato.errors import DataError

_SAMPLE = 2000


@dataclass(frozen=True)
class Split:
    """Images (or feature vectors) with their labels, copied where order of bytes, strides or width demand it.

    Attributes:
        x: float32, (examples, channels, height, width) or (examples, features); an ``OnDemand`` of this shape
            where they are read from disk when they are needed.
        y: int64 class indices from 0, -1 where unknown.

    Raises:
        DataError: images that are not floating point numbers (their unit is unclear), or labels that are not
            whole numbers.
    """

    x: Examples
    y: Int64[np.ndarray, " examples"]

    def __post_init__(self) -> None:
        x = self.x if isinstance(self.x, OnDemand) else np.asarray(self.x)
        y = np.asarray(self.y)
        if x.dtype.kind != "f":
            raise DataError(f"x must be floating point numbers in the unit of the noise, got {x.dtype}")
        if y.dtype.kind not in "iu":
            raise DataError(f"y must be whole numbers, got {y.dtype}")
        if not isinstance(x, OnDemand):
            x = np.ascontiguousarray(x, dtype=np.float32)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", np.ascontiguousarray(y, dtype=np.int64))

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.y)

    def part(self, rows: Rows) -> Split:
        """Return the examples with these indices; what is read on demand is not read yet."""
        return Split(pick(self.x, rows), self.y[rows])

    def add_to(self, digest: Any) -> None:
        """Add what identifies the examples and labels to a hash: arrays, or hashes of what is read."""
        for array in (self.x, self.y):
            digest.update(str((array.shape, array.dtype.str)).encode())
            if isinstance(array, OnDemand):
                array.add_to(digest)
            else:
                digest.update(np.ascontiguousarray(array).data)


@dataclass(frozen=True)
class Dataset:
    """A training and a test split with what is needed to name them.

    Attributes:
        name: registry name or path as the user gave it.
        train, test: the two splits. ``train`` is empty where there are test images only.
        class_names: one name per class index; none where the images have no labels.
        unit: what a noise level of 1 means, for every output.
        source: where the data came from, for the record.
        notes: what was left out, rotated or assumed while reading; one line each.
        augmentation: what a training does to the images where its settings leave it open: ``none``, or
            ``crop-flip`` for photographs, which a small shift or a mirror leaves in their class.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    unit: str
    source: str
    notes: tuple[str, ...] = ()
    augmentation: str = "none"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.test.x.shape[1:])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def channel_mean(self) -> tuple[float, ...]:
        """Mean of the training set per channel (per feature for tabular data).

        Of a set that is read on demand: of 2,000 examples, evenly spaced.
        """
        return tuple(float(v) for v in self._channels[0])

    @property
    def channel_std(self) -> tuple[float, ...]:
        """Standard deviation of the training set per channel; 1 where a channel is constant.

        Of the examples that ``channel_mean`` is of.
        """
        return tuple(float(v) if v > 0 else 1.0 for v in self._channels[1])

    @cached_property
    def _channels(self) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
        x = self.train.x
        axes = (0, 2, 3) if x.ndim == 4 else (0,)
        if not isinstance(x, OnDemand):
            return x.mean(axis=axes, dtype=np.float64), np.asarray(x.std(axis=axes, dtype=np.float64))
        first, second, values = np.zeros(x.shape[1]), np.zeros(x.shape[1]), 0
        sample = x.part(np.linspace(0, len(x) - 1, min(_SAMPLE, len(x))).round().astype(int))
        for block in in_blocks(sample):
            exact = block.astype(np.float64)
            first, second = first + exact.sum(axis=axes), second + (exact**2).sum(axis=axes)
            values += block.size // x.shape[1]
        mean = first / values
        return mean, np.sqrt(np.maximum(second / values - mean**2, 0.0))

    def require_training(self, what: str) -> None:
        """Refuse a data set without training images, which ``what`` needs.

        Raises:
            DataError: it has none.
        """
        if not len(self.train):
            raise DataError(f"{self.name}: holds no training images, which {what} needs; put them into train")

    def require_labels(self, what: str) -> None:
        """Refuse images without labels, which ``what`` needs.

        Raises:
            DataError: they have none.
        """
        if not self.class_names:
            raise DataError(
                f"{self.name}: its images have no labels, which {what} needs; put them into one folder for "
                "each class"
            )

    def checksum(self) -> str:
        """Return the SHA-256 of all arrays: two data sets with the same checksum are the same data.

        Of image files that are read on demand it covers the bytes of every file, their order, their labels
        and the size they are brought to, and not what a version of Pillow makes of the bytes.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        # seconds for a large set, and asked for again and again; the arrays are not written to
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            split.add_to(digest)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {len(self.train)} train, {len(self.test)} test, "
            f"shape {self.input_shape}, {self.num_classes} classes, unit: {self.unit})"
        )


def require_one_shape(train: Split, test: Split, where: str) -> None:
    """Refuse parts whose examples differ in shape.

    Raises:
        DataError: they do.
    """
    shapes = train.x.shape[1:], test.x.shape[1:]
    if len(train) and shapes[0] != shapes[1]:
        raise DataError(f"{where}: training examples have shape {shapes[0]} but test examples {shapes[1]}")


def checked_split(x: Examples, y: np.ndarray, num_classes: int, where: str) -> Split:
    """Return the split if x and y have the same length and hold usable values.

    Raises:
        DataError: lengths that differ, nothing in it, NaN or infinite values, labels out of range.
    """
    if len(x) != len(y):
        raise DataError(f"{where}: x has {len(x)} examples but y has {len(y)}; give one label for each")
    if len(x) == 0:
        raise DataError(f"{where}: holds no examples, at least 1 is needed")
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{where}: y must be one whole number per example, got {y.dtype} of shape {y.shape}")
    if x.ndim not in (2, 4):
        raise DataError(
            f"{where}: x must have shape (examples, channels, height, width) or (examples, features), "
            f"got {x.shape}"
        )
    if x.nbytes == 0:
        raise DataError(f"{where}: examples of shape {x.shape[1:]} hold no values")
    if not isinstance(x, OnDemand):  # those are checked when they are read
        require_finite(x, where)
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= num_classes:
        raise DataError(
            f"{where}: label {low if low < 0 else high} is outside 0..{num_classes - 1} (the classes)"
        )
    return Split(x, y)
