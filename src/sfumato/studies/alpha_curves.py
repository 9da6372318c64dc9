"""What is believed of the risk over alpha at one beta: a curve of two powers, and its posterior.

Below the best alpha the risk falls as a power of alpha (the network has not seen enough noise), above it
the risk rises as another, slower one (it has been blurred too much). In u = log(alpha / beta), with the
minimum at c,

    logit risk(u) = m + s(u),    s(u) = log[(q exp(-p (u - c)) + p exp(q (u - c))) / (p + q)],    s(c) = 0.

The posterior over (c, p, q, spread) is summed over a fixed grid, the level m is integrated exactly under
a flat prior (a linear Gaussian model given the rest), so that everything here is deterministic. Each
measured logit has the binomial variance, the variance of a training (spread, fitted), and a share of its
height above the minimum for what two powers cannot describe; points far from the minimum therefore
count little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

# priors, normal in the logarithm: alpha*/beta around 0.7, p around 5, q around 1.2
_CENTRE, _CENTRE_SD = math.log(0.7), 0.6
_FALL, _FALL_SD = math.log(5.0), 0.9
_RISE, _RISE_SD = math.log(1.2), 0.7
SPREADS = (0.03, 0.1, 0.3)  # logit; what a second training would change, beyond the binomial
MISFIT = 0.5  # standard deviation of a logit, as a share of its height above the minimum


@dataclass(frozen=True)
class Curves:
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
def curves() -> Curves:
    """Return the grid, made once."""
    lower, upper = np.linspace(-2.2, 2.2, 9), np.linspace(-2.0, 2.0, 7)  # deviates of p and q
    centres = np.arange(-2.0, 1.4, 0.04)
    falls, rises = np.exp(_FALL + _FALL_SD * lower), np.exp(_RISE + _RISE_SD * upper)
    fall, rise, centre = np.meshgrid(lower, upper, centres, indexing="ij")
    squared = ((centre - _CENTRE) / _CENTRE_SD) ** 2 + fall**2 + rise**2
    return Curves(centres, falls, rises, centre.ravel(), -0.5 * squared.ravel())


class CurvePosterior:
    """The curves, at each spread, weighted by what was measured at u."""

    def __init__(
        self,
        u: Float[np.ndarray, " points"],
        errors: Float[np.ndarray, " points"],
        examples: Float[np.ndarray, " points"],
    ) -> None:
        self._grid = curves()
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
