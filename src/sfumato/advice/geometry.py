"""Limits for every classifier, however trained, from the distances between points of different classes.

Take two inputs with different labels at distance d. Under N(0, beta^2 I) a classifier, any at all, is right
on single noisy copies of the two with probabilities that sum to at most 1 plus the total variation distance
of the two Gaussians,

    p_a + p_b <= 2 Phi(d / (2 beta)),

so on average it is wrong on at least Phi(-d / (2 beta)) of them (Neyman & Pearson 1933). Pairs that share no
input add up to a bound for the whole sample. And no smoothed classifier is right within R around both if
d < 2 R: their balls meet, and there it would have to return both labels. The majority of infinitely many
votes is not bounded this way: it needs p_a > 1/2 and p_b > 1/2 only, however little above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, special

from sfumato.advice.neighbours import Neighbours
from sfumato.errors import require_open_unit, require_positive


@dataclass(frozen=True)
class Geometry:
    """Distances of a sample, and the pairs whose bounds add up.

    Attributes:
        points: their number.
        to_other: distance from each point to the nearest of another class.
        to_same: distance to the nearest other one of its own class.
        pairs: distances of disjoint pairs of points with different labels, increasing.
    """

    points: int
    to_other: Float[np.ndarray, " points"]
    to_same: Float[np.ndarray, " points"]
    pairs: Float[np.ndarray, " pairs"]

    @property
    def nearest_is_same(self) -> float:
        """Share of points whose nearest point has the same label: 1-NN accuracy, leaving one out."""
        return float(np.mean(self.to_same < self.to_other))

    def least_soft_risk(self, beta: float) -> float:
        """Return a lower bound of every classifier's error on single noisy copies of these points."""
        require_positive("beta", beta)
        return float(2.0 * special.ndtr(-self.pairs / (2.0 * beta)).sum() / self.points)

    def most_certified(self, radius: float) -> float:
        """Return a bound of the share of these points that are right and certified at ``radius``.

        It holds for any smoothed classifier, whatever its beta and its training.
        """
        require_positive("radius", radius)
        return 1.0 - float(np.count_nonzero(self.pairs < 2.0 * radius)) / self.points

    def beta_of_soft_risk(self, risk: float) -> float:
        """Return the beta above which every classifier's error on single noisy copies exceeds ``risk``.

        0 if this is already so without noise, because of equal inputs with different labels. Infinite if the
        bound never exceeds ``risk``.
        """
        require_open_unit("risk", risk)
        least, most = -40.0, 40.0  # of log beta

        def above(log_beta: float) -> float:
            return self.least_soft_risk(math.exp(log_beta)) - risk

        if above(least) > 0:
            return 0.0
        if above(most) <= 0:
            return math.inf
        return math.exp(optimize.brentq(above, least, most))


def geometry(neighbours: Neighbours) -> Geometry:
    """Return the geometry of a sample from its nearest neighbours.

    Each point is paired with its nearest one of another class, the closest pairs first, each point once.
    """
    distance, partner = neighbours.other.distance, neighbours.other.index
    taken = np.zeros(len(distance), dtype=bool)
    pairs = []
    order: Int[np.ndarray, " points"] = np.argsort(distance, kind="stable")
    for point in order.tolist():
        mate = int(partner[point])
        if mate >= 0 and not taken[point] and not taken[mate]:
            taken[point] = taken[mate] = True
            pairs.append(float(distance[point]))
    return Geometry(len(distance), distance, neighbours.same.distance, np.array(pairs))
