"""The theorems as verdicts: whether noise in training can help on this region, and why not.

Everything rests on one inclusion. If T_alpha A and T_beta A both lie within A, or both contain A, then
T_beta T_alpha A differs from A by at least as much as T_beta A does, under every measure. The risk
Delta(alpha, beta) is then not below Delta(0, beta). So augmentation can help only where a noise lets the
region spill over into a gap that it bridges. The functions here prove the inclusion, from the shape for
every noise or from the numbers at the given noise, or they say that they do not decide. They state a benefit
only for two equal intervals, where the numbers prove it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sfumato.errors import SettingError, require_nonnegative, require_positive
from sfumato.theory.balls import Ball, ball_radius
from sfumato.theory.intervals import Intervals, threshold

# An edge that moves by less than this share of the region's extent is not decided, because of rounding.
RESOLVED_EDGE = 1e-12
# A width and a gap that differ by this share of the extent are equal up to the rounding of their edges.
ROUNDING = 1e-15

CANNOT_HELP = "proved: augmentation cannot help"
HELPS = "proved: augmentation helps"
STAYS = "proved: T_sigma A lies within A"
SPILLS = "proved: T_sigma A is not within A"
UNDECIDED = "not decided by these theorems"

Region = Ball | Intervals


@dataclass(frozen=True)
class Verdict:
    """What the theorems say about a region.

    Attributes:
        holds: True: proved; False: refuted; None: not decided by these theorems.
        statement: what is proved or left open.
        reason: the numbers that were compared.
        theorem: the condition that decided, or that was tried last, in words.
        margin: room in that condition, in the unit named in the reason; negative where it fails, None where
            there is nothing to measure.
    """

    holds: bool | None
    statement: str
    reason: str
    theorem: str
    margin: float | None = None


def no_benefit(region: Region, alpha: float, beta: float) -> Verdict:
    """Return whether Delta(alpha, beta) >= Delta(0, beta) is proved for the region, and by which theorem.

    ``holds`` is True if augmentation provably cannot help, under any measure. It is False if it provably
    helps (two equal intervals, Lebesgue measure), and None if the theorems do not decide. ``alpha`` and
    ``beta`` are in the region's unit.

    >>> no_benefit(Ball(10, 1.0), alpha=0.1, beta=0.2).statement
    'proved: augmentation cannot help'
    >>> no_benefit(Intervals((0.0, 2.5), (1.0, 3.5)), alpha=0.4, beta=1.4).theorem
    'intervals no wider than the gaps between them'
    >>> no_benefit(Intervals((0.0, 1.5), (1.0, 2.5)), alpha=0.38, beta=1.36).statement
    'proved: augmentation helps'

    Raises:
        SettingError: a negative noise, or a region of another type.
    """
    require_nonnegative("alpha", alpha)
    require_nonnegative("beta", beta)
    if alpha == 0.0:
        return Verdict(True, CANNOT_HELP, "both risks are the same", "alpha = 0")
    if beta == 0.0:
        return Verdict(True, CANNOT_HELP, "Delta(0, 0) = 0 already", "beta = 0")
    eroded = _erodes_twice(region, alpha, beta)
    if eroded.holds or not isinstance(region, Intervals):
        return eroded
    # The complement of T_s A is T_s of the complement: where the complement erodes, the region dilates.
    dilated = _erodes_twice(region.complement(), alpha, beta)
    if dilated.holds:
        return replace(dilated, theorem=f"for the complement: {dilated.theorem}")
    return _pair_gain(region, alpha, beta) or eroded


def stays_within(region: Region, sigma: float) -> Verdict:
    """Return whether T_sigma A is proved to lie within A: this noise only erodes the region.

    Exact: by the shape of the region for every noise, or by the edges of intervals after this noise. The
    opposite inclusion is the same question about the complement. ``sigma`` is in the region's unit.

    >>> stays_within(Intervals((0.0, 1.4), (1.0, 2.4)), 0.4).statement
    'proved: T_sigma A is not within A'

    Raises:
        SettingError: a noise that is not positive, or a region of another type.
    """
    require_positive("sigma", sigma)
    always = _erodes_always(region)
    if always is not None:
        return always
    assert isinstance(region, Intervals)  # a ball always erodes
    return _edges_recede(region, sigma)


def _erodes_twice(region: Region, alpha: float, beta: float) -> Verdict:
    always = _erodes_always(region)
    if always is not None:
        return replace(always, statement=CANNOT_HELP)
    steps = {
        f"alpha = {alpha:g}": stays_within(region, alpha),
        f"beta = {beta:g}": stays_within(region, beta),
    }
    proved = all(step.holds for step in steps.values())
    return Verdict(
        True if proved else None,
        CANNOT_HELP if proved else UNDECIDED,
        "; ".join(f"{noise}: {step.reason}" for noise, step in steps.items()),
        " and ".join(dict.fromkeys(step.theorem for step in steps.values())),
        min((step.margin for step in steps.values() if step.margin is not None), default=None),
    )


def _erodes_always(region: Region) -> Verdict | None:
    """Return the verdict that the region's shape gives for every noise at once, or None."""
    if isinstance(region, Ball):
        return _CONVEX
    if isinstance(region, Intervals):
        return _CONVEX if _is_one_piece(region) else _gaps_exceed_widths(region)
    raise SettingError(f"region must be a Ball or Intervals, got {type(region).__name__}")


_CONVEX = Verdict(
    True,
    STAYS,
    "every point outside is behind a hyperplane, where u < 1/2 for every noise",
    "one convex component",
)


def _is_one_piece(region: Intervals) -> bool:
    return region.is_empty or region.is_everything or (region.period is None and len(region.starts) == 1)


def _gaps_exceed_widths(region: Intervals) -> Verdict | None:
    widest, narrowest = max(_widths(region)), min(_widths(region.complement()))
    if widest - narrowest > ROUNDING * _extent(region):
        return None
    return Verdict(
        True,
        STAYS,
        f"widths up to {widest:.6g}, gaps from {narrowest:.6g}, for every noise",
        "intervals no wider than the gaps between them",
        narrowest - widest,
    )


def _widths(region: Intervals) -> list[float]:
    return [float(end - start) for start, end in zip(region.starts, region.ends, strict=True)]


def _extent(region: Intervals) -> float:
    return max(abs(edge) for edge in (*region.starts, *region.ends) if math.isfinite(edge))


def _edges_recede(region: Intervals, sigma: float) -> Verdict:
    moved = _least_recession(threshold(region, sigma), region)
    extent = _extent(region)
    theorem = "edges of T_sigma A, exactly"
    if moved > RESOLVED_EDGE * extent:
        left = "nothing is left" if math.isinf(moved) else f"every edge recedes by at least {moved:.3g}"
        return Verdict(True, STAYS, left, theorem, moved)
    if moved < -RESOLVED_EDGE * extent:
        return Verdict(False, SPILLS, f"it reaches {-moved:.3g} beyond an edge", theorem, moved)
    return Verdict(None, UNDECIDED, "an edge moves by less than the arithmetic resolves", theorem, moved)


def _least_recession(noisy: Intervals, region: Intervals) -> float:
    """Return the smallest distance by which an edge of ``noisy`` lies inside the interval that holds it."""
    shifts = (0.0,) if region.period is None else (-region.period, 0.0, region.period)
    homes = [
        (start + shift, end + shift)
        for start, end in zip(region.starts, region.ends, strict=True)
        for shift in shifts
    ]
    pieces = zip(noisy.starts, noisy.ends, strict=True)
    rooms = (
        max(min(_room(start, a), _room(b, end)) for start, end in homes)  # in the home that fits best
        for a, b in pieces
    )
    return min(rooms, default=math.inf)


def _room(low: float, high: float) -> float:
    return math.inf if low == high and math.isinf(low) else high - low


def _pair_gain(region: Intervals, alpha: float, beta: float) -> Verdict | None:
    """Return the verdict that two equal intervals benefit where it is proved, else None.

    A sufficient condition under Lebesgue measure: smoothing alone empties the region (T_beta A is empty),
    training fills the gap (T_alpha A is one interval), and that interval survives the smoothing with a
    half-width rho > gap. Then the risk falls by 2 (rho - gap).
    """
    widths = _widths(region)
    if region.period is not None or len(widths) != 2 or not math.isclose(*widths, rel_tol=RESOLVED_EDGE):
        return None
    trained = threshold(region, alpha)
    if len(trained.starts) != 1 or not threshold(region, beta).is_empty:
        return None
    left = float(ball_radius(1, trained.length / 2.0, beta).radius)
    gain = 2.0 * (left - region.starts[1] + region.ends[0])
    if gain <= 0.0:
        return None
    reason = f"smoothing alone loses everything; filling the gap first saves a length of {gain:.6g}"
    return Verdict(False, HELPS, reason, "the gap of two equal intervals is filled", gain)
