"""Unions of intervals on the line and on a circle after training and smoothing noise, exactly.

Everything is computed from sums of normal probabilities and bracketed roots (``theory.crossings``), without a
grid. Slabs in R^d, bounded in one direction, are the same problem. Notation of ``theory``: class 1 is
the region A, u_s(x) = P(x + s Z in A), T_s A = {u_s >= 1/2}, risk = measure of A xor T_beta T_alpha A
(Pal & Sulam 2023). Phase diagrams over many gaps and noises are in ``theory.phase``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from sfumato.errors import SettingError, require_nonnegative, require_open_unit, require_positive
from sfumato.theory.crossings import Crossings, find_crossings, finest_noise, reach
from sfumato.theory.deployed import Deployed
from sfumato.theory.waves import EPSILON, EdgeWave, FourierWave, gaussian_mass

Cdf = Callable[[float], float]

# Above this sigma/period six Fourier modes reach double precision, below it a few images of the period do.
FOURIER_FROM = 0.3
# How far the values of a CDF at -infinity and +infinity may be from 0 and 1.
CDF_TOLERANCE = 1e-9
MAX_PERIODS = 100_000


@dataclass(frozen=True)
class Intervals:
    """A union of disjoint closed intervals, on the line or repeated with a period.

    On the line the outermost ends may be -inf and inf. With a ``period`` the intervals of one period are
    given, and everything repeats. Intervals that touch are joined. No interval at all is the empty set.

    >>> Intervals((0.0, 2.0), (1.0, 3.5)).length
    2.5

    Raises:
        SettingError: unequal numbers of starts and ends, an interval without width, intervals that
            overlap or are out of order, an infinite end inside a period, intervals longer than one period.
    """

    starts: tuple[float, ...]
    ends: tuple[float, ...]
    period: float | None = None

    def __post_init__(self) -> None:
        starts, ends = [float(v) for v in self.starts], [float(v) for v in self.ends]
        if len(starts) != len(ends):
            raise SettingError(f"every interval needs a start and an end, got {len(starts)} and {len(ends)}")
        for start, end in zip(starts, ends, strict=True):
            if not start < end:
                raise SettingError(f"an interval must end after it starts, got [{start}, {end}]")
        for i in range(1, len(starts)):
            if starts[i] < ends[i - 1]:
                raise SettingError(
                    f"intervals must be in order and must not overlap, got "
                    f"[{starts[i - 1]}, {ends[i - 1]}] before [{starts[i]}, {ends[i]}]"
                )
        if self.period is not None and starts:
            period = require_positive("period", self.period)
            if not math.isfinite(ends[-1] - starts[0]):
                raise SettingError(f"a periodic region needs finite ends, got [{starts[0]}, {ends[-1]}]")
            if ends[-1] - starts[0] > period:
                raise SettingError(
                    f"intervals must lie inside one period of {period}, got [{starts[0]}, {ends[0]}] and "
                    f"[{starts[-1]}, {ends[-1]}], which overlap after one period"
                )
        elif self.period is not None:
            require_positive("period", self.period)
        joined = _joined(starts, ends, self.period)
        object.__setattr__(self, "starts", joined[0])
        object.__setattr__(self, "ends", joined[1])

    @property
    def is_empty(self) -> bool:
        """True for the empty set."""
        return not self.starts

    @property
    def is_everything(self) -> bool:
        """True for the whole line or circle."""
        if self.is_empty:
            return False
        if self.period is None:
            return self.starts[0] == -math.inf and self.ends[0] == math.inf
        return self.ends[0] - self.starts[0] >= self.period

    @property
    def length(self) -> float:
        """Lebesgue measure, of one period if periodic; inf for an unbounded region.

        >>> Intervals((0.25,), (1.0,), period=2.0).length
        0.75
        """
        return math.fsum(end - start for start, end in zip(self.starts, self.ends, strict=True))

    def contains(self, x: Float[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Return for each point whether it lies in the region, ends included.

        >>> Intervals((0.0,), (0.5,), period=1.0).contains(np.array([0.25, 0.75, -0.75]))
        array([ True, False,  True])
        """
        points = np.asarray(x, dtype=np.float64)
        if self.is_empty:
            return np.zeros(points.shape, dtype=bool)
        if self.period is not None:
            points = self.starts[0] + np.mod(points - self.starts[0], self.period)
        index = np.searchsorted(self.starts, points, side="right") - 1
        return np.asarray((index >= 0) & (points <= np.asarray(self.ends)[np.maximum(index, 0)]))

    def complement(self) -> Intervals:
        """Return the closure of the complement.

        >>> Intervals((0.0,), (1.0,)).complement()
        Intervals(starts=(-inf, 1.0), ends=(0.0, inf), period=None)
        """
        if self.is_everything:
            return Intervals((), (), self.period)
        if self.period is None:
            edges = [
                -math.inf,
                *(v for pair in zip(self.starts, self.ends, strict=True) for v in pair),
                math.inf,
            ]
            pairs = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
        elif self.is_empty:
            pairs = [(0.0, self.period)]
        else:
            pairs = list(zip(self.ends, [*self.starts[1:], self.starts[0] + self.period], strict=True))
        return Intervals(tuple(a for a, _ in pairs), tuple(b for _, b in pairs), self.period)

    def symmetric_difference(self, other: Intervals) -> Intervals:
        """Return the set where exactly one of the two regions is.

        >>> Intervals((0.0,), (2.0,)).symmetric_difference(Intervals((1.0,), (3.0,)))
        Intervals(starts=(0.0, 2.0), ends=(1.0, 3.0), period=None)

        Raises:
            SettingError: the two have different periods.
        """
        if self.period != other.period:
            raise SettingError(f"the regions must have one period, got {self.period} and {other.period}")
        edges = np.array([*self.starts, *self.ends, *other.starts, *other.ends])
        if self.period is None:
            cuts = np.unique(np.concatenate([[-np.inf], edges, [np.inf]]))
        else:
            origin = float(edges[0]) if edges.size else 0.0
            folded = edges - np.floor((edges - origin) / self.period) * self.period
            cuts = np.unique(np.concatenate([[origin], folded, [origin + self.period]]))
            cuts = cuts[(cuts >= origin) & (cuts <= origin + self.period)]
        middles = _middles(cuts)
        differs = self.contains(middles) != other.contains(middles)
        return Intervals(tuple(cuts[:-1][differs]), tuple(cuts[1:][differs]), self.period)

    def measure(self, cdf: Cdf | None = None) -> float:
        """Return the Lebesgue measure (of one period), or the probability under a distribution.

        ``cdf`` is its cumulative distribution function on the line. It is called with one float at a time,
        also with -inf and inf. A periodic region counts with all its repetitions. For a distribution on one
        period give a CDF that rises from 0 to 1 there.

        >>> from scipy.stats import norm
        >>> round(Intervals((0.0,), (math.inf,)).measure(norm.cdf), 12)
        0.5

        Raises:
            SettingError: a function that does not go from 0 to 1 or falls, or that needs too many periods.
        """
        if cdf is None:
            return self.length
        check_cdf(cdf)
        shifts = np.zeros(1)
        if self.period is not None and not self.is_empty:
            shifts = self.period * _periods_with_mass(cdf, self.starts[0], self.period)
        pieces = []
        for shift in shifts:
            for start, end in zip(self.starts, self.ends, strict=True):
                low, high = float(cdf(start + shift)), float(cdf(end + shift))
                if not high >= low:
                    raise SettingError(
                        f"a cumulative distribution function must not fall, got {low} at {start + shift} "
                        f"and {high} at {end + shift}"
                    )
                pieces.append(high - low)
        return math.fsum(pieces)


def _joined(
    starts: list[float], ends: list[float], period: float | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Join intervals that touch, also across the end of a period."""
    first = [i for i in range(len(starts)) if i == 0 or starts[i] != ends[i - 1]]
    last = [i - 1 for i in first[1:]] + [len(ends) - 1] if ends else []
    joined_starts, joined_ends = [starts[i] for i in first], [ends[i] for i in last]
    if period is not None and len(joined_starts) > 1 and joined_ends[-1] - joined_starts[0] >= period:
        joined_starts = joined_starts[1:]
        joined_ends = [*joined_ends[1:-1], joined_ends[0] + period]
    return tuple(joined_starts), tuple(joined_ends)


def _middles(cuts: Float[np.ndarray, "cuts"]) -> Float[np.ndarray, "cells"]:
    """One point inside each cell between neighbouring cuts; the outermost may be infinite."""
    low, high = cuts[:-1], cuts[1:]
    with np.errstate(invalid="ignore"):
        middles = low / 2 + high / 2
    middles = np.where(np.isneginf(low), high - 1.0, np.where(np.isposinf(high), low + 1.0, middles))
    return np.where(np.isneginf(low) & np.isposinf(high), 0.0, middles)


def check_cdf(cdf: Cdf) -> None:
    """Check that a function rises from 0 at -inf to 1 at inf, as a density that integrates to 1 has it.

    >>> check_cdf(lambda x: 0.5 * (1 + math.tanh(x)))

    Raises:
        SettingError: if it does not.
    """
    low, high = float(cdf(-math.inf)), float(cdf(math.inf))
    if not (abs(low) <= CDF_TOLERANCE and abs(high - 1.0) <= CDF_TOLERANCE):
        raise SettingError(
            f"the density must integrate to 1: its cumulative distribution function must go from 0 at -inf "
            f"to 1 at inf, got {low} and {high}"
        )


def _periods_with_mass(cdf: Cdf, origin: float, period: float) -> Float[np.ndarray, "periods"]:
    """Numbers of the periods, counted from ``origin``, outside which the distribution has no mass."""
    below = above = 1
    while float(cdf(origin - below * period)) > EPSILON and below <= MAX_PERIODS:
        below *= 2
    while 1.0 - float(cdf(origin + above * period)) > EPSILON and above <= MAX_PERIODS:
        above *= 2
    if max(below, above) > MAX_PERIODS:
        raise SettingError(
            f"the distribution spreads over more than {MAX_PERIODS} periods of {period}; "
            "give a longer period or a distribution with lighter tails"
        )
    return np.arange(-below, above + 1)


def smooth_probability(
    region: Intervals, x: Float[np.ndarray, "*shape"], sigma: float
) -> Float[np.ndarray, "*shape"]:
    """Return u_sigma(x) = P(x + sigma Z in A), Z standard normal, for each point.

    Differences of normal probabilities, accurate in the tails. A periodic region is summed over its
    images where sigma is below 0.3 periods and as a Fourier series above, with a relative error near
    rounding in the first case and an absolute one in the second. At sigma = 0 it is the indicator.

    >>> smooth_probability(Intervals((-1.0,), (1.0,)), np.array([0.0, 1.0]), sigma=1.0).round(6)
    array([0.682689, 0.47725 ])

    Raises:
        SettingError: a negative or infinite sigma.
    """
    require_nonnegative("sigma", sigma)
    points = np.asarray(x, dtype=np.float64)
    if sigma == 0 or region.is_empty or region.is_everything:
        return region.contains(points).astype(np.float64)
    if region.period is not None and sigma > FOURIER_FROM * region.period:
        wave = _fourier(region, sigma, level=0.0)
        flat = points.ravel()
        values = wave.series(np.zeros(flat.size, dtype=np.intp), flat, 0)[0]
        return np.asarray(np.clip(values, 0.0, 1.0).reshape(points.shape))
    if region.period is not None:
        points = region.starts[0] + np.mod(points - region.starts[0], region.period)
    total = np.zeros(points.shape)
    for start, end in _unrolled(region, sigma, 9.0).reshape(-1, 2):
        with np.errstate(over="ignore"):  # far beyond the tails
            low, high = np.atleast_1d((start - points) / sigma), np.atleast_1d((end - points) / sigma)
        total += gaussian_mass(low, high).reshape(points.shape)
    return np.minimum(total, 1.0)


def _edges(region: Intervals) -> Float[np.ndarray, "edges"]:
    return np.array([v for pair in zip(region.starts, region.ends, strict=True) for v in pair])


def _unrolled(region: Intervals, sigma: float, sigmas: float) -> Float[np.ndarray, "edges"]:
    """The edges together with those of all periods within ``sigmas`` standard deviations of one period."""
    edges = _edges(region)
    if region.period is None:
        return edges
    images = math.ceil(sigmas * sigma / region.period) + 1
    return np.concatenate([edges + k * region.period for k in range(-images, images + 1)])


def _fourier(region: Intervals, sigma: float, level: float) -> FourierWave:
    """The periodic u - level: the Fourier coefficients of its indicator times the normal's."""
    period = region.period if region.period is not None else math.nan
    starts, ends = np.array(region.starts), np.array(region.ends)
    n = np.arange(1, math.ceil(1.45 * period / sigma) + 2)
    width, centre = (ends - starts) / period, (ends + starts) / 2 / period
    indicator = np.sin(np.pi * n[:, None] * width) * np.exp(-2j * np.pi * n[:, None] * centre)
    modes = 2 / (np.pi * n) * np.exp(-2 * (np.pi * n * sigma / period) ** 2) * indicator.sum(axis=1)
    return FourierWave(float(width.sum()) - level, modes, period)


def threshold(region: Intervals, sigma: float, level: float = 0.5) -> Intervals:
    """Return {x : u_sigma(x) >= level}: all its ends, to rounding.

    No end is missed. Ends can lie only near an edge, because at distance t sigma from all edges u differs
    from the indicator by at most 2 Phi(-t). The cells that cover this neighbourhood are halved until a Taylor
    expansion with proved remainder shows that each holds no crossing or exactly one, which is then bracketed.
    Where u touches the level, a dip or a bump smaller than the rounding error of u (about 1e-15 of the level)
    cannot be told from a touch. The result never has more intervals than the region (the normal kernel is
    variation diminishing, Schoenberg 1930). sigma = 0 returns the region.

    >>> threshold(Intervals((-1.0,), (1.0,)), sigma=1.0).ends
    (0.93327...,)
    >>> threshold(Intervals((-1.0,), (1.0,)), sigma=1.5).is_empty
    True

    Raises:
        SettingError: a negative or infinite sigma, a level outside (0, 1).
    """
    require_nonnegative("sigma", sigma)
    require_open_unit("level", level)
    if region.is_empty or region.is_everything or sigma <= finest_noise(_edges(region)[None])[0]:
        return region
    if level > 0.5:  # 1 - u is small where it meets 1 - level, and keeps its digits
        return threshold(region.complement(), sigma, 1.0 - level).complement()
    edges, scale = _edges(region)[None], np.array([float(sigma)])
    if region.period is not None and sigma > FOURIER_FROM * region.period:
        wave: EdgeWave | FourierWave = _fourier(region, sigma, level)
    else:
        wave = EdgeWave(_unrolled(region, sigma, reach(level) + 10.0)[None], scale, level)
    return _assembled(find_crossings(wave, edges, scale, level, region.period), region)


def _assembled(crossings: Crossings, region: Intervals) -> Intervals:
    """The intervals between crossings. Beyond the outermost crossings the region itself decides."""
    starts = list(crossings.x[crossings.rising])
    ends = list(crossings.x[~crossings.rising])
    if region.period is None:
        starts = [-math.inf] * (region.starts[0] == -math.inf) + starts
        ends = ends + [math.inf] * (region.ends[-1] == math.inf)
    elif not starts:
        starts, ends = ([0.0], [region.period]) if crossings.inside_first[0] else ([], [])
    elif not crossings.rising[0]:
        ends = [*ends[1:], ends[0] + region.period]
    kept = [(float(a), float(b)) for a, b in zip(starts, ends, strict=True) if a < b]
    return Intervals(tuple(a for a, _ in kept), tuple(b for _, b in kept), region.period)


def deploy(
    region: Intervals,
    alpha: float,
    beta: float,
    measure: Cdf | None = None,
    training_level: float = 0.5,
) -> Deployed[Intervals]:
    """Return the region after training noise alpha and smoothing noise beta, with both risks.

    The risk is the measure of A xor T_beta T_alpha A: Lebesgue (per period for a periodic region), or
    the probability under the distribution with CDF ``measure`` (see ``Intervals.measure``).
    ``training_level`` other than 1/2 is the threshold that the Bayes rule under training noise has when
    the data density inside and outside A differ; alpha = 0 leaves A as it is.

    >>> pair = Intervals((-1.25, 0.25), (-0.25, 1.25))
    >>> answer = deploy(pair, alpha=0.38, beta=1.36)
    >>> round(answer.risk, 10), answer.plain_risk
    (0.7961715304, 2.0)

    Raises:
        SettingError: a negative noise, a level outside (0, 1), a measure that is not a CDF.
    """
    require_nonnegative("alpha", alpha)
    require_nonnegative("beta", beta)
    trained = threshold(region, alpha, training_level)
    smoothed = threshold(trained, beta)
    plain = threshold(region, beta)
    return Deployed(
        alpha=float(alpha),
        beta=float(beta),
        trained=trained,
        smoothed=smoothed,
        risk=region.symmetric_difference(smoothed).measure(measure),
        plain_risk=region.symmetric_difference(plain).measure(measure),
    )
