"""The confidence of published tables, which do not state theirs.

The table of Cohen et al. 2019 has no column for it. Their text says 0.999, but some of their files, and of
those who follow, hold radii that 100,000 votes reach only at 0.99. Whoever reads such a table takes the level
that fits its largest radius, here and nowhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sfumato.certification.certificate import Certificate
from sfumato.noise import Gaussian
from sfumato.settings import CONFIDENCE

_VOTES = 100_000  # behind each published certificate (Cohen et al. 2019 and all who follow)
_LOWER = 0.99  # the confidence of some published tables; of others it is the usual one
_NUMBER = r"(\d+(?:\.\d+)?)"


def told_noises(name: str, path: Path, settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return alpha and beta of a table, None where nothing tells them.

    They are those of a name ``ALPHA,BETA``; else of the settings; else of a path as Cohen et al. 2019 name
    theirs, where beta is alpha if the path says only one.

    >>> told_noises("", Path("noise_0.25_test_sigma_0.50.tsv"), {}), told_noises("0.1,0.2", Path("a.tsv"), {})
    ((0.25, 0.5), (0.1, 0.2))
    """
    alpha, beta = settings.get("alpha"), settings.get("beta")
    if given := re.fullmatch(rf"\s*{_NUMBER}\s*,\s*{_NUMBER}\s*", name):
        alpha, beta = map(float, given.groups())
    elif alpha is None and (trained := re.findall(rf"noise_{_NUMBER}", str(path))):
        alpha = float(trained[-1])
        smoothed = re.findall(rf"sigma_{_NUMBER}", str(path))
        beta = float(smoothed[-1]) if smoothed else alpha if beta is None else beta
    return alpha, beta


def with_level(certificates: Sequence[Certificate], beta: float) -> list[Certificate]:
    """Return the certificates; those that state neither plan nor confidence have the one that fits.

    It is that of 0.999 and 0.99 whose largest radius at 100,000 votes under ``beta`` is nearest to theirs.
    """
    silent = [row.radius for row in certificates if _is_silent(row)]
    if not silent or not beta > 0.0:
        return list(certificates)
    usual, lower = (Gaussian(beta).radius(-math.expm1(math.log1p(-c) / _VOTES)) for c in (CONFIDENCE, _LOWER))
    level = CONFIDENCE if max(silent) < (usual + lower) / 2.0 else _LOWER
    return [replace(row, confidence=level) if _is_silent(row) else row for row in certificates]


def _is_silent(row: Certificate) -> bool:
    """Return whether the row does not speak of a guarantee; a plan without a confidence has none."""
    return math.isnan(row.confidence) and not row.plan
