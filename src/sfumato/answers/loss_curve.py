"""What is believed of the lowest loss that a network trained at alpha reaches: a Gaussian process.

The best beta changes with alpha, so the loss at the best beta of each network has no shape known beforehand,
unlike the risk at one beta (``risk_shape``). On the logit scale, over u = log(1 + alpha / scale),

    logit loss(u) = m + a (u - c) + b (u - c)^2 + f(u) + training luck + binomial error

with m nearly flat, a and b normal, and f a Gaussian process of Matern 5/2 covariance. Its height, its length
and the luck are summed over a small grid, weighted by the likelihood, so that everything here is
deterministic (Rasmussen & Williams 2006, 2.7, 4.2 and 5.4).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Float
from scipy import linalg, special

_HEIGHTS = (0.1, 0.3, 1.0)  # standard deviation of f, logit
_LENGTHS = (0.4, 0.8, 1.6)
_LUCKS = (0.03, 0.1, 0.2)  # what a second training would change, logit
_SLOPE = (0.0, 0.7)  # mean and standard deviation of a
_BEND = (0.7, 0.7)  # likewise of b: the loss mostly rises on both sides
_LEVEL = 10.0  # standard deviation of m: nearly flat


class LossCurve:
    """The posterior of the loss over u, at ``grid``.

    Args:
        u, lost, images: where was measured, how many images were lost, and of how many.
        grid: where the curve is asked for.
        centre: the module's c, where the best alpha is expected.
    """

    def __init__(
        self,
        u: Float[np.ndarray, " points"],
        lost: Float[np.ndarray, " points"],
        images: Float[np.ndarray, " points"],
        grid: Float[np.ndarray, " grid"],
        centre: float,
    ) -> None:
        # half an image more on either side keeps the logit and its variance finite (Haldane 1956)
        wrong, right = lost + 0.5, images - lost + 0.5
        measured, binomial = np.log(wrong / right), 1.0 / wrong + 1.0 / right
        here, there = _powers(u, centre), _powers(grid, centre)
        variance = np.diag([_LEVEL**2, _SLOPE[1] ** 2, _BEND[1] ** 2])
        known = np.array([measured.mean(), _SLOPE[0], _BEND[0]])
        settings = list(itertools.product(_HEIGHTS, _LENGTHS, _LUCKS))
        means, variances, evidence = [], [], []
        for height, length, luck in settings:
            within = _matern(u, u, height, length) + here @ variance @ here.T
            across = _matern(grid, u, height, length) + there @ variance @ here.T
            factor = linalg.cho_factor(within + np.diag(binomial + luck**2), lower=True)
            rest = measured - here @ known
            weights = linalg.cho_solve(factor, rest)
            means.append(there @ known + across @ weights)
            prior = height**2 + np.einsum("gi,ij,gj->g", there, variance, there)
            variances.append(prior - np.einsum("gp,pg->g", across, linalg.cho_solve(factor, across.T)))
            evidence.append(-0.5 * float(rest @ weights) - float(np.log(np.diag(factor[0])).sum()))
        self._weight = special.softmax(evidence)
        self._means = np.array(means)
        self._deviations = np.sqrt(np.maximum(np.array(variances), 1e-12))

    @property
    def mean(self) -> Float[np.ndarray, " grid"]:
        """Expected logit of the loss."""
        return np.asarray(self._weight @ self._means)

    @property
    def loss(self) -> Float[np.ndarray, " grid"]:
        """The loss at the expected logit."""
        return np.asarray(special.expit(self.mean))

    def gain(self, best: float) -> Float[np.ndarray, " grid"]:
        """Return the expected improvement on the logit ``best`` (Mockus 1978)."""
        z = (best - self._means) / self._deviations
        density = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
        return np.asarray(self._weight @ (self._deviations * (z * special.ndtr(z) + density)))


def _powers(u: Float[np.ndarray, " k"], centre: float) -> Float[np.ndarray, "k 3"]:
    return np.column_stack([np.ones_like(u), u - centre, (u - centre) ** 2])


def _matern(
    first: Float[np.ndarray, " m"], second: Float[np.ndarray, " k"], height: float, length: float
) -> Float[np.ndarray, "m k"]:
    distance = math.sqrt(5.0) * np.abs(first[:, np.newaxis] - second) / length
    return np.asarray(height**2 * (1.0 + distance + distance**2 / 3.0) * np.exp(-distance))
