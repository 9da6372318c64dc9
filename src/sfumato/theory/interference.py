"""The theorems as verdicts: whether noise in training can help on this region, and why not.

Everything rests on one inclusion. If T_alpha A and T_beta A both lie within A, or both contain A, then
T_beta T_alpha A differs from A by at least as much as T_beta A does, under every measure. The risk
Delta(alpha, beta) is then not below Delta(0, beta). So augmentation can help only where a noise lets the
region spill over into a gap that it bridges. The functions here prove the inclusion, from the shape for
every noise or from the numbers at the given noise, or they say that they do not decide. They state a benefit
only where :func:`sfumato.theory.benefit.interval_benefit` proves it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sfumato.errors import SettingError, require_nonnegative, require_positive
from sfumato.theory.balls import Ball
from sfumato.theory.benefit import interval_benefit
from sfumato.theory.intervals import Intervals, threshold
from sfumato.theory.packing import BallUnion
from sfumato.theory.spillover import neighbour_bound, pair_spills, separation_needed
from sfumato.theory.thresholds import erosion_slack

UNIVERSAL_GAP = 32.0  # zeta / r from which equal balls never spill over, in every dimension and number
# A strict inequality that holds by less than these shares is not decided, because of rounding: a share of the
# region's extent for a moving edge, of the slack for a sum of probabilities.
RESOLVED_EDGE = 1e-12
RESOLVED_SUM = 1e-9
# A width and a gap that differ by this share of the extent are equal up to the rounding of their edges.
ROUNDING = 1e-15

CANNOT_HELP = "proved: augmentation cannot help"
HELPS = "proved: augmentation helps"
STAYS = "proved: T_sigma A lies within A"
SPILLS = "proved: T_sigma A is not within A"
UNDECIDED = "not decided by these theorems"

Region = Ball | Intervals | BallUnion


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
    ``beta`` are in the region's unit. Balls that stick out of a box count whole; a torus is repeated in all
    of space.

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

    It is exact for intervals (by their edges after the noise), one ball and two balls, and a sufficient
    condition for larger unions. The opposite inclusion is the same question about the complement. ``sigma``
    is in the region's unit.

    >>> stays_within(Intervals((0.0, 1.4), (1.0, 2.4)), 0.4).statement
    'proved: T_sigma A is not within A'

    Raises:
        SettingError: a noise that is not positive, or a region of another type.
    """
    require_positive("sigma", sigma)
    always = _erodes_always(region)
    if always is not None:
        return always
    if isinstance(region, Intervals):
        return _edges_recede(region, sigma)
    assert isinstance(region, BallUnion)
    return _balls_stay(region, sigma)


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
    if isinstance(region, BallUnion):
        gap = _gap(region)
        if math.isinf(gap):
            return _CONVEX
        room = gap / region.radius - UNIVERSAL_GAP
        reason = f"zeta / r = {gap / region.radius:.6g}, at least {UNIVERSAL_GAP:g} needed, for every noise"
        return Verdict(True, STAYS, reason, "equal balls 32 radii apart", room) if room >= 0.0 else None
    raise SettingError(f"region must be a Ball, Intervals or a BallUnion, got {type(region).__name__}")


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
    widths = _widths(region)
    if region.period is not None or len(widths) != 2 or not math.isclose(*widths, rel_tol=RESOLVED_EDGE):
        return None
    gain = interval_benefit(widths[0], float(region.starts[1] - region.ends[0]), alpha, beta)
    if gain is None:
        return None
    reason = f"smoothing alone loses everything; filling the gap first saves a length of {gain:.6g}"
    return Verdict(False, HELPS, reason, "the gap of two equal intervals is filled", gain)


def _gap(region: BallUnion) -> float:
    """Return zeta, infinite for a single ball. On a torus a ball's own images are neighbours too."""
    gap = region.interference_distance()
    return max(0.0, min(gap, region.side - 2.0 * region.radius) if region.periodic else gap)


def _balls_stay(region: BallUnion, sigma: float) -> Verdict:
    dim, radius, gap = region.dim, region.radius, _gap(region)
    if not region.periodic:
        needed = separation_needed(2.0 * radius, region.number, sigma)
        if gap > needed:
            reason = f"zeta = {gap:.6g}, more than {needed:.6g} needed"
            return Verdict(True, STAYS, reason, "convex pieces far apart for their number", gap - needed)
        if region.number == 2:
            spills = pair_spills(dim, radius, gap, sigma)
            reason = f"zeta = {gap:.6g}: u reaches 1/2 " + ("between them" if spills else "nowhere outside")
            return Verdict(not spills, SPILLS if spills else STAYS, reason, "two balls, exactly")
    number = math.inf if region.periodic else region.number
    slack = erosion_slack(dim, radius / sigma)
    others = neighbour_bound(dim, radius, gap, sigma, number)
    proved = others < slack * (1.0 - RESOLVED_SUM)
    reason = f"all other balls add at most {others:.3g}, and {slack:.3g} would be needed to spill over"
    return Verdict(
        True if proved else None,
        STAYS if proved else UNDECIDED,
        reason,
        "what the other balls can add at the nearest one's surface",
        slack - others,
    )
