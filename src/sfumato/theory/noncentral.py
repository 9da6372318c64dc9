"""P(|x + Z| <= b) for standard normal Z in d dimensions, and its two inverses, for d from 1 to a million.

With |x| = a this is the noncentral chi-square distribution function at b^2. Near the origin SciPy's own
functions are used. Far from it their cost grows with b, and b^2 - a^2 loses the digits of the depth b - a.
There the squared length W of the d - 1 coordinates across x is small against b^2, and

    P = E[Phi(u - a) - Phi(-u - a)],  u = sqrt(b^2 - W),  W ~ chi-square with d - 1 degrees of freedom

is the mean of a smooth function, which Gauss-Laguerre quadrature gives to rounding. It works with the depth
itself, so nothing is lost by subtraction. Arrays here are flat and of one length; the callers check them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg, special

from sfumato.theory.waves import gaussian_mass

Vector = Float[np.ndarray, "n"]

NODES = 24
MOST_STEPS = 100
# Few enough columns that the tables of a block stay in the second-level cache.
BLOCK = 512


def probability(dim: Vector, b: Vector, depth: Vector) -> Vector:
    """Return P(|x + Z| <= b) for |x| = b - depth, with small relative error.

    Near the origin SciPy may return 0 for probabilities below 1e-40, and does not invert levels below that.

    >>> one = np.ones(1)
    >>> float(probability(3 * one, 2 * one, one)[0].round(12))
    0.60245597193
    """
    score = np.sqrt(np.maximum(b**2 - dim, 0.0)) - b + depth
    far = _is_far(dim, b, score) | (dim == 1.0)
    found = np.empty_like(b)
    found[~far] = special.chndtr(b[~far] ** 2, dim[~far], (b[~far] - depth[~far]) ** 2)
    found[far] = _by_dimension(_inside, dim[far], b[far], depth[far])
    return np.asarray(np.clip(found, 0.0, 1.0))


def depth_at(dim: Vector, b: Vector, level: Vector) -> Vector:
    """Return the depth b - a at which P = level. There is one if b is at least ``central_root``.

    >>> found = depth_at(np.array([2.0]), np.array([1.25]), np.array([0.5]))
    >>> float(8.0 * (1.25 - found[0]).round(12))
    3.957421396224
    """
    far = _is_far(dim, b, special.ndtri(level))
    found = np.empty_like(b)
    lam = _noncentrality(dim[~far], b[~far] ** 2, level[~far])
    found[~far] = (b[~far] ** 2 - lam) / (b[~far] + np.sqrt(lam))
    found[far] = _by_dimension(_far_depth, dim[far], b[far], level[far])
    return found


def enlarged(dim: Vector, a: Vector, level: Vector) -> tuple[Vector, Vector]:
    """Return the b at which P = level, and b - a.

    >>> found = enlarged(np.array([2.0]), np.array([2.0]), np.array([0.5]))
    >>> float(0.5 * found[0][0].round(12))
    1.122901128548
    """
    score = special.ndtri(level)
    far = _is_far(dim, np.sqrt(np.maximum(a + score, 0.0) ** 2 + dim - 1.0), score)
    found, growth = np.empty_like(a), np.empty_like(a)
    found[~far] = np.sqrt(special.chndtrix(level[~far], dim[~far], a[~far] ** 2))
    growth[~far] = found[~far] - a[~far]
    growth[far] = _by_dimension(_far_growth, dim[far], a[far], level[far])
    found[far] = a[far] + growth[far]
    return found, growth


def central_root(dim: Vector, level: Vector) -> Vector:
    """Return the b with P(|Z| <= b) = level.

    >>> float(central_root(np.array([3.0]), np.array([0.5]))[0].round(12))
    1.538172254455
    """
    return np.asarray(np.sqrt(2.0 * special.gammaincinv(dim / 2.0, level)))


def _noncentrality(dim: Vector, y: Vector, level: Vector) -> Vector:
    """Return a^2 by SciPy, or to first order where the level is only just reached and SciPy's root is nan."""
    gain = np.maximum(special.chndtr(y, dim, 0.0) - level, 0.0)
    lam = special.chndtrinc(y, dim, level)
    close = gain <= 1e-9 * np.minimum(level, 1.0 - level) + 4e-16 * level
    d, at = dim[close], y[close] / 2.0
    lam[close] = gain[close] * 2.0 * np.exp(at + special.gammaln(d / 2.0 + 1.0) - d / 2.0 * np.log(at))
    return np.asarray(lam)


def _is_far(dim: Vector, b: Vector, score: Vector) -> Bool[np.ndarray, "n"]:
    """Return where ``NODES`` nodes are exact to rounding, for a level of this score.

    W then lies within b^2 by ten standard deviations, and Phi(u - a) is smooth on the scale of W; deep in the
    lower tail the ratio of neighbouring values grows and needs more room (measured).
    """
    least = np.sqrt(2.25 * dim + 10.0 * np.sqrt(2.0 * dim) + 50.0)
    least *= 1.0 + np.maximum(-score - 6.0, 0.0) / 10.0
    # On the line there is no W; the two ends of the interval must not be alike.
    least = np.where(dim == 1.0, 2.0, least)
    return np.asarray(b >= least + np.maximum(score, 0.0))


@cache
def _rule(dim: int) -> tuple[Float[np.ndarray, "nodes 1"], Float[np.ndarray, "nodes 1"]]:
    """Return values of W and their weights (Golub & Welsch 1969); only W = 0 in one dimension."""
    k, shape = np.arange(NODES), (dim - 3) / 2.0
    values, vectors = linalg.eigh_tridiagonal(2.0 * k + shape + 1.0, np.sqrt(k[1:] * (k[1:] + shape)))
    weights = vectors[0] ** 2
    return 2.0 * values[weights > 0.0, None], weights[weights > 0.0, None]


def _by_dimension(
    method: Callable[[int, Vector, Vector], Vector], dim: Vector, first: Vector, second: Vector
) -> Vector:
    """Return the method's results, called with one dimension and a block of arguments at a time."""
    found = np.empty_like(first)
    for one in np.unique(dim):
        (rows,) = np.nonzero(dim == one)
        for start in range(0, rows.size, BLOCK):
            block = rows[start : start + BLOCK]
            found[block] = method(int(one), first[block], second[block])
    return found


def _sag(dim: int, b: Vector) -> Float[np.ndarray, "nodes n"]:
    """Return b - u for each value of W: how much shorter than b the ball is, away from the line through x."""
    square = b**2
    across = np.minimum(_rule(dim)[0], square)
    return np.asarray(across / (b + np.sqrt(square - across)))


def _inside(dim: int, b: Vector, depth: Vector) -> Vector:
    """P(|x + Z| <= b) at this depth."""
    sag = _sag(dim, b)
    return np.asarray((_rule(dim)[1] * gaussian_mass(depth - 2.0 * b + sag, depth - sag)).sum(axis=0))


def _far_depth(dim: int, b: Vector, level: Vector) -> Vector:
    return _depth(dim, level, b, lambda _: b)


def _far_growth(dim: int, a: Vector, level: Vector) -> Vector:
    return _depth(dim, level, np.sqrt((a + special.ndtri(level)) ** 2 + dim - 1.0), lambda depth: a + depth)


def _depth(dim: int, level: Vector, start: Vector, radius: Callable[[Vector], Vector]) -> Vector:
    """Return the depth at which P = level where the ball has the radius ``radius(depth)``, about ``start``.

    The steps are Newton's for a fixed ball, on the logarithm of the smaller tail, which is concave. What the
    radius changes with the depth is small here and only costs steps. The tail is taken from the difference
    to the level, without rounding, because on the line the depth may be exponentially small.
    """
    score, weights = special.ndtri(level), _rule(dim)[1]
    least, side = np.minimum(level, 1.0 - level), np.where(level > 0.5, -1.0, 1.0)
    depth = score + (dim - 1.0) / (start + np.sqrt(np.maximum(start**2 - dim + 1.0, 0.0)))
    last = np.full_like(depth, np.inf)
    for _ in range(MOST_STEPS):
        b = radius(depth)
        front = depth - _sag(dim, b)
        low, high = np.minimum(front, score), np.maximum(front, score)
        excess = (weights * np.sign(front - score) * gaussian_mass(low, high)).sum(axis=0)
        slope = (weights * np.exp(-(front**2) / 2.0)).sum(axis=0) / np.sqrt(2.0 * np.pi)
        if dim == 1:  # in more dimensions the far side is out of reach
            back = depth - 2.0 * b
            excess = excess - special.ndtr(back)
            slope = slope - np.exp(-(back**2) / 2.0) / np.sqrt(2.0 * np.pi)
        tail = least + side * excess
        change = -side * tail * np.log1p(side * excess / least) / slope
        depth = depth + change
        size = np.abs(change)
        # Negligible, or kept from shrinking by rounding.
        settled = (size >= last) & (size <= 1e-9 * (1.0 + np.abs(depth)))
        if (settled | (size <= 1e-13 * np.abs(depth))).all():
            break
        last = size
    return depth
