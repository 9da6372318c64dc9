"""The kappa rule of :mod:`sfumato.advice` on the results of a study."""

from __future__ import annotations

import numpy as np

from sfumato.advice.kappa import KappaRule, kappa_rule, tolerated_beta
from sfumato.advice.rules import share_rule
from sfumato.studies.results import StudyResults


def study_kappa_rule(results: StudyResults, beta: float, seed: int) -> KappaRule | None:
    """Return the kappa rule of the network whose alpha is nearest to the rule of thumb; None without one.

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
        betas = [cell.beta for cell in cells]
        tolerated = tolerated_beta(betas, [cell.errors for cell in cells], len(cells[0].examples))
        if 0 < tolerated < betas[-1]:
            return kappa_rule(alpha, betas, np.stack([cell.wrong for cell in cells], axis=1))
    return None
