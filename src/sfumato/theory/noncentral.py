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
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import linalg, special

from sfumato.theory.waves import gaussian_mass

Vector = Float[np.ndarray, "n"]

NODES = 24
# Few enough columns that the tables of a block stay in the second-level cache.
BLOCK = 512
MOST_STEPS = 60


def probability(dim: Vector, b: Vector, depth: Vector) -> Vector:
    """Return P(|x + Z| <= b) for |x| = b - depth, with small relative error.

    Near the origin SciPy may return 0 for probabilities below 1e-40, and does not invert levels below that.

    >>> one = np.ones(1)
    >>> float(probability(3 * one, 2 * one, one)[0].round(12))
    0.60245597193
    """
    square = b**2
    score = np.sqrt(np.maximum(square - dim, 0.0)) - b + depth
    far = _is_far(dim, b, score) | (dim == 1.0)
    found = np.empty_like(b)
    near = ~far
    found[near] = special.chndtr(square[near], dim[near], (b[near] - depth[near]) ** 2)
    found[far] = _by_dimension(lambda rows, at, d: _Slices(rows, at).inside(d), dim[far], b[far], depth[far])
    return np.asarray(np.clip(found, 0.0, 1.0))


def depth_at(dim: Vector, b: Vector, level: Vector) -> Vector:
    """Return the depth b - a at which P = level. There is one if b is at least ``central_root``.

    >>> found = depth_at(np.array([2.0]), np.array([1.25]), np.array([0.5]))
    >>> float(8.0 * (1.25 - found[0]).round(12))
    3.957421396224
    """
    score = special.ndtri(level)
    far = _is_far(dim, b, score)
    found = np.empty_like(b)
    near = ~far
    lam = _noncentrality(dim[near], b[near] ** 2, level[near])
    found[near] = (b[near] ** 2 - lam) / (b[near] + np.sqrt(lam))
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
    near = ~far
    found, growth = np.empty_like(a), np.empty_like(a)
    found[near] = np.sqrt(special.chndtrix(level[near], dim[near], a[near] ** 2))
    growth[near] = found[near] - a[near]
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


@dataclass(frozen=True)
class _Slices:
    """The ball of radius b in slices along x, one for each value of W: half as long as u = b - sag."""

    dim: int
    b: Vector

    @property
    def sag(self) -> Float[np.ndarray, "nodes n"]:
        square = self.b**2
        across = np.minimum(_rule(self.dim)[0], square)
        return np.asarray(across / (self.b + np.sqrt(square - across)))

    def mean(self, values: Float[np.ndarray, "nodes n"]) -> Vector:
        return np.asarray((_rule(self.dim)[1] * values).sum(axis=0))

    def inside(self, depth: Vector) -> Vector:
        """P(|x + Z| <= b) at this depth."""
        sag = self.sag
        return self.mean(gaussian_mass(depth - 2.0 * self.b + sag, depth - sag))

    def step(self, depth: Vector, level: Vector, *, fixed_centre: bool) -> Vector:
        """Newton's step of the depth towards the level, with x fixed or b fixed.

        It acts on the logarithm of the smaller tail, which is concave. At level 1/2 the difference from 1/2
        is formed without rounding, because the depth may be exponentially small on the line. Only there the
        far end of the interval matters; the far side of a ball in more dimensions is out of reach.
        """
        sag = self.sag
        front = depth - sag
        slope = np.exp(-(front**2) / 2.0)
        behind: Vector | float = 0.0
        if self.dim == 1:
            back = front - 2.0 * self.b
            behind = special.ndtr(back)
            slope += np.exp(-(back**2) / 2.0) * (1.0 if fixed_centre else -1.0)
        elif fixed_centre:
            slope /= np.maximum(1.0 - sag / self.b, 0.1)
        if (level == 0.5).all():
            excess = self.mean(special.erf(front / np.sqrt(2.0)) / 2.0 - behind)
        else:
            side = np.where(level > 0.5, -1.0, 1.0)
            tail = self.mean(special.ndtr(side * front) - side * behind)
            excess = side * tail * np.log(tail / np.where(level > 0.5, 1.0 - level, level))
        return np.asarray(-excess * np.sqrt(2.0 * np.pi) / self.mean(slope))


def _far_depth(dim: int, b: Vector, level: Vector) -> Vector:
    slices = _Slices(dim, b)
    sag = (dim - 1.0) / (b + np.sqrt(b**2 - dim + 1.0))
    return _converged(special.ndtri(level) + sag, lambda depth: slices.step(depth, level, fixed_centre=False))


def _far_growth(dim: int, a: Vector, level: Vector) -> Vector:
    score = special.ndtri(level)
    start = score + (dim - 1.0) / (a + score + np.sqrt((a + score) ** 2 + dim - 1.0))
    return _converged(start, lambda growth: _Slices(dim, a + growth).step(growth, level, fixed_centre=True))


def _converged(start: Vector, step: Callable[[Vector], Vector]) -> Vector:
    """Return the point where the steps end: they are negligible, or rounding keeps them from shrinking."""
    point, last = start, np.full_like(start, np.inf)
    for _ in range(MOST_STEPS):
        change = step(point)
        point = point + change
        size = np.abs(change)
        settled = (size >= last) & (size <= 1e-9 * (1.0 + np.abs(point)))
        if (settled | (size <= 1e-13 * np.abs(point))).all():
            break
        last = size
    return point
