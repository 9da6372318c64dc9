"""Gaussian mixtures for which training noise, smoothing noise and all risks have closed forms.

Training on samples with added noise N(0, alpha^2 I) gives the Bayes rule of the blurred classes. Smoothing
with N(0, beta^2 I) and a majority vote then moves its boundary. For two Gaussian classes the rule is a
half-space, which smoothing does not change (``theory.lda``). For three Gaussians on a line and for concentric
Gaussians it is a ball, which smoothing shrinks (``theory.balls``). The best alpha gives a ball that is too
large by exactly what smoothing takes away. The risk here is the probability of a wrong label under the clean
distribution, not the disagreement with noiseless labels. The certified accuracy at radius R is the
probability of a correct label with an L2 certificate of at least R (Cohen et al. 2019, Theorem 1, with the
exact vote probability).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

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
from sfumato.theory.balls import ball_radius, inverse_ball_radius
from sfumato.theory.lda import RTOL, require_noises
from sfumato.theory.waves import gaussian_mass


class Mixture(Protocol):
    """The questions that every mixture answers, those of ``theory.lda`` too; lengths are in the unit of x."""

    def boundary(self, alpha: float) -> float | Float[np.ndarray, "dim"]:
        """Return the decision boundary of the Bayes rule under training noise alpha."""
        ...

    def risk(self, alpha: float, beta: float) -> float:
        """Return the probability that the smoothed classifier errs on a clean point."""
        ...

    def bayes_risk(self) -> float:
        """Return the smallest risk any classifier can have."""
        ...

    def certified_accuracy(self, alpha: float, beta: float, radius: float) -> float:
        """Return the probability of a correct label that is certified at ``radius``."""
        ...

    def best_alpha(self, beta: float) -> float:
        """Return the training noise of the smallest risk at smoothing noise beta."""
        ...


class _BallRule(ABC):
    """The mixtures with the rule "class 0 iff |x| <= t(alpha)": smoothing shrinks this ball."""

    prior0: float

    @property
    @abstractmethod
    def _dim(self) -> int:
        """The dimension of x."""

    @abstractmethod
    def _outside0(self, radius: float) -> float:
        """P(|x| > radius) in class 0."""

    @abstractmethod
    def _inside1(self, radius: float) -> float:
        """P(|x| < radius) in class 1."""

    @abstractmethod
    def boundary(self, alpha: float) -> float:
        """Return t: the rule under training noise says class 0 iff |x| <= t, never if t = 0."""

    def _risk_of_ball(self, radius: float) -> float:
        return self.prior0 * self._outside0(radius) + (1 - self.prior0) * self._inside1(radius)

    def risk(self, alpha: float, beta: float) -> float:
        """Return the probability of error of "class 0 iff |x| <= rho(t, beta)", the smoothed ball.

        Raises:
            SettingError: a negative noise.
        """
        require_noises(alpha, beta)
        return self._risk_of_ball(float(ball_radius(self._dim, self.boundary(alpha), beta).radius))

    def bayes_risk(self) -> float:
        """Return the smallest risk any classifier can have."""
        return self._risk_of_ball(self.boundary(0.0))

    def certified_accuracy(self, alpha: float, beta: float, radius: float) -> float:
        """Return the probability of a correct label certified at ``radius``.

        A point of class 0 needs P(vote 0) >= Phi(radius/beta), one of class 1 P(vote 0) <= Phi(-radius/beta)
        (Cohen et al. 2019, Theorem 1). So the point must lie inside one ball or outside another. The first
        level is rounded to double precision, and the result has fewer digits beyond radius = 5 beta.

        Raises:
            SettingError: a negative noise or radius, a radius above 8 beta (at beta = 0, above 0).
        """
        require_noises(alpha, beta, radius)
        if radius == 0:
            return 1.0 - self.risk(alpha, beta)
        if radius > 8 * beta:
            raise SettingError(
                f"radius must be at most 8 beta = {8 * beta:.6g} to be certified, got {radius}"
            )
        t, score = self.boundary(alpha), radius / beta
        inner = ball_radius(self._dim, t, beta, float(special.ndtr(score)))
        outer = ball_radius(self._dim, t, beta, float(special.ndtr(-score)))
        right0 = 0.0 if inner.empty else 1.0 - self._outside0(float(inner.radius))
        right1 = 1.0 - self._inside1(float(outer.radius))
        return self.prior0 * right0 + (1 - self.prior0) * right1

    def best_alpha(self, beta: float) -> float:
        """Return the training noise of the smallest risk at smoothing noise beta, the smallest of several.

        It is the root of boundary(alpha) = rho^-1(boundary(0), beta): the ball is too large by exactly what
        smoothing takes away, and the risk is the Bayes risk. The root exists for every beta if class 0 is at
        least as likely as class 1. Otherwise no training noise may be enough. The answer is then the alpha of
        the largest ball, because the risk falls with the radius up to that of the Bayes rule.

        Raises:
            SettingError: a negative noise.
        """
        require_nonnegative("beta", beta)
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

    def _outside0(self, radius: float) -> float:
        if self.scale == 0:
            return float(radius == 0)  # no ball is left
        return float(2 * special.ndtr(-radius / self.scale))

    def _inside1(self, radius: float) -> float:
        if self.scale == 0:
            return float(self.separation < radius)
        low, high = (-radius - self.separation) / self.scale, (radius - self.separation) / self.scale
        return float(gaussian_mass(np.array([low]), np.array([high]))[0])

    def boundary(self, alpha: float) -> float:
        """Return t: the rule under training noise says class 0 iff |x| <= t, never if t = 0.

        With v = scale^2 + alpha^2, t = (v/m) arccosh((prior0/prior1) exp(m^2 / 2v)), m the separation.
        """
        require_nonnegative("alpha", alpha)
        variance = self.scale**2 + alpha**2
        if variance < 1e-150 * self.separation**2:  # the limit: the nearest point's class
            return self.separation / 2
        odds = math.log(self.prior0) - math.log1p(-self.prior0)
        log_argument = odds + self.separation**2 / (2 * variance)
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

    def _outside0(self, radius: float) -> float:
        return float(special.gammaincc(self.dim / 2, (radius / self.inner) ** 2 / 2))

    def _inside1(self, radius: float) -> float:
        return float(special.gammainc(self.dim / 2, (radius / self.outer) ** 2 / 2))

    def boundary(self, alpha: float) -> float:
        """Return t: the rule under training noise says class 0 iff |x| <= t, never if t = 0.

        With a = inner^2 + alpha^2 and b = outer^2 + alpha^2,
        t^2 = (dim log(b/a) + 2 log(prior0/prior1)) a b / (b - a).
        """
        require_nonnegative("alpha", alpha)
        a, b = self.inner**2 + alpha**2, self.outer**2 + alpha**2
        gap = (self.outer - self.inner) * (self.outer + self.inner)
        odds = math.log(self.prior0) - math.log1p(-self.prior0)
        square = (self.dim * math.log1p(gap / a) + 2 * odds) * a * (b / gap)
        return math.sqrt(max(0.0, square))
