"""Unions of intervals on the line and on a circle after training and smoothing noise, exactly.

Everything is computed from sums of normal probabilities and bracketed roots (``theory.crossings``), without a
grid. Slabs in R^d, bounded in one direction, are the same problem. Notation of ``theory``: class 1 is
the region A, u_s(x) = P(x + s Z in A), T_s A = {u_s >= 1/2}, risk = measure of A xor T_beta T_alpha A
(Pal & Sulam 2023). Phase diagrams over many gaps and noises are in ``theory.phase``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from sfumato.errors import SettingError, require_nonnegative, require_open_unit, require_positive
from sfumato.theory.arguments import vote_levels
from sfumato.theory.crossings import Crossings, find_crossings, finest_noise, reach
from sfumato.theory.deployed import Deployed
from sfumato.theory.waves import EdgeWave, FourierWave

# Above this sigma/period six Fourier modes reach double precision, below it a few images of the period do.
FOURIER_FROM = 0.3


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
        if self.period is not None:
            period = require_positive("period", self.period)
            if starts and not math.isfinite(ends[-1] - starts[0]):
                raise SettingError(f"a periodic region needs finite ends, got [{starts[0]}, {ends[-1]}]")
            if starts and ends[-1] - starts[0] > period:
                raise SettingError(
                    f"intervals must lie inside one period of {period}, got [{starts[0]}, {ends[0]}] and "
                    f"[{starts[-1]}, {ends[-1]}], which overlap after one period"
                )
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

    def within(self, low: float, high: float) -> list[tuple[float, float]]:
        """Return the pieces between two places, with all repetitions of a period.

        >>> Intervals((0.0,), (0.5,), period=1.0).within(0.25, 2.0)
        [(0.25, 0.5), (1.0, 1.5)]
        """
        shifts = [0.0]
        if self.period is not None and self.starts:
            first, last = (low - self.ends[-1]) / self.period, (high - self.starts[0]) / self.period
            shifts = [self.period * k for k in range(math.floor(first), math.ceil(last) + 1)]
        pieces = [
            (a + shift, b + shift) for shift in shifts for a, b in zip(self.starts, self.ends, strict=True)
        ]
        return [(max(a, low), min(b, high)) for a, b in pieces if b > low and a < high]

    def symmetric_difference(self, other: Intervals) -> Intervals:
        """Return the set where exactly one of the two regions is.

        Its probability under a distribution on the line is the sum of cdf(end) - cdf(start) over its pieces.

        >>> Intervals((0.0,), (2.0,)).symmetric_difference(Intervals((1.0,), (3.0,)))
        Intervals(starts=(0.0, 2.0), ends=(1.0, 3.0), period=None)

        Raises:
            SettingError: the two have different periods.
        """
        if self.period != other.period:
            raise SettingError(f"the regions must have one period, got {self.period} and {other.period}")
        low, high = -math.inf, math.inf
        if self.period is not None:
            low = (self.starts or other.starts or (0.0,))[0]
            high = low + self.period
        # Every edge of either region changes whether a point is in exactly one of them.
        edges = sorted(edge for piece in self.within(low, high) + other.within(low, high) for edge in piece)
        pieces = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
        return Intervals(tuple(a for a, _ in pieces), tuple(b for _, b in pieces), self.period)

    def complement(self) -> Intervals:
        """Return the closure of the complement.

        >>> Intervals((0.0,), (1.0,)).complement()
        Intervals(starts=(-inf, 1.0), ends=(0.0, inf), period=None)
        """
        whole = (-math.inf, math.inf) if self.period is None else (0.0, self.period)
        return self.symmetric_difference(Intervals((whole[0],), (whole[1],), self.period))


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
    flat = points.ravel()
    if region.period is not None:
        flat = region.starts[0] + np.mod(flat - region.starts[0], region.period)
    wave = _wave(region, sigma, level=0.0, sigmas=9.0)
    values = wave.series(np.zeros(flat.size, dtype=np.intp), flat, 0)[0]
    return np.asarray(np.clip(values, 0.0, 1.0).reshape(points.shape))


def _edges(region: Intervals) -> Float[np.ndarray, "edges"]:
    return np.array([v for pair in zip(region.starts, region.ends, strict=True) for v in pair])


def _wave(region: Intervals, sigma: float, level: float, sigmas: float) -> EdgeWave | FourierWave:
    """Return u - level, valid within one period; periods up to ``sigmas`` standard deviations away count."""
    edges, period = _edges(region), region.period
    if period is not None and sigma > FOURIER_FROM * period:
        # The Fourier coefficients of the indicator times the normal's.
        n = np.arange(1, math.ceil(1.45 * period / sigma) + 2)[:, None]
        width, centre = (edges[1::2] - edges[::2]) / period, (edges[1::2] + edges[::2]) / 2 / period
        indicator = (np.sin(np.pi * n * width) * np.exp(-2j * np.pi * n * centre)).sum(axis=1)
        modes = 2 / (np.pi * n[:, 0]) * np.exp(-2 * (np.pi * n[:, 0] * sigma / period) ** 2) * indicator
        return FourierWave(float(width.sum()) - level, modes, period)
    if period is not None:
        images = math.ceil(sigmas * sigma / period) + 1
        edges = np.concatenate([edges + k * period for k in range(-images, images + 1)])
    return EdgeWave(edges[None], np.array([float(sigma)]), level)


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
    wave = _wave(region, sigma, level, reach(level) + 10.0)
    scale = np.array([float(sigma)])
    return _assembled(find_crossings(wave, _edges(region)[None], scale, level, region.period), region)


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


def certified(trained: Intervals, beta: float, radius: float = 0.0) -> tuple[Intervals, Intervals]:
    """Return where class 1 is certified at ``radius``, and the region outside of which class 0 is.

    They are {u_beta >= Phi(radius / beta)} and {u_beta >= Phi(-radius / beta)} of the trained region, equal
    at radius 0.

    >>> inner, outer = certified(Intervals((-2.0,), (2.0,)), beta=0.5, radius=0.5)
    >>> round(inner.ends[0], 4), round(outer.ends[0], 4)
    (1.5, 2.5)

    Raises:
        SettingError: a negative beta or radius, a radius above 8 beta.
    """
    least, most = map(float, vote_levels(beta, radius))
    inner = threshold(trained, beta, least)
    return inner, inner if radius == 0 else threshold(trained, beta, most)


def deploy(region: Intervals, alpha: float, beta: float, radius: float = 0.0) -> Deployed[Intervals]:
    """Return the region after training noise alpha and smoothing noise beta, with both risks.

    The risk is the length of A xor T_beta T_alpha A (per period for a periodic region). With a radius it is
    the length of what is wrong or not certified at it: of A outside the first region of ``certified``, and of
    the second outside A.

    >>> pair = Intervals((-1.25, 0.25), (-0.25, 1.25))
    >>> answer = deploy(pair, alpha=0.38, beta=1.36)
    >>> round(answer.risk, 10), answer.plain_risk
    (0.7961715304, 2.0)
    >>> round(deploy(pair, alpha=0.38, beta=0.2, radius=0.1).risk, 6)
    0.9

    Raises:
        SettingError: a negative noise or radius, a radius above 8 beta.
    """
    require_nonnegative("alpha", alpha)
    trained = threshold(region, alpha)

    def missed(inner: Intervals, outer: Intervals) -> float:
        # |A \ inner| + |outer \ A|, because inner lies in outer
        pairs = ((region, inner), (region, outer), (inner, outer))
        return math.fsum(one.symmetric_difference(other).length for one, other in pairs) / 2

    found = certified(trained, beta, radius)
    risk, plain_risk = missed(*found), missed(*certified(region, beta, radius))
    smoothed = found[0] if radius == 0 else threshold(trained, beta)
    return Deployed(float(alpha), float(beta), trained, smoothed, risk, plain_risk)
