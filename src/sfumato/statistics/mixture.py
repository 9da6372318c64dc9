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


def _log_mixture(successes: int, trials: int, q: float) -> float:
    """Return the log of the mixture's likelihood ratio against failure probability ``q``."""
    failures = trials - successes
    evidence = special.betaln(PRIOR + successes, PRIOR + failures) - special.betaln(PRIOR, PRIOR)
    return float(evidence - special.xlog1py(successes, -q) - special.xlogy(failures, q))


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
    threshold = -math.log1p(-confidence) if confidence < 0.5 else -math.log(1.0 - confidence)

    def excess(q: float, count: int) -> float:
        return _log_mixture(count, trials, q) - threshold

    def largest(count: int) -> float:
        # The mixture is convex in q with its minimum, below the threshold, at the observed share.
        share = (trials - count) / trials
        if share == 1.0:
            return 1.0
        if excess(1.0 - 1e-15, count) <= 0.0:
            return 1.0
        start = max(share, 1e-300)
        root = optimize.brentq(excess, start, 1.0 - 1e-15, args=(count,), xtol=1e-300, rtol=1e-13)
        return min(1.0, float(root) * (1.0 + MARGIN))

    return float(np.nextafter(max(0.0, 1.0 - largest(successes)), 0.0)), largest(trials - successes)


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
