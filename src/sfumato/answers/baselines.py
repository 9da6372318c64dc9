"""The kappa rule of :mod:`sfumato.advice` on the results of a study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sfumato.advice.kappa import KappaRule, kappa_rule, tolerated_beta
from sfumato.advice.rules import share_rule
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
            return network_kappa_rule(cells)
    return None
