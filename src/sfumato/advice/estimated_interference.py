"""The interference distance of each class of a data set, estimated from its points.

Pal & Sulam 2023 call interference distance the least distance zeta between the parts of a class. From a
sample the parts are the components of :mod:`sfumato.advice.gabriel` and zeta the least distance between two
of them; infinite if a class is one part, which no point of another class separates. The sample's zeta is too
large by about the spacing of its points, by c n^(-g) with g = 2 / (d + 1) where two parts with round surfaces
face each other in d dimensions; parts nearer to each other than the spacing are not told apart. Random
subsamples of a quarter of the points show by how much, at that rate (Politis & Romano 1994).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from sfumato.advice.gabriel import class_components, component_gap
from sfumato.advice.neighbours import Neighbours, nearest_by_class, squared_distances
from sfumato.advice.points import LEAST_PER_CLASS, LabelledPoints
from sfumato.errors import SettingError, require_count, require_open_unit
from sfumato.theory.thresholds import pair_threshold

DEFAULT_SUBSAMPLES = 40
_MOST_IN_SUBSAMPLE = 2000
_DIMENSION_POINTS = 2000
_CAUTION = (
    1.5  # without this factor the bounds held in 83 to 93 % of the simulations where 95 % were asked for
)


@dataclass(frozen=True)
class ClassInterference:
    """The parts of one class, as its points show them.

    Attributes:
        name: the class.
        points: how many it has.
        components: their number.
        largest_share: share of the points in the largest component.
        zeta: least distance between points of different components; infinite for one component.
        zeta_low, zeta_high: bounds of the true distance; nan if no subsamples were drawn or there is one
            component. ``zeta_low`` is 0 if the parts may touch.
        unresolved: share of the subsamples in which the class was one component.
        half_width: radius of the ball as wide as the components, sqrt((d + 2) / d) times their mean
            distance from their centres (root mean square), d the ``dimension``.
        spacing: median distance to the nearest point of the same class; less is not resolved.
        dimension: of the class as its nearest neighbours show it (Facco et al. 2017).
        features: dimension of the inputs.
    """

    name: str
    points: int
    components: int
    largest_share: float
    zeta: float
    zeta_low: float
    zeta_high: float
    unresolved: float
    half_width: float
    spacing: float
    dimension: float
    features: int

    @property
    def ratio(self) -> float:
        """Zeta / (2 r): the gap between the parts against their width."""
        return self.zeta / (2.0 * self.half_width) if self.half_width > 0 else math.inf

    @property
    def threshold(self) -> float:
        """The ratio from which no noise bridges the gap of two balls in as many dimensions."""
        return pair_threshold(self.features) / 2.0

    @property
    def regime(self) -> str:
        """``one part``, ``low interference``, ``high interference`` or ``not resolved``."""
        if self.components == 1:
            return "one part"
        if self.zeta_low == 0.0:
            return "not resolved"
        low = self.zeta if math.isnan(self.zeta_low) else self.zeta_low
        least = low / (2.0 * self.half_width) if self.half_width > 0 else math.inf
        return "low interference" if least >= self.threshold else "high interference"


def estimate_interference(
    points: LabelledPoints,
    *,
    subsamples: int = DEFAULT_SUBSAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda steps: None,
) -> tuple[ClassInterference, ...]:
    """Return the interference of each class with at least 10 points.

    ``subsamples`` of a quarter of the points, at most 2,000 of them, give the intervals: with probability
    about ``confidence`` over the drawing of the data they hold the true distance (approximate; measured in
    ``benchmarks/results/advice.md``). ``on_progress`` is called with 1 after each class and each subsample.

    Raises:
        SettingError: fewer than 0 subsamples, a confidence outside (0, 1), no class of 10 points.
    """
    require_count("subsamples", subsamples, minimum=0)
    require_open_unit("confidence", confidence)
    labels = [label for label in points.classes if np.count_nonzero(points.y == label) >= LEAST_PER_CLASS]
    if not labels:
        raise SettingError(f"no class has {LEAST_PER_CLASS} points; interference needs that many")
    near = nearest_by_class(points)
    components = {}
    for label in labels:
        components[label] = _components(points, near, label)
        on_progress(1)
    drawn: dict[int, list[float]] = {label: [] for label in labels}
    size = min(len(points) // 4, _MOST_IN_SUBSAMPLE)
    # not keyed noise: which points are looked at
    generator = np.random.default_rng(seed)
    for _ in range(subsamples):
        subset = points.subset(generator.choice(len(points), size, replace=False))
        subset_near = nearest_by_class(subset)
        for label in labels:
            parts = _components(subset, subset_near, label)
            drawn[label].append(component_gap(subset.x[subset.y == label], parts))
        on_progress(1)
    found = []
    for label in labels:
        own = points.y == label
        inside, parts, gaps = points.x[own], components[label], np.array(drawn[label])
        zeta, dimension = component_gap(inside, parts), intrinsic_dimension(inside)
        bounded = math.isfinite(zeta) and len(gaps)
        shrink = (size / len(points)) ** (2.0 / (dimension + 1.0))
        found.append(
            ClassInterference(
                name=points.class_names[label],
                points=len(inside),
                components=int(parts.max()) + 1,
                largest_share=float(np.mean(parts == 0)),
                zeta=zeta,
                zeta_low=_lower_bound(zeta, gaps, shrink, confidence) if bounded else math.nan,
                zeta_high=zeta if bounded else math.nan,
                unresolved=float(np.mean(np.isinf(gaps))) if len(gaps) else math.nan,
                half_width=_half_width(inside, parts, dimension),
                spacing=float(np.median(near.same.distance[own])),
                dimension=dimension,
                features=inside.shape[1],
            )
        )
    return tuple(found)


def _components(points: LabelledPoints, neighbours: Neighbours, label: int) -> Int[np.ndarray, " own"]:
    own = points.y == label
    return class_components(points.x[own], points.x[~own], neighbours.other.distance[own])


def _lower_bound(
    zeta: float, drawn: Float[np.ndarray, " subsamples"], shrink: float, confidence: float
) -> float:
    """Return a lower bound of the true distance; ``zeta`` is the upper one, as parts are never farther apart.

    The excess of n points is about ``shrink`` times that of the m of a subsample. If all but
    (1 - ``confidence``) / 2 of the subsamples are at most q, the excess of ``zeta`` is at most about
    (q - zeta) times the factor below.
    """
    most = float(np.quantile(drawn, (1.0 + confidence) / 2.0, method="inverted_cdf"))
    return max(0.0, zeta - _CAUTION * max(0.0, most - zeta) * shrink / (1.0 - shrink))


def _half_width(
    inside: Float64[np.ndarray, "points features"], components: Int[np.ndarray, " points"], dimension: float
) -> float:
    parts = [inside[components == component] for component in np.unique(components)]
    squares = sum(float(((part - part.mean(axis=0)) ** 2).sum()) for part in parts)
    return math.sqrt((dimension + 2.0) / dimension * squares / len(inside))


def intrinsic_dimension(inside: Float64[np.ndarray, "points features"]) -> float:
    """Return the dimension of the set that the points fill, as their two nearest neighbours show it.

    The maximum likelihood form n / sum log(r2 / r1) of the two-neighbour estimator (Facco, d'Errico,
    Rodriguez & Laio 2017) on at most 2,000 of the points; between 1 and the number of features. Too low
    in many dimensions, where points are few.

    >>> square = np.random.default_rng(0).random((2000, 2))
    >>> 1.9 < intrinsic_dimension(square) <= 2.0
    True
    """
    features = inside.shape[1]
    # not keyed noise: which points are looked at
    chosen = np.random.default_rng(0).permutation(len(inside))[:_DIMENSION_POINTS]
    sample = np.unique(inside[chosen], axis=0)
    if len(sample) < 3:
        return 1.0
    distances = squared_distances(sample, sample)
    np.fill_diagonal(distances, np.inf)
    two = np.maximum(np.partition(distances, 1, axis=1)[:, :2], np.finfo(np.float32).tiny)
    total = 0.5 * float(np.log(two[:, 1] / two[:, 0]).sum())
    return float(np.clip(len(sample) / total if total > 0 else features, 1.0, features))
