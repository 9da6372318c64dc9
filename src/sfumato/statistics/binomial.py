"""Exact binomial confidence bounds and tests.

Clopper & Pearson (1934) bounds through the inverse of the regularised incomplete beta function,
computed from the failures' side: for p near 1 the information is in q = 1 - p, and forming 1 - p
in floating point would lose it. No approximation (normal, Wilson) is used for a guarantee. Every
bound is rounded outward, so that floating point never makes a claim stronger.
"""

from __future__ import annotations

import math

from scipy import special

from sfumato.errors import SettingError, require_open_unit

# Every bound is widened by this share, which is far more than its error (benchmarks/statistics_numerics.py).
OUTWARD = 5e-10


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
    if trials < 1:
        raise SettingError(f"trials must be at least 1, got {trials}")
    if not 0 <= successes <= trials:
        raise SettingError(f"successes must lie in 0..{trials} (the trials), got {successes}")
    if successes == 0:
        return 1.0
    if successes == trials:
        upper = -math.expm1(math.log1p(-confidence) / trials)
    else:
        upper = _solved(trials - successes, successes, 1.0 - confidence)
    return min(1.0, upper * (1.0 + OUTWARD))


def _solved(failures: int, successes: int, level: float) -> float:
    """Return the q with P(at most ``failures`` failures) = level, at least one success.

    SciPy's inverse loses digits in proportion to the trials (2e-9 of q at 10^8). Its tail probability does
    not (1e-11), so one of Newton's steps repairs the inverse.
    """
    q = float(special.betainccinv(failures + 1.0, successes, level))
    log_density = special.xlogy(failures, q) + special.xlog1py(successes - 1.0, -q)
    density = math.exp(log_density - special.betaln(failures + 1.0, successes))
    return q + (float(special.betaincc(failures + 1.0, successes, q)) - level) / density


def one_minus_rounded_down(q_upper: float) -> float:
    """Return 1 - q_upper rounded down, so that a bound on q stays a bound on p.

    >>> one_minus_rounded_down(1e-20) < 1.0
    True
    """
    return max(0.0, math.nextafter(1.0 - q_upper, 0.0))


def lower_bound(successes: int, trials: int, confidence: float) -> float:
    """Return the exact one-sided lower confidence bound of p, rounded outward.

    With probability at least ``confidence`` over ``successes ~ Binomial(trials, p)`` the true p is
    at least the returned value (Clopper & Pearson 1934).

    >>> round(lower_bound(100, 100, confidence=0.999), 6)
    0.933254

    Raises:
        SettingError: counts that do not fit or a confidence outside (0, 1).
    """
    return one_minus_rounded_down(upper_failure_probability(successes, trials, confidence))


def upper_bound(successes: int, trials: int, confidence: float) -> float:
    """Return the exact one-sided upper confidence bound of p, rounded outward.

    With probability at least ``confidence`` over ``successes ~ Binomial(trials, p)`` the true p is
    at most the returned value (Clopper & Pearson 1934).

    >>> round(upper_bound(0, 100, confidence=0.999), 6)
    0.066746

    Raises:
        SettingError: counts that do not fit or a confidence outside (0, 1).
    """
    return upper_failure_probability(trials - successes, trials, confidence)


def two_sided_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Return the exact two-sided interval for p, half of the error on each side.

    With probability at least ``confidence`` the true p lies inside (Clopper & Pearson 1934).

    >>> low, high = two_sided_interval(5, 10, confidence=0.95)
    >>> round(low, 4), round(high, 4)
    (0.1871, 0.8129)

    Raises:
        SettingError: counts that do not fit or a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    each_side = (1.0 + confidence) / 2.0
    return (lower_bound(successes, trials, each_side), upper_bound(successes, trials, each_side))


def two_class_bounds(
    leader: int, runner_up: int, trials: int, confidence: float, *, leader_share: float = 0.5
) -> tuple[float, float]:
    """Return (q_upper, p_b_upper): bounds of 1 - p_A and of every other class's probability.

    ``leader`` is the count of a class A fixed before these votes, ``runner_up`` the largest count of
    any other class. With probability at least ``confidence``, 1 - p_A <= q_upper and
    max_{c != A} p_c <= p_b_upper hold together: p_A is bounded at error
    ``leader_share * (1 - confidence)``, the rest of the error goes to p_B. No correction for the
    number of classes is needed: only the bound of the one truly largest other class has to hold, and
    the bound from the largest count is at least that one. p_b_upper is never more than q_upper.

    >>> q_upper, p_b_upper = two_class_bounds(700, 200, 1000, confidence=0.999)
    >>> round(q_upper, 4), round(p_b_upper, 4)
    (0.3496, 0.2443)

    Raises:
        SettingError: counts that do not fit together, a confidence or share outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    require_open_unit("leader_share", leader_share)
    if leader + runner_up > trials:
        raise SettingError(f"two classes have {leader} + {runner_up} votes, more than the {trials} trials")
    level = 1.0 - confidence
    q_upper = upper_failure_probability(leader, trials, 1.0 - leader_share * level)
    p_b_upper = upper_bound(runner_up, trials, 1.0 - (1.0 - leader_share) * level)
    return q_upper, min(p_b_upper, q_upper)


def unanimous_trials(q: float, level: float) -> int:
    """Return the smallest n with (1 - q) ** n <= level: fewer agreeing votes do not show p > 1 - q.

    >>> unanimous_trials(0.5, 0.001)
    10

    Raises:
        SettingError: q or level outside (0, 1).
    """
    require_open_unit("q", q)
    require_open_unit("level", level)
    return max(1, math.ceil(math.log(level) / math.log1p(-q) * (1.0 - 1e-15)))


def sign_test_p_value(first: int, second: int) -> float:
    """Return the two-sided p-value of "both classes are equally likely" given their two counts.

    This is the exact binomial test of ``first ~ Binomial(first + second, 1/2)`` with which Hung &
    Fithian (2019) verify the winner of a multinomial vote, used by Cohen et al. 2019, PREDICT.

    >>> round(sign_test_p_value(8, 2), 6)
    0.109375

    Raises:
        SettingError: a negative count.
    """
    total = first + second
    if min(first, second) < 0:
        raise SettingError(f"vote counts must be at least 0, got {first} and {second}")
    tail = special.bdtr(min(first, second), total, 0.5) if total else 1.0
    return float(min(1.0, 2.0 * tail))
