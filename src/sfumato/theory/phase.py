"""One-dimensional phase diagrams: where augmentation helps, over (gap/width, alpha, beta), exactly.

Families of equal intervals of width 1 with equal gaps: a finite number of them on the line, or infinitely
many (periodic). Scaling makes width 1 general: alpha, beta and gap are in units of the width. The regions
come from bracketed roots (``theory.crossings``), not from a grid of points; only the axes of the diagram
are a grid. Known answers: no benefit at gaps >= width, whatever the noises; never a benefit for the
periodic family, whose arcs only shrink (gap > width), stay (gap = width) or grow (gap < width).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy import special

from sfumato.errors import SettingError, require_count, require_open_unit
from sfumato.theory.crossings import (
    EPSILON,
    FAR,
    Cells,
    bracketed_roots,
    finest_noise,
    gaussian_mass,
    threshold_edges,
)
from sfumato.theory.intervals import FOURIER_FROM, Intervals, threshold

# Benefits below this are rounding: risks are relative to the class and of order 1.
ROUNDING = 1e-12


@dataclass(frozen=True)
class PhaseDiagram:
    """Risks of a family of regions over a grid of gaps and noises, relative to the measure of class 1.

    Attributes:
        gaps: gap/width, in ascending order.
        alphas: training noises, in units of the width.
        betas: smoothing noises, likewise.
        risk: Delta(alpha, beta)/|A|.
        plain_risk: Delta(0, beta)/|A|.
    """

    gaps: Float[np.ndarray, "gaps"]
    alphas: Float[np.ndarray, "alphas"]
    betas: Float[np.ndarray, "betas"]
    risk: Float[np.ndarray, "gaps alphas betas"]
    plain_risk: Float[np.ndarray, "gaps betas"]

    @property
    def benefit(self) -> Float[np.ndarray, "gaps alphas betas"]:
        """Delta(0, beta) - Delta(alpha, beta), relative: positive where augmentation helps."""
        return np.asarray(self.plain_risk[:, None, :] - self.risk)

    @property
    def best_benefit(self) -> Float[np.ndarray, "gaps betas"]:
        """The largest benefit over the alphas, 0 where none helps."""
        return np.asarray(np.maximum(self.benefit.max(axis=1), 0.0))

    @property
    def best_alpha(self) -> Float[np.ndarray, "gaps betas"]:
        """The alpha of the grid with the largest benefit (the smallest of equals), 0 where none helps."""
        helps = self.best_benefit > ROUNDING
        return np.asarray(np.where(helps, self.alphas[self.benefit.argmax(axis=1)], 0.0))

    @property
    def benefit_window(self) -> Float[np.ndarray, "gaps 2"]:
        """For each gap the smallest and the largest beta of the grid where some alpha helps, or NaN."""
        helps = np.asarray(self.best_benefit > ROUNDING)
        low = np.where(helps, self.betas, np.inf).min(axis=1)
        high = np.where(helps, self.betas, -np.inf).max(axis=1)
        return np.where(helps.any(axis=1, keepdims=True), np.column_stack([low, high]), np.nan)


def _axis(name: str, values: ArrayLike, positive: bool) -> Float[np.ndarray, "values"]:
    axis = np.atleast_1d(np.asarray(values, dtype=np.float64))
    bad = ~np.isfinite(axis) | ((axis <= 0) if positive else (axis < 0))
    if axis.ndim != 1 or not axis.size:
        raise SettingError(f"{name} must be a list of numbers, got an array of shape {axis.shape}")
    if bad.any():
        accepted = "positive finite numbers" if positive else "finite numbers of at least 0"
        raise SettingError(f"{name} must be {accepted}, got {axis[bad][0]}")
    return axis


def phase_diagram(gaps: ArrayLike, alphas: ArrayLike, betas: ArrayLike, *, count: int = 2) -> PhaseDiagram:
    """Return the risks of ``count`` intervals of width 1 with equal gaps, Lebesgue measure.

    The time grows as the number of grid points times ``count`` squared.

    >>> diagram = phase_diagram([0.5, 1.0], [0.38], [1.36])
    >>> diagram.benefit.round(10)[:, 0, 0]
    array([0.60191423, 0.        ])

    Raises:
        SettingError: a gap that is not positive, a negative noise, a count below 1.
    """
    gap, alpha, beta = _axis("gaps", gaps, True), _axis("alphas", alphas, False), _axis("betas", betas, False)
    require_count("count", count)
    starts = (np.arange(count) - (count - 1) / 2) * (1 + gap[:, None]) - 0.5
    region = np.stack([starts, starts + 1.0], axis=2).reshape(len(gap), 2 * count)
    trained_with = np.concatenate([[0.0], alpha])
    trained = threshold_edges(np.repeat(region, len(trained_with), axis=0), np.tile(trained_with, len(gap)))
    smoothed = threshold_edges(np.repeat(trained, len(beta), axis=0), np.tile(beta, len(trained)))
    reference = np.repeat(region, len(trained_with) * len(beta), axis=0)
    risk = _difference(reference, smoothed).reshape(len(gap), len(trained_with), len(beta)) / count
    return PhaseDiagram(gap, alpha, beta, risk[:, 1:], risk[:, 0])


def _difference(
    first: Float[np.ndarray, "problems edges"], second: Float[np.ndarray, "problems edges"]
) -> Float[np.ndarray, "problems"]:
    """Lebesgue measure of the symmetric difference, |A| + |B| - 2 |A and B|."""
    total = (first[:, 1::2] - first[:, ::2]).sum(axis=1) + (second[:, 1::2] - second[:, ::2]).sum(axis=1)
    common = np.zeros(len(first))
    for start, end in zip(first[:, ::2].T, first[:, 1::2].T, strict=True):
        overlap = np.minimum(end[:, None], second[:, 1::2]) - np.maximum(start[:, None], second[:, ::2])
        common += np.maximum(overlap, 0.0).sum(axis=1)
    return np.asarray(np.maximum(total - 2 * common, 0.0))


def periodic_phase_diagram(gaps: ArrayLike, alphas: ArrayLike, betas: ArrayLike) -> PhaseDiagram:
    """Return the risks of infinitely many intervals of width 1 with equal gaps, per period.

    >>> periodic_phase_diagram([0.5], [0.2], [0.3]).best_benefit
    array([[0.]])

    Raises:
        SettingError: a gap that is not positive, a negative noise.
    """
    gap, alpha, beta = _axis("gaps", gaps, True), _axis("alphas", alphas, False), _axis("betas", betas, False)
    period = (1.0 + gap)[:, None]
    trained_with = np.concatenate([[0.0], alpha])
    trained = periodic_width(1.0, trained_with, period)
    smoothed = periodic_width(trained[:, :, None], beta, period[:, :, None])
    risk = np.abs(smoothed - 1.0)
    return PhaseDiagram(gap, alpha, beta, risk[:, 1:], risk[:, 0])


@dataclass(frozen=True)
class _ArcWave:
    """u - level for one arc centred at 0 on a circle of length 1, for many widths and sigmas."""

    width: Float[np.ndarray, "problems"]
    sigma: Float[np.ndarray, "problems"]
    level: float

    @property
    def scale(self) -> Float[np.ndarray, "problems"]:
        return np.ones_like(self.sigma)

    def series(
        self, problem: Int[np.ndarray, "cells"], x: Float[np.ndarray, "cells"], order: int
    ) -> Float[np.ndarray, "terms cells"]:
        width, sigma = self.width[problem], self.sigma[problem]
        terms = np.zeros((2, len(x)))
        wide = sigma > FOURIER_FROM
        n = np.arange(1, math.ceil(1.45 / FOURIER_FROM) + 2)[:, None]
        mode = 2 / (np.pi * n) * np.sin(np.pi * n * width[wide])
        mode *= np.exp(-2 * (np.pi * n * sigma[wide]) ** 2)
        terms[0, wide] = (width[wide] - self.level) + (mode * np.cos(2 * np.pi * n * x[wide])).sum(axis=0)
        terms[1, wide] = -(2 * np.pi * n * mode * np.sin(2 * np.pi * n * x[wide])).sum(axis=0)
        s, at, half = sigma[~wide], x[~wide], width[~wide] / 2
        value, slope = np.full(len(at), -self.level), np.zeros(len(at))
        images = math.ceil(9 * float(s.max(initial=0.0))) + 1
        for k in range(-images, images + 1):
            low, high = np.clip((k - half - at) / s, -FAR, FAR), np.clip((k + half - at) / s, -FAR, FAR)
            value += gaussian_mass(low, high)
            slope += (np.exp(-(low**2) / 2) - np.exp(-(high**2) / 2)) / (s * math.sqrt(2 * np.pi))
        terms[0, ~wide], terms[1, ~wide] = value, slope
        return terms[: order + 1]


def periodic_width(
    width: ArrayLike, sigma: ArrayLike, period: ArrayLike, level: float = 0.5
) -> Float[np.ndarray, "*shape"]:
    """Return the width of {u_sigma >= level} for arcs of a width repeated with a period, broadcast.

    u is symmetric and falls from the centre of the arc to the middle of the gap, so the region is again
    one arc per period with the same centre: 0 where it is empty, the period where it is everything. All
    in one unit of length. At level 1/2 the width falls with sigma if width < period/2, grows if
    width > period/2, and stays at equality.

    >>> float(periodic_width(0.3, 0.15, 1.0).round(12))
    0.279982164164

    Raises:
        SettingError: a width outside [0, period], a negative sigma, a period that is not positive, a
            level outside (0, 1).
    """
    require_open_unit("level", level)
    widths, sigmas, periods = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (width, sigma, period))
    )
    _axis("period", periods.ravel(), True)
    _axis("sigma", sigmas.ravel(), False)
    outside = ~((widths >= 0) & (widths <= periods))
    if outside.any():
        raise SettingError(
            f"width must lie between 0 and the period {periods[outside][0]}, got {widths[outside][0]}"
        )
    share, noise = (widths / periods).ravel(), (sigmas / periods).ravel()
    result = share.copy()
    (open_rows,) = np.nonzero((noise > finest_noise(np.ones((1, 1)))) & (share > 0) & (share < 1))
    wave = _ArcWave(share[open_rows], noise[open_rows], level)
    rows = np.arange(len(open_rows))
    centre, far = np.zeros(len(rows)), np.full(len(rows), 0.5)
    top, bottom = wave.series(rows, centre, 0)[0], wave.series(rows, far, 0)[0]
    result[open_rows] = np.where(top < 0, 0.0, 1.0)
    crossed = (top >= 0) & (bottom < 0)
    inside, outside_ = np.ones(crossed.sum(), dtype=bool), np.zeros(crossed.sum(), dtype=bool)
    cells = Cells(rows[crossed], centre[crossed], far[crossed], inside, outside_)
    result[open_rows[crossed]] = 2 * bracketed_roots(wave, cells)
    return np.asarray(result.reshape(widths.shape) * periods)


def vanishing_sigma(region: Intervals, level: float = 0.5) -> float:
    """Return the largest sigma at which some point still has u_sigma >= level.

    The maximum of u falls with sigma, so beyond it the thresholded region is empty. inf if it never
    vanishes (an unbounded region, a periodic one that fills at least ``level`` of its period), 0 for
    the empty set. In the unit of the region, to rounding.

    >>> round(vanishing_sigma(Intervals((0.0,), (0.45,), period=1.0)), 12)
    0.358140362562

    Raises:
        SettingError: a level outside (0, 1).
    """
    require_open_unit("level", level)
    if region.is_empty:
        return 0.0
    density = region.length / (math.inf if region.period is None else region.period)
    if not math.isfinite(region.length) or density >= level:
        return math.inf
    # The widest interval alone reaches the level at its centre up to this sigma.
    widest = max(end - start for start, end in zip(region.starts, region.ends, strict=True))
    low = widest / 2 / float(special.ndtri((1.0 + level) / 2))
    high = 2 * low
    while not threshold(region, high, level).is_empty:
        low, high = high, 2 * high
    while high - low > 2 * EPSILON * high:
        middle = low + (high - low) / 2
        if threshold(region, middle, level).is_empty:
            high = middle
        else:
            low = middle
    return low
