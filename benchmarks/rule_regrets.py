"""What following a rule for alpha would have cost, on a table of measured risks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sfumato.advice.rules import Rule
from sfumato.errors import SettingError


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
