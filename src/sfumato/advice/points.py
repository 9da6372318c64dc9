"""Labelled points for the estimators, with remarks on unusual data.

Distances do not change when all points move together, so points are centred: that keeps the digits that
matter when distances are computed from products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int64

from sfumato.datasets.on_demand import Examples, OnDemand
from sfumato.errors import DataError, require_count

LEAST_PER_CLASS = 10
_MOST_VALUES = 2**30 // 12  # of data that are read on demand: a gigabyte as float32 and as float64


@dataclass(frozen=True)
class LabelledPoints:
    """Points of at least two classes.

    Attributes:
        x: centred, in the input's unit.
        y: class of each point.
        class_names: one name per class index.
        remarks: what is unusual about the data, one sentence each.
    """

    x: Float64[np.ndarray, "points features"]
    y: Int64[np.ndarray, " points"]
    class_names: tuple[str, ...]
    remarks: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.y)

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that have points, increasing."""
        return tuple(int(label) for label in np.unique(self.y))

    def subset(self, chosen: Int[np.ndarray, " chosen"]) -> LabelledPoints:
        """Return the points with these indices."""
        return LabelledPoints(self.x[chosen], self.y[chosen], self.class_names, self.remarks)


def labelled_points(
    x: Examples,
    y: np.ndarray,
    class_names: tuple[str, ...] | None = None,
    *,
    most: int | None = None,
    seed: int = 0,
) -> LabelledPoints:
    """Return the examples ``x`` (examples, *shape) with labels ``y`` as checked points.

    ``most`` takes a random subset of that many, the same for the same ``seed``. Classes with fewer than 10
    points, values outside [0, 1] and equal inputs with different labels are remarked on, not refused.

    >>> points = labelled_points(np.eye(4), np.array([0, 0, 1, 1]))
    >>> points.classes, points.remarks[0].partition(":")[0]
    ((0, 1), 'class 0 has 2 points and class 1 has 2 points')

    Raises:
        DataError: fewer than two classes, NaN or infinite values, lengths that differ.
    """
    if len(x) == 0:
        raise DataError("there are no examples; advice compares classes and needs at least 2")
    labels = np.asarray(y, dtype=np.int64)
    if len(x) != len(labels):
        raise DataError(f"{len(x)} examples and {len(labels)} labels; give one label for each")
    whole, too_many = f"{len(labels):,} examples", tuple[str, ...]()
    if isinstance(x, OnDemand):
        fit = max(1, _MOST_VALUES // math.prod(x.shape[1:]))
        if fit < min(len(x), most or len(x)):
            most, too_many = fit, (f"only {fit:,} of the {whole} are looked at: more take too much memory",)
    chosen = None
    if most is not None and require_count("points", most) < len(labels):
        # not keyed noise: which points are looked at
        chosen = np.sort(np.random.default_rng(seed).permutation(len(labels))[:most])
        labels = labels[chosen]
    if isinstance(x, OnDemand):
        x, chosen = x[slice(None) if chosen is None else chosen], None
    flat = np.asarray(x, dtype=np.float32).reshape(len(x), -1)
    if not np.isfinite(flat).all():
        raise DataError("the examples hold NaN or infinite values; they must be finite")
    flat = flat if chosen is None else flat[chosen]
    present = np.unique(labels)
    names = class_names or tuple(str(label) for label in range(int(labels.max(initial=0)) + 1))
    if len(present) < 2:
        raise DataError(
            f"the {whole} belong to one class ({names[int(present[0])]}); advice compares classes and "
            f"needs at least 2"
        )
    remarks = (*too_many, *_few(labels, names), *_values(flat), *_duplicates(flat, labels))
    return LabelledPoints(flat - flat.mean(axis=0, dtype=np.float64), labels, names, remarks)


def _few(y: Int64[np.ndarray, " points"], names: tuple[str, ...]) -> list[str]:
    classes, counts = np.unique(y, return_counts=True)
    few = [
        f"class {names[c]} has {n} point{'' if n == 1 else 's'}"
        for c, n in zip(classes.tolist(), counts.tolist(), strict=True)
        if n < LEAST_PER_CLASS
    ]
    told = f"{' and '.join(few)}: at least {LEAST_PER_CLASS} are needed to estimate the shape of a class"
    return [told] if few else []


def _values(x: np.ndarray) -> list[str]:
    low, high = float(x.min()), float(x.max())
    if low >= 0 and high <= 1:
        return []
    return [f"values from {low:g} to {high:g}, outside [0, 1]: noise levels and distances are in this unit"]


def _duplicates(x: np.ndarray, y: Int64[np.ndarray, " points"]) -> list[str]:
    rows = np.ascontiguousarray(x + np.float32(0))  # -0 and 0 are the same pixel
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, inverse = np.unique(whole, return_inverse=True)
    labels_of = np.unique(np.stack([inverse, y]), axis=1)[0]  # an input once per label
    inputs, labels = np.unique(labels_of, return_counts=True)
    torn = inputs[labels > 1]
    if not len(torn):
        return []
    return [
        f"{np.isin(inverse, torn).sum()} points are equal to a point with another label ({len(torn)} "
        "different inputs): every classifier is wrong for one label of each; their distance is 0"
    ]
