"""Gaussian classes for which training noise, smoothing noise and all risks have closed forms.

Training on samples with added noise N(0, alpha^2 I) gives the Bayes rule of the blurred classes. Smoothing
with N(0, beta^2 I) and a majority vote then moves its boundary. For two Gaussian classes of one covariance
the rule is a half-space. Smoothing does not change it, and its L2 certificate is the distance to the boundary
for every beta: the best alpha depends on the radius to certify and not on beta. For three Gaussians on a line
and for concentric Gaussians the rule is a ball, which smoothing shrinks (``theory.balls``). The best alpha
gives a ball that is too large by exactly what smoothing takes away.

The risk here is the probability of a wrong label under the clean distribution, not the disagreement with
noiseless labels. A label is certified at radius R if its L2 certificate is at least R (Cohen et al. 2019,
Theorem 1, with the exact vote probability).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from sfumato.errors import (
    SettingError,
    require_count,
    require_nonnegative,
    require_open_unit,
    require_positive,
)
from sfumato.theory.arguments import Column, vote_levels
from sfumato.theory.balls import ball_radius, inverse_ball_radius
from sfumato.theory.waves import gaussian_mass

# Risks this close are equal up to rounding.
_EQUAL = 1e-10
RTOL = 4 * float(np.finfo(np.float64).eps)


class Mixture(ABC):
    """Two classes made of Gaussians; class 0 has probability ``prior0``, lengths are in the unit of x."""

    prior0: float

    @abstractmethod
    def boundary(self, alpha: float) -> Any:
        """Return the decision boundary of the Bayes rule under training noise alpha."""

    @abstractmethod
    def uncertified(self, alpha: float, beta: float, radius: float = 0.0) -> float:
        """Return the probability of a label that is wrong or not certified at ``radius``.

        Raises:
            SettingError: a noise or radius that is negative or not finite.
        """

    @abstractmethod
    def best_alpha(self, beta: float, radius: float = 0.0) -> float:
        """Return the alpha of the largest certified accuracy at ``radius``, at smoothing noise beta."""

    def risk(self, alpha: float, beta: float) -> float:
        """Return the probability that the smoothed classifier errs on a clean point.

        >>> round(LinearDiscriminant(np.ones(1), np.eye(1)).risk(0.7, 0.3), 6)
        0.158655
        """
        return self.uncertified(alpha, beta)

    def bayes_risk(self) -> float:
        """Return the smallest risk any classifier can have.

        >>> round(LinearDiscriminant(np.ones(1), np.eye(1)).bayes_risk(), 6)
        0.158655
        """
        return self.uncertified(0.0, 0.0)

    def certified_accuracy(self, alpha: float, beta: float, radius: float) -> float:
        """Return the probability of a correct label that is certified at ``radius``.

        >>> classes = LinearDiscriminant(np.ones(2), np.diag([1.0, 0.04]))
        >>> round(classes.certified_accuracy(0.0, 1.0, radius=0.5), 10)
        0.9959227807
        """
        return 1.0 - self.uncertified(alpha, beta, radius)

    def _log_odds(self) -> float:
        """log(prior0 / prior1)."""
        return math.log(self.prior0) - math.log1p(-self.prior0)


def _require_noises(alpha: float, beta: float, radius: float) -> None:
    for name, value in (("alpha", alpha), ("beta", beta), ("radius", radius)):
        require_nonnegative(name, value)


@dataclass(frozen=True, eq=False)
class LinearDiscriminant(Mixture):
    """Class 0 is N(-mean, covariance) and class 1 N(mean, covariance) in R^d.

    ``mean`` has shape (d,), ``covariance`` (d, d). Training noise turns the rule to
    w.x > log(prior0 / prior1) / 2 with w = (covariance + alpha^2 I)^-1 mean: it exaggerates the prior and
    relies less on directions of small variance. Smoothing does nothing to a half-space.

    >>> classes = LinearDiscriminant(np.ones(2), np.diag([1.0, 0.04]))
    >>> round(classes.best_alpha(1.0, radius=0.5) ** 2, 10)
    0.0397663073

    Raises:
        SettingError: a zero mean, shapes that do not fit, a covariance that is not symmetric positive
            definite, a prior outside (0, 1).
    """

    mean: Float[np.ndarray, "dim"]
    covariance: Float[np.ndarray, "dim dim"]
    prior0: float = 0.5

    def __post_init__(self) -> None:
        require_open_unit("prior0", self.prior0)
        mean = np.asarray(self.mean, dtype=np.float64)
        covariance = np.asarray(self.covariance, dtype=np.float64)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", covariance)
        if mean.ndim != 1 or covariance.shape != (mean.size, mean.size):
            raise SettingError(
                f"mean must have shape (d,) and covariance (d, d), got {mean.shape} and {covariance.shape}"
            )
        if not np.isfinite(mean).all() or not mean.any():
            raise SettingError(f"mean must be finite and not zero, got {mean.tolist()}")
        if not np.isfinite(covariance).all() or not np.allclose(covariance, covariance.T, rtol=1e-10, atol=0):
            raise SettingError("covariance must be a symmetric matrix of finite numbers")
        smallest = float(self._axes[0][0])
        if not smallest > 0:
            raise SettingError(
                f"covariance must be positive definite, got one with smallest eigenvalue {smallest:.3g}"
            )

    @cached_property
    def _axes(self) -> tuple[Float[np.ndarray, "dim"], Float[np.ndarray, "dim dim"]]:
        """Eigenvalues in ascending order and principal axes of the covariance."""
        values, axes = np.linalg.eigh(self.covariance)
        return values, axes

    def boundary(self, alpha: float) -> tuple[Float[np.ndarray, "dim"], float]:
        """Return the unit normal w, shape (d,), and t: the rule says class 1 iff w.x > t.

        >>> normal, t = LinearDiscriminant(np.ones(1), np.eye(1), prior0=0.8).boundary(1.0)
        >>> round(t, 6)
        1.386294
        """
        require_nonnegative("alpha", alpha)
        variances, axes = self._axes
        normal = axes @ (axes.T @ self.mean / (variances + alpha**2))
        length = float(np.linalg.norm(normal))
        return np.asarray(normal / length), self._log_odds() / (2 * length)

    def _moments(self, alpha: float) -> tuple[float, float, float]:
        """Mean and standard deviation of class 1 along the unit normal, and the place of the boundary."""
        normal, t = self.boundary(alpha)
        variances, axes = self._axes
        return float(self.mean @ normal), math.sqrt(float(variances @ (axes.T @ normal) ** 2)), t

    def uncertified(self, alpha: float, beta: float, radius: float = 0.0) -> float:
        """Return the probability of a label that is wrong or not certified, for every beta."""
        _require_noises(alpha, beta, radius)
        centre, spread, t = self._moments(alpha)
        missed0 = special.ndtr((radius - centre - t) / spread)
        missed1 = special.ndtr((radius - centre + t) / spread)
        return float(self.prior0 * missed0 + (1 - self.prior0) * missed1)

    def best_alpha(self, beta: float, radius: float = 0.0) -> float:
        """Return the alpha of the largest certified accuracy at ``radius``: it depends on radius, not beta.

        No classifier certifies more than this rule. Along its unit normal w let M be the class mean and s its
        standard deviation; alpha^2 = radius s^2 / (M - radius). Then covariance w + alpha^2 w is parallel to
        the mean, and the rule is also the Bayes rule of the classes moved towards each other by ``radius``
        along w. A point that any classifier certifies keeps its label when it is moved so far, so that no
        certified accuracy exceeds the Bayes accuracy of the moved classes.

        At unequal priors and radius >= |mean| it is inf: it is best to name the likelier class everywhere. In
        one dimension with equal priors it is 0, because alpha does not matter.

        >>> round(LinearDiscriminant(np.ones(1), np.eye(1), 0.8).best_alpha(0.5, radius=0.5), 6)
        1.0

        Raises:
            SettingError: a radius of at least |mean| at equal priors in more than one dimension; no linear
                rule certifies half of the points at it.
        """
        _require_noises(0.0, beta, radius)
        if radius == 0 or (self.prior0 == 0.5 and self.mean.size == 1):
            return 0.0
        farthest = float(np.linalg.norm(self.mean))
        if radius >= farthest and self.prior0 != 0.5:
            return math.inf
        if radius >= farthest:
            raise SettingError(f"radius must be smaller than |mean| = {farthest:.6g}, got {radius}")

        def excess(log_alpha: float) -> float:
            centre, spread, _ = self._moments(math.exp(log_alpha))
            return math.exp(2 * log_alpha) * (centre - radius) - radius * spread**2

        # M <= |mean| and s^2 >= the smallest eigenvalue bound the root from below.
        low = high = 0.5 * math.log(radius / farthest * float(self._axes[0][0])) - 1.0
        while excess(high) < 0:
            high += 1.0
        return math.exp(optimize.brentq(excess, low, high, xtol=1e-15, rtol=RTOL))


class _BallRule(Mixture):
    """The mixtures with the rule "class 0 iff |x| <= t(alpha)": smoothing shrinks this ball."""

    @property
    @abstractmethod
    def _dim(self) -> int:
        """The dimension of x."""

    @abstractmethod
    def _outside0(self, radius: Column) -> Column:
        """P(|x| > radius) in class 0."""

    @abstractmethod
    def _inside1(self, radius: Column) -> Column:
        """P(|x| < radius) in class 1."""

    @abstractmethod
    def boundary(self, alpha: float) -> float:
        """Return t: the rule under training noise says class 0 iff |x| <= t, never if t = 0."""

    def uncertified(self, alpha: float, beta: float, radius: float = 0.0) -> float:
        """Return the probability of a label that is wrong or not certified at ``radius``.

        A point of class 0 needs P(vote 0) >= Phi(radius/beta), one of class 1 P(vote 0) <= Phi(-radius/beta)
        (Cohen et al. 2019, Theorem 1). So the point must lie inside one ball or outside another. The first
        level is rounded to double precision, and the result has fewer digits beyond radius = 5 beta.

        Raises:
            SettingError: a negative noise or radius, a radius above 8 beta (at beta = 0, above 0).
        """
        _require_noises(alpha, beta, radius)
        missed0, missed1 = self._missed([alpha], beta, radius)
        return float(missed0[0] + missed1[0])

    def _missed(self, alphas: Sequence[float], beta: float, radius: float) -> tuple[Column, Column]:
        """For each alpha the probability of class 0 and wrong or not certified, and of class 1 and so."""
        boundaries = np.array([self.boundary(alpha) for alpha in alphas])
        least, most = vote_levels(beta, radius)
        inner = ball_radius(self._dim, boundaries, beta, least)
        outer = ball_radius(self._dim, boundaries, beta, most)
        missed0 = np.where(inner.empty, 1.0, self._outside0(np.asarray(inner.radius)))
        return self.prior0 * missed0, (1 - self.prior0) * self._inside1(np.asarray(outer.radius))

    def best_alpha(self, beta: float, radius: float = 0.0) -> float:
        """Return the training noise of the smallest risk at smoothing noise beta, the smallest of several.

        At radius 0 it is the root of boundary(alpha) = rho^-1(boundary(0), beta): the ball is too large by
        exactly what smoothing takes away, and the risk is the Bayes risk. The root exists for every beta if
        class 0 is at least as likely as class 1. Otherwise no training noise may be enough. The answer is
        then the alpha of the largest ball: the risk falls with the radius up to that of the Bayes rule.

        At a radius above 0 the certified accuracy is maximised numerically. The answer is inf where it is
        best to name the likelier class everywhere (either, if they are equally likely).

        >>> round(ThreeGaussians(2.0, 0.5).best_alpha(beta=1.0, radius=0.5), 6)
        0.772636

        Raises:
            SettingError: a negative noise or radius, a radius above 8 beta.
        """
        _require_noises(0.0, beta, radius)
        if radius > 0:
            return self._best_certifying(beta, radius)
        start = self.boundary(0.0)
        if beta == 0 or start == 0:
            return 0.0
        target = float(inverse_ball_radius(self._dim, start, beta))
        high = beta
        if self.prior0 >= 0.5:
            while self.boundary(high) < target:
                high *= 2
        else:
            high = self._fullest_alpha()
            if self.boundary(high) < target:
                empty = bool(ball_radius(self._dim, self.boundary(high), beta).empty)
                return 0.0 if empty else high
        if self.boundary(0.0) >= target:
            return 0.0

        def missing(alpha: float) -> float:
            return self.boundary(alpha) - target

        return float(optimize.brentq(missing, 0.0, high, xtol=1e-16, rtol=RTOL))

    def _best_certifying(self, beta: float, radius: float) -> float:
        """The best alpha at a radius above 0, by grids that close in on it."""
        trivial = min(self.prior0, 1 - self.prior0)
        last = beta
        # A larger ball misses more of class 1, a ball of radius 0 all of class 0.
        while self.boundary(last) > 0 and self._missed([last], beta, radius)[1] < trivial * (1 - _EQUAL):
            last *= 2
        grid = np.concatenate([[0.0], np.geomspace(1e-3 * beta, last, 200)])
        for _ in range(6):
            missed0, missed1 = self._missed(grid.tolist(), beta, radius)
            risks = missed0 + missed1
            best = int(np.argmin(risks))
            alpha, risk = float(grid[best]), float(risks[best])
            grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], 65)
        return alpha if risk < trivial * (1 - _EQUAL) else math.inf

    def _fullest_alpha(self) -> float:
        """The alpha of the largest ball if class 1 is likelier: t rises and falls to 0, or only falls."""
        last = self.boundary(0.0)
        while self.boundary(last) > 0:
            last *= 2
        found = optimize.minimize_scalar(
            lambda alpha: -self.boundary(alpha),
            bounds=(0.0, last),
            method="bounded",
            options={"xatol": 1e-12},
        )
        fullest = float(found.x)
        return fullest if self.boundary(fullest) > self.boundary(0.0) else 0.0


@dataclass(frozen=True)
class ThreeGaussians(_BallRule):
    """On the line, class 0 is N(0, scale^2) and class 1 an equal mixture of N(+-separation, scale^2).

    ``scale`` = 0 is allowed and means three points; the rule under training noise is then Parzen's. If the
    one point of class 0 and the two of class 1 have equal weight, ``prior0`` is 1/3.

    >>> round(ThreeGaussians(separation=2.0, scale=0.5).boundary(0.0), 12)
    1.086643394053
    >>> round(ThreeGaussians(1.0, 0.0, prior0=1 / 3).boundary(0.3), 12)
    0.499998654889
    >>> round(ThreeGaussians(2.0, 0.5).best_alpha(beta=1.0), 9)
    0.314124349

    Raises:
        SettingError: a separation that is not positive, a negative scale, a prior outside (0, 1).
    """

    separation: float
    scale: float
    prior0: float = 0.5

    def __post_init__(self) -> None:
        require_positive("separation", self.separation)
        require_nonnegative("scale", self.scale)
        require_open_unit("prior0", self.prior0)

    @property
    def _dim(self) -> int:
        return 1

    def _outside0(self, radius: Column) -> Column:
        if self.scale == 0:
            return np.zeros_like(radius)
        return np.asarray(2 * special.ndtr(-radius / self.scale))

    def _inside1(self, radius: Column) -> Column:
        if self.scale == 0:
            return np.asarray(self.separation < radius, dtype=np.float64)
        low, high = (-radius - self.separation) / self.scale, (radius - self.separation) / self.scale
        return gaussian_mass(low, high)

    def boundary(self, alpha: float) -> float:
        """Return t: the rule under training noise says class 0 iff |x| <= t, never if t = 0.

        With v = scale^2 + alpha^2, t = (v/m) arccosh((prior0/prior1) exp(m^2 / 2v)), m the separation.
        """
        require_nonnegative("alpha", alpha)
        variance = self.scale**2 + alpha**2
        if variance < 1e-150 * self.separation**2:  # the limit: the nearest point's class
            return self.separation / 2
        log_argument = self._log_odds() + self.separation**2 / (2 * variance)
        if log_argument <= 0:
            return 0.0
        # arccosh(e^L) = L + log(1 + sqrt(1 - e^-2L)), which cannot overflow.
        arccosh = log_argument + math.log1p(math.sqrt(-math.expm1(-2 * log_argument)))
        return variance / self.separation * arccosh


@dataclass(frozen=True)
class ConcentricGaussians(_BallRule):
    """In R^dim, class 0 is N(0, inner^2 I) and class 1 N(0, outer^2 I) with outer > inner.

    >>> classes = ConcentricGaussians(dim=10, inner=1.0, outer=2.0)
    >>> round(classes.bayes_risk(), 9), round(classes.risk(1.0, 1.0), 9), round(classes.risk(0.0, 1.0), 6)
    (0.066155375, 0.076451068, 0.252136)

    Raises:
        SettingError: dim below 1, inner not positive, outer not larger than inner, a prior outside (0, 1).
    """

    dim: int
    inner: float
    outer: float
    prior0: float = 0.5

    def __post_init__(self) -> None:
        require_count("dim", self.dim)
        require_positive("inner", self.inner)
        require_positive("outer", self.outer)
        require_open_unit("prior0", self.prior0)
        if self.outer <= self.inner:
            raise SettingError(f"outer must be larger than inner = {self.inner}, got {self.outer}")

    @property
    def _dim(self) -> int:
        return self.dim

    def _outside0(self, radius: Column) -> Column:
        return np.asarray(special.gammaincc(self.dim / 2, (radius / self.inner) ** 2 / 2))

    def _inside1(self, radius: Column) -> Column:
        return np.asarray(special.gammainc(self.dim / 2, (radius / self.outer) ** 2 / 2))

    def boundary(self, alpha: float) -> float:
        """Return t: the rule under training noise says class 0 iff |x| <= t, never if t = 0.

        With a = inner^2 + alpha^2 and b = outer^2 + alpha^2,
        t^2 = (dim log(b/a) + 2 log(prior0/prior1)) a b / (b - a).
        """
        require_nonnegative("alpha", alpha)
        a, b = self.inner**2 + alpha**2, self.outer**2 + alpha**2
        gap = (self.outer - self.inner) * (self.outer + self.inner)
        square = (self.dim * math.log1p(gap / a) + 2 * self._log_odds()) * a * (b / gap)
        return math.sqrt(max(0.0, square))
