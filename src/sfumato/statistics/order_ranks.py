"""Which order statistics of n draws bound a quantile, exactly and for any distribution.

The number of draws at most q, for a quantile q of probability p, is binomial; so the rank of an order
statistic that bounds q follows from binomial tails alone (David & Nagaraja 2003, Order Statistics, sec. 7.1).
"""

from __future__ import annotations

from bisect import bisect_left

from scipy import special

from sfumato.errors import SettingError, require_count


def lower_rank(n: int, p: float, level: float) -> int:
    """Return the largest rank i whose order statistic (1 is the smallest draw) is at most the quantile.

    With probability at least 1 - ``level`` the i-th smallest of n independent draws is at most every y with
    P(draw <= y) >= p. 0 where no draw is small enough: nothing then bounds the quantile from below.

    >>> lower_rank(1000, 0.5, 0.001)
    451

    Raises:
        SettingError: no draws, p outside [0, 1], a level outside (0, 1).
    """
    _require(n, p, level)
    # the i-th smallest is above y if fewer than i draws are at most y
    return bisect_left(range(1, n + 1), True, key=lambda i: bool(special.bdtr(i - 1, n, p) > level))


def upper_rank(n: int, p: float, level: float) -> int:
    """Return the smallest rank j whose order statistic is at least the quantile; n + 1 where there is none.

    With probability at least 1 - ``level`` the j-th smallest of n independent draws is at least every y with
    P(draw < y) <= p.

    >>> upper_rank(1000, 0.5, 0.001)
    550

    Raises:
        SettingError: as ``lower_rank``.
    """
    return n + 1 - lower_rank(n, 1.0 - p, level)


def _require(n: int, p: float, level: float) -> None:
    require_count("n", n)
    if not (0.0 <= p <= 1.0 and 0.0 < level < 1.0):
        raise SettingError(f"p must lie in [0, 1] and level in (0, 1), got {p} and {level}")
