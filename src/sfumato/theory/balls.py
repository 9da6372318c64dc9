"""One ball under Gaussian noise, exactly, in any dimension from 1 to 10^6.

For a ball of radius r about 0, P(|x + s Z| <= r) falls strictly with |x| (it is a noncentral chi-square
probability). So {x : P(|x + s Z| <= r) >= q} is a ball again or empty, and its radius rho answers every
question of Pal & Sulam 2023 about one region. At level 1/2 it is below r and falls with s, and
r^2 - d s^2 <= rho^2 <= r^2 - (d - 1) s^2 (curvature; the lower bound is Robert's 1990 median bound). Hence
noise in training never lowers the vote risk of an isolated ball, unless the background is less dense than
the ball. Training then acts at a level below 1/2, which enlarges the ball. To certify at a radius, in two or
more dimensions, a smaller ball is best: the background around it must be certified, too.

Every function broadcasts over its arguments; plain numbers give a plain number. A radius of 0 stands for the
empty set. The numerics are in ``noncentral``. Unions of balls are not treated here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool
from scipy import optimize, special

from sfumato.errors import require_count, require_nonnegative, require_positive
from sfumato.theory import noncentral
from sfumato.theory.arguments import Column, Dims, Reals, checked, flat, positive, shaped, vote_levels

Flags: TypeAlias = "bool | Bool[np.ndarray, '...']"

# Noise this much smaller than the radius moves nothing that a float64 can show; squares would overflow.
_NO_NOISE = 1e-70
# Shares this close are equal up to rounding.
_EQUAL = 1e-9
# Beyond this many standard deviations a Gaussian tail is 0 in float64.
_TAIL = 39.0


@dataclass(frozen=True)
class Ball:
    """The ball of ``radius`` about the origin of R^dim; radius 0 stands for the empty set.

    >>> Ball(dim=2, radius=1.0)
    Ball(dim=2, radius=1.0)

    Raises:
        SettingError: dim below 1 or not whole, a radius that is negative or not finite.
    """

    dim: int
    radius: float

    def __post_init__(self) -> None:
        checked("dim", self.dim)
        require_nonnegative("radius", self.radius)


@dataclass(frozen=True)
class SmoothedBall:
    """The ball that is left by noise and a level.

    Attributes:
        radius: radius of {P(x + noise in the ball) >= level}, 0 where that set is empty.
        depth: how far the boundary moved inward, old radius minus new, computed without subtracting them.
            Negative where the ball grew; the whole old radius where nothing is left.
        empty: whether no point reaches the level.
    """

    radius: Reals
    depth: Reals
    empty: Flags


def ball_probability(dim: Dims, distance: Reals, radius: Reals, sigma: Reals) -> Reals:
    """Return P(|x + sigma Z| <= radius) for |x| = ``distance`` and standard normal Z in R^dim.

    The relative error is about 1e-12, and 1e-9 in dimension 10^6. Probabilities below 1e-40 are less
    accurate and may come out as 0. ``sigma`` = 0 gives the indicator of the closed ball.

    >>> round(ball_probability(3, 1.0, 2.0, 1.0), 12)
    0.60245597193

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite length.
    """
    d, distances, radii, sigmas, shape = flat(dim=dim, distance=distance, radius=radius, sigma=sigma)
    gap = radii - distances
    found = ((gap >= 0.0) & (radii > 0.0)).astype(np.float64)
    live = (sigmas > _NO_NOISE * np.maximum(radii, distances)) & (radii > 0.0)
    # Both limits are certain to every digit, and leave squares that cannot overflow.
    live &= (gap > -_TAIL * sigmas) & (gap < (np.sqrt(d) + _TAIL) * sigmas)
    s = sigmas[live]
    found[live] = noncentral.probability(d[live], radii[live] / s, gap[live] / s)
    return shaped(found, shape)


def ball_radius(dim: Dims, radius: Reals, sigma: Reals, level: Reals = 0.5) -> SmoothedBall:
    """Return the ball {x : P(|x + sigma Z| <= radius) >= level}, T_sigma^level of the ball.

    The relative error of radius and depth is below 1e-9, or as small as the rounding of the arguments allows:
    next to the critical sigma no method gives a radius all its digits. The smoothed classifier has level 1/2;
    training on a background less dense than the ball acts at a lower level.

    >>> found = ball_radius(2, 10.0, 8.0)
    >>> round(found.radius, 9), found.empty
    (3.957421396, False)
    >>> ball_radius(2, 10.0, np.array([0.0, 8.0, 9.0])).radius.round(4)
    array([10.    ,  3.9574,  0.    ])

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite length, a level outside (0, 1).
    """
    d, radii, sigmas, levels, shape = flat(dim=dim, radius=radius, sigma=sigma, level=level)
    found, depth, empty = _smoothed(d, radii, sigmas, levels)
    gone = empty.reshape(shape) if shape else bool(empty[0])
    return SmoothedBall(shaped(found, shape), shaped(depth, shape), gone)


def inverse_ball_radius(dim: Dims, radius: Reals, sigma: Reals, level: Reals = 0.5) -> Reals:
    """Return the radius r with ``ball_radius(dim, r, sigma, level).radius`` = ``radius``.

    For ``radius`` = 0 it is the largest r that leaves at most one point.

    >>> round(inverse_ball_radius(2, 1.0, 0.5), 12)
    1.122901128548

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite length, a level outside (0, 1).
    """
    d, radii, sigmas, levels, shape = flat(dim=dim, radius=radius, sigma=sigma, level=level)
    return shaped(_enlarged(d, radii, sigmas, levels)[0], shape)


def critical_sigma(dim: Dims, radius: Reals, level: Reals = 0.5) -> Reals:
    """Return the noise above which {P(|x + sigma Z| <= radius) >= level} is empty.

    It is radius / m with P(|Z| <= m) = level for standard normal Z, and m is about sqrt(dim - 2/3) at 1/2.

    >>> round(critical_sigma(2, 10.0), 6)
    8.493218

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite radius, a level outside (0, 1).
    """
    d, radii, levels, shape = flat(dim=dim, radius=radius, level=level)
    return shaped(radii / noncentral.central_root(d, levels), shape)


def ball_risk(
    dim: Dims,
    radius: Reals,
    alpha: Reals,
    beta: Reals,
    *,
    training_level: Reals = 0.5,
    certified_radius: Reals = 0.0,
) -> Reals:
    """Return Delta(alpha, beta) of one ball as a share of its volume (uniform measure).

    It is |1 - (rho(rho(r, alpha), beta) / r)^dim|, computed from the depth of the erosion, so that no digits
    are lost in high dimension or under little noise. At training level 1/2 it lies in [0, 1] and never falls
    with alpha. A lower level may leave more volume than the ball had; the share may then exceed 1.

    With a ``certified_radius`` R it is the volume whose label is wrong or not certified at R: what is in the
    ball but outside {P(vote 1) >= Phi(R / beta)}, and what is in {P(vote 1) > Phi(-R / beta)} but not in the
    ball. To name class 0 everywhere costs 1; the share may exceed it.

    >>> round(ball_risk(2, 1.0, 0.3, 0.5), 12), round(ball_risk(2, 1.0, 0.0, 0.5), 12)
    (0.359324432809, 0.265297066236)
    >>> np.round(ball_risk(2, 3.0, [0.0, 1.3], 1.0, certified_radius=0.5), 5)
    array([0.64832, 0.5777 ])

    Raises:
        SettingError: dim below 1 or not whole, a radius that is not positive, a negative or non-finite alpha,
            beta or certified radius, a level outside (0, 1), a certified radius above 8 beta.
    """
    least, most = vote_levels(beta, certified_radius, "certified_radius")
    d, radii, alphas, betas, levels, certain, unsure, shape = flat(
        dim=dim,
        radius=positive("radius", radius),
        alpha=alpha,
        beta=beta,
        training_level=training_level,
        certified_level=least,
        other_level=most,
    )
    trained, first, _ = _smoothed(d, radii, alphas, levels)

    def gained(level: Column) -> Column:
        """The growth of the ball's volume, -1 where nothing is left."""
        _, second, empty = _smoothed(d, trained, betas, level)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            grown = np.expm1(d * np.log1p(-np.minimum((first + second) / radii, 1.0)))
        return np.where(empty, -1.0, grown)

    return shaped(np.maximum(-gained(certain), 0.0) + np.maximum(gained(unsure), 0.0), shape)


def compensating_alpha(
    dim: int, radius: float, beta: float, training_level: float, certified_radius: float = 0.0
) -> float | None:
    """Return the smallest alpha that undoes the smoothing exactly, Delta(alpha, beta) = 0, or None.

    Training at a level q < 1/2 enlarges a ball, T_alpha^q B(r) = B(t), and smoothing erodes it. The two
    cancel where t is the inverse radius of r under beta. No alpha does so for q >= 1/2, nor if beta is too
    large for the largest ball that training at q can give.

    With a ``certified_radius`` R > 0 it is the alpha of the least certified risk. For dim >= 2 the background
    is then certified up to the ball: t is the inverse radius of r under beta at level Phi(-R / beta). Proof:
    let rho be the radius of a level set of B(t) under beta. d rho / dt = 1 / A(rho t / beta^2), where
    A = I_{d/2} / I_{d/2 - 1}, and rho^(d - 1) / A rises with rho because A(u) / u falls. So a larger t
    adds more volume to the outer level set than to the inner one. On the line 1 / A falls, and it is best to
    certify all of the interval: the level is Phi(R / beta). At q >= 1/2 training gives no ball above r, and
    alpha is 0 if t > r. It is inf if no alpha does better than class 0 everywhere.

    >>> round(compensating_alpha(10, 1.0, 0.22356, 1e-3), 5)
    0.07365
    >>> compensating_alpha(10, 1.0, 0.5, 1e-3) is None
    True
    >>> round(compensating_alpha(2, 3.0, 1.0, 0.5, certified_radius=0.5), 6)
    1.320143

    Raises:
        SettingError: dim below 1 or not whole, a radius that is not positive, a negative or non-finite beta
            or certified radius, a level outside (0, 1), a certified radius above 8 beta.
    """
    dim, radius = require_count("dim", dim), require_positive("radius", radius)
    beta, level = require_nonnegative("beta", beta), float(checked("training_level", training_level))
    certain, unsure = map(float, vote_levels(beta, certified_radius, "certified_radius"))
    if beta <= _NO_NOISE * radius:
        return 0.0
    if level >= 0.5 and certified_radius == 0.0:  # no dilation
        return None
    one = np.ones(1)
    target = certain if dim == 1 else unsure
    growth = float(_enlarged(dim * one, one, beta / radius * one, target * one)[1][0])
    if growth >= 0.0 and level >= 0.5:
        sigma: float | None = 0.0
    elif abs(growth) < _NO_NOISE:  # only in one dimension: the other end of the interval is out of reach
        sigma = abs(growth / float(special.ndtri(level)))
    else:
        sigma = _smallest_noise(dim, growth, level)
    if sigma is None or certified_radius == 0.0:
        return None if sigma is None else radius * sigma
    least = ball_risk(
        dim, radius, radius * sigma, beta, training_level=level, certified_radius=certified_radius
    )
    return radius * sigma if least < 1.0 - _EQUAL else math.inf


def _smallest_noise(dim: int, growth: float, level: float) -> float | None:
    """Return the smallest sigma with P(|x + sigma Z| <= 1) = level for |x| = 1 + growth, or None.

    Inside the ball, growth < 0, the probability falls with sigma: from above the level where the sphere about
    x that touches the ball from inside holds it, to below it where the ball about its own centre does not.
    Outside, level < 1/2, the probability first rises and then falls: its derivative in log sigma has the sign
    of I_{d/2}(u) / I_{d/2 - 1}(u) - 1/|x| at u = |x| / sigma^2, and the ratio of Bessel functions increases.
    Amos 1974 bounds the ratio by u / (c + sqrt(u^2 + c^2)), with c = d/2 from below and c = (d - 1)/2 from
    above, which brackets the maximum. On the line the ratio is tanh(u).
    """
    score = float(special.ndtri(level))

    def lacking(log_sigma: float) -> float:
        b = math.exp(-log_sigma) * np.ones(1)
        found = float(noncentral.probability(dim * np.ones(1), b, -growth * b)[0])
        return score - float(special.ndtri(found))

    if growth < 0.0:
        low = math.log(critical_sigma(dim, -growth, level)) - 1e-9
        high = math.log(critical_sigma(dim, 1.0, level)) + 1e-9
        return math.exp(optimize.brentq(lacking, low, high, xtol=1e-14, rtol=1e-14))
    excess_square = growth * (2.0 + growth)
    if dim == 1:
        top = 0.5 * math.log(2.0 * (1.0 + growth) / math.log1p(2.0 / growth))
    else:
        ends = 0.5 * math.log(excess_square / dim), 0.5 * math.log(excess_square / (dim - 1))
        best = optimize.minimize_scalar(lacking, bounds=ends, method="bounded", options={"xatol": 1e-9})
        top = float(best.x)
    if lacking(top) > 0.0:
        return None
    # A half-space holds the ball, level <= Phi(-growth / sigma); on the line this is nearly the solution.
    lowest = min(math.log(-growth / score) - 1e-9, top)
    return math.exp(optimize.brentq(lacking, lowest, top, xtol=1e-14, rtol=1e-14))


def _smoothed(
    d: Column, radii: Column, sigmas: Column, levels: Column
) -> tuple[Column, Column, Bool[np.ndarray, "n"]]:
    """Return radius, depth and emptiness of {P(|x + sigma Z| <= radius) >= level}."""
    found, depth, empty = radii.copy(), np.zeros_like(radii), radii == 0.0
    live = (sigmas > _NO_NOISE * radii) & ~empty
    d, s, levels = d[live], sigmas[live], levels[live]
    b = radii[live] / s
    lost = b.copy()
    there = b >= noncentral.central_root(d, levels)
    lost[there] = noncentral.depth_at(d[there], b[there], levels[there])
    found[live] = np.where(there, np.maximum(radii[live] - s * lost, 0.0), 0.0)
    depth[live], empty[live] = s * lost, ~there
    return found, depth, empty


def _enlarged(d: Column, radii: Column, sigmas: Column, levels: Column) -> tuple[Column, Column]:
    """Return the inverse radius, and by how much it exceeds the radius."""
    found, growth = radii.copy(), np.zeros_like(radii)
    live = sigmas > _NO_NOISE * radii
    s = sigmas[live]
    b, grown = noncentral.enlarged(d[live], radii[live] / s, levels[live])
    growth[live] = s * grown
    found[live] = np.where(growth[live] < -radii[live] / 2.0, s * b, radii[live] + growth[live])
    return found, growth
