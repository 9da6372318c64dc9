"""Nearest points of the same and of another class, by all pairs.

|a - b|^2 = |a|^2 + |b|^2 - 2 a.b makes all distances of a block of points one product of matrices, in double
precision. The distance to the neighbour found is then taken from the differences. The neighbour is the
nearest up to the rounding of that product; of equally near ones it is the first. Memory is one block of
distances and one copy of the points, whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from sfumato.advice.points import LabelledPoints

_BLOCK_ENTRIES = 15_000_000  # distances held at a time: 120 MB


@dataclass(frozen=True)
class Nearest:
    """For each point its nearest other one.

    Attributes:
        distance: to it, L2, in the input's unit; infinite where there is none.
        index: of it; -1 where there is none.
    """

    distance: Float64[np.ndarray, " points"]
    index: Int[np.ndarray, " points"]


@dataclass(frozen=True)
class Neighbours:
    """The nearest points by class.

    Attributes:
        other: nearest point of another class.
        same: nearest other point of the same class.
    """

    other: Nearest
    same: Nearest


def nearest_by_class(
    points: LabelledPoints, on_progress: Callable[[int], None] = lambda points: None
) -> Neighbours:
    """Return each point's nearest point of another class and of its own.

    ``on_progress`` is called with the number of points just finished.

    >>> from sfumato.advice.points import labelled_points
    >>> points = labelled_points(np.array([[0.0], [1.0], [3.0], [7.0]]), np.array([0, 0, 1, 1]))
    >>> found = nearest_by_class(points)
    >>> found.other.distance, found.same.index
    (array([3., 2., 2., 6.]), array([1, 0, 3, 2]))
    """
    x, count = points.x, len(points)
    other, same = (Nearest(np.full(count, np.inf), np.full(count, -1)) for _ in range(2))
    lengths = np.linalg.norm(x, axis=1)
    error = (x.shape[1] + 4) * 2.0**-53  # of a dot product, at worst (Higham 2002, section 3.1)
    step = max(1, _BLOCK_ENTRIES // count)
    for label in points.classes:
        alike, unlike = np.flatnonzero(points.y == label), np.flatnonzero(points.y != label)
        for nearest, among in ((same, alike), (other, unlike)):
            candidates = x[among]
            for start in range(0, len(alike) if len(among) else 0, step):
                rows = alike[start : start + step]
                distances = squared_distances(x[rows], candidates)
                if nearest is same:
                    distances[np.arange(len(rows)), start + np.arange(len(rows))] = np.inf
                slack = 2.0 * error * (lengths[rows] + lengths.max()) ** 2
                least = distances.min(axis=1)
                found = np.isfinite(least)
                # of equally near ones the first
                columns = among[(distances <= (least + slack)[:, None]).argmax(axis=1)]
                nearest.index[rows[found]] = columns[found]
                nearest.distance[rows[found]] = np.linalg.norm(x[rows[found]] - x[columns[found]], axis=1)
        on_progress(len(alike))
    return Neighbours(other, same)


def squared_distances(
    a: Float64[np.ndarray, "rows features"], b: Float64[np.ndarray, "columns features"]
) -> Float64[np.ndarray, "rows columns"]:
    """Return all squared distances, off by rounding at the size of the squared lengths; never negative.

    >>> squared_distances(np.array([[0.0], [1.0]]), np.array([[3.0]]))
    array([[9.],
           [4.]])
    """
    found: Float64[np.ndarray, "rows columns"] = a @ b.T
    found *= -2.0
    found += np.einsum("nd,nd->n", a, a)[:, None]
    found += np.einsum("nd,nd->n", b, b)
    return np.asarray(np.maximum(found, 0.0, out=found))
