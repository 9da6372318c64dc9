"""Nearest points by an approximate index, for more points than all pairs can be computed of.

The index is Faiss' inverted file (Douze et al. 2024, ``IndexIVFFlat``), one per class: points are sorted
into cells around k-means centres, and a query looks into the nearest cells only. A neighbour that lies
elsewhere is missed, so distances are never too small; the share of queries whose nearest point was found, the
recall, is measured against the exact answer on a sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from sfumato.advice.neighbours import Nearest, Neighbours, squared_distances, squared_norms
from sfumato.advice.points import LabelledPoints
from sfumato.errors import MissingPackageError, require_count

_PROBE_SHARE = 0.06  # of the cells of a class that a query looks into
_RECALL_QUERIES = 400
_QUERIES_AT_ONCE = 4096


@dataclass(frozen=True)
class ApproximateNeighbours:
    """Neighbours by the index, and how often it found the nearest.

    Attributes:
        neighbours: distances are at least the true ones.
        recall_other: share of sampled points whose nearest point of another class was found.
        recall_same: likewise of the same class.
        queries: size of the sample.
    """

    neighbours: Neighbours
    recall_other: float
    recall_same: float
    queries: int


def nearest_by_index(
    points: LabelledPoints, *, seed: int = 0, on_progress: Callable[[int], None] = lambda points: None
) -> ApproximateNeighbours:
    """Return each point's nearest point of another class and of its own, as Faiss finds them.

    ``on_progress`` is called with the number of points of each class as it is done.

    Raises:
        MissingPackageError: Faiss is not installed.
    """
    faiss = _faiss()
    require_count("seed", seed, minimum=0)
    count = len(points)
    other = Nearest(np.full(count, np.inf), np.full(count, -1))
    same = Nearest(np.full(count, np.inf), np.full(count, -1))
    for label in points.classes:
        members = np.flatnonzero(points.y == label)
        index = _index(faiss, points.x[members], seed)
        for start in range(0, count, _QUERIES_AT_ONCE):
            rows = np.arange(start, min(start + _QUERIES_AT_ONCE, count))
            _, found = index.search(points.x[rows], 2)
            own = points.y[rows] == label
            # of its own class a point finds itself first, or a copy of itself
            itself = members[found[:, 0]] == rows
            nearest = np.where(own & itself, found[:, 1], found[:, 0])
            _improve(same, points.x, rows[own], members, nearest[own])
            _improve(other, points.x, rows[~own], members, nearest[~own])
        on_progress(len(members))
    # not keyed noise: which points are looked at
    queries = np.random.default_rng(seed).permutation(count)[:_RECALL_QUERIES]
    recall = _recall(points, queries, other.distance, same.distance)
    return ApproximateNeighbours(Neighbours(other, same), *recall, len(queries))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingPackageError("the approximate index needs Faiss: pip install 'sfumato[index]'") from None
    return faiss


def _index(faiss: Any, x: Float32[np.ndarray, "points features"], seed: int) -> Any:
    cells = max(1, int(math.sqrt(len(x))))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(x.shape[1]), x.shape[1], cells)
    index.cp.seed = seed + 1
    index.cp.min_points_per_centroid = 1
    index.train(x)
    index.add(x)
    index.nprobe = max(4, math.ceil(_PROBE_SHARE * cells))
    return index


def _improve(
    nearest: Nearest,
    x: Float32[np.ndarray, "points features"],
    rows: Int[np.ndarray, " rows"],
    members: Int[np.ndarray, " members"],
    found: Int[np.ndarray, " rows"],
) -> None:
    """Keep what is nearer than before; -1 is "nothing found"."""
    rows, found = rows[found >= 0], members[found[found >= 0]]
    difference = x[rows].astype(np.float64) - x[found]
    distance = np.sqrt(np.einsum("nd,nd->n", difference, difference))
    better = distance < nearest.distance[rows]
    nearest.distance[rows[better]] = distance[better]
    nearest.index[rows[better]] = found[better]


def _recall(
    points: LabelledPoints,
    queries: Int[np.ndarray, " queries"],
    other: Float[np.ndarray, " points"],
    same: Float[np.ndarray, " points"],
) -> tuple[float, float]:
    squares = squared_norms(points.x)
    distances = squared_distances(points.x[queries], squares[queries], points.x, squares).astype(np.float64)
    distances[np.arange(len(queries)), queries] = np.inf
    alike = points.y[queries][:, None] == points.y[None, :]
    recalls = []
    for found, mask in ((other, alike), (same, ~alike)):
        exact = np.where(mask, np.inf, distances).min(axis=1)
        possible = np.isfinite(exact)
        # single precision tells the same point by its distance, to rounding
        hit = found[queries][possible] ** 2 <= exact[possible] * (1 + 1e-4) + 1e-4
        recalls.append(float(hit.mean()) if possible.any() else 1.0)
    return recalls[0], recalls[1]
