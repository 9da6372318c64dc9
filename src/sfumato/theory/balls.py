"""One ball under Gaussian noise, exactly, in any dimension from 1 to 10^6.

For a ball of radius r about 0, P(|x + s Z| <= r) falls strictly with |x| (it is a noncentral chi-square
probability), so {x : P(|x + s Z| <= r) >= q} is a ball again or empty. Its radius rho answers everything that
Pal & Sulam 2023 ask of one region: at level 1/2 it is below r and falls with s, and
r^2 - d s^2 <= rho^2 <= r^2 - (d - 1) s^2 (curvature; the lower bound is Robert's 1990 median bound). Hence
noise in training never helps an isolated ball, unless the background is less dense than the ball: that is
training at a level below 1/2, which dilates.

Every function broadcasts over its arguments; numbers in give a number out. A radius of 0 stands for the empty
set. The numerics are in ``noncentral`` and ``noncentral_roots``; unions of balls are not treated here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool
from scipy import special

from sfumato.errors import (
    SettingError,
    require_count,
    require_nonnegative,
    require_open_unit,
    require_positive,
)
from sfumato.theory import noncentral, noncentral_roots
from sfumato.theory.arguments import (
    Column,
    Dims,
    Reals,
    broadcast,
    checked_dims,
    nonnegative,
    positive,
    scores,
    shaped,
)
from sfumato.theory.deployed import Deployed

Flags: TypeAlias = "bool | Bool[np.ndarray, '...']"

# Noise this much smaller than the radius moves nothing that a float64 can show; squares would overflow.
_NO_NOISE = 1e-70
# Beyond this many standard deviations a Gaussian tail is 0 in float64.
_TAIL = 39.0
# Scores whose tails are still normal floats.
_MAX_SCORE = 37.0


@dataclass(frozen=True)
class Ball:
    """The ball of ``radius`` about the origin of R^dim; radius 0 stands for the empty set.

    >>> round(Ball(dim=2, radius=1.0).volume, 12)
    3.14159265359

    Raises:
        SettingError: dim below 1 or not whole, a radius that is negative or not finite.
    """

    dim: int
    radius: float

    def __post_init__(self) -> None:
        checked_dims(self.dim)
        require_nonnegative("radius", self.radius)

    @property
    def empty(self) -> bool:
        """Whether this is the empty set."""
        return self.radius == 0.0

    @property
    def log_volume(self) -> float:
        """The logarithm of the volume; -inf for the empty set."""
        if self.empty:
            return -math.inf
        half = self.dim / 2.0
        return half * math.log(math.pi) - math.lgamma(half + 1.0) + self.dim * math.log(self.radius)

    @property
    def volume(self) -> float:
        """The volume, 0 or inf where it leaves the floats, as in high dimension: see ``log_volume``."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.log_volume))


@dataclass(frozen=True)
class SmoothedBall:
    """What noise and a level make of a ball.

    Attributes:
        radius: radius of {P(x + noise in the ball) >= level}, 0 where that set is empty.
        depth: how far the boundary moved inward, old radius minus new, computed without subtracting them;
            negative where the ball grew, the whole old radius where nothing is left.
        empty: whether no point reaches the level.
    """

    radius: Reals
    depth: Reals
    empty: Flags


def ball_probability(dim: Dims, distance: Reals, radius: Reals, sigma: Reals) -> Reals:
    """Return P(|x + sigma Z| <= radius) for |x| = ``distance`` and standard normal Z in R^dim.

    Relative error about 1e-12 where the probability is below 1/2, absolute above (it is the noncentral
    chi-square distribution function). ``sigma`` = 0 gives the indicator of the closed ball.

    >>> round(ball_probability(3, 1.0, 2.0, 1.0), 12)
    0.60245597193

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite length.
    """
    d, distances, radii, sigmas, shape = broadcast(
        checked_dims(dim),
        nonnegative("distance", distance),
        nonnegative("radius", radius),
        nonnegative("sigma", sigma),
    )
    gap = radii - distances
    found = ((gap >= 0.0) & (radii > 0.0)).astype(np.float64)
    live = (sigmas > _NO_NOISE * np.maximum(radii, distances)) & (radii > 0.0)
    # Both limits are certain to every digit, and leave squares that cannot overflow.
    live &= (gap > -_TAIL * sigmas) & (gap < (np.sqrt(d) + _TAIL) * sigmas)
    s = sigmas[live]
    y, lam = (radii[live] / s) ** 2, (distances[live] / s) ** 2
    rise = (gap[live] / s) * ((radii[live] + distances[live]) / s)
    # y may underflow: the probability is then 0 to every digit as well.
    found[live] = np.where(
        y > 0.0, noncentral.lower_tail(d[live], np.maximum(y, np.finfo(np.float64).tiny), lam, rise), 0.0
    )
    return shaped(found, shape)


def ball_radius(dim: Dims, radius: Reals, sigma: Reals, level: Reals = 0.5) -> SmoothedBall:
    """Return the ball {x : P(|x + sigma Z| <= radius) >= level}, T_sigma^level of the ball.

    Relative error below 1e-9 in the radius and in the depth, as far as the rounding of the arguments allows
    (next to the critical sigma a radius has fewer digits, whatever computes it). Level 1/2 is the smoothed
    classifier's; training on a background less dense than the ball acts at a lower level.

    >>> found = ball_radius(2, 10.0, 8.0)
    >>> round(found.radius, 9), found.empty
    (3.957421396, False)
    >>> ball_radius(2, 10.0, np.array([0.0, 8.0, 9.0])).radius.round(4)
    array([10.    ,  3.9574,  0.    ])

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite length, a level outside (0, 1).
    """
    d, radii, sigmas, score, shape = broadcast(
        checked_dims(dim), nonnegative("radius", radius), nonnegative("sigma", sigma), scores(level)
    )
    return _shaped_ball(*_smoothed(d, radii, sigmas, score), shape)


def inverse_ball_radius(dim: Dims, radius: Reals, sigma: Reals, level: Reals = 0.5) -> Reals:
    """Return the radius r with ``ball_radius(dim, r, sigma, level).radius`` = ``radius``.

    For ``radius`` = 0 it is the largest r that leaves a point at most, sigma * ``median_distance``.

    >>> round(inverse_ball_radius(2, 1.0, 0.5), 12)
    1.122901128548

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite length, a level outside (0, 1).
    """
    d, radii, sigmas, score, shape = broadcast(
        checked_dims(dim), nonnegative("radius", radius), nonnegative("sigma", sigma), scores(level)
    )
    return shaped(_enlarged(d, radii, sigmas, score)[0], shape)


def median_distance(dim: Dims, level: Reals = 0.5) -> Reals:
    """Return m with P(|Z| <= m) = level for standard normal Z in R^dim: about sqrt(dim - 2/3) at 1/2.

    >>> round(median_distance(3), 12)
    1.538172254455

    Raises:
        SettingError: dim below 1 or not whole, a level outside (0, 1).
    """
    d, score, shape = broadcast(checked_dims(dim), scores(level))
    return shaped(noncentral.central_root(d, score), shape)


def critical_sigma(dim: Dims, radius: Reals, level: Reals = 0.5) -> Reals:
    """Return the noise above which {P(|x + sigma Z| <= radius) >= level} is empty.

    It is radius / ``median_distance(dim, level)``, of the order of radius / sqrt(dim).

    >>> round(critical_sigma(2, 10.0), 6)
    8.493218

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite radius, a level outside (0, 1).
    """
    d, radii, score, shape = broadcast(checked_dims(dim), nonnegative("radius", radius), scores(level))
    return shaped(radii / noncentral.central_root(d, score), shape)


def two_step_radius(
    dim: Dims,
    radius: Reals,
    alpha: Reals,
    beta: Reals,
    level: Reals = 0.5,
    *,
    training_level: Reals = 0.5,
) -> SmoothedBall:
    """Return the ball deployed by training noise ``alpha`` and smoothing noise ``beta``, T_beta T_alpha.

    The first step is taken at ``training_level`` (1/2 unless the background has another density or label
    noise), the second at ``level`` (1/2 for the smoothed classifier). ``depth`` is that of both steps.

    >>> round(two_step_radius(2, 1.0, 0.3, 0.5).radius, 10)
    0.8004221181

    Raises:
        SettingError: dim below 1 or not whole, a negative or non-finite length, a level outside (0, 1).
    """
    d, radii, alphas, betas, first, second, shape = broadcast(
        checked_dims(dim),
        nonnegative("radius", radius),
        nonnegative("alpha", alpha),
        nonnegative("beta", beta),
        scores(training_level, "training_level"),
        scores(level),
    )
    return _shaped_ball(*_twice_smoothed(d, radii, alphas, betas, first, second), shape)


def ball_risk(dim: Dims, radius: Reals, alpha: Reals, beta: Reals, *, training_level: Reals = 0.5) -> Reals:
    """Return Delta(alpha, beta) of one ball as a share of its volume (uniform measure).

    |1 - (rho(rho(r, alpha), beta) / r)^dim|, from the depth of the erosion: no digits are lost in high
    dimension or under little noise. At training level 1/2 it lies in [0, 1] and never falls with alpha; a
    lower one may leave more volume than the ball had, and the share may exceed 1.

    >>> round(ball_risk(2, 1.0, 0.3, 0.5), 12), round(ball_risk(2, 1.0, 0.0, 0.5), 12)
    (0.359324432809, 0.265297066236)

    Raises:
        SettingError: dim below 1 or not whole, a radius that is not positive, a negative or non-finite alpha
            or beta, a level outside (0, 1).
    """
    d, radii, alphas, betas, first, shape = broadcast(
        checked_dims(dim),
        positive("radius", radius),
        nonnegative("alpha", alpha),
        nonnegative("beta", beta),
        scores(training_level, "training_level"),
    )
    found = _twice_smoothed(d, radii, alphas, betas, first, np.zeros_like(first))
    return shaped(np.abs(_share_gained(d, radii, *found[:2])), shape)


def certified_ball_risk(
    dim: Dims,
    radius: Reals,
    alpha: Reals,
    beta: Reals,
    certified_radius: Reals,
    *,
    training_level: Reals = 0.5,
) -> Reals:
    """Return the volume not certified correctly at ``certified_radius``, as a share of the ball's.

    A point is certified at radius R if its smoothed probability is at least Phi(R / beta) for its own class
    (Cohen et al. 2019, Theorem 1): points of the ball outside the ball of level Phi(R / beta), and of the
    background inside the ball of level Phi(-R / beta), are not. Unlike ``ball_risk`` (R = 0) this may fall
    with alpha: a smaller class 1 lets background near it certify.

    >>> certified_ball_risk(2, 3.0, np.array([0.0, 1.3]), 1.0, certified_radius=0.5).round(5)
    array([0.64832, 0.5777 ])

    Raises:
        SettingError: dim below 1 or not whole, a radius or beta that is not positive, another length that is
            negative or not finite, a certified radius above 37 beta, a level outside (0, 1).
    """
    d, radii, alphas, betas, wanted, first, shape = broadcast(
        checked_dims(dim),
        positive("radius", radius),
        nonnegative("alpha", alpha),
        positive("beta", beta),
        nonnegative("certified_radius", certified_radius),
        scores(training_level, "training_level"),
    )
    score = wanted / betas
    if (score > _MAX_SCORE).any():
        most = float(wanted[score > _MAX_SCORE][0])
        raise SettingError(f"certified_radius must be at most {_MAX_SCORE:g} beta, got {most}")
    inner = _twice_smoothed(d, radii, alphas, betas, first, score)
    outer = _twice_smoothed(d, radii, alphas, betas, first, -score)
    missed = np.maximum(-_share_gained(d, radii, *inner[:2]), 0.0)
    filled = np.maximum(_share_gained(d, radii, *outer[:2]), 0.0)
    return shaped(missed + filled, shape)


def deploy_ball(ball: Ball, alpha: float, beta: float, *, training_level: float = 0.5) -> Deployed[Ball]:
    """Return what two noises make of a ball; the measure is volume in units of the ball's own.

    That is the only unit that neither over- nor underflows in high dimension. The empty set has risk 0.

    >>> found = deploy_ball(Ball(2, 1.0), alpha=0.3, beta=0.5)
    >>> round(found.smoothed.radius, 9), round(found.benefit, 9)
    (0.800422118, -0.094027367)

    Raises:
        SettingError: a negative or non-finite alpha or beta, a training level outside (0, 1).
    """
    alpha, beta = require_nonnegative("alpha", alpha), require_nonnegative("beta", beta)
    trained = Ball(ball.dim, float(ball_radius(ball.dim, ball.radius, alpha, training_level).radius))
    smoothed = Ball(ball.dim, float(ball_radius(ball.dim, trained.radius, beta).radius))
    risks = np.zeros(2)
    if not ball.empty:
        pair = np.array([alpha, 0.0])
        risks += ball_risk(ball.dim, ball.radius, pair, beta, training_level=training_level)
    return Deployed(alpha, beta, trained, smoothed, risk=float(risks[0]), plain_risk=float(risks[1]))


def compensating_alpha(dim: int, radius: float, beta: float, training_level: float) -> float | None:
    """Return the smallest alpha that undoes the smoothing exactly, Delta(alpha, beta) = 0, or None.

    Training at a level q < 1/2 dilates a ball, T_alpha^q B(r) = B(t), and smoothing erodes it: both cancel
    where t is the inverse radius of r under beta. There is no such alpha for q >= 1/2, nor for a beta too
    large for the furthest that training at q can dilate.

    >>> round(compensating_alpha(10, 1.0, 0.22356, 1e-3), 5)
    0.07365
    >>> compensating_alpha(10, 1.0, 0.5, 1e-3) is None
    True

    Raises:
        SettingError: dim below 1 or not whole, a radius that is not positive, a negative or non-finite beta,
            a level outside (0, 1).
    """
    dim, radius = require_count("dim", dim), require_positive("radius", radius)
    beta, level = require_nonnegative("beta", beta), require_open_unit("training_level", training_level)
    if beta <= _NO_NOISE * radius:
        return 0.0
    if level >= 0.5:  # no dilation
        return None
    one = np.ones(1)
    growth = float(_enlarged(dim * one, one, beta / radius * one, 0.0 * one)[1][0])
    if growth < _NO_NOISE:  # only in one dimension: the other end of the interval is out of reach
        return radius * abs(growth / float(special.ndtri(level)))
    sigma = noncentral_roots.smallest_scale(dim, growth, level)
    return None if sigma is None else radius * sigma


def _smoothed(
    d: Column, radii: Column, sigmas: Column, scores: Column
) -> tuple[Column, Column, Bool[np.ndarray, "n"]]:
    """Return radius, depth and emptiness of {P(|x + sigma Z| <= radius) >= Phi(score)}."""
    found, depth, empty = radii.copy(), np.zeros_like(radii), radii == 0.0
    live = sigmas > _NO_NOISE * radii
    live[live] = ~empty[live]
    d, s, scores = d[live], sigmas[live], scores[live]
    root = radii[live] / s
    gone = root < noncentral.central_root(d, scores)
    there = ~gone
    y = root[there] ** 2
    gap = noncentral_roots.gap_below(d[there], y, scores[there])
    left = np.zeros_like(root)
    left[there] = np.sqrt(np.maximum(y - gap, 0.0))
    lost = root.copy()
    lost[there] = gap / (root[there] + left[there])
    # Each radius from the side that has more digits.
    found[live] = np.where(np.abs(lost) < root / 2.0, radii[live] - s * lost, s * left)
    depth[live], empty[live] = s * lost, gone
    return found, depth, empty


def _twice_smoothed(
    d: Column, radii: Column, alphas: Column, betas: Column, first: Column, second: Column
) -> tuple[Column, Column, Bool[np.ndarray, "n"]]:
    trained, trained_depth, _ = _smoothed(d, radii, alphas, first)
    found, depth, empty = _smoothed(d, trained, betas, second)
    return found, np.where(empty, radii, trained_depth + depth), empty


def _enlarged(d: Column, radii: Column, sigmas: Column, score: Column) -> tuple[Column, Column]:
    """Return the inverse radius, and by how much it exceeds the radius."""
    found, growth = radii.copy(), np.zeros_like(radii)
    live = sigmas > _NO_NOISE * radii
    s = sigmas[live]
    root = radii[live] / s
    y, gap = noncentral_roots.quantile(d[live], root**2, score[live])
    grown = gap / (root + np.sqrt(y))
    found[live] = np.where(np.abs(grown) < root / 2.0, radii[live] + s * grown, s * np.sqrt(y))
    growth[live] = s * grown
    return found, growth


def _share_gained(d: Column, radii: Column, found: Column, depth: Column) -> Column:
    """Return (found / radius)^d - 1."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        share = np.expm1(d * np.log1p(-depth / radii))
    return np.where(found == 0.0, -1.0, share)


def _shaped_ball(
    radius: Column, depth: Column, empty: Bool[np.ndarray, "n"], shape: tuple[int, ...]
) -> SmoothedBall:
    flags = empty.reshape(shape) if shape else bool(empty[0])
    return SmoothedBall(shaped(radius, shape), shaped(depth, shape), flags)
