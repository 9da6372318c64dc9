"""Where the smoothed indicator of a union of intervals crosses a level: every crossing, by bracketed roots.

No grid decides: each cell of the line is closed only when a Taylor expansion of order 12 with a proved
remainder (``waves``) shows that u stays away from the level or is monotone there, or differs from the level
by less than rounding. Many (region, sigma) problems are solved at once, so that a phase diagram is one call.
Only the level and the edges of the regions matter here; ``intervals`` says what the intervals mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special
from scipy.optimize import elementwise

from sfumato.theory.waves import BLOCK, ORDER, EdgeWave, Wave

# Width of a first cell, in sigmas.
CELL = 0.5


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
    """Return for each problem the sigma below which noise moves the edges by less than rounding.

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


class Cells(NamedTuple):
    """Pieces of the line, each of one problem, with whether u is at least the level at both ends."""

    problem: Int[np.ndarray, "cells"]
    low: Float[np.ndarray, "cells"]
    high: Float[np.ndarray, "cells"]
    inside_low: Bool[np.ndarray, "cells"]
    inside_high: Bool[np.ndarray, "cells"]

    def take(self, which: Bool[np.ndarray, "cells"]) -> Cells:
        """Return the cells that are chosen."""
        return Cells(*(column[which] for column in self))

    def halves(self, middle: Float[np.ndarray, "cells"], inside: Bool[np.ndarray, "cells"]) -> Cells:
        """Return both halves of every cell, given whether u is at least the level at the middle."""
        first = self._replace(high=middle, inside_high=inside)
        return _joined([first, self._replace(low=middle, inside_low=inside)])


def _joined(parts: Sequence[Cells]) -> Cells:
    return Cells(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _crossings(wave: Wave, cells: Cells, inside_first: Bool[np.ndarray, "problems"]) -> Crossings:
    powers = np.arange(1, ORDER + 1)[:, None]
    brackets: list[Cells] = []
    while cells.problem.size:
        middle = cells.low + (cells.high - cells.low) / 2
        half = (cells.high - cells.low) / 2 / wave.scale[cells.problem]
        terms = wave.series(cells.problem, middle, ORDER)
        rest = wave.remainder(cells.problem, middle, half) * half**ORDER
        spread = np.abs(terms[1:]) * half ** (powers - 1)
        swing = (spread.sum(axis=0) + rest) * half  # bounds |u - u(middle)| on the cell
        bend = (powers[1:] * spread[1:]).sum(axis=0) + (ORDER + 1) * rest  # bounds |u' - u'(middle)|
        clear = np.abs(terms[0]) > swing + wave.noise
        one_way = (np.abs(terms[1]) > bend) | (swing <= wave.noise)
        one_way |= (middle <= cells.low) | (middle >= cells.high)  # no floating-point number between
        brackets.append(cells.take(~clear & one_way & (cells.inside_low != cells.inside_high)))
        unsettled = ~clear & ~one_way
        cells = cells.take(unsettled).halves(middle[unsettled], terms[0][unsettled] >= 0)
    found = _joined(brackets) if brackets else cells
    x = _bracketed_roots(wave, found)
    order = np.lexsort((x, found.problem))
    return Crossings(found.problem[order], x[order], found.inside_high[order], inside_first)


def _bracketed_roots(wave: Wave, bracket: Cells) -> Float[np.ndarray, "crossings"]:
    """Return the crossing in each bracket, whose ends lie on two sides of the level."""
    find_root: Any = elementwise.find_root  # its stubs know functions of floats only
    found = find_root(
        lambda x, problem: wave.series(problem, x, 0)[0],
        (bracket.low, bracket.high),
        args=(bracket.problem,),
    )
    # Rounding may give both ends one sign: then the end that is nearer to the level is the crossing.
    below, above = np.abs(found.f_bracket)
    return np.where(found.success, found.x, np.where(below <= above, bracket.low, bracket.high))


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
