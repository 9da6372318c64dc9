"""The lower binomial tail to full double precision for any number of trials, and one step of its inverse.

SciPy's incomplete beta raises to powers of the order of n and so loses digits in proportion to n. The
probabilities here go through the saddle-point expansion of Loader 2000 (*Fast and Accurate Computation
of Binomial Probabilities*), whose terms stay small, and a sum of positive terms.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

_SERIES_FROM = 16
# Terms of the tail below this share of the largest are left out: together far less than rounding.
_NEGLIGIBLE = 1e-20
_BLOCK = 4096


def _stirling_error(n: int) -> float:
    """Return log(n!) - log(sqrt(2 pi n) (n/e)^n)."""
    if n == 0:
        return 0.0
    if n < _SERIES_FROM:
        return float(special.gammaln(n + 1.0)) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2.0 * math.pi)
    square = float(n) * n
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n


def _deviance(count: int, mean: float, excess: float) -> float:
    """Return count log(count / mean) + mean - count, where ``excess`` is count - mean."""
    if count == 0:
        return mean
    share = excess / mean
    return mean * ((1.0 + share) * math.log1p(share) - share)


def log_probability(failures: int, trials: int, q: float) -> float:
    """Return log P(X = failures) for X ~ Binomial(trials, q), 0 < q < 1 (Loader 2000, eq. 5).

    >>> round(math.exp(log_probability(3, 10, 0.5)), 12) == round(120 / 1024, 12)
    True
    """
    successes = trials - failures
    excess = failures - trials * q
    deviance = _deviance(failures, trials * q, excess)
    deviance += _deviance(successes, trials * (1.0 - q), -excess)
    if failures == 0 or successes == 0:
        return -deviance
    errors = _stirling_error(trials) - _stirling_error(failures) - _stirling_error(successes)
    return errors - deviance + 0.5 * math.log(trials / (2.0 * math.pi * failures) / successes)


def tail_over_last(failures: int, trials: int, q: float) -> float:
    """Return P(X <= failures) / P(X = failures) for X ~ Binomial(trials, q).

    >>> tail_over_last(1, 2, 0.5)
    1.5
    """
    total, last, begin = 1.0, 1.0, failures
    while begin > 0:
        count = np.arange(begin, max(0, begin - _BLOCK), -1, dtype=np.float64)
        terms = last * np.cumprod(count / (trials - count + 1.0) * ((1.0 - q) / q))
        total += float(terms.sum())
        last, begin = float(terms[-1]), begin - count.size
        if last < _NEGLIGIBLE * total:
            break
    return total


def tail_probability(failures: int, trials: int, q: float) -> float:
    """Return P(X <= failures) for X ~ Binomial(trials, q), 0 < q < 1.

    >>> round(tail_probability(1, 3, 0.5), 12)
    0.5
    """
    return math.exp(log_probability(failures, trials, q)) * tail_over_last(failures, trials, q)


def improved_upper_failure_probability(start: float, failures: int, trials: int, level: float) -> float:
    """Return the q with P(X <= failures) = level, X ~ Binomial(trials, q), by Newton's steps from ``start``.

    The step is on log P, whose derivative is -(trials - failures) / ((1 - q) tail_over_last).
    ``start`` must be close, as SciPy's value is; 0 <= failures < trials.
    """
    q = start
    for _ in range(2):
        ratio = tail_over_last(failures, trials, q)
        log_tail = log_probability(failures, trials, q) + math.log(ratio)
        q += (log_tail - math.log(level)) * (1.0 - q) * ratio / (trials - failures)
    return q
