"""Rules that name a training noise without any training, for want of better.

``same_rule`` is common practice, alpha = beta. ``share_rule`` is alpha = 0.7 beta, near which the measured
optima of images lie (``benchmarks/results/advice.md``). Neither knows the risk it will give.
"""

from __future__ import annotations

from collections.abc import Callable

from sfumato.errors import require_positive

SHARE = 0.7

Rule = Callable[[float], float]


def same_rule(beta: float) -> float:
    """Return alpha = beta.

    >>> same_rule(0.5)
    0.5
    """
    return require_positive("beta", beta)


def share_rule(beta: float) -> float:
    """Return alpha = 0.7 beta.

    >>> share_rule(0.5)
    0.35
    """
    return SHARE * require_positive("beta", beta)
