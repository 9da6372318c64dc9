"""Exact group-sequential tests of p against p0: when to look, and what boundaries are.

A test looks at the successes S_n after n_1 < ... < n_J votes and certifies p > p0 as soon as
S_{n_j} >= b_j. Its error P_{p0}(S_{n_j} >= b_j for some j) is computed exactly by carrying the binomial
random walk through all looks (``walk``); it increases with p, so p0 is the worst case of p <= p0.
Giving up (S_{n_j} <= a_j) is not counted on: stopping early for any reason keeps the guarantee.

Source: Jennison & Turnbull 1999, Group Sequential Methods, ch. 12 (exact binomial tests).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sfumato.errors import SettingError, require_count
from sfumato.statistics.walk import crossing_probability

GROWTH = 1.1
MOST_VOTES = 10_000_000
# Leaves room for rounding: the exact crossing probability is kept below level * (1 - MARGIN).
MARGIN = 1e-9
# The share of a level to ask for where it is asked beforehand how many votes reach it.
RESERVE = 1.0 - 2.0 * MARGIN
RIVALS = 1e-3
"""The share of a level that is kept for the rivals of the leading class, see ``leaves_rivals_little``."""


def look_schedule(n_max: int, chunk: int, growth: float = GROWTH) -> tuple[int, ...]:
    """Return after how many votes a test checks its counts (a look): multiples of ``chunk``, then ``n_max``.

    Each look has about ``growth`` times the votes of the one before, and at least one chunk more. More
    frequent looks would save less than 2 % of the votes.

    >>> look_schedule(1000, 100)
    (100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)

    Raises:
        SettingError: ``n_max`` below the first look, or above 10^7, the largest number that can be planned.
    """
    require_count("chunk", chunk)
    require_count("n_max", n_max)
    if n_max < chunk:
        raise SettingError(f"n_max must be at least the first look of {chunk} votes, got {n_max}")
    if n_max > MOST_VOTES:
        raise SettingError(f"n_max must be at most {MOST_VOTES} votes for a sequential plan, got {n_max}")
    if growth < 1.0:
        raise SettingError(f"growth must be at least 1, got {growth}")
    looks = [chunk]
    while looks[-1] < n_max:
        steps = max(looks[-1] // chunk + 1, round(looks[-1] * growth / chunk))
        looks.append(min(n_max, steps * chunk))
    return tuple(looks)


@dataclass(frozen=True)
class Boundaries:
    """An exact sequential test of p <= p0, fixed before any vote is seen.

    Attributes:
        looks: numbers of votes at which the test looks, increasing.
        certify: at look j, at least certify[j] successes certify; looks[j] + 1 where none can.
        give_up: at look j, at most give_up[j] successes give up; -1 where none do.
        q0: 1 - p0, the failure probability tested against.
        level: the error allowed.
        crossing: P_{p0}(certified), exact, giving up ignored; at most level.
    """

    looks: tuple[int, ...]
    certify: tuple[int, ...]
    give_up: tuple[int, ...]
    q0: float
    level: float
    crossing: float


def free_selection_floor(looks: tuple[int, ...], q0: float) -> tuple[int, ...]:
    """Return, for each look n, the smallest whole number of at least n p0 + (1 - p0).

    Boundaries at or above it let a test choose its class by the votes that test it:

    **Lemma (free class selection).** Let g(p) = P_p(S_{n_j} >= b_j for some j) with
    b_j >= n_j p0 + (1 - p0) for all j. Then g(p) / p is nondecreasing on (0, p0].

    *Proof.* Stop at the first look T at which the boundary is reached. g is a finite sum over the vote
    sequences that reach it, each of probability p^S (1-p)^(T-S), so

        p g'(p) = E_p[ (S_T - T p) / (1 - p) ; reached ].

    Where it is reached, S_T - T p >= T (p0 - p) + 1 - p0 >= 1 - p for p <= p0, as T >= 1. So
    p g'(p) >= g(p), that is (g / p)' >= 0.

    >>> free_selection_floor((10, 100), 0.25)
    (8, 76)
    """
    # n p0 + q0 = n - (n - 1) q0; the small margin keeps rounding on the safe side.
    return tuple(int(np.ceil(n - (n - 1) * q0 * (1.0 - 1e-12))) for n in looks)


def leaves_rivals_little(test: Boundaries) -> bool:
    """Return whether the votes may choose the class at no more than ``RIVALS`` of what the test spends.

    True says: p0 > 1/2, g(p) = P_p(S_{n_j} >= b_j for some j) is convex on [0, p0], and
    g(1 - p0) <= RIVALS / (1 - RIVALS) * level. Then classes whose probabilities are below p0 and sum to at
    most 1 reach the boundaries, any of them, with probability at most level / (1 - RIVALS).

    **Lemma (convexity).** Let D_j = b_j - n_j p0 >= 0 and D_j (D_j + p0 - q0) >= n_j p0 q0 for all j with
    b_j <= n_j, where p0 >= 1/2 and q0 = 1 - p0. Then g is convex on [0, p0].

    *Proof.* Stop at the first look T at which the boundary is reached. g is a finite sum over the vote
    sequences that reach it, each of probability p^S q^(T-S), q = 1 - p. With D = S - T p its second
    derivative is that times h / (p q)^2, h = D^2 + D (p - q) - T p q. As dh/dp = -2 D (T - 1) <= 0, h is
    smallest at p0; there it increases with S (dh/dS = 2 D + p0 - q0 >= 0), and at S = b_j it is at least 0.

    *Proof of the statement.* g(0) = 0 and g is convex, so g(x) + g(y) <= g(x + y) for x + y <= p0, and
    g(x) <= (x / y) g(y) for x <= y. Let p be the largest probability. If p >= 1/2, the others sum to at most
    1 - p <= 1/2, and all classes to at most g(p) + g(1 - p), which is convex in p and the same for 1 - p, so
    largest at p = p0. If p < 1/2, they sum to at most sum_c p_c g(1/2) / (1/2) <= 2 g(1/2), the value at
    p = 1/2. And g(p0) + g(q0) <= level + RIVALS / (1 - RIVALS) * level.
    """
    p0, q0 = 1.0 - test.q0, test.q0
    looks, certify = np.array(test.looks), np.array(test.certify)
    reached = certify <= looks
    votes, ahead = looks[reached], certify[reached] - looks[reached] * p0
    # the small margin keeps rounding on the safe side
    convex = (ahead > 0.0) & (ahead * (ahead + p0 - q0) >= votes * p0 * q0 * (1.0 + 1e-9))
    if not (q0 < 0.5 and convex.all()):
        return False
    rivals = crossing_probability(looks, certify, q0, p0)
    return rivals <= RIVALS / (1.0 - RIVALS) * test.level
