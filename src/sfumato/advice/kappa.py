"""The kappa rule: the best alpha for every beta from one network, trained once at alpha0.

Smooth the network with more and more noise, and call tolerated the largest beta whose risk is within one
standard error of the clean risk. To the right of the best alpha the risk hardly depends on beta, to its left
it depends on beta / alpha; so alpha*(beta) = alpha0 * beta / tolerated. The rule does not know the risk that
it will give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from sfumato.advice.one_standard_error import largest_within, resampled_risks
from sfumato.errors import SettingError, require_count, require_open_unit, require_positive

_DRAWS = 1000


def tolerated_beta(
    betas: Sequence[float], errors: Int[np.ndarray, " betas"] | Sequence[int], examples: int
) -> float:
    """Return the largest beta whose risk is at most the clean risk plus one standard error.

    ``betas`` begin with 0 (the clean risk) and increase; ``errors`` of ``examples`` at each of them, by
    one network. The standard error is the clean risk's binomial one. 0 if no positive beta is tolerated.

    >>> tolerated_beta([0, 0.2, 0.4, 0.6], errors=[68, 64, 67, 237], examples=10_000)
    0.4

    Raises:
        SettingError: betas that do not begin with 0 and increase, counts that do not fit.
    """
    require_swept_betas(betas)
    require_count("examples", examples)
    counts = np.asarray(errors)
    if counts.shape != (len(betas),) or counts.min() < 0 or counts.max() > examples:
        raise SettingError(f"errors must be one count of 0 to {examples} for each of the {len(betas)} betas")
    risks = counts[None, :] / examples
    return float(largest_within(np.asarray(betas, dtype=np.float64), risks, risks[:, :1], examples)[0])


def require_swept_betas(betas: Sequence[float]) -> None:
    """Refuse betas that do not begin with 0 and increase.

    Raises:
        SettingError: the betas do not begin with 0 and increase.
    """
    if len(betas) < 2 or betas[0] != 0 or any(b <= a for a, b in pairwise(betas)):
        listed = ", ".join(f"{beta:g}" for beta in betas)
        raise SettingError(f"betas must be 0 and larger ones, increasing, got {listed or 'none'}")


@dataclass(frozen=True)
class KappaRule:
    """alpha*(beta) = alpha0 * beta / tolerated, from one network.

    Attributes:
        alpha0: training noise of the network.
        tolerated: the largest beta whose risk is within one standard error of the clean risk.
        swept: the largest beta measured; if it is tolerated, larger ones might be too, and what the rule
            returns is an upper limit.
        draws: ``tolerated`` on resampled test images, increasing.

    >>> KappaRule(alpha0=0.3, tolerated=0.4, swept=0.9)(0.6)
    0.45
    """

    alpha0: float
    tolerated: float
    swept: float
    draws: Float[np.ndarray, " draws"] = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        """Refuse a network that tolerates no measured beta."""
        require_positive("alpha0", self.alpha0)
        if not self.tolerated > 0:
            raise SettingError(
                f"the network trained with alpha {self.alpha0:g} tolerates none of the measured betas, but "
                f"the kappa rule needs one; measure smaller betas, or train with more noise"
            )

    @property
    def open_ended(self) -> bool:
        """Whether every beta measured is tolerated."""
        return self.tolerated >= self.swept

    def __call__(self, beta: float) -> float:
        """Return the alpha that the rule names for ``beta``."""
        return round(self.alpha0 * require_positive("beta", beta) / self.tolerated, 12)

    def interval(self, beta: float, confidence: float = 0.95) -> tuple[float, float]:
        """Return the percentile bootstrap interval of the rule's alpha over test images.

        With probability about ``confidence`` over the drawing of test images (Efron 1979; approximate, and
        coarse, as ``tolerated`` is one of the betas measured) it holds the alpha that this network's rule
        gives on unlimited images. It does not say how good that alpha is, and does not cover other trainings.
        The upper end is infinite where some draws tolerate no beta.

        Raises:
            SettingError: a rule without draws, a confidence outside (0, 1).
        """
        require_positive("beta", beta)
        require_open_unit("confidence", confidence)
        if not len(self.draws):
            raise SettingError("the kappa rule has no draws: an interval needs per-image results")
        tail = (1.0 - confidence) / 2.0
        low = np.quantile(self.draws, 1.0 - tail, method="inverted_cdf")
        high = np.quantile(self.draws, tail, method="inverted_cdf")
        upper = self.alpha0 * beta / float(high) if high > 0 else math.inf
        return self.alpha0 * beta / float(low), upper


def kappa_rule(
    alpha0: float,
    betas: Sequence[float],
    wrong: Bool[np.ndarray, "images betas"],
    *,
    draws: int = _DRAWS,
    seed: int = 0,
) -> KappaRule:
    """Return the kappa rule of a network, with a paired bootstrap over its test images.

    ``betas`` begin with 0 and increase; ``wrong`` says for each image and beta whether the smoothed
    prediction is wrong. Every draw takes the same images at all betas.

    Raises:
        SettingError: betas without 0, counts that do not fit, or a network that tolerates no beta.
    """
    require_swept_betas(betas)
    outcomes = np.asarray(wrong, dtype=bool)
    if outcomes.ndim != 2 or outcomes.shape[1] != len(betas) or not len(outcomes):
        raise SettingError(
            f"wrong must be (images, {len(betas)}), one column for each beta, got {outcomes.shape}"
        )
    tolerated = tolerated_beta(betas, outcomes.sum(axis=0), len(outcomes))
    risks = resampled_risks(outcomes, draws, seed)
    resampled = largest_within(np.asarray(betas), risks, risks[:, :1], len(outcomes))
    return KappaRule(alpha0, tolerated, betas[-1], np.sort(resampled))
