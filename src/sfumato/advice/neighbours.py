"""Nearest points of the same and of another class, exactly, by blocked matrix products.

|a - b|^2 = |a|^2 + |b|^2 - 2 a.b makes all distances of a block of points one product of matrices, in
single precision. What rounding could have confused, by the worst-case bound of a dot product (Higham 2002,
section 3.1), is computed once more from the differences in double precision: the neighbour returned is the
nearest, or as near to double precision. Memory is one block of distances, whatever the number of points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from sfumato.advice.points import LabelledPoints

_BLOCK_ENTRIES = 30_000_000  # distances held at a time: 120 MB
_UNIT_ROUNDOFF = 2.0**-24


@dataclass(frozen=True)
class Nearest:
    """For each point its nearest other one.

    Attributes:
        distance: to it, L2, in the input's unit; infinite where there is none.
        index: of it; -1 where there is none.
    """

    distance: Float[np.ndarray, " points"]
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
    order = np.argsort(points.y, kind="stable")
    x, y = points.x[order], points.y[order]
    squares = squared_norms(x)
    count = len(x)
    other, same = np.full(count, np.inf), np.full(count, np.inf)
    other_index, same_index = np.full(count, -1), np.full(count, -1)
    step = max(1, _BLOCK_ENTRIES // count)
    for label in np.unique(y):
        begin, end = np.searchsorted(y, label), np.searchsorted(y, label, side="right")
        for start in range(begin, end, step):
            rows = np.arange(start, min(start + step, end))
            distances = squared_distances(x[rows], squares[rows], x, squares)
            inside = distances[:, begin:end].copy()
            inside[np.arange(len(rows)), rows - begin] = np.inf
            distances[:, begin:end] = np.inf
            slack = rounding_bound(squares[rows], squares, x.shape[1])
            other[rows], other_index[rows] = _settled(x[rows], x, distances, slack, 0)
            same[rows], same_index[rows] = _settled(x[rows], x, inside, slack, begin)
            on_progress(len(rows))
    return Neighbours(
        Nearest(*_unsorted(other, other_index, order)), Nearest(*_unsorted(same, same_index, order))
    )


def squared_norms(x: Float32[np.ndarray, "points features"]) -> Float[np.ndarray, " points"]:
    """Return the squared length of each point, in double precision."""
    return np.asarray(np.einsum("nd,nd->n", x, x, dtype=np.float64))


def squared_distances(
    a: Float32[np.ndarray, "rows features"],
    a_squares: Float[np.ndarray, " rows"],
    b: Float32[np.ndarray, "columns features"],
    b_squares: Float[np.ndarray, " columns"],
) -> Float32[np.ndarray, "rows columns"]:
    """Return all squared distances in single precision; off by at most ``rounding_bound``."""
    found: Float32[np.ndarray, "rows columns"] = a @ b.T
    found *= np.float32(-2)
    found += a_squares[:, None].astype(np.float32)
    found += b_squares[None, :].astype(np.float32)
    return found


def rounding_bound(
    a_squares: Float[np.ndarray, " rows"], b_squares: Float[np.ndarray, " columns"], features: int
) -> Float32[np.ndarray, " rows"]:
    """Return by how much ``squared_distances`` may be off in each row, at worst."""
    steps = (features + 4) * _UNIT_ROUNDOFF
    largest = np.sqrt(b_squares.max(initial=0.0))
    return np.asarray((np.sqrt(a_squares) + largest) ** 2 * steps / (1.0 - steps), dtype=np.float32)


def _settled(
    a: Float32[np.ndarray, "rows features"],
    b: Float32[np.ndarray, "all features"],
    distances: Float32[np.ndarray, "rows columns"],
    slack: Float32[np.ndarray, " rows"],
    first: int,
) -> tuple[Float[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """Return distance and index of the nearest column, those that rounding may confuse compared again."""
    if distances.shape[1] == 0:
        return np.full(len(a), np.inf), np.full(len(a), -1)
    least = distances.min(axis=1)
    candidates: Bool[np.ndarray, "rows columns"] = distances <= (least + 2 * slack)[:, None]
    candidates[~np.isfinite(least)] = False
    rows, columns = np.nonzero(candidates)
    exact = np.empty(len(rows))
    step = max(1, _BLOCK_ENTRIES // (4 * a.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = a[rows[part]].astype(np.float64) - b[first + columns[part]]
        exact[part] = np.einsum("nd,nd->n", difference, difference)
    order = np.lexsort((columns, exact, rows))
    found, firsts = np.unique(rows[order], return_index=True)
    distance, index = np.full(len(a), np.inf), np.full(len(a), -1)
    distance[found] = np.sqrt(exact[order[firsts]])
    index[found] = first + columns[order[firsts]]
    return distance, index


def _unsorted(
    distance: Float[np.ndarray, " points"], index: Int[np.ndarray, " points"], order: np.ndarray
) -> tuple[Float[np.ndarray, " points"], Int[np.ndarray, " points"]]:
    back_distance, back_index = np.empty_like(distance), np.empty_like(index)
    back_distance[order] = distance
    back_index[order] = np.where(index >= 0, order[index], -1)
    return back_distance, back_index
