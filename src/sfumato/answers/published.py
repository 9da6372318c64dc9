"""What others published: certificates of each image, and risks without the images.

Certification tables of several networks are a study of certificates (``tables_as_study``). Published risks
are a CSV with the columns ``alpha,beta,errors,risk``, such as the arrays of Pal & Sulam 2023; how many images
were tested follows from errors and risk. Beside a study's own results they show their lowest risk, the alphas
within one standard error of it, and the smoothed curve; paired statements need the images and are not made.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.answers.smooth_risk import LEAST_ALPHAS, SmoothRisk, smooth_counts
from sfumato.certification.certificate import Certificate
from sfumato.certification.measure import Measure, common_measure
from sfumato.certification.published_level import told_noises, with_level
from sfumato.errors import DataError, SettingError, require_nonnegative, require_positive
from sfumato.studies.results import StudyResults

COLUMNS = ("alpha", "beta", "errors", "risk")


def tables_as_study(
    tables: Iterable[tuple[str, Path, Mapping[str, Any], Sequence[Certificate]]],
) -> StudyResults:
    """Return certification tables as a study of certificates, one cell per table.

    Each table comes with its name, path, settings (those written beside a table of ours) and certificates.
    The two noises are those of a name ``ALPHA,BETA``; else of the settings; else of a path as Cohen et al.
    2019 name theirs, ``noise_0.25_test_sigma_0.50``, where beta is alpha if the path says only one. Rows that
    were read where beta was not known, without a confidence, are taken at the one that fits (``with_level``).

    Raises:
        DataError: a table whose noises are not known, two tables of the same noises, or tables whose radii
            are in different norms, scales or units.
    """
    tables = list(tables)
    if tables:
        common_measure((str(path), Measure.of(settings)) for _, path, settings, _ in tables)
    certificates: dict[tuple[float, float, int], list[Certificate]] = {}
    paths: dict[tuple[float, float, int], Path] = {}
    for name, path, settings, rows in tables:
        alpha, beta = _noises(name, path, settings)
        key = (alpha, beta, 0)
        if key in paths:
            raise DataError(f"{paths[key]} and {path}: both have alpha {alpha:g} and beta {beta:g}; give one")
        paths[key], certificates[key] = path, with_level(rows, beta)
    return StudyResults(f"{len(paths)} tables", "", 0, {}, certificates)


def _noises(name: str, path: Path, settings: Mapping[str, Any]) -> tuple[float, float]:
    alpha, beta = told_noises(name, path, settings)
    if alpha is None or beta is None:
        raise DataError(f"{path}: does not state its two noises; give them as ALPHA,BETA={path}")
    return require_nonnegative("alpha", alpha), require_positive("beta", beta)


@dataclass(frozen=True)
class PublishedResults:
    """Error counts of a published study.

    Attributes:
        name: the file's, without its suffix.
        images: test images behind each count.
        errors: by (alpha, beta).
    """

    name: str
    images: int
    errors: dict[tuple[float, float], int]

    @property
    def betas(self) -> list[float]:
        """Smoothing noises, increasing."""
        return sorted({beta for _, beta in self.errors})

    def alphas(self, beta: float) -> list[float]:
        """Return the training noises at ``beta``, increasing."""
        return sorted(alpha for alpha, b in self.errors if b == beta)


@dataclass(frozen=True)
class PublishedBest:
    """The best alpha of a published study at one beta.

    Attributes:
        beta: smoothing noise.
        alpha: the one of the lowest published risk; the smallest in a tie.
        risk: the risk there.
        standard_error: its binomial standard error.
        within_one: alphas whose risk is at most one standard error above the lowest.
        curve: the smoothed curve with its own minimum; None of fewer than 5 alphas.
    """

    beta: float
    alpha: float
    risk: float
    standard_error: float
    within_one: tuple[float, ...]
    curve: SmoothRisk | None


def load_published(path: Path) -> PublishedResults:
    """Return the published results of a CSV file with the columns alpha, beta, errors, risk.

    Raises:
        DataError: a file that cannot be read, other columns, numbers out of range, a pair (alpha, beta)
            given twice, or errors and risks that do not go with one number of images.
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not lines or tuple(lines[0]) != COLUMNS:
        raise DataError(f"{path}: its first line must be {','.join(COLUMNS)}")
    errors: dict[tuple[float, float], int] = {}
    risks = {}
    for number, cells in enumerate(lines[1:], 2):
        where = f"{path}:{number}"
        alpha, beta, count, risk = _parsed(cells, where)
        if (alpha, beta) in errors:
            raise DataError(f"{where}: alpha {alpha:g} with beta {beta:g} appears twice")
        errors[alpha, beta], risks[where] = count, (count, risk)
    return PublishedResults(path.stem, _images(path, risks), errors)


def _parsed(cells: list[str], where: str) -> tuple[float, float, int, float]:
    if len(cells) != len(COLUMNS):
        raise DataError(f"{where}: {len(cells)} columns, {len(COLUMNS)} are needed")
    try:
        alpha, beta, count, risk = float(cells[0]), float(cells[1]), int(cells[2]), float(cells[3])
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not (math.isfinite(value) and value >= 0):
            raise DataError(f"{where}: {name} must be a finite number of at least 0, got {value}")
    if count < 0 or not 0 <= risk <= 1 or (count == 0) != (risk == 0):
        raise DataError(f"{where}: errors {cells[2]} and risk {cells[3]} contradict each other")
    return alpha, beta, count, risk


def _images(path: Path, risks: dict[str, tuple[int, float]]) -> int:
    """Return the number of images that every row agrees with: the one of the most precise row."""
    errors, risk = max(risks.values(), default=(0, 0.0))
    if errors == 0:
        raise DataError(f"{path}: there are no errors, so the number of images cannot be computed")
    images = round(errors / risk)
    for where, (count, share) in risks.items():
        if abs(count / images - share) > 1e-6:
            raise DataError(
                f"{where}: {count} errors at risk {share:g} do not fit {images} images, the number in "
                f"other rows"
            )
    return images


def published_best(published: PublishedResults, beta: float) -> PublishedBest:
    """Return the best alpha of the published results at ``beta``.

    Raises:
        SettingError: a beta that was not published.
    """
    alphas = published.alphas(beta)
    if not alphas:
        known = ", ".join(f"{b:g}" for b in published.betas)
        raise SettingError(f"beta must be one of those published ({known}), got {beta:g}")
    counts = np.array([published.errors[alpha, beta] for alpha in alphas])
    lowest = int(counts.argmin())
    risk = float(counts[lowest]) / published.images
    error = math.sqrt(risk * (1.0 - risk) / published.images)
    return PublishedBest(
        beta,
        alphas[lowest],
        risk,
        error,
        tuple(a for a, count in zip(alphas, counts, strict=True) if count / published.images <= risk + error),
        smooth_counts(alphas, counts, published.images) if len(alphas) >= LEAST_ALPHAS else None,
    )
