"""What is believed of the risk over alpha at one beta: a curve of two powers, and its posterior.

Below the best alpha the risk falls as a power of alpha (the network has not seen enough noise), above it
the risk rises as another, slower one (it has been blurred too much). In u = log(alpha / beta), with the
minimum at c,

    logit risk(u) = m + s(u),    s(u) = log[(q exp(-p (u - c)) + p exp(q (u - c))) / (p + q)],    s(c) = 0.

The posterior over (c, p, q, spread) is summed over a fixed grid, the level m is integrated exactly under
a flat prior (a linear Gaussian model given the rest), so that everything here is deterministic. Each
measured logit has the binomial variance, the variance of a training (spread, fitted), and a share of its
height above the minimum for what two powers cannot describe; points far from the minimum therefore
count little. The prior is a mixture: of curves on which beta decides, and of flat ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

SPREADS = (0.03, 0.1, 0.3)  # logit; what a second training would change, beyond the binomial
MISFIT = 0.5  # standard deviation of a logit, as a share of its height above the minimum


@dataclass(frozen=True)
class _Belief:
    """A prior: normal, independent, in the logarithms of alpha*/beta, p and q, as (mean, deviation)."""

    centre: tuple[float, float]
    fall: tuple[float, float]
    rise: tuple[float, float]


# Mostly beta decides where the best alpha is; under a beta that the network hardly notices the risk is
# nearly flat below the best alpha, which then is a matter of the training and may be several beta.
_NOTICED = _Belief(centre=(math.log(0.7), 0.6), fall=(math.log(5.0), 0.9), rise=(math.log(1.2), 0.7))
_UNNOTICED = _Belief(centre=(math.log(1.35), 0.8), fall=(math.log(0.35), 1.1), rise=(math.log(0.6), 0.7))
_UNNOTICED_SHARE = 0.1


@dataclass(frozen=True)
class Shapes:
    """The grid of curves and their prior: every combination of centre c and slopes p and q."""

    centres: Float[np.ndarray, " c"]
    falls: Float[np.ndarray, " p"]
    rises: Float[np.ndarray, " q"]
    centre: Float[np.ndarray, " curves"]
    log_prior: Float[np.ndarray, " curves"]

    def heights(self, u: Float[np.ndarray, " points"]) -> Float[np.ndarray, "curves points"]:
        """Return s(u), the logits above the minimum."""
        distance = u[None, :] - self.centres[:, None]
        p, q = self.falls[:, None, None], self.rises[None, :, None]
        fall = np.exp(-self.falls[:, None, None] * distance)[:, None]  # p, 1, c, points
        rise = np.exp(self.rises[:, None, None] * distance)[None]  # 1, q, c, points
        share = (p / (p + q))[..., None]
        return np.asarray(np.log((1.0 - share) * fall + share * rise).reshape(-1, len(u)))


@lru_cache(maxsize=1)
def shapes() -> Shapes:
    """Return the grid, made once."""
    centres = np.arange(-2.0, 1.4, 0.04)
    falls, rises = np.linspace(-2.35, 3.6, 13), np.linspace(-2.1, 1.6, 9)
    fall, rise, centre = (part.ravel() for part in np.meshgrid(falls, rises, centres, indexing="ij"))

    def log_density(belief: _Belief) -> Float[np.ndarray, " curves"]:
        parts = ((centre, belief.centre), (fall, belief.fall), (rise, belief.rise))
        squared = sum(((found - mean) / deviation) ** 2 for found, (mean, deviation) in parts)
        return np.asarray(special.log_softmax(-0.5 * squared))

    log_prior = np.logaddexp(
        math.log(1.0 - _UNNOTICED_SHARE) + log_density(_NOTICED),
        math.log(_UNNOTICED_SHARE) + log_density(_UNNOTICED),
    )
    return Shapes(centres, np.exp(falls), np.exp(rises), centre, log_prior)


class ShapePosterior:
    """The curves, at each spread, weighted by what was measured at u."""

    def __init__(
        self,
        u: Float[np.ndarray, " points"],
        errors: Float[np.ndarray, " points"],
        examples: Float[np.ndarray, " points"],
    ) -> None:
        self._grid = shapes()
        # half an error and half a hit more keep the logit and its variance finite (Haldane 1956)
        wrong, right = errors + 0.5, examples - errors + 0.5
        binomial = 1.0 / wrong + 1.0 / right
        heights = self._grid.heights(u)
        spread = np.array(SPREADS)[:, None, None] ** 2
        precision = 1.0 / (binomial + spread + (MISFIT * heights) ** 2)  # spreads, curves, points
        total = precision.sum(axis=2)
        residual = np.log(wrong / right) - heights
        self._level = (precision * residual).sum(axis=2) / total
        self._level_variance = 1.0 / total
        squares = (precision * (residual - self._level[:, :, None]) ** 2).sum(axis=2)
        log_likelihood = 0.5 * (np.log(precision).sum(axis=2) - np.log(total) - squares)
        self._weight = special.softmax(self._grid.log_prior + log_likelihood)
        # a further measurement would be as good as the usual one so far
        self._noise = float(np.median(binomial)) + float(self._weight.sum(axis=1) @ spread[:, 0, 0])

    def expected_risk(self, u: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Return the posterior mean of the risk at each u."""
        risk = special.expit(self._level[:, :, None] + self._grid.heights(u))
        return np.asarray(np.einsum("sc,scu->u", self._weight, risk))

    def information(self, u: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Return by how much a measurement at each u would reduce the variance of log alpha*."""
        heights = self._grid.heights(u)
        curve = self._weight.sum(axis=0)
        level = float((self._weight * self._level).sum())
        offset = (self._weight * (self._level - level)).sum(axis=0)
        centre = self._grid.centre - curve @ self._grid.centre
        above = heights - curve @ heights
        covariance = (curve * centre) @ above + offset @ centre
        squared_level = self._weight * ((self._level - level) ** 2 + self._level_variance)
        variance = float(squared_level.sum()) + 2.0 * (offset @ above) + curve @ above**2
        misfit = MISFIT**2 * (curve @ heights**2)
        return np.asarray(covariance**2 / (variance + self._noise + misfit))

    def centre_quantile(self, probability: float) -> float:
        """Return the quantile of log(alpha* / beta)."""
        values = self._grid.centres
        mass = self._weight.sum(axis=0).reshape(-1, len(values)).sum(axis=0)
        # each grid value stands for the cell around it
        edges = np.append(values, 2 * values[-1] - values[-2]) - 0.5 * (values[1] - values[0])
        return float(np.interp(probability, np.insert(np.cumsum(mass), 0, 0.0), edges))

    def risk_quantile(self, u: float, probability: float) -> float:
        """Return the quantile of the risk at u: a mixture of normals in the logit."""
        mean = self._level + self._grid.heights(np.array([u]))[:, 0]
        deviation = np.sqrt(self._level_variance)

        def excess(logit: float) -> float:
            return float((self._weight * special.ndtr((logit - mean) / deviation)).sum()) - probability

        low, high = float((mean - 8 * deviation).min()), float((mean + 8 * deviation).max())
        return float(special.expit(optimize.brentq(excess, low, high)))
