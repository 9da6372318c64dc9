"""Exact binomial confidence bounds and tests.

Clopper & Pearson (1934) bounds through the inverse of the regularised incomplete beta function,
computed from the failures' side: for p near 1 the information is in q = 1 - p, and forming 1 - p
in floating point would lose it. No approximation (normal, Wilson) is used for a guarantee.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import special

from sfumato.errors import SettingError, require_open_unit

# SciPy's inverse incomplete beta is good to about 5e-10 in the level (checked against 50-digit sums
# for n up to 1e7); bounds are widened by twice that, relative, so that rounding never helps a claim.
OUTWARD = 1e-9


def _checked_counts(successes: int, trials: int) -> None:
    if trials < 1:
        raise SettingError(f"trials must be at least 1, got {trials}")
    if not 0 <= successes <= trials:
        raise SettingError(f"successes must lie in 0..{trials} (the trials), got {successes}")


def upper_failure_probability(successes: int, trials: int, confidence: float) -> float:
    """Return the exact upper confidence bound of q = 1 - p, rounded outward.

    With probability at least ``confidence`` over ``successes ~ Binomial(trials, p)`` the true
    q = 1 - p is at most the returned value (Clopper & Pearson 1934, one-sided).

    >>> round(1 - upper_failure_probability(990, 1000, confidence=0.999), 7)
    0.9760362

    Raises:
        SettingError: counts that do not fit or a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    _checked_counts(successes, trials)
    if successes == 0:
        return 1.0
    if successes == trials:
        upper = -np.expm1(np.log1p(-confidence) / trials)
    else:
        upper = special.betainccinv(trials - successes + 1, successes, 1.0 - confidence)
    return float(min(1.0, upper * (1.0 + OUTWARD)))


def lower_bound(successes: int, trials: int, confidence: float) -> float:
    """Return the exact one-sided lower confidence bound of p, rounded outward.

    With probability at least ``confidence`` over ``successes ~ Binomial(trials, p)`` the true p is
    at least the returned value (Clopper & Pearson 1934).

    >>> round(lower_bound(100, 100, confidence=0.999), 6)
    0.933254
    """
    return 1.0 - upper_failure_probability(successes, trials, confidence)


def two_sided_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Return the exact two-sided interval for p, half of the error on each side.

    With probability at least ``confidence`` the true p lies inside (Clopper & Pearson 1934).

    >>> low, high = two_sided_interval(5, 10, confidence=0.95)
    >>> round(low, 4), round(high, 4)
    (0.1871, 0.8129)
    """
    require_open_unit("confidence", confidence)
    each_side = (1.0 + confidence) / 2.0
    return (
        lower_bound(successes, trials, each_side),
        upper_failure_probability(trials - successes, trials, each_side),
    )


def sign_test_p_value(first: int, second: int) -> float:
    """Return the two-sided p-value of "both classes are equally likely" given their two counts.

    This is the exact binomial test of ``first ~ Binomial(first + second, 1/2)`` with which Hung &
    Fithian (2019) verify the winner of a multinomial vote, used by Cohen et al. 2019, PREDICT.

    >>> round(sign_test_p_value(8, 2), 6)
    0.109375
    """
    total = first + second
    if min(first, second) < 0:
        raise SettingError(f"vote counts must be at least 0, got {first} and {second}")
    tail = special.bdtr(min(first, second), total, 0.5) if total else 1.0
    return float(min(1.0, 2.0 * tail))


def gaussian_radius(q_upper: float | Float[np.ndarray, "..."], beta: float) -> float:
    """Return the certified L2 radius beta * Phi^-1(1 - q_upper), 0 where q_upper >= 1/2.

    Cohen et al. 2019, Theorem 1 with the runner-up bounded by 1 - p_A. Taking q = 1 - p keeps all
    digits for p near 1. In the unit of beta.

    >>> round(gaussian_radius(0.1586552539, beta=1.0), 6)
    1.0
    """
    return float(max(0.0, -beta * special.ndtri(q_upper)))
