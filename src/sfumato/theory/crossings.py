"""Where the smoothed indicator of a union of intervals crosses a level: every crossing, by bracketed roots.

The function is u(x) = P(x + sigma Z in A) for A a union of intervals, Z standard normal. No grid decides:
each cell of the line is closed only when a Taylor expansion of order 12 with a proved remainder shows
that u stays away from the level or is monotone there, or differs from the level by less than rounding.
Works on many (region, sigma) problems at once, so that a phase diagram is one call. Only the level and
the edges of the regions matter here; what the intervals mean is the business of ``theory.intervals``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

ORDER = 12
# Width of a first cell, in sigmas.
CELL = 0.5
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


class Curve(Protocol):
    """Several functions u - level, one per problem, with their Taylor coefficients."""

    @property
    def scale(self) -> Float[np.ndarray, "problems"]:
        """The unit of the Taylor variable, in the unit of x."""
        ...

    def series(
        self, problem: Int[np.ndarray, "cells"], x: Float[np.ndarray, "cells"], order: int
    ) -> Float[np.ndarray, "terms cells"]:
        """Coefficients 0..order of u(x + scale t) - level in powers of t."""
        ...


class Wave(Curve, Protocol):
    """Curves with what a proof needs: a bound of the Taylor remainder and of rounding."""

    @property
    def noise(self) -> Float[np.ndarray, "problems"]:
        """The rounding error of a value."""
        ...

    def remainder(
        self,
        problem: Int[np.ndarray, "cells"],
        x: Float[np.ndarray, "cells"],
        half: Float[np.ndarray, "cells"],
    ) -> Float[np.ndarray, "cells"]:
        """A bound of the coefficient ORDER + 1 at every point within ``half`` (in units of scale) of x."""
        ...


@dataclass(frozen=True)
class EdgeWave:
    """u - level for regions given by their edges: even columns are starts, odd columns ends."""

    edges: Float[np.ndarray, "problems edges"]
    sigma: Float[np.ndarray, "problems"]
    level: float

    @property
    def scale(self) -> Float[np.ndarray, "problems"]:
        """Sigma."""
        return self.sigma

    @property
    def noise(self) -> Float[np.ndarray, "problems"]:
        """Rounding error of u - level."""
        return np.full(len(self.sigma), 4 * EPSILON * self.level)

    def series(
        self, problem: Int[np.ndarray, "cells"], x: Float[np.ndarray, "cells"], order: int
    ) -> Float[np.ndarray, "terms cells"]:
        """Taylor coefficients, see ``Curve``."""
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
        """Bound of the next coefficient, see ``Wave``."""
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
    def noise(self) -> Float[np.ndarray, "problems"]:
        """Rounding error of u - level."""
        return np.array([4 * EPSILON * (abs(self.offset) + float(np.abs(self.modes).sum()))])

    def series(
        self, problem: Int[np.ndarray, "cells"], x: Float[np.ndarray, "cells"], order: int
    ) -> Float[np.ndarray, "terms cells"]:
        """Taylor coefficients, see ``Curve``."""
        angular = 2 * math.pi * np.arange(1, len(self.modes) + 1)
        waves = self.modes * np.exp(1j * angular * (x / self.period)[:, None])
        terms = [(waves * (1j * angular) ** n).real.sum(axis=1) / _FACTORIALS[n] for n in range(order + 1)]
        terms[0] = terms[0] + self.offset
        return np.array(terms)

    def remainder(
        self,
        problem: Int[np.ndarray, "cells"],
        x: Float[np.ndarray, "cells"],
        half: Float[np.ndarray, "cells"],
    ) -> Float[np.ndarray, "cells"]:
        """Bound of the next coefficient, see ``Wave``."""
        angular = 2 * math.pi * np.arange(1, len(self.modes) + 1)
        bound = float((np.abs(self.modes) * angular ** (ORDER + 1)).sum())
        return np.full(len(x), bound / _FACTORIALS[ORDER + 1])


@dataclass(frozen=True)
class Crossings:
    """All crossings of the level, sorted by problem and then by place.

    Attributes:
        problem: index of the problem each belongs to.
        x: its place, in the unit of the edges.
        rising: True where u passes from below the level to at least the level.
        inside_first: for each problem, whether u is at least the level left of its first crossing.
    """

    problem: Int[np.ndarray, "crossings"]
    x: Float[np.ndarray, "crossings"]
    rising: Bool[np.ndarray, "crossings"]
    inside_first: Bool[np.ndarray, "problems"]


def reach(level: float) -> float:
    """Return how far from the edges, in sigmas, a crossing of ``level`` <= 1/2 can lie at most.

    At distance t sigma from every edge, u is at most 2 Phi(-t) outside A and at least 1 - 2 Phi(-t)
    inside, so that u = level needs 2 Phi(-t) >= level.

    >>> round(reach(0.5), 5)
    0.67449
    """
    return float(-special.ndtri(level / 2)) * (1 + 1e-9)


def finest_noise(edges: Float[np.ndarray, "problems edges"]) -> Float[np.ndarray, "problems"]:
    """Return the sigma below which noise moves no edge by what floating point can show, for each problem.

    >>> finest_noise(np.array([[-1.0, np.inf]]))
    array([2.22044605e-19])
    """
    largest = np.where(np.isfinite(edges), np.abs(edges), 0.0).max(axis=1)
    return np.asarray(1e-3 * np.spacing(largest))


def find_crossings(
    wave: Wave,
    edges: Float[np.ndarray, "problems edges"],
    sigma: Float[np.ndarray, "problems"],
    level: float,
    period: float | None = None,
) -> Crossings:
    """Return every crossing of u through ``level``.

    ``edges`` are the sorted edges of one period (or of the whole region) of each problem; those at
    infinity and repeated ones are harmless, but sigma must exceed ``finest_noise``. Cells start around the
    edges, the only place where a crossing can be (``reach``), and are halved until each is shown to hold
    none or exactly one.

    >>> edges, sigma = np.array([[-1.0, 1.0]]), np.array([1.0])
    >>> find_crossings(EdgeWave(edges, sigma, 0.5), edges, sigma, 0.5).x.round(12)
    array([-0.9332706,  0.9332706])
    """
    # Two spacings more, so that rounding cannot bring a node closer than the reach to the edge.
    margin = reach(level) * sigma[:, None] + 2 * np.spacing(np.abs(edges))
    before = np.full(len(edges), -np.inf) if period is None else edges[:, -1] - period
    middles = (np.column_stack([before, edges[:, :-1]]) + edges) / 2
    low = np.maximum(edges - margin, middles)
    last = np.full(len(edges), np.inf) if period is None else low[:, 0] + period
    high = np.minimum(edges + margin, np.column_stack([middles[:, 1:], last]))
    # Edges within one cell of each other share their window, so that fine structure costs no more cells.
    bins = np.floor(edges / np.maximum(CELL * sigma, finest_noise(edges))[:, None])
    new = np.column_stack([np.ones(len(edges), dtype=bool), bins[:, 1:] != bins[:, :-1]])
    ending = np.column_stack([new[:, 1:], np.ones(len(edges), dtype=bool)])
    owner, low, high = np.nonzero(new)[0], low[new], high[ending]
    window = np.isfinite(low) & np.isfinite(high) & (high > low)
    owner, low, high = owner[window], low[window], high[window]
    parts = math.ceil(2 * reach(level) / CELL) + 1
    nodes = np.linspace(low, high, parts + 1, axis=1)
    value = wave.series(np.repeat(owner, parts + 1), nodes.ravel(), 0)[0]
    inside = (value >= 0).reshape(nodes.shape)
    # Neighbouring windows share a node, and rounding must not give it two signs.
    shared = (nodes[1:, 0] == nodes[:-1, -1]) & (owner[1:] == owner[:-1])
    inside[1:, 0] = np.where(shared, inside[:-1, -1], inside[1:, 0])
    if period is not None:
        inside[-1, -1] = inside[0, 0] if nodes[-1, -1] == nodes[0, 0] + period else inside[-1, -1]
    inside_first = np.zeros(len(edges), dtype=bool)
    inside_first[owner[::-1]] = inside[::-1, 0]
    cells = Cells(
        np.repeat(owner, parts),
        nodes[:, :-1].ravel(),
        nodes[:, 1:].ravel(),
        inside[:, :-1].ravel(),
        inside[:, 1:].ravel(),
    )
    return _crossings(wave, cells, inside_first)


@dataclass(frozen=True)
class Cells:
    """Pieces of the line, each of one problem, with whether u is at least the level at both ends."""

    problem: Int[np.ndarray, "cells"]
    low: Float[np.ndarray, "cells"]
    high: Float[np.ndarray, "cells"]
    inside_low: Bool[np.ndarray, "cells"]
    inside_high: Bool[np.ndarray, "cells"]

    def take(self, which: Bool[np.ndarray, "cells"]) -> Cells:
        """Return the cells that are chosen."""
        return Cells(
            self.problem[which],
            self.low[which],
            self.high[which],
            self.inside_low[which],
            self.inside_high[which],
        )

    def halves(self, middle: Float[np.ndarray, "cells"], inside: Bool[np.ndarray, "cells"]) -> Cells:
        """Return both halves of every cell, given whether u is at least the level at the middle."""
        return Cells(
            np.concatenate([self.problem, self.problem]),
            np.concatenate([self.low, middle]),
            np.concatenate([middle, self.high]),
            np.concatenate([self.inside_low, inside]),
            np.concatenate([inside, self.inside_high]),
        )


def _crossings(wave: Wave, cells: Cells, inside_first: Bool[np.ndarray, "problems"]) -> Crossings:
    powers = np.arange(1, ORDER + 1)[:, None]
    brackets: list[Cells] = []
    while cells.problem.size:
        middle = cells.low + (cells.high - cells.low) / 2
        half = (cells.high - cells.low) / 2 / wave.scale[cells.problem]
        terms = wave.series(cells.problem, middle, ORDER)
        rest = wave.remainder(cells.problem, middle, half) * half**ORDER
        spread = np.abs(terms[1:]) * half ** (powers - 1)
        noise = wave.noise[cells.problem]
        swing = (spread.sum(axis=0) + rest) * half  # bounds |u - u(middle)| on the cell
        bend = (powers[1:] * spread[1:]).sum(axis=0) + (ORDER + 1) * rest  # bounds |u' - u'(middle)|
        clear = np.abs(terms[0]) > swing + noise
        one_way = (np.abs(terms[1]) > bend) | (swing <= noise)
        one_way |= (middle <= cells.low) | (middle >= cells.high)  # no floating-point number between
        brackets.append(cells.take(~clear & one_way & (cells.inside_low != cells.inside_high)))
        open_cells = ~clear & ~one_way
        cells = cells.take(open_cells).halves(middle[open_cells], terms[0][open_cells] >= 0)
    found = Cells(
        *(
            np.concatenate([getattr(b, name) for b in brackets])
            for name in ("problem", "low", "high", "inside_low", "inside_high")
        )
    )
    x = bracketed_roots(wave, found)
    order = np.lexsort((x, found.problem))
    return Crossings(found.problem[order], x[order], found.inside_high[order], inside_first)


def bracketed_roots(wave: Curve, bracket: Cells) -> Float[np.ndarray, "crossings"]:
    """Return the crossing in each bracket, whose ends lie on two sides of the level.

    Newton's method kept inside the bracket; bisection where it would leave it or is slow.
    """
    low, high = bracket.low.copy(), bracket.high.copy()
    x = low + (high - low) / 2
    active = np.arange(len(x))
    for step in range(80):
        if not active.size:
            break
        problem, at = bracket.problem[active], x[active]
        value, slope = wave.series(problem, at, 1)
        upper = (value >= 0) == bracket.inside_high[active]
        high[active] = np.where(upper, at, high[active])
        low[active] = np.where(upper, low[active], at)
        with np.errstate(divide="ignore", invalid="ignore"):
            better = at - value / slope * wave.scale[problem]
        fits = (better > low[active]) & (better < high[active]) & (step < 12)
        bisected = low[active] + (high[active] - low[active]) / 2
        rounding = EPSILON * (np.abs(at) + wave.scale[problem] / 4)
        done = (value == 0) | (np.abs(better - at) <= rounding) | (high[active] - low[active] <= rounding)
        x[active] = np.where(done, at, np.where(fits, better, bisected))
        active = active[~done]
    return np.asarray(x)


def threshold_edges(
    edges: Float[np.ndarray, "problems edges"], sigma: Float[np.ndarray, "problems"], level: float = 0.5
) -> Float[np.ndarray, "problems edges"]:
    """Return the edges of {u >= level} for many bounded regions on the line, each with its own sigma.

    Even columns are starts and odd columns ends. The result has no more intervals than the region (the
    normal kernel is variation diminishing); intervals of no width fill up the rest. level <= 1/2.

    >>> threshold_edges(np.array([[-1.0, 1.0], [-1.0, 1.0]]), np.array([1.0, 1.5])).round(6)
    array([[-0.933271,  0.933271],
           [ 0.      ,  0.      ]])
    """
    felt = sigma > finest_noise(edges)
    result: Float[np.ndarray, "problems edges"] = np.where(felt[:, None], 0.0, edges)
    (rows,) = np.nonzero(felt & (edges[:, 0] < edges[:, -1]))
    chunk = max(1, 4 * BLOCK // edges.shape[1] ** 2)
    for first in range(0, len(rows), chunk):
        part = rows[first : first + chunk]
        wave = EdgeWave(edges[part], sigma[part], level)
        found = find_crossings(wave, wave.edges, wave.sigma, level)
        count = np.bincount(found.problem, minlength=len(part))
        rank = np.arange(len(found.x)) - (np.cumsum(count) - count)[found.problem]
        packed = np.zeros((len(part), edges.shape[1]))
        packed[found.problem, rank] = found.x
        # Fill with the last edge: it repeats an edge that is there, and so adds no cells to a next step.
        last = packed[np.arange(len(part)), np.maximum(count - 1, 0)]
        result[part] = np.where(np.arange(edges.shape[1]) < count[:, None], packed, last[:, None])
    return result
