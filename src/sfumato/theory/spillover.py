"""Bounds on the sum of many balls' probabilities: when noise cannot make equal balls spill over.

Let A be N balls of radius r whose surfaces are at least zeta apart, and x a point outside. The nearest
ball alone gives P(x + s Z in it) <= 1/2 - slack, where slack is :func:`~.thresholds.erosion_slack`; so
T_s A lies within A if all others together give less than the slack. N may be infinite.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy import special

from sfumato.errors import require_count, require_nonnegative, require_positive
from sfumato.theory.arguments import SMALLEST_LEVEL
from sfumato.theory.balls import ball_probability

_SHELLS_PER_DIM = 40  # shells thin enough that counting a shell's balls at its inside costs about 2.5 %
_NEGLIGIBLE = -750.0  # exp of it is 0
_MOST_EDGES = 100_000


def separation_needed(diameter: float, number: int, sigma: float) -> float:
    """Return 2 sqrt(D^2 + 2 sigma^2 ln(N - 1)): convex pieces farther apart never spill over at this noise.

    For ``number`` convex pieces of at most the given diameter, in any dimension. The nearest piece lies in
    a slab of width D and gives at most 1/2 - Phi(-D / s); every other lies behind a hyperplane at half
    the separation.

    >>> round(separation_needed(2.0, 101, sigma=0.5), 6)
    5.02099

    Raises:
        SettingError: a diameter or noise that is not positive, fewer than two pieces.
    """
    require_positive("diameter", diameter)
    require_positive("sigma", sigma)
    require_count("number", number, 2)
    return 2.0 * math.hypot(diameter, sigma * math.sqrt(2.0 * math.log(number - 1)))


def neighbour_bound(dim: int, radius: float, gap: float, sigma: float, number: float = math.inf) -> float:
    """Return an upper bound of P(x + sigma Z in any ball but the nearest), for every point x.

    All other centres are at least R = r + zeta / 2 away, and balls of radius R about the centres do not
    overlap, so at most ((t + R) / R)^d - 1 of the others, and at most ``number`` - 1, lie within t.
    Summed over shells, each shell's balls at its inner edge.

    >>> round(neighbour_bound(3, radius=1.0, gap=2.0, sigma=0.5, number=2), 6)  # one at distance R
    0.009252

    Raises:
        SettingError: a dimension or number below 1, a radius or noise that is not positive, a negative gap.
    """
    require_count("dim", dim)
    require_positive("radius", radius)
    require_positive("sigma", sigma)
    half = radius + require_nonnegative("gap", gap) / 2.0
    if number <= 1:
        return 0.0
    edges = _shells(dim, radius, half, sigma, number)
    # log of the most others within each edge; 2^d - 1 is the least, so the logarithm is of at least 1
    counts = np.log(-np.expm1(-dim * np.log1p(edges / half))) + dim * np.log1p(edges / half)
    counts = np.minimum(counts, math.log(number - 1.0)) if math.isfinite(number) else counts
    with np.errstate(divide="ignore"):  # no more of them in the last shells, where all are counted
        more = counts[1:] + np.log(-np.expm1(counts[:-1] - counts[1:]))
    more[0] = counts[1]
    return float(np.sum(np.exp(more + _log_probability(dim, edges[:-1], radius, sigma))))


def _shells(dim: int, radius: float, half: float, sigma: float, number: float) -> Float[np.ndarray, " edges"]:
    """Return edges from R outwards to where all balls are counted, or their tail no longer matters."""
    last = 2.0 * half
    while dim * math.log1p(last / half) + special.log_ndtr((radius - last) / sigma) > _NEGLIGIBLE:
        last *= 1.5
    if math.isfinite(number):
        last = min(last, half * max(1.001, number ** (1.0 / dim)))
    steps = math.ceil(_SHELLS_PER_DIM * dim * math.log(last / half))
    return half * np.exp(np.linspace(0.0, math.log(last / half), max(steps, 2)))


def _log_probability(
    dim: int, distances: Float[np.ndarray, " edges"], radius: float, sigma: float
) -> Float[np.ndarray, " edges"]:
    """Return the logarithm of one ball's probability, or of an upper bound where it is too small to compute.

    The bounds are the half-space that holds the ball, and Chernoff's bound E exp(s (y - X)) of P(X <= y), X
    noncentral chi-square, at the best s = (1/v - 1)/2.
    """
    behind = special.log_ndtr((radius - distances) / sigma)
    exact = np.asarray(ball_probability(dim, distances, radius, sigma))
    y, lam = (radius / sigma) ** 2, (distances / sigma) ** 2
    v = 2.0 * y / (dim + np.sqrt(dim**2 + 4.0 * lam * y))
    chernoff = (y * (1.0 / v - 1.0) - lam * (1.0 - v) + dim * np.log(v)) / 2.0
    held = exact > SMALLEST_LEVEL
    return np.minimum(
        np.where(held, np.log(np.where(held, exact, 1.0)), np.where(v < 1.0, chernoff, 0.0)), behind
    )


def pair_spills(dim: int, radius: float, gap: float, sigma: float) -> bool:
    """Return whether two equal balls spill over at this noise: some point outside both has u >= 1/2.

    Exact: u falls with the distance to either centre, so its maximum outside lies on the segment between
    the spheres. There the halves of the segment mirror each other; on a stretch [a, b] of one half
    u <= F(a) + F(2 R - b), and stretches are halved until that is below 1/2 or a point reaches it.

    >>> pair_spills(2, radius=1.0, gap=0.5, sigma=0.57), pair_spills(2, radius=1.0, gap=0.54, sigma=0.57)
    (True, False)

    Raises:
        SettingError: a dimension below 1, a radius or noise that is not positive, a negative gap.
    """
    require_count("dim", dim)
    require_positive("radius", radius)
    require_positive("sigma", sigma)
    middle = radius + require_nonnegative("gap", gap) / 2.0
    edges = np.linspace(radius, middle, 9)
    while edges.size < _MOST_EDGES:
        near = np.asarray(ball_probability(dim, edges, radius, sigma))
        far = np.asarray(ball_probability(dim, 2.0 * middle - edges, radius, sigma))
        if np.any(near + far >= 0.5):
            return True
        if np.all(near[:-1] + far[1:] < 0.5):
            return False
        edges = np.sort(np.concatenate([edges, (edges[:-1] + edges[1:]) / 2.0]))
    return True  # within 1e-5 of spilling: not called eroding
