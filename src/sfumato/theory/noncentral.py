"""The noncentral chi-square distribution, accurate for 1 to a million degrees of freedom.

X = |x + Z|^2 with |x|^2 = lam in d dimensions has F(y) = P(X <= y). With v = 1 / (1 - 2s) the inversion
integral of its moment generating function becomes

    1 - F = (1 / 2 pi i) int v^(d/2 - 1) exp(lam (v - 1)/2 + y (1/v - 1)/2) / (v - 1) dv

along a loop round 0 that passes right of the pole at v = 1. Taken on the circle |v| = rho through the saddle
point (compare Gil, Segura & Temme 2014, "Computation of the Marcum Q-function"), or on the unit circle with
the principal value where the pole comes near, the integrand is smooth, elementary and does not oscillate, so
one fixed Gauss-Legendre rule serves all parameters. Odd d adds an integral along the cut v < 0, which matters
only while both y and lam are small.

Everything is a function of the gap y - lam, which is of the size of d even where y and lam are 10^12: nothing
is lost by subtraction. A level q is given by its score Phi^-1(q): levels close to 1 keep their digits.
Arrays here are flat and of one length; checks of what users pass belong to the callers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

Vector = Float[np.ndarray, "n"]
Table = Float[np.ndarray, "nodes n"]

# Gauss-Legendre nodes and weights on (0, 1); 32 points leave less than 2e-12 of the smaller tail
# (tests/theory/test_noncentral.py compares with 40-digit sums).
_NODES, _WEIGHTS = (array[:, None] for array in special.roots_legendre(32))
_NODES, _WEIGHTS = (_NODES + 1.0) / 2.0, _WEIGHTS / 2.0
# The integrand falls below exp(-NEGLIGIBLE) of its peak beyond the part of the circle that is integrated.
NEGLIGIBLE = 41.0
# A saddle point closer to the pole than this many widths of the integrand is replaced by the unit circle.
NEAR_POLE = 1.4
# (t - sin t) / t^3 in powers of t^2, to 1e-17 for t up to NARROW; beyond it the subtraction is as good.
NARROW = 0.7
_SINE_DEFECT = [(-1.0) ** k / math.factorial(2 * k + 3) for k in range(9)]
# Few enough rows that all temporaries of a block stay in the second-level cache.
BLOCK = 256


@dataclass(frozen=True)
class Tails:
    """What one evaluation gives, for n sets of parameters.

    Attributes:
        residual: F - Phi(score), without the rounding of forming F.
        lower: F, to relative accuracy where it is small.
        upper: 1 - F, to relative accuracy where it is small.
        density: dF/dy, the density of d degrees of freedom.
        slope: -dF/dlam, the density of d + 2 degrees of freedom.
        bend: dslope/dlam, half of what the density of d + 4 degrees of freedom exceeds it by.
    """

    residual: Vector
    lower: Vector
    upper: Vector
    density: Vector
    slope: Vector
    bend: Vector


def tails(dim: Vector, y: Vector, lam: Vector, gap: Vector, score: Vector) -> Tails:
    """Return both tails of the noncentral chi-square distribution and its densities.

    ``dim`` is d >= 1, ``y`` > 0 the point, ``lam`` >= 0 the noncentrality, ``gap`` the difference y - lam as
    exactly as the caller knows it; the residual is taken from Phi(``score``).

    >>> one = np.ones(1)
    >>> float(tails(2 * one, 4 * one, 4 * one, 0 * one, 0 * one).lower[0].round(12))
    0.396499039388
    """
    # The closed form cancels where the interval is short.
    line = (dim == 1.0) & (y >= 0.04)
    narrow = np.hypot(dim, 2.0 * np.sqrt(lam) * np.sqrt(y)) > NEGLIGIBLE / (1.0 - math.cos(NARROW)) * 2.0
    kinds = ((line, _line_tails), (~line & narrow, _narrow_tails), (~line & ~narrow, _wide_tails))
    found = np.empty((6, dim.size))
    for where, method in kinds:
        if where.any():
            part = method(dim[where], y[where], lam[where], gap[where], score[where])
            found[:, where] = (part.residual, part.lower, part.upper, part.density, part.slope, part.bend)
    return Tails(*found)


def _line_tails(dim: Vector, y: Vector, lam: Vector, gap: Vector, score: Vector) -> Tails:
    """Return the tails for d = 1 in closed form: F = Phi(b - a) - Phi(-b - a), y = b^2, lam = a^2."""
    b, a = np.sqrt(y), np.sqrt(lam)
    depth = gap / (b + a)
    root_2 = np.sqrt(2.0)
    far = special.ndtr(-(b + a))
    near_density = np.exp(-(depth**2) / 2.0) / np.sqrt(2.0 * np.pi)
    density = near_density * (1.0 + np.exp(-2.0 * a * b)) / (2.0 * b)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = near_density * np.where(a * b > 1e-8, -np.expm1(-2.0 * a * b) / (2.0 * a), b)
        # f_5 = (y f_1 - f_3) / lam by the recursion of Bessel functions, a series where that would cancel.
        u = np.minimum(y * lam, 0.1)
        series = y / 3.0 * (1.0 - u / 15.0 + 2.0 * u * u / 315.0) * slope
        second = np.where(y * lam > 0.1, (y * density - slope) / lam, series)
    return Tails(
        residual=(special.erf(depth / root_2) - special.erf(score / root_2)) / 2.0 - far,
        lower=special.ndtr(depth) - far,
        upper=special.ndtr(-depth) + far,
        density=density,
        slope=slope,
        bend=(second - slope) / 2.0,
    )


def _wide_tails(dim: Vector, y: Vector, lam: Vector, gap: Vector, score: Vector) -> Tails:
    return _circle_tails(dim, y, lam, gap, score, _wide_sine)


def _narrow_tails(dim: Vector, y: Vector, lam: Vector, gap: Vector, score: Vector) -> Tails:
    return _circle_tails(dim, y, lam, gap, score, _narrow_sine)


def _wide_sine(theta: Table) -> tuple[Table, Table]:
    """Return sin t and t - sin t."""
    sine = np.sin(theta)
    return sine, theta - sine


def _narrow_sine(theta: Table) -> tuple[Table, Table]:
    """Return sin t and t - sin t, the latter to relative accuracy, for t up to NARROW."""
    square = theta * theta
    defect = np.full_like(theta, _SINE_DEFECT[-1])
    for coefficient in _SINE_DEFECT[-2::-1]:
        defect *= square
        defect += coefficient
    defect *= square
    defect *= theta
    return theta - defect, defect


def _circle_tails(
    dim: Vector,
    y: Vector,
    lam: Vector,
    gap: Vector,
    score: Vector,
    sine_and_defect: Callable[[Table], tuple[Table, Table]],
) -> Tails:
    # |v| = rho = 1 + g; the saddle point solves lam rho + dim = y / rho. For rho near 1 both g and
    # lam rho - y come from the gap, for rho near 0 from rho itself: neither then cancels.
    spread = np.hypot(dim, 2.0 * np.sqrt(lam) * np.sqrt(y))
    g = 2.0 * (gap - dim) / (2.0 * lam + dim + spread)
    small = g < -0.5
    rho = np.where(small, 2.0 * y / (dim + spread), 1.0 + g)
    log_rho = np.where(small, np.log(rho), np.log1p(np.maximum(g, -0.5)))
    near = np.abs(log_rho) * np.sqrt(spread / 2.0) < NEAR_POLE
    log_rho = np.where(near, 0.0, log_rho)
    g, rho = np.where(near, 0.0, g), np.where(near, 1.0, rho)
    tilt = np.where(small, lam * rho - y, lam * g - gap)
    peak = (lam * rho + y / rho) / 2.0
    shift = dim + tilt + y * g / rho
    scale = np.exp(g / (2.0 * rho) * tilt + dim / 2.0 * log_rho)

    end = 2.0 * np.arcsin(np.sqrt(np.minimum(1.0, NEGLIGIBLE / (2.0 * peak))))
    theta = _NODES * end
    sine, defect = sine_and_defect(theta)
    half = np.sin(theta / 2.0)
    half *= half
    defect *= dim
    defect += shift * sine
    defect /= 2.0  # now the phase of v^(d/2) exp(...)
    weight = np.exp(-2.0 * peak * half)
    weight *= _WEIGHTS
    along, across = weight * np.cos(defect), np.sin(defect)
    across *= weight
    across *= sine
    pole = 4.0 * rho * half
    kernel = along * (g - pole / 2.0)
    kernel += across * rho
    kernel /= pole + g * g
    scale = scale * end / np.pi
    total = scale * kernel.sum(axis=0)
    slope = scale * along.sum(axis=0) / 2.0
    # Densities of other degrees of freedom carry powers of v = rho exp(i theta).
    turned = slope - scale * (along * half).sum(axis=0)
    across_sum = scale * across.sum(axis=0) / 2.0
    density, second = (turned + across_sum) / rho, (turned - across_sum) * rho

    cut = (dim % 2.0 == 1.0) & (2.0 * peak < NEGLIGIBLE)
    if cut.any():
        added = _cut(dim[cut], y[cut], lam[cut], rho[cut])
        total[cut] += added[0]
        slope[cut] += added[1]
        density[cut] += added[2]
        second[cut] += added[3]
    below, above = g < 0.0, g > 0.0
    middle = -special.erf(score / np.sqrt(2.0)) / 2.0
    return Tails(
        residual=np.where(below, -special.ndtr(score), np.where(above, special.ndtr(-score), middle)) - total,
        lower=np.where(below, 0.0, np.where(above, 1.0, 0.5)) - total,
        upper=np.where(below, 1.0, np.where(above, 0.0, 0.5)) + total,
        density=density,
        slope=slope,
        bend=(second - slope) / 2.0,
    )


def _cut(dim: Vector, y: Vector, lam: Vector, rho: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """Return what both sides of the cut add, for odd d: v = -rho exp(-t), t from 0 on."""
    end = np.minimum(np.log1p(2.0 * NEGLIGIBLE * rho / y), 2.0 * NEGLIGIBLE / dim)
    t = _NODES * end
    r = rho * np.exp(-t)
    # sin(pi d / 2) is 1, -1, 1, ... for d = 1, 3, 5, ...
    sign = 1.0 - 2.0 * ((dim - 1.0) / 2.0 % 2.0)
    height = np.exp(dim / 2.0 * np.log(r) - lam * (1.0 + r) / 2.0 - (y + y / r) / 2.0)
    height *= _WEIGHTS * (sign * end / np.pi)
    parts = height / (1.0 + r), -height / 2.0, height / r / 2.0, height * r / 2.0
    total, slope, density, second = (part.sum(axis=0) for part in parts)
    return total, slope, density, second


def lower_tail(dim: Vector, y: Vector, lam: Vector, gap: Vector) -> Vector:
    """Return F(y), to relative accuracy where it is small; the parameters are those of ``tails``.

    >>> one = np.ones(1)
    >>> float(lower_tail(3 * one, 4 * one, one, 3 * one)[0].round(10))
    0.6024559719
    """
    found = np.empty_like(dim)
    for start in range(0, dim.size, BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = tails(dim[part], y[part], lam[part], gap[part], np.zeros_like(dim[part])).lower
    return np.asarray(np.clip(found, 0.0, 1.0))


def central_root(dim: Vector, score: Vector) -> Vector:
    """Return the root of the central chi-square quantile at level Phi(score).

    >>> float(central_root(np.array([3.0]), np.array([0.0]))[0].round(12))
    1.538172254455
    """
    if dim.size > 1 and (dim == dim[0]).all() and (score == score[0]).all():
        return np.full_like(dim, central_root(dim[:1], score[:1])[0])
    # Each tail is inverted from its own side, so that levels near 1 keep their digits.
    low = special.gammaincinv(dim / 2.0, special.ndtr(np.minimum(score, 0.0)))
    high = special.gammainccinv(dim / 2.0, special.ndtr(-np.maximum(score, 0.0)))
    return np.asarray(np.sqrt(2.0 * np.where(score <= 0.0, low, high)))
