"""Bayes-optimal boundaries: the test of p <= p0 that spends the fewest votes at an exact level.

Among all boundaries of one level, these minimise the expected cost over a prior of p: one unit per
vote and ``cost`` units for leaving a p > p0 uncertified. They follow from backward induction over the
looks (DeGroot 1970, ch. 12), with a price for certifying at p0 chosen so that the exact crossing
probability meets the level. The prior decides only how few votes are spent, never the guarantee: the
level of whatever boundaries come out is computed exactly by ``walk``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

from sfumato.errors import SettingError, require_count, require_open_unit, require_positive
from sfumato.statistics.binomial import unanimous_trials
from sfumato.statistics.sequential import MARGIN, Boundaries, free_selection_floor
from sfumato.statistics.walk import Step, Walk, binomial_step, crossing_probability

ATOMS = 300
# The prior is uniform in z = Phi^-1(p) from here ...
LOWEST_Z = -1.2
# ... to the larger of this and a little beyond the threshold.
HIGHEST_Z = 5.0
# Calibration ends when the crossing probability is within this fraction below the level.
TIGHTNESS = 0.004


@dataclass(frozen=True)
class _Look:
    """What the induction needs at one look, for successes low, low + 1, ...

    Attributes:
        votes: votes until here.
        low: first number of successes of the window.
        likelihood: prior mean of the likelihood ratio against p0.
        lost: the same over p >= p0 only, times the cost: what giving up costs.
        step: distribution of the successes until the next look, None at the last.
        price: votes until the next look.
    """

    votes: int
    low: int
    likelihood: Float[np.ndarray, " window"]
    lost: Float[np.ndarray, " window"]
    step: Step | None
    price: int


def bayes_boundaries(q0: float, level: float, looks: tuple[int, ...], cost: float) -> Boundaries:
    """Return the Bayes-optimal sequential test of p <= p0 = 1 - q0 at an exact level.

    If p <= p0, it certifies with probability at most ``level``, whatever else may stop it. The crossing
    probability is within 1 % of the level unless too few counts lie between the boundaries. ``cost`` is how
    many votes may be spent for one certified input more: against 100,000 votes, 1e6 loses about 0.02 points
    of certified accuracy, 5e5 about 0.05, 1e5 about 0.3. All boundaries lie at or above n p0 + (1 - p0), as
    the free-selection lemma (``sequential``) needs.

    >>> test = bayes_boundaries(0.3, 0.001, (32, 64, 96, 128), cost=1e5)
    >>> test.certify
    (31, 58, 83, 106)
    >>> 0.0009 < test.crossing <= 0.001
    True

    Raises:
        SettingError: q0 or level outside (0, 1), a cost that is not positive, or so few votes that
            not even a unanimous vote reaches the level.
    """
    require_open_unit("q0", q0)
    require_open_unit("level", level)
    require_positive("cost", cost)
    for n in looks:
        require_count("each look", n)
    needed = unanimous_trials(q0, level)
    if looks[-1] < needed:
        raise SettingError(
            f"level {level:g} against p0 = {1.0 - q0:g} needs n_max >= {needed}, got {looks[-1]}"
        )
    tables = _tables(q0, level, looks, cost)
    floor = np.array(free_selection_floor(looks, q0))

    def plan(log_price: float) -> tuple[np.ndarray, np.ndarray, float]:
        certify, give_up = _induction(tables, math.exp(log_price))
        certify = np.maximum(certify, floor)
        return certify, give_up, crossing_probability(looks, certify, 1.0 - q0, q0)

    target = level * (1.0 - MARGIN)
    certify, give_up, crossing = _calibrate(plan, math.log(cost / level), target)
    if crossing < target * (1.0 - TIGHTNESS):
        certify, crossing = _use_up(looks, certify, floor, q0, crossing, target)
    give_up = np.minimum(give_up, certify - 1)
    return Boundaries(looks, tuple(map(int, certify)), tuple(map(int, give_up)), q0, level, crossing)


def _calibrate(
    plan: Callable[[float], tuple[np.ndarray, np.ndarray, float]], log_price: float, target: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Find the price at which the crossing probability, a falling step function, is just below target."""
    safe = unsafe = None
    safe_plan = None
    for _ in range(60):
        certify, give_up, crossing = plan(log_price)
        # A crossing probability of 0 (nothing certifies at this price) still gives a finite slope.
        height = math.log(max(crossing, 1e-3 * target) / target)
        if crossing <= target:
            safe, safe_plan = (log_price, height), (certify, give_up, crossing)
            if crossing >= target * (1.0 - TIGHTNESS):
                break
        else:
            unsafe = (log_price, height)
        if safe is None:
            log_price += max(height, 0.05) * 1.1
        elif unsafe is None:
            log_price += min(height, -0.05) * 1.1
        elif safe[0] - unsafe[0] < 1e-6:
            break
        else:
            # The secant, aimed a little below the target and kept inside the bracket.
            share = (unsafe[1] + TIGHTNESS / 2.0) / (unsafe[1] - safe[1])
            log_price = unsafe[0] + min(max(share, 0.02), 0.98) * (safe[0] - unsafe[0])
    if safe_plan is None:
        raise SettingError("no boundaries keep the level at these looks: raise n_max or the level")
    return safe_plan


def _use_up(
    looks: tuple[int, ...], certify: np.ndarray, floor: np.ndarray, q0: float, crossing: float, target: float
) -> tuple[np.ndarray, float]:
    """Lower single boundaries by one count where what is left of the level allows it.

    At high p0 one count at an early look carries several per cent of the level, so that the crossing
    probability jumps over the target as the price changes. The walks that wait one count below a
    boundary bound what lowering it adds; the largest that fits is taken until little is left.
    """
    while crossing < target * (1.0 - TIGHTNESS):
        added = np.where(certify > floor, _one_below(looks, certify, q0), 0.0)
        fits = [int(j) for j in np.flatnonzero((added > 0.0) & (added <= target - crossing))]
        # What is added is an upper bound; where it excludes every look, each is tried exactly.
        tries = [max(fits, key=added.__getitem__)] if fits else np.flatnonzero(added).tolist()
        best = certify, crossing
        for j in tries:
            lowered = certify.copy()
            lowered[j] -= 1
            reached = crossing_probability(looks, lowered, 1.0 - q0, q0)
            if best[1] < reached <= target:
                best = lowered, reached
        if best[1] <= crossing * (1.0 + 1e-6):
            break
        certify, crossing = best
    return certify, crossing


def _one_below(looks: tuple[int, ...], certify: np.ndarray, q0: float) -> np.ndarray:
    """Return, at p0 and for each look, the probability of standing one count below the boundary."""
    walk = Walk()
    waiting = np.zeros(len(looks))
    before = 0
    for j, n in enumerate(looks):
        walk.advance(n - before, 1.0 - q0, q0)
        before = n
        walk.stop_at_or_above(int(certify[j]))
        place = int(certify[j]) - 1 - walk.offset
        if 0 <= place < walk.mass.size:
            waiting[j] = walk.mass[place]
    return waiting


def _tables(q0: float, level: float, looks: tuple[int, ...], cost: float) -> list[_Look]:
    p0 = 1.0 - q0
    highest = max(HIGHEST_Z, -float(special.ndtri(q0)) + 1.5)
    z = np.linspace(LOWEST_Z, highest, ATOMS)
    success = np.log(special.ndtr(z)) - math.log(p0)
    failure = np.log(special.ndtr(-z)) - math.log(q0)
    above = success >= 0.0
    # Half-widths, in standard deviations at p0, beyond which certifying or giving up is certain.
    up = math.sqrt(2.0 * math.log(1.0 / level)) + 4.0
    down = math.sqrt(2.0 * math.log(max(cost, 10.0))) + 3.0
    tables = []
    for j, n in enumerate(looks):
        deviation = math.sqrt(n * p0 * q0)
        low = max(0, math.floor(n * p0 - down * deviation) - 16)
        high = min(n, math.ceil(n * p0 + up * deviation) + 16)
        ratios = _likelihood_ratios(low, high, n, success, failure)
        lost = ratios[:, above].sum(axis=1) * (cost / ATOMS)
        price = looks[j + 1] - n if j + 1 < len(looks) else 0
        step = binomial_step(price, p0, q0) if price else None
        tables.append(_Look(n, low, ratios.sum(axis=1) / ATOMS, lost, step, price))
    return tables


def _likelihood_ratios(
    low: int,
    high: int,
    votes: int,
    success: Float[np.ndarray, " atoms"],
    failure: Float[np.ndarray, " atoms"],
) -> Float[np.ndarray, "window atoms"]:
    """Return (p_i/p0)^S (q_i/q0)^(n-S) for S = low .. high, with few exponentials."""
    block = 16
    slope = success - failure
    starts = np.arange(low, high + 1, block, dtype=np.float64)
    with np.errstate(under="ignore", over="ignore"):
        base = np.exp(np.outer(starts, slope) + votes * failure)
        within = np.exp(np.outer(np.arange(block), slope))
        ratios = (base[:, None, :] * within[None, :, :]).reshape(-1, slope.size)
    return np.asarray(ratios[: high - low + 1], dtype=np.float64)


def _induction(tables: list[_Look], price: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the boundaries that are optimal when certifying costs ``price`` per unit of p0-likelihood."""
    certify = np.empty(len(tables), dtype=np.int64)
    give_up = np.empty(len(tables), dtype=np.int64)
    after: tuple[int, Float[np.ndarray, " window"]] = (0, np.empty(0))
    for j in range(len(tables) - 1, -1, -1):
        look = tables[j]
        stop = np.minimum(look.lost, price)
        if look.step is None:
            going_on = np.full(stop.size, np.inf)
        else:
            going_on = look.price * look.likelihood + _expectation(look, after, price)
        certifies = (look.lost >= price) & (going_on >= price)
        gives_up = (look.lost < price) & (going_on >= look.lost)
        not_certified = np.flatnonzero(~certifies)
        not_given_up = np.flatnonzero(~gives_up)
        certify[j] = look.low + (not_certified[-1] + 1 if not_certified.size else 0)
        give_up[j] = look.low + (not_given_up[0] if not_given_up.size else stop.size) - 1
        after = (look.low, np.minimum(stop, going_on))
    return certify, give_up


def _expectation(
    look: _Look, after: tuple[int, Float[np.ndarray, " window"]], price: float
) -> Float[np.ndarray, " window"]:
    """Return E v(S + K) under p0 for each S of the window; above the next window v is the price, below 0."""
    step = look.step
    assert step is not None
    low, values = after
    first = look.low + step.first
    last = look.low + look.likelihood.size - 1 + step.first + step.mass.size - 1
    wanted = np.full(last - first + 1, price)
    wanted[: max(0, low - first)] = 0.0
    begin, end = max(first, low), min(last + 1, low + values.size)
    wanted[begin - first : end - first] = values[begin - low : end - low]
    return np.correlate(wanted, step.mass, mode="valid")
