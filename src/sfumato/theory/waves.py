"""The smoothed indicator of a union of intervals as a function: its Taylor series, with proved remainders.

The function is u(x) = P(x + sigma Z in A) for A a union of intervals, Z standard normal. A wave is u minus a
level, for many (region, sigma) problems at once: by the edges of the region, or by Fourier modes for noise
that is wide against a period. Both kinds give the unit of their Taylor variable (``scale``, one per problem),
the rounding error of a value (``noise``), the coefficients 0..order of u(x + scale t) - level in powers of t
(``series``), and a bound of the coefficient ORDER + 1 at every point within ``half`` scales of x
(``remainder``). ``crossings`` finds where a wave is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from scipy import special

ORDER = 12
EPSILON = float(np.finfo(np.float64).eps)
# Beyond 60 standard deviations the normal density and tail are 0 in double precision.
FAR = 60.0
# Cells times edges that are worked on at once: what fits a cache.
BLOCK = 1 << 16
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_FACTORIALS = special.factorial(np.arange(ORDER + 2))


def gaussian_mass(
    low: Float[np.ndarray, "*shape"], high: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Return Phi(high) - Phi(low) with small relative error in both tails and for narrow intervals.

    Arrays of one shape, in standard deviations, low <= high; infinite ends are allowed.

    >>> gaussian_mass(np.array([-1.0, 10.0]), np.array([1.0, np.inf]))
    array([6.82689492e-01, 7.61985302e-24])
    """
    low, high = np.clip(low, -FAR, FAR), np.clip(high, -FAR, FAR)
    flip = low + high > 0  # the tail that both ends share is subtracted, never 1 - tail
    mass = special.ndtr(np.where(flip, -low, high)) - special.ndtr(np.where(flip, -high, low))
    middle, width = (low + high) / 2, high - low
    narrow = width * np.maximum(1.0, np.abs(middle)) < 1.0
    if narrow.any():  # a difference would cancel; eight Gauss points are exact to rounding here
        m, t = middle[narrow][:, None], width[narrow][:, None] / 2 * _NODES
        density = np.exp(-(m**2) / 2 - m * t - t**2 / 2) / math.sqrt(2 * math.pi)
        mass[narrow] = width[narrow] / 2 * (density @ _WEIGHTS)
    return np.asarray(mass)


@dataclass(frozen=True)
class EdgeWave:
    """The wave u - level of regions given by their edges: even columns are starts, odd columns ends."""

    edges: Float[np.ndarray, "problems edges"]
    sigma: Float[np.ndarray, "problems"]
    level: float

    @property
    def scale(self) -> Float[np.ndarray, "problems"]:
        """Sigma."""
        return self.sigma

    @property
    def noise(self) -> float:
        """Rounding error of u - level."""
        return 4 * EPSILON * self.level

    def series(
        self, problem: Int[np.ndarray, "cells"], x: Float[np.ndarray, "cells"], order: int
    ) -> Float[np.ndarray, "terms cells"]:
        """Taylor coefficients about each x."""
        blocks = 1 + len(x) * self.edges.shape[1] // BLOCK
        if len(self.edges) > 1 or blocks == 1:
            return self._terms(self.edges[problem], x, self.scale[problem], order)
        terms = np.empty((order + 1, len(x)))
        for block in np.array_split(np.argsort(x), blocks):
            reached = FAR * self.scale[0]
            first = np.searchsorted(self.edges[0, 1::2], x[block[0]] - reached)
            last = np.searchsorted(self.edges[0, ::2], x[block[-1]] + reached)
            near = self.edges[:, 2 * first : 2 * last]
            terms[:, block] = self._terms(near, x[block], np.full(len(block), self.scale[0]), order)
        return terms

    def _terms(
        self,
        edges: Float[np.ndarray, "rows edges"],
        x: Float[np.ndarray, "cells"],
        scale: Float[np.ndarray, "cells"],
        order: int,
    ) -> Float[np.ndarray, "terms cells"]:
        with np.errstate(over="ignore"):
            y = np.clip((edges - x[:, None]) / scale[:, None], -FAR, FAR)
        terms = np.empty((order + 1, len(x)))
        terms[0] = gaussian_mass(y[:, ::2], y[:, 1::2]).sum(axis=1) - self.level
        # The derivative of order n of u in x/scale is the signed sum of He_{n-1}(y) phi(y) over the edges.
        hermite = np.exp(-(y**2) / 2) / math.sqrt(2 * math.pi)
        hermite[:, 1::2] *= -1.0
        before = np.zeros_like(hermite)
        for n in range(1, order + 1):
            terms[n] = hermite.sum(axis=1) / _FACTORIALS[n]
            hermite, before = y * hermite - (n - 1) * before, hermite
        return terms

    def remainder(
        self,
        problem: Int[np.ndarray, "cells"],
        x: Float[np.ndarray, "cells"],
        half: Float[np.ndarray, "cells"],
    ) -> Float[np.ndarray, "cells"]:
        """Bound of the coefficient after the last."""
        # |u^(n)| <= (1/2) int |phi^(n)| <= (1/2) sqrt(n!), as 0 <= 1_A <= 1 and by Cauchy-Schwarz. Far from
        # the edges the sum over edges is smaller: Cramer's bound |He_m phi| <= 1.0865 sqrt(m!) e^{-y^2/4} /
        # sqrt(2 pi), and beyond 2 sqrt(m + 1), where |He_m phi| only falls, its value at the nearest point.
        everywhere = 0.5 * math.sqrt(_FACTORIALS[ORDER + 1])
        if self.level > 1e-3:
            return np.full(len(x), everywhere / _FACTORIALS[ORDER + 1])
        distance = np.abs(self.edges[problem] - x[:, None]) / self.scale[problem, None] - half[:, None]
        distance = np.clip(distance, 0.0, FAR)
        bound = 1.0865 * math.sqrt(_FACTORIALS[ORDER] / (2 * math.pi)) * np.exp(-(distance**2) / 4)
        beyond = distance > 2 * math.sqrt(ORDER + 1)
        far = distance[beyond]
        value = special.eval_hermitenorm(ORDER, far) * np.exp(-(far**2) / 2) / math.sqrt(2 * math.pi)
        bound[beyond] = np.minimum(bound[beyond], np.abs(value))
        return np.asarray(np.minimum(everywhere, bound.sum(axis=1)) / _FACTORIALS[ORDER + 1])


@dataclass(frozen=True)
class FourierWave:
    """u - level for one periodic region: offset + Re sum_n modes[n-1] exp(2 pi i n x / period)."""

    offset: float
    modes: Float[np.ndarray, "modes"]
    period: float

    @property
    def scale(self) -> Float[np.ndarray, "problems"]:
        """The period."""
        return np.array([self.period])

    @property
    def noise(self) -> float:
        """Rounding error of u - level."""
        return 4 * EPSILON * (abs(self.offset) + float(np.abs(self.modes).sum()))

    @property
    def _angular(self) -> Float[np.ndarray, "modes"]:
        return 2 * math.pi * np.arange(1, len(self.modes) + 1)

    def series(
        self, problem: Int[np.ndarray, "cells"], x: Float[np.ndarray, "cells"], order: int
    ) -> Float[np.ndarray, "terms cells"]:
        """Taylor coefficients about each x."""
        waves = self.modes * np.exp(1j * self._angular * (x / self.period)[:, None])
        terms = [(waves * (1j * self._angular) ** n).real.sum(axis=1) for n in range(order + 1)]
        terms[0] = terms[0] + self.offset
        return np.array(terms) / _FACTORIALS[: order + 1, None]

    def remainder(
        self,
        problem: Int[np.ndarray, "cells"],
        x: Float[np.ndarray, "cells"],
        half: Float[np.ndarray, "cells"],
    ) -> Float[np.ndarray, "cells"]:
        """Bound of the coefficient after the last."""
        bound = float((np.abs(self.modes) * self._angular ** (ORDER + 1)).sum())
        return np.full(len(x), bound / _FACTORIALS[ORDER + 1])


Wave: TypeAlias = EdgeWave | FourierWave
