"""Components of a class: points joined unless a point of another class lies between them.

Two points of a class are joined unless a point of another class lies inside the ball that has them as
diameter (Gabriel & Sokal 1969, blocked by the other classes only). y lies inside that ball of a and b just if
(a - y).(b - y) < 0. All n^2 pairs need not be looked at: where d(a)^2 + d(b)^2 >= |a - b|^2, with d the
distance to the nearest point of another class, no such y can exist, and these pairs alone join most of a
class. What they leave apart is settled pair by pair, the closest first, and a y found between one pair is
tried on all that are still open.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from sfumato.advice.neighbours import rounding_bound, squared_distances, squared_norms

_BLOCK_ROWS = 1024
_PAIRS_AT_ONCE = 64
_WITNESS_WORK = 2e9  # multiplications spent on trying witnesses before the next pairs are looked at


def class_components(
    inside: Float32[np.ndarray, "points features"],
    others: Float32[np.ndarray, "others features"],
    to_others: Float[np.ndarray, " points"],
) -> Int[np.ndarray, " points"]:
    """Return the component of each point of a class, numbered from 0 by decreasing size.

    ``others`` are the points of all other classes, ``to_others`` the distance from each point of the
    class to the nearest of them.

    >>> line = np.array([[0.0], [1.0], [3.0], [4.0]], dtype=np.float32)
    >>> class_components(line, np.array([[2.0]], dtype=np.float32), np.array([2.0, 1.0, 1.0, 2.0]))
    array([0, 0, 1, 1])
    """
    labels = _freely_joined(inside, to_others)
    open_labels = set(range(int(labels.max(initial=-1)) + 1))
    blockers = _Blockers(others)
    while len(open_labels) > 1:
        smallest = min(open_labels, key=lambda label: (int(np.count_nonzero(labels == label)), label))
        own = np.flatnonzero(labels == smallest)
        rest = np.flatnonzero(np.isin(labels, list(open_labels - {smallest})))
        joined = blockers.unblocked(inside, own, rest)
        open_labels.discard(smallest)
        if joined is not None:
            labels[own] = labels[joined]
    return _by_size(labels)


def component_gap(
    inside: Float32[np.ndarray, "points features"], labels: Int[np.ndarray, " points"]
) -> float:
    """Return the smallest distance between points of different components, infinite if there is one.

    >>> component_gap(np.array([[0.0], [1.0], [3.5]], dtype=np.float32), np.array([0, 0, 1]))
    2.5
    """
    least = np.inf
    squares = squared_norms(inside)
    largest = np.flatnonzero(labels == 0)
    for start in range(0, len(inside), _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, len(inside)))
        rows = rows[labels[rows] > 0]  # each pair has an end outside the largest component
        if not len(rows) or not len(largest):
            continue
        distances = squared_distances(inside[rows], squares[rows], inside, squares)
        distances[labels[rows][:, None] == labels[None, :]] = np.inf
        slack = rounding_bound(squares[rows], squares, inside.shape[1])
        near_rows, near_columns = np.nonzero(distances <= distances.min() + 2 * slack.max())
        difference = inside[rows[near_rows]].astype(np.float64) - inside[near_columns]
        least = min(least, float(np.sqrt((difference**2).sum(axis=1).min())))
    return least


def _freely_joined(
    inside: Float32[np.ndarray, "points features"], to_others: Float[np.ndarray, " points"]
) -> Int[np.ndarray, " points"]:
    """Return components by the pairs that the distances to other classes alone join."""
    count = len(inside)
    squares, reach = squared_norms(inside), (to_others**2).astype(np.float32)
    labels = np.full(count, -1)
    label = -1
    while (unseen := np.flatnonzero(labels < 0)).size:
        label += 1
        labels[unseen[0]] = label
        frontier, unseen = unseen[:1], unseen[1:]
        while len(frontier) and len(unseen):
            rows, frontier = frontier[:_BLOCK_ROWS], frontier[_BLOCK_ROWS:]
            distances = squared_distances(inside[rows], squares[rows], inside[unseen], squares[unseen])
            slack = rounding_bound(squares[rows], squares, inside.shape[1])
            joined = (distances + slack[:, None] <= reach[rows][:, None] + reach[unseen][None, :]).any(axis=0)
            labels[unseen[joined]] = label
            frontier = np.concatenate([frontier, unseen[joined]])
            unseen = unseen[~joined]
    return labels


class _Blockers:
    """The points of the other classes, asked which of them lies between two points."""

    def __init__(self, others: Float32[np.ndarray, "others features"]) -> None:
        self._others = others
        self._squares = squared_norms(others).astype(np.float32)

    def unblocked(
        self,
        inside: Float32[np.ndarray, "points features"],
        own: Int[np.ndarray, " own"],
        rest: Int[np.ndarray, " rest"],
    ) -> int | None:
        """Return a point of ``rest`` that is joined to one of ``own``, None if all pairs are blocked."""
        if not len(self._others):
            return int(rest[0])
        a, b = inside[own], inside[rest]
        distances = squared_distances(a, squared_norms(a), b, squared_norms(b))
        still_open = np.ones(distances.shape, dtype=bool)
        work = max(1, a.shape[0] * b.shape[0] * a.shape[1])
        tries = int(np.clip(_WITNESS_WORK / work, 1, _PAIRS_AT_ONCE))
        while still_open.any():
            rows, columns = _closest_open(distances, still_open)
            blocked, witnesses = self._between(a[rows], b[columns])
            if not blocked.all():
                return int(rest[columns[int(np.argmin(blocked))]])
            still_open[rows, columns] = False
            for witness in dict.fromkeys(witnesses.tolist()[:tries]):
                y = self._others[witness]
                still_open &= (a - y) @ (b - y).T >= 0
        return None

    def _between(
        self, a: Float32[np.ndarray, "pairs features"], b: Float32[np.ndarray, "pairs features"]
    ) -> tuple[Bool[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
        """Return whether each pair is blocked, and the point nearest to its middle, deepest in the ball."""
        depth = self._squares[None, :] - (a + b) @ self._others.T
        deepest = depth.argmin(axis=1)
        y = self._others[deepest].astype(np.float64)
        products = np.einsum("nd,nd->n", a - y, b - y)
        return products < 0.0, deepest


def _closest_open(
    distances: Float32[np.ndarray, "own rest"], still_open: Bool[np.ndarray, "own rest"]
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    flat = np.flatnonzero(still_open)
    values = distances.ravel()[flat]
    count = min(_PAIRS_AT_ONCE, len(flat))
    nearest = flat[np.argpartition(values, count - 1)[:count]]
    nearest = nearest[np.argsort(distances.ravel()[nearest], kind="stable")]
    rows, columns = np.unravel_index(nearest, distances.shape)
    return rows, columns


def _by_size(labels: Int[np.ndarray, " points"]) -> Int[np.ndarray, " points"]:
    names, firsts, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((firsts, -sizes))
    rank = np.empty(int(names.max(initial=-1)) + 1, dtype=np.int64)
    rank[names[order]] = np.arange(len(order))
    return np.asarray(rank[labels])
