"""Rules that name a training noise without any training. Neither knows the risk it will give.

``same_rule`` is common practice, alpha = beta. ``share_rule`` is the rule of thumb, ``SHARE`` of beta. The
rule of thumb is for the fewest errors of the vote, and for networks whose normalisation fits the noise, as
measured on image sets (``benchmarks/results/advice.md``). It is no rule for certified radii.
"""

from __future__ import annotations

from collections.abc import Callable

from sfumato.errors import require_positive

SHARE = 0.75  # of beta: the rule of thumb
USUAL_RANGE = (0.5, 1.0)  # of beta: where the best alpha of a measured study mostly lies

Rule = Callable[[float], float]


def same_rule(beta: float) -> float:
    """Return alpha = beta.

    >>> same_rule(0.5)
    0.5
    """
    return require_positive("beta", beta)


def share_rule(beta: float) -> float:
    """Return the rule of thumb, ``SHARE`` of ``beta``.

    >>> share_rule(0.4)
    0.3
    """
    return round(SHARE * require_positive("beta", beta), 12)
