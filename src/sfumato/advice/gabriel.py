"""Components of a class: points joined unless a point of another class lies between them.

Two points of a class are joined unless a point of another class lies inside the ball that has them as
diameter (Gabriel & Sokal 1969, blocked by the other classes only). y lies inside the ball of a and b if and
only if (a - y).(b - y) < 0. Most pairs need no look at the y. With d the distance to the nearest point of
another class, d(a)^2 + d(b)^2 >= |a - b|^2 leaves no room for one; these pairs alone join most of a class.
The rest is settled pair by pair, the closest first. A y found between one pair is tried on all open pairs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int

from sfumato.advice.neighbours import nearest_by_class, squared_distances
from sfumato.advice.points import LabelledPoints

_BLOCK_ROWS = 1024
_PAIRS_AT_ONCE = 16
_ROUNDING = 1e-9  # relative; pairs as near to the limit as this are settled one by one


def class_components(
    inside: Float64[np.ndarray, "points features"],
    others: Float64[np.ndarray, "others features"],
    to_others: Float64[np.ndarray, " points"],
) -> Int[np.ndarray, " points"]:
    """Return the component of each point of a class, numbered from 0 by decreasing size.

    ``others`` are the points of all other classes, ``to_others`` the distance from each point of the
    class to the nearest of them.

    >>> line = np.array([[0.0], [1.0], [3.0], [4.0]])
    >>> class_components(line, np.array([[2.0]]), np.array([2.0, 1.0, 1.0, 2.0]))
    array([0, 0, 1, 1])
    """
    labels = _freely_joined(inside, to_others)
    open_labels = set(labels.tolist())
    while len(open_labels) > 1:
        smallest = min(open_labels, key=lambda label: (np.count_nonzero(labels == label), label))
        open_labels.remove(smallest)
        own = np.flatnonzero(labels == smallest)
        rest = np.flatnonzero(np.isin(labels, list(open_labels)))
        joined = _unblocked(inside[own], inside[rest], others)
        if joined is not None:
            labels[own] = labels[rest[joined]]
    _, positions, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.argsort(np.argsort(-sizes, kind="stable"))
    return np.asarray(rank[positions])


def component_gap(
    inside: Float64[np.ndarray, "points features"], labels: Int[np.ndarray, " points"]
) -> float:
    """Return the smallest distance between points of different components, infinite if there is one.

    >>> component_gap(np.array([[0.0], [1.0], [3.5]]), np.array([0, 0, 1]))
    2.5
    """
    if not labels.any():
        return np.inf
    return float(nearest_by_class(LabelledPoints(inside, labels, (), ())).other.distance.min())


def _freely_joined(
    inside: Float64[np.ndarray, "points features"], to_others: Float64[np.ndarray, " points"]
) -> Int[np.ndarray, " points"]:
    """Return components by the pairs that the distances to other classes alone join."""
    reach = to_others**2
    labels = np.full(len(inside), -1)
    while (unseen := np.flatnonzero(labels < 0)).size:
        frontier, unseen = unseen[:1], unseen[1:]
        label = labels.max() + 1
        labels[frontier] = label
        while len(frontier) and len(unseen):
            rows, frontier = frontier[:_BLOCK_ROWS], frontier[_BLOCK_ROWS:]
            distances = squared_distances(inside[rows], inside[unseen]) * (1.0 + _ROUNDING)
            joined = (distances <= reach[rows][:, None] + reach[unseen]).any(axis=0)
            labels[unseen[joined]] = label
            frontier = np.concatenate([frontier, unseen[joined]])
            unseen = unseen[~joined]
    return labels


def _unblocked(
    own: Float64[np.ndarray, "own features"],
    rest: Float64[np.ndarray, "rest features"],
    others: Float64[np.ndarray, "others features"],
) -> int | None:
    """Return the index of a point of ``rest`` that is joined to one of ``own``; None if there is none."""
    if not len(others):
        return 0
    squares = np.einsum("nd,nd->n", others, others)
    open_pairs = squared_distances(own, rest)  # infinite once blocked
    while np.isfinite(open_pairs).any():
        flat = open_pairs.ravel()
        closest = np.argpartition(flat, min(_PAIRS_AT_ONCE, len(flat)) - 1)[:_PAIRS_AT_ONCE]
        closest = closest[np.isfinite(flat[closest])]
        rows, columns = np.unravel_index(closest, open_pairs.shape)
        a, b = own[rows], rest[columns]
        # the point nearest to the middle of a pair lies deepest in its ball
        deepest = (squares - (a + b) @ others.T).argmin(axis=1)
        blocked = np.einsum("nd,nd->n", a - others[deepest], b - others[deepest]) < 0.0
        if not blocked.all():
            return int(columns[int(np.argmin(blocked))])
        open_pairs[rows, columns] = np.inf
        for y in others[np.unique(deepest)]:
            open_pairs[(own - y) @ (rest - y).T < 0.0] = np.inf
    return None
