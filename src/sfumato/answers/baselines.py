"""The rules of :mod:`sfumato.advice` on the results of a study, and what following them would have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sfumato.advice.kappa import KappaRule, kappa_rule, tolerated_beta
from sfumato.advice.rules import Rule, share_rule
from sfumato.errors import DataError, SettingError
from sfumato.studies.results import CellResult, StudyResults


def network_kappa_rule(cells: Sequence[CellResult]) -> KappaRule:
    """Return the kappa rule of one network of a study.

    ``cells`` are the network's results at beta = 0 and at larger betas, in any order, on the same images.

    Raises:
        SettingError: cells of several networks, without beta = 0, or a network that tolerates no beta.
        DataError: cells on different images.
    """
    ordered = sorted(cells, key=lambda cell: cell.beta)
    networks = sorted({(cell.alpha, cell.seed) for cell in ordered})
    if len(networks) != 1:
        raise SettingError(f"the kappa rule takes the cells of one network, got {len(networks)}")
    if any(not np.array_equal(cell.examples, ordered[0].examples) for cell in ordered):
        raise DataError("the kappa rule compares risks on the same images, but the cells' images differ")
    wrong = np.stack([cell.wrong for cell in ordered], axis=1)
    return kappa_rule(networks[0][0], [cell.beta for cell in ordered], wrong)


def study_kappa_rule(results: StudyResults, beta: float, seed: int) -> KappaRule | None:
    """Return the kappa rule of the study's network nearest to the rule of thumb, None without one.

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
            return network_kappa_rule(cells)
    return None


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

    >>> from sfumato.advice.rules import same_rule
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
