"""Two Gaussian classes whose rule is a half-space: training noise turns or shifts it, smoothing does not.

Training on samples with added noise N(0, alpha^2 I) gives the Bayes rule of the blurred classes. A half-space
is a fixed point of smoothing with a majority vote, and its L2 certificate is the distance to the boundary for
every beta. So the best alpha depends on the radius to certify and not on beta. The risk is the probability of
a wrong label under the clean distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from sfumato.errors import SettingError, require_nonnegative, require_open_unit, require_positive

RTOL = 4 * float(np.finfo(np.float64).eps)


def require_noises(alpha: float, beta: float, radius: float = 0.0) -> None:
    """Check both noises and a certified radius.

    >>> require_noises(0.0, 1.0, radius=0.5)

    Raises:
        SettingError: one that is negative or not finite.
    """
    require_nonnegative("alpha", alpha)
    require_nonnegative("beta", beta)
    require_nonnegative("radius", radius)


@dataclass(frozen=True)
class TwoGaussians:
    """Class 0 is N(-mean, scale^2), class 1 is N(mean, scale^2); class 0 has probability ``prior0``.

    In R^d with isotropic classes this is the coordinate along the line through the two means.

    >>> classes = TwoGaussians(mean=1.0, scale=1.0, prior0=0.8)
    >>> round(classes.boundary(0.0), 6), round(classes.boundary(1.0), 6)
    (0.693147, 1.386294)

    Raises:
        SettingError: a mean or scale that is not positive, a prior outside (0, 1).
    """

    mean: float
    scale: float
    prior0: float = 0.5

    def __post_init__(self) -> None:
        require_positive("mean", self.mean)
        require_positive("scale", self.scale)
        require_open_unit("prior0", self.prior0)

    def boundary(self, alpha: float) -> float:
        """Return t: the rule under training noise says class 1 iff x > t.

        t = (scale^2 + alpha^2) / (2 mean) log(prior0 / prior1): the noise exaggerates the prior.
        """
        require_nonnegative("alpha", alpha)
        odds = math.log(self.prior0) - math.log1p(-self.prior0)
        return (self.scale**2 + alpha**2) / (2 * self.mean) * odds

    def risk(self, alpha: float, beta: float) -> float:
        """Return the probability of error; it does not depend on beta and grows with alpha.

        >>> round(TwoGaussians(1.0, 1.0).risk(0.7, 0.3), 6)
        0.158655
        """
        require_noises(alpha, beta)
        t = self.boundary(alpha)
        missed0 = special.ndtr(-(self.mean + t) / self.scale)
        missed1 = special.ndtr(-(self.mean - t) / self.scale)
        return float(self.prior0 * missed0 + (1 - self.prior0) * missed1)

    def bayes_risk(self) -> float:
        """Return the smallest risk, that of alpha = 0.

        >>> round(TwoGaussians(1.0, 1.0).bayes_risk(), 6)
        0.158655
        """
        return self.risk(0.0, 0.0)

    def certified_accuracy(self, alpha: float, beta: float, radius: float) -> float:
        """Return the probability of being on the right side by at least ``radius``, for every beta.

        >>> round(TwoGaussians(1.0, 1.0).certified_accuracy(0.0, 0.5, 1.0), 6)
        0.5
        """
        require_noises(alpha, beta, radius)
        t = self.boundary(alpha)
        right0 = special.ndtr((self.mean + t - radius) / self.scale)
        right1 = special.ndtr((self.mean - t - radius) / self.scale)
        return float(self.prior0 * right0 + (1 - self.prior0) * right1)

    def best_alpha(self, beta: float, radius: float = 0.0) -> float:
        """Return the alpha of the largest certified accuracy at ``radius`` (0: of the smallest risk).

        alpha^2 = radius scale^2 / (mean - radius), for every prior and beta: at this alpha the densities of
        the two classes, moved by ``radius`` towards each other, are equal at the boundary. It is inf for
        radius >= mean, where it is best to name the likelier class everywhere, and 0 at equal priors, where
        alpha does not matter.

        >>> round(TwoGaussians(1.0, 1.0, 0.8).best_alpha(0.5, radius=0.5), 6)
        1.0
        """
        require_noises(0.0, beta, radius)
        if self.prior0 == 0.5:
            return 0.0
        if radius >= self.mean:
            return math.inf
        return self.scale * math.sqrt(radius / (self.mean - radius))


@dataclass(frozen=True, eq=False)
class LinearDiscriminant:
    """Classes N(-mean, covariance) and N(mean, covariance) of equal probability in R^d.

    ``mean`` has shape (d,), ``covariance`` (d, d). Training noise turns the discriminant to
    w = (covariance + alpha^2 I)^-1 mean; smoothing does nothing to a half-space.

    >>> classes = LinearDiscriminant(np.ones(2), np.diag([1.0, 0.04]))
    >>> round(classes.best_alpha(1.0, radius=0.5) ** 2, 10)
    0.0397663073

    Raises:
        SettingError: a zero mean, shapes that do not fit, a covariance that is not symmetric positive
            definite.
    """

    mean: Float[np.ndarray, "dim"]
    covariance: Float[np.ndarray, "dim dim"]

    def __post_init__(self) -> None:
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

    def _moments(self, alpha: float) -> tuple[float, float]:
        """Mean and standard deviation of class 1 along the unit normal of the rule."""
        variances, axes = self._axes
        along = axes.T @ self.mean
        normal = along / (variances + alpha**2)
        normal = normal / np.linalg.norm(normal)
        return float(along @ normal), math.sqrt(float(variances @ normal**2))

    def boundary(self, alpha: float) -> Float[np.ndarray, "dim"]:
        """Return the unit normal w, shape (d,): the rule says class 1 iff w.x > 0."""
        require_nonnegative("alpha", alpha)
        variances, axes = self._axes
        normal = axes @ (axes.T @ self.mean / (variances + alpha**2))
        return np.asarray(normal / np.linalg.norm(normal))

    def risk(self, alpha: float, beta: float) -> float:
        """Return the probability of error; it does not depend on beta.

        >>> round(LinearDiscriminant(np.ones(1), np.eye(1)).risk(0.7, 0.3), 6)
        0.158655
        """
        require_noises(alpha, beta)
        centre, spread = self._moments(alpha)
        return float(special.ndtr(-centre / spread))

    def bayes_risk(self) -> float:
        """Return the smallest risk, Phi(-sqrt(mean' covariance^-1 mean)), that of alpha = 0.

        >>> round(LinearDiscriminant(np.ones(1), np.eye(1)).bayes_risk(), 6)
        0.158655
        """
        return self.risk(0.0, 0.0)

    def certified_accuracy(self, alpha: float, beta: float, radius: float) -> float:
        """Return the probability of being on the right side by at least ``radius``, for every beta.

        >>> classes = LinearDiscriminant(np.ones(2), np.diag([1.0, 0.04]))
        >>> round(classes.certified_accuracy(0.0, 1.0, radius=0.5), 10)
        0.9959227807
        """
        require_noises(alpha, beta, radius)
        centre, spread = self._moments(alpha)
        return float(special.ndtr((centre - radius) / spread))

    def best_alpha(self, beta: float, radius: float = 0.0) -> float:
        """Return the alpha of the largest certified accuracy at ``radius``: it depends on radius, not beta.

        The rule is the best of all linear rules through 0. Along the unit normal w let M be the class mean
        and s its standard deviation; (M - radius)/s is stationary iff
        covariance w + (radius s^2 / (M - radius)) w is parallel to the mean, so that w is the rule of
        alpha^2 = radius s^2 / (M - radius). The root is unique as (M - radius)/s is quasi-concave in w.

        Raises:
            SettingError: a radius of at least |mean|; no linear rule certifies half of the points at it.
        """
        require_noises(0.0, beta, radius)
        farthest = float(np.linalg.norm(self.mean))
        if radius >= farthest:
            raise SettingError(f"radius must be smaller than |mean| = {farthest:.6g}, got {radius}")
        if radius == 0:
            return 0.0

        def excess(log_alpha: float) -> float:
            centre, spread = self._moments(math.exp(log_alpha))
            return math.exp(2 * log_alpha) * (centre - radius) - radius * spread**2

        # M <= |mean| and s^2 >= the smallest eigenvalue bound the root from below.
        low = high = 0.5 * math.log(radius / farthest * float(self._axes[0][0])) - 1.0
        while excess(high) < 0:
            high += 1.0
        return math.exp(optimize.brentq(excess, low, high, xtol=1e-15, rtol=RTOL))
