"""Beta-binomial mixture confidence sequences: valid at every number of votes, no schedule, no cap.

The reference that needs no plan: an interval that may be looked at after each vote. Mixing the
likelihood ratio against p over a Beta prior gives a nonnegative martingale of mean 1, which exceeds
1 / level with probability at most ``level`` (Ville 1939; Robbins 1970). The exact tests of ``planner``
answer one question with about half the votes.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

from sfumato.errors import SettingError, require_open_unit
from sfumato.statistics.sequential import MARGIN, Boundaries
from sfumato.statistics.walk import crossing_probability

# Jeffreys' prior: no tuning, and the mixture stays within a factor of about sqrt(pi n) of the best p.
PRIOR = 0.5


def mixture_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Return an interval of p that may be looked at after every vote.

    With probability at least ``confidence`` the true p lies inside the intervals of all numbers of
    trials at once, so stopping at any time, for any reason, is allowed.

    >>> low, high = mixture_interval(990, 1000, confidence=0.999)
    >>> round(low, 4), round(high, 4)
    (0.968, 0.9985)

    Raises:
        SettingError: counts that do not fit or a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    if trials < 0 or not 0 <= successes <= trials:
        raise SettingError(f"successes must lie in 0..{trials} (the trials), got {successes}")
    if trials == 0:
        return 0.0, 1.0
    high_logit = -_lowest_logit(trials - successes, trials, 1.0 - confidence)
    low = special.expit(_lowest_logit(successes, trials, 1.0 - confidence))
    return float(np.nextafter(low, 0.0)), float(np.nextafter(special.expit(high_logit), 1.0))


def _lowest_logit(successes: int, trials: int, level: float) -> float:
    """Return the logit of the smallest p whose mixture lies below 1 / level, rounded outward.

    On the scale of log(p / q) neither end of (0, 1) loses digits. The mixture is convex there, with its
    minimum, always below 1, at the observed share.
    """
    if successes == 0:
        return -math.inf
    failures = trials - successes
    evidence = special.betaln(PRIOR + successes, PRIOR + failures) - special.betaln(PRIOR, PRIOR)

    def excess(logit: float) -> float:
        log_p, log_q = special.log_expit(logit), special.log_expit(-logit)
        return float(evidence - successes * log_p - failures * log_q + math.log(level))

    share = math.log(successes / failures) if failures else 50.0
    below = share - 1.0
    while excess(below) <= 0.0:
        below -= 2.0 * abs(share - below)
    return float(optimize.brentq(excess, below, share, xtol=1e-13, rtol=1e-13)) - MARGIN


def mixture_boundaries(q0: float, level: float, looks: tuple[int, ...]) -> Boundaries:
    """Return the one-sided test of p <= p0 = 1 - q0 that certifies when the mixture over p > p0 is large.

    With probability at most ``level`` it ever certifies when p <= p0, at these or any other looks
    (Ville 1939); ``crossing`` says how much of the level the looks use up. For each p1 > p0 the
    likelihood ratio is a supermartingale under every p <= p0, and so is the mixture.

    >>> mixture_boundaries(0.5, 0.001, (16, 32, 64)).certify
    (16, 27, 49)

    Raises:
        SettingError: q0 or level outside (0, 1).
    """
    require_open_unit("q0", q0)
    require_open_unit("level", level)
    certify = []
    for n in looks:
        counts = np.arange(n + 1, dtype=np.float64)
        reached = np.flatnonzero(_log_one_sided(counts, n, q0) >= -math.log(level) + MARGIN)
        certify.append(int(reached[0]) if reached.size else n + 1)
    exact = crossing_probability(looks, certify, 1.0 - q0, q0)
    return Boundaries(looks, tuple(certify), (-1,) * len(looks), q0, level, exact)


def _log_one_sided(
    successes: Float[np.ndarray, " counts"], trials: int, q0: float
) -> Float[np.ndarray, " counts"]:
    """Return the log of the mixture over the part p > p0 of the prior; it increases with the count."""
    failures = trials - successes
    with np.errstate(divide="ignore"):
        part = np.log(special.betainc(PRIOR + failures, PRIOR + successes, q0))
    share = math.log(special.betainc(PRIOR, PRIOR, q0))
    evidence = special.betaln(PRIOR + successes, PRIOR + failures) - special.betaln(PRIOR, PRIOR)
    return np.asarray(evidence + part - share - successes * math.log1p(-q0) - failures * math.log(q0))
