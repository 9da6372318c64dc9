"""Roots of the noncentral chi-square distribution: in the noncentrality, in the point, and in their scale.

All points of a block are iterated together, each until it has converged, with steps that act on Phi^-1(F) or
on F near its middle; brackets from geometry (half-spaces, the triangle inequality, the curvature bounds at
level 1/2) keep every iterate in place. The distribution and the notation are those of ``noncentral``.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool
from scipy import optimize, special

from sfumato.theory.noncentral import BLOCK, Tails, Vector, central_root, tails

Flags = Bool[np.ndarray, "n"]

MAX_STEPS = 60
_TINY = float(np.finfo(np.float64).tiny)


def gap_below(dim: Vector, y: Vector, score: Vector) -> Vector:
    """Return y - lam for the noncentrality lam at which F(y) = Phi(score), given that there is one.

    There is one iff sqrt(y) is at least ``central_root``. At score 0 the gap lies in [dim - 1, dim].

    >>> gap = gap_below(np.array([2.0]), np.array([100.0 / 64.0]), np.array([0.0]))
    >>> float(8.0 * np.sqrt(100.0 / 64.0 - gap[0]).round(12))
    3.957421396224
    """
    gap = np.empty_like(dim)
    for start in range(0, dim.size, BLOCK):
        part = slice(start, start + BLOCK)
        gap[part] = _solve_block(dim[part], y[part], score[part], known_is_point=True)[1]
    return gap


def quantile(dim: Vector, lam: Vector, score: Vector) -> tuple[Vector, Vector]:
    """Return (y, y - lam) for the quantile y of noncentrality lam, F(y) = Phi(score).

    >>> y, gap = quantile(np.array([2.0]), np.array([4.0]), np.array([0.0]))
    >>> float(0.5 * np.sqrt(y[0]).round(12)), bool(y[0] == 4.0 + gap[0])
    (1.122901128548, True)
    """
    y, gap = np.empty_like(dim), np.empty_like(dim)
    for start in range(0, dim.size, BLOCK):
        part = slice(start, start + BLOCK)
        y[part], gap[part] = _solve_block(dim[part], lam[part], score[part], known_is_point=False)
    return y, gap


def _bracket(dim: Vector, known: Vector, score: Vector, known_is_point: bool) -> tuple[Vector, Vector]:
    """Return bounds of the gap: a half-space holds the ball, |x + Z| <= |x| + |Z|, and the 1/2 bounds."""
    root = np.sqrt(known)
    central = central_root(dim, score)
    if known_is_point:
        low, high = score * (2.0 * root - score), np.minimum(central * (2.0 * root - central), known)
    else:
        low = np.where(root + score > 0.0, score * (2.0 * root + score), -known)
        low, high = np.maximum(low, central**2 - known), central * (2.0 * root + central)
    half = score == 0.0
    # Half a unit of slack: for d = 1 the gap is exponentially close to its bound 0.
    low, high = np.where(half, dim - 1.5, low), np.where(half, np.minimum(dim, high), high)
    # Rounding must not put the root outside, but a gap must not pass y either: lam >= 0.
    low = low - 1e-9 * np.abs(low) - 1e-15 * known
    high = high + 1e-9 * np.abs(high) + 1e-15 * known
    if known_is_point:
        high = np.minimum(high, known)
    else:
        low = np.maximum(low, central**2 * (1.0 - 1e-9) - known * (1.0 + 1e-15))
    return np.minimum(low, high), high


def _first_gap(
    dim: Vector, known: Vector, score: Vector, bounds: tuple[Vector, Vector], known_is_point: bool
) -> Vector:
    """Return the gap by Cornish and Fisher's expansion, to a few percent of a standard deviation."""
    lam = np.maximum(known - np.clip(dim, *bounds), 0.0) if known_is_point else known
    gap = dim
    for _ in range(4 if known_is_point else 1):
        spread = np.sqrt(2.0 * dim + 4.0 * lam)
        skew = (2.0 * dim + 6.0 * lam) / (3.0 * (dim + 2.0 * lam)) * (score * score - 1.0)
        # Far in a skew tail the correction would exceed what it corrects.
        skew = np.where(skew < np.maximum(np.abs(score), 1.0) * spread / 2.0, skew, 0.0)
        gap = np.clip(dim + score * spread + skew, *bounds)
        lam = known - gap if known_is_point else lam
    # Exponentially small where both ends of an interval matter: Newton would lose digits on the way.
    root = np.sqrt(known)
    tiny_gap = root * np.sqrt(8.0 * np.pi) * special.ndtr(-2.0 * root)
    return np.where(_both_ends(dim, score, known), tiny_gap, gap)


def _both_ends(dim: Vector, score: Vector, y: Vector) -> Flags:
    """Return where the gap is exponentially small: half the mass of a line, at distance from the origin."""
    return np.asarray((dim == 1.0) & (score == 0.0) & (y >= 4.0))


def _solve_block(dim: Vector, known: Vector, score: Vector, *, known_is_point: bool) -> tuple[Vector, Vector]:
    """Return (y, y - lam) where F = Phi(score), given one of y and lam."""
    low, high = _bracket(dim, known, score, known_is_point)
    gap = _first_gap(dim, known, score, (low, high), known_is_point)
    # The unknown is the gap, but y itself for low quantiles: they may be smaller than lam by any factor.
    base = np.where(known_is_point or score >= -1.0, known, 0.0)
    shift = base - known
    unknown, low, high = gap - shift, low - shift, high - shift
    if not known_is_point:
        floor = np.where(base > 0.0, low, central_root(dim, score) ** 2 * (1.0 - 1e-9))
        low, high = np.maximum(low, floor), np.maximum(high, floor)
        unknown = np.maximum(unknown, floor)
    active = np.arange(dim.size)
    for _ in range(MAX_STEPS):
        current, rows = unknown[active], (dim[active], score[active])
        y, lam, gap = _placed(current, known[active], base[active], known_is_point)
        excess, left = _step(*rows, y, lam, gap, known_is_point)
        noise = 4e-16 * np.where(base[active] > 0.0, np.maximum(y, lam), y)
        # An exponentially small gap is found to its own accuracy.
        tiny_gap = _both_ends(*rows, y)
        noise[tiny_gap] = 0.0
        left = np.where(tiny_gap, 1e-5 * np.abs(excess), left)
        low[active] = np.where(excess < 0.0, current, low[active])
        high[active] = np.where(excess > 0.0, current, high[active])
        new = current - excess
        # A solved residual is zero to rounding: bisecting then would throw the root away.
        outside = ((new < low[active]) | (new > high[active])) & (np.abs(excess) > noise)
        new = np.clip(np.where(outside, (low[active] + high[active]) / 2.0, new), low[active], high[active])
        unknown[active] = new
        y, lam, gap = _placed(new, known[active], base[active], known_is_point)
        close = 1e-13 * np.minimum(np.abs(gap), lam if known_is_point else y)
        active = active[(left > close) & (np.abs(excess) > noise)]
        if not active.size:
            break
    y, _, gap = _placed(unknown, known, base, known_is_point)
    # Rounding may not break the theorem.
    return y, np.where(score == 0.0, np.maximum(gap, dim - 1.0), gap)


def _placed(
    unknown: Vector, known: Vector, base: Vector, known_is_point: bool
) -> tuple[Vector, Vector, Vector]:
    """Return y, lam and the gap y - lam that an unknown stands for."""
    if known_is_point:
        return known, np.maximum(known - unknown, 0.0), unknown
    return np.maximum(base + unknown, _TINY), known, unknown + (base - known)


def _step(
    dim: Vector, score: Vector, y: Vector, lam: Vector, gap: Vector, known_is_point: bool
) -> tuple[Vector, Vector]:
    """Return how far the unknown exceeds the root, and about how wrong that is.

    Halley's rule for the noncentrality, Newton's for the quantile; F increases with the gap. In the tails
    both act on Phi^-1(F), which is nearly linear in the gap.
    """
    found = tails(dim, y, lam, gap, score)
    probit = np.where(
        score < 0.0,
        special.ndtri(np.clip(found.lower, _TINY, 1.0 - 1e-16)),
        -special.ndtri(np.clip(found.upper, _TINY, 1.0 - 1e-16)),
    )
    stretch = np.exp(-probit * probit / 2.0) / np.sqrt(2.0 * np.pi)
    central = np.abs(score) <= 1.0
    change = np.where(central, found.residual, (probit - score) * stretch)
    if known_is_point:
        derivative = np.maximum(found.slope, _TINY)
        step = change / derivative
        curvature = -found.bend / derivative + np.where(central, 0.0, probit * derivative / stretch)
        step /= np.maximum(1.0 - step * curvature / 2.0, 0.5)
        return step, np.abs(step) * step * step / (2.0 * dim + 4.0 * lam)
    # For the quantile the rule acts on sqrt(y), in which F has no infinite slope at 0.
    root = np.sqrt(y)
    step = np.minimum(change / np.maximum(2.0 * root * found.density, _TINY), 0.9 * root)
    excess = step * (2.0 * root - step)
    return excess, 1e-5 * np.abs(excess)


def smallest_scale(dim: int, growth: float, level: float) -> float | None:
    """Return the smallest sigma with P(|x + sigma Z| <= 1) = level for |x| = 1 + growth, if there is one.

    The probability first rises and then falls with sigma: its derivative in log sigma has the sign of
    I_{d/2}(u) / I_{d/2 - 1}(u) - 1/|x| at u = |x| / sigma^2, and the ratio of Bessel functions increases.
    ``level`` lies in (0, 1/2), ``growth`` is positive.

    >>> smallest_scale(2, 10.0, 0.4) is None
    True
    """
    one, target, score = np.ones(1), 1.0 + growth, float(special.ndtri(level))
    excess_square = growth * (1.0 + target)

    def found(log_sigma: float) -> Tails:
        y = one * math.exp(-2.0 * log_sigma)
        return tails(dim * one, y, y * target**2, -excess_square * y, 0.0 * one)

    def rise(log_sigma: float) -> float:
        here = found(log_sigma)
        return float(target**2 * here.slope[0] - here.density[0])

    def excess(log_sigma: float) -> float:
        return float(special.ndtri(found(log_sigma).lower[0])) - score

    # u / (c + sqrt(u^2 + c^2)) bounds the Bessel ratio (Amos 1974) from below with c = d/2, from above with
    # c = (d - 1)/2, which brackets the maximum; for d = 1 the ratio is tanh(u).
    if dim == 1:
        top = 0.5 * math.log(target / math.atanh(1.0 / target))
    else:
        first, last = 0.5 * math.log(excess_square / dim), 0.5 * math.log(excess_square / (dim - 1))
        crossed = rise(first) > 0.0 > rise(last)
        # For the least growth the ends differ by less than rounding and either is the maximum.
        top = optimize.brentq(rise, first, last, xtol=1e-12) if crossed else last
    if excess(top) < 0.0:
        return None
    # A half-space holds the ball, level <= Phi(-growth / sigma); on the line this is nearly the solution.
    lowest = min(math.log(-growth / score) - 1e-9, top)
    return math.exp(optimize.brentq(excess, lowest, top, xtol=1e-14, rtol=1e-14))
