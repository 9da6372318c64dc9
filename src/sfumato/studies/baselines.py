"""Rules that name a training noise with one training or none, and what following them would have cost.

``same_rule`` is common practice, alpha = beta; ``share_rule`` is alpha = 0.7 beta, near which the measured
optima of images lie. The kappa rule needs one network, trained at alpha0: smooth it with more and more
noise, and call tolerated the largest beta whose risk is within one standard error of the clean risk. To
the right of the best alpha the risk hardly depends on beta, to its left it depends on beta / alpha; so
alpha*(beta) = alpha0 * beta / tolerated. None of the rules knows the risk it will give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from sfumato.errors import DataError, SettingError, require_count, require_open_unit, require_positive
from sfumato.studies.results import CellResult, StudyResults

SHARE = 0.7
_DRAWS = 1000
_DRAWS_AT_ONCE = 100

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
    _check_betas(betas)
    require_count("examples", examples)
    counts = np.asarray(errors)
    if counts.shape != (len(betas),) or counts.min() < 0 or counts.max() > examples:
        raise SettingError(f"errors must be one count of 0 to {examples} for each of the {len(betas)} betas")
    return float(_tolerated(np.asarray(betas, dtype=np.float64), counts[None, :] / examples, examples)[0])


def _check_betas(betas: Sequence[float]) -> None:
    if len(betas) < 2 or betas[0] != 0 or any(b <= a for a, b in pairwise(betas)):
        listed = ", ".join(f"{beta:g}" for beta in betas)
        raise SettingError(f"betas must be 0 and larger ones, increasing, got {listed or 'none'}")


def _tolerated(
    betas: Float[np.ndarray, " betas"], risks: Float[np.ndarray, "draws betas"], examples: int
) -> Float[np.ndarray, " draws"]:
    clean = risks[:, :1]
    limit = clean + np.sqrt(clean * (1.0 - clean) / examples)
    # risks are multiples of 1 / examples: a hair of room keeps equality equal
    return np.asarray(np.where(risks <= limit + 1e-12, betas, 0.0).max(axis=1))


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
        """Refuse a rule that says nothing."""
        require_positive("alpha0", self.alpha0)
        if not self.tolerated > 0:
            raise SettingError(
                f"the network trained with alpha {self.alpha0:g} tolerates no beta of those measured, the "
                "kappa rule needs one; measure smaller betas, or train with more noise"
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

        With probability about ``confidence`` over the drawing of test images (Efron 1979; approximate,
        and coarse, as ``tolerated`` is one of the betas measured) it holds the alpha that this network's
        rule gives on unlimited images. It says nothing of how good that alpha is, nor of other trainings.
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


def kappa_rule(cells: Sequence[CellResult], *, draws: int = _DRAWS, seed: int = 0) -> KappaRule:
    """Return the kappa rule of one network, with a paired bootstrap over its test images.

    ``cells`` are the network's results at beta = 0 and at larger betas, in any order, on the same
    images: every draw takes the same images at all betas.

    Raises:
        SettingError: cells of several networks, without beta = 0, or a network that tolerates no beta.
        DataError: cells on different images.
    """
    require_count("draws", draws)
    ordered = sorted(cells, key=lambda cell: cell.beta)
    networks = sorted({(cell.alpha, cell.seed) for cell in ordered})
    if len(networks) != 1:
        raise SettingError(f"the kappa rule takes the cells of one network, got {len(networks)}")
    betas = [cell.beta for cell in ordered]
    _check_betas(betas)
    if any(not np.array_equal(cell.examples, ordered[0].examples) for cell in ordered):
        raise DataError("the kappa rule compares risks on the same images, but the cells' images differ")
    wrong = np.stack([cell.wrong for cell in ordered], axis=1)
    images = len(wrong)
    tolerated = tolerated_beta(betas, wrong.sum(axis=0), images)
    resampled = np.sort(_resampled_tolerated(np.asarray(betas), wrong, draws, seed))
    return KappaRule(networks[0][0], tolerated, betas[-1], resampled)


def study_kappa_rule(results: StudyResults, beta: float, seed: int) -> KappaRule | None:
    """Return the kappa rule of the study's network nearest to alpha = 0.7 ``beta``, None without one.

    A network qualifies if it was trained with noise and ``seed``, measured at beta = 0 and at larger
    betas, and tolerates some of these but not all.
    """
    for alpha in sorted(results.alphas, key=lambda alpha: (abs(alpha - share_rule(beta)), alpha)):
        cells = sorted(
            (cell for (a, _, s), cell in results.cells.items() if (a, s) == (alpha, seed)),
            key=lambda cell: cell.beta,
        )
        if alpha == 0 or len(cells) < 2 or cells[0].beta != 0:
            continue
        errors = [cell.errors for cell in cells]
        tolerated = tolerated_beta([cell.beta for cell in cells], errors, len(cells[0].examples))
        if 0 < tolerated < cells[-1].beta:
            return kappa_rule(cells)
    return None


def _resampled_tolerated(
    betas: Float[np.ndarray, " betas"], wrong: Bool[np.ndarray, "images betas"], draws: int, seed: int
) -> Float[np.ndarray, " draws"]:
    images = len(wrong)
    generator = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, draws - start)
        times = generator.multinomial(images, np.full(images, 1.0 / images), size=count)
        found.append(_tolerated(betas, times @ wrong / images, images))
    return np.concatenate(found)


@dataclass(frozen=True)
class Regret:
    """What a rule loses at one beta against the best alpha of a table.

    Attributes:
        beta: smoothing noise.
        named: the alpha that the rule names.
        alpha: the measured alpha nearest to it, the smaller of two.
        risk: measured at ``alpha``.
        best_alpha, best_risk: the table's lowest risk, so picked on the same images.
    """

    beta: float
    named: float
    alpha: float
    risk: float
    best_alpha: float
    best_risk: float

    @property
    def regret(self) -> float:
        """``risk`` above ``best_risk``."""
        return self.risk - self.best_risk


def rule_regrets(risks: Mapping[tuple[float, float], float], rule: Rule) -> tuple[Regret, ...]:
    """Return the regret of ``rule`` at every positive beta of the table, increasing.

    ``risks`` holds the measured Delta by (alpha, beta).

    >>> risks = {(0.2, 0.4): 0.03, (0.3, 0.4): 0.01, (0.4, 0.4): 0.02}
    >>> [round(found.regret, 3) for found in rule_regrets(risks, same_rule)]
    [0.01]

    Raises:
        SettingError: no positive beta in the table.
    """
    betas = sorted({beta for _, beta in risks if beta > 0})
    if not betas:
        raise SettingError("the table holds no risk at a positive beta; measure one")
    return tuple(_regret(risks, rule, beta) for beta in betas)


def _regret(risks: Mapping[tuple[float, float], float], rule: Rule, beta: float) -> Regret:
    alphas = sorted(alpha for alpha, other in risks if other == beta)
    named = rule(beta)
    alpha = min(alphas, key=lambda candidate: (round(abs(candidate - named), 12), candidate))
    best = min(alphas, key=lambda candidate: (risks[candidate, beta], candidate))
    return Regret(beta, named, alpha, risks[alpha, beta], best, risks[best, beta])
