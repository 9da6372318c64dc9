"""What a study answers: for each beta the best alpha, how sure that is, and what it gains.

A pure function of the per-image results. All alphas of one beta are measured on the same images with
the same noise, so every comparison is paired. Statements by paired tests are about the trained networks
at hand, exact where there is one training seed; those by the bootstrap resample the images and, where
there are several, the training seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from sfumato.answers.objective import Objective, VoteRisk
from sfumato.answers.smooth_risk import LEAST_ALPHAS, SmoothRisk, smooth_errors
from sfumato.certification.accuracy import CurvePoint, certified_accuracy
from sfumato.errors import DataError, SettingError, require_count, require_nonnegative, require_open_unit
from sfumato.statistics.compare import (
    DEFAULT_DRAWS,
    BestSet,
    best_set,
    bootstrap_best_set,
    bootstrap_means,
    compare_selected,
    cross_fitted_gain,
    mean_rate_interval,
)
from sfumato.studies.results import StudyResults

LOWER_SHARE = 0.7  # of beta: the rule of thumb that alpha = beta is compared with beside alpha*


@dataclass(frozen=True)
class RiskPoint:
    """Delta and the soft risk at one (alpha, beta), the mean over the training seeds.

    Attributes:
        alpha: training noise, input units.
        errors, trials: wrong predictions, and images times seeds.
        risk: Delta, their ratio.
        low, high: exact interval of Delta over images, for these networks.
        soft: share of single noisy copies whose class is wrong.
        soft_low, soft_high: its interval over images, by the central limit theorem.
    """

    alpha: float
    errors: int
    trials: int
    risk: float
    low: float
    high: float
    soft: float
    soft_low: float
    soft_high: float


@dataclass(frozen=True)
class Gain:
    """How much lower the risk is at alpha* than at a rule's alpha.

    Attributes:
        rule: in words: ``alpha = beta`` or ``alpha = 0.7 beta``.
        alpha: the measured alpha nearest to what the rule says.
        risk: Delta there.
        difference: Delta there minus Delta at alpha*, on all images: it includes the luck of the pick.
        low, high, p_value: paired interval and two-sided p-value of that difference, corrected for picking
            alpha* among all alphas on the same images (Bonferroni).
        cross_selected: the alphas picked on either half of the images.
        cross_risk: Delta of the pick, on the half it was not picked on.
        cross_gain: difference to it there: free of the luck of the pick.
        cross_low, cross_high, cross_p_value: of that difference.
    """

    rule: str
    alpha: float
    risk: float
    difference: float
    low: float
    high: float
    p_value: float
    cross_selected: tuple[float, float]
    cross_risk: float
    cross_gain: float
    cross_low: float
    cross_high: float
    cross_p_value: float


@dataclass(frozen=True)
class BetaAnswer:
    """The answer at one beta.

    Attributes:
        beta: smoothing noise, input units.
        images: how many test images.
        seeds: training seeds that every alpha here was trained with.
        points: one per alpha, increasing.
        alpha: alpha*, where Delta is lowest as measured; the smallest such in a tie.
        at_edge: alpha* is the largest alpha measured, or the smallest and not 0, so the best may lie beyond.
        exact_set: alphas that no other beats significantly, by paired tests with Holm's correction: it
            holds the alpha, of those measured, that is truly best, with probability at least
            ``confidence`` (of one seed exactly so, of several for many images).
        bootstrap_set: the same by the paired bootstrap over images and seeds.
        curve: the smoothed curve with its own minimum; None of fewer than 5 alphas.
        soft_alpha: where the soft risk is lowest.
        soft_set: bootstrap set of that.
        against: gains over alpha = beta and over alpha = 0.7 beta.
        left_out: cells at this beta that were not used, since other alphas lack their seed.
        confidence: of every set and interval.
    """

    beta: float
    images: int
    seeds: tuple[int, ...]
    points: tuple[RiskPoint, ...]
    alpha: float
    at_edge: bool
    exact_set: tuple[float, ...]
    bootstrap_set: tuple[float, ...]
    curve: SmoothRisk | None
    soft_alpha: float
    soft_set: tuple[float, ...]
    against: tuple[Gain, Gain]
    left_out: int
    confidence: float

    @property
    def alphas(self) -> tuple[float, ...]:
        """Training noises compared, increasing."""
        return tuple(point.alpha for point in self.points)

    @property
    def best(self) -> RiskPoint:
        """Delta and the soft risk at alpha*."""
        return self.points[self.alphas.index(self.alpha)]


@dataclass(frozen=True)
class _Table:
    """The cells of one beta that can be compared: every alpha with every seed."""

    alphas: list[float]
    seeds: list[int]
    wrong: Bool[np.ndarray, "seeds alphas images"]
    soft: Float[np.ndarray, "seeds alphas images"]
    left_out: int


@dataclass(frozen=True)
class CertifiedLine:
    """Certified accuracy of one cell at the radii asked for.

    Attributes:
        alpha, beta, seed: the cell.
        points: one per radius, with bounds for the population.
    """

    alpha: float
    beta: float
    seed: int
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class StudyAnswer:
    """All that a study says.

    Attributes:
        data: name of the data set.
        unit: what a noise level of 1 means.
        votes: noisy copies per image.
        betas: one answer per beta, increasing.
        certified: one line per certified cell.
    """

    data: str
    unit: str
    votes: int
    betas: tuple[BetaAnswer, ...]
    certified: tuple[CertifiedLine, ...]


def answer_study(
    results: StudyResults,
    *,
    confidence: float = 0.95,
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
    radii: Sequence[float] = (),
    objective: Objective | None = None,
) -> StudyAnswer:
    """Return the answers of a study. ``seed`` is that of the bootstrap and of the halves of the images.

    ``objective`` is what alpha* is best at, by default ``VoteRisk()``; its mean loss stands where Delta does.

    Raises:
        SettingError: a confidence outside (0, 1), fewer than 1 draw, a negative radius.
        DataError: no cells, or cells that were measured on different images.
    """
    require_open_unit("confidence", confidence)
    require_count("draws", draws)
    certified = certified_lines(results, radii, confidence=confidence)
    _require_comparable(results)
    answers = tuple(answer_beta(results, beta, confidence, draws, seed, objective) for beta in results.betas)
    return StudyAnswer(results.data, results.unit, results.votes, answers, certified)


def risk_points(results: StudyResults, *, confidence: float = 0.95) -> dict[float, tuple[RiskPoint, ...]]:
    """Return for each beta the risks of the alphas that can be compared there, alphas increasing.

    Raises:
        SettingError: a confidence outside (0, 1).
        DataError: as ``answer_study``.
    """
    require_open_unit("confidence", confidence)
    _require_comparable(results)
    return {beta: _risk_points(_comparable(results, beta, VoteRisk()), confidence) for beta in results.betas}


def certified_lines(
    results: StudyResults, radii: Sequence[float], *, confidence: float = 0.95
) -> tuple[CertifiedLine, ...]:
    """Return the certified accuracy of every certified cell at ``radii``; nothing for no radii.

    Raises:
        SettingError: a negative radius, a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    wanted = [require_nonnegative("radius", radius) for radius in radii]
    return tuple(
        CertifiedLine(*cell, tuple(certified_accuracy(rows, wanted, confidence=confidence)))
        for cell, rows in sorted(results.certificates.items())
        if wanted and rows
    )


def _require_comparable(results: StudyResults) -> None:
    if not results.cells:
        raise DataError("the study has no finished cell yet; at least one is needed")
    (key, first), *others = results.cells.items()
    for other_key, other in others:
        if not (
            np.array_equal(first.examples, other.examples) and np.array_equal(first.labels, other.labels)
        ):
            names = [
                f"(alpha {alpha:g}, beta {beta:g}, seed {seed})" for alpha, beta, seed in (key, other_key)
            ]
            raise DataError(f"cells {names[0]} and {names[1]} were measured on different images")


def answer_beta(
    results: StudyResults,
    beta: float,
    confidence: float,
    draws: int,
    seed: int,
    objective: Objective | None = None,
) -> BetaAnswer:
    """Return the answer at one measured ``beta``; the rest is as in ``answer_study``.

    Raises:
        SettingError: a beta that was not measured.
    """
    table = _comparable(results, beta, objective or VoteRisk())
    alphas, wrong, soft = table.alphas, table.wrong, table.soft
    best = int(wrong.sum(axis=(0, 2)).argmin())
    resampled = bootstrap_means(wrong, draws=draws, seed=seed)
    soft_means = soft.mean(axis=(0, 2))
    soft_resampled = bootstrap_means(soft, draws=draws, seed=seed)
    curve = (
        smooth_errors(alphas, wrong, confidence=confidence, draws=draws, seed=seed)
        if len(alphas) >= LEAST_ALPHAS
        else None
    )

    def members(found: BestSet) -> tuple[float, ...]:
        return tuple(alpha for alpha, kept in zip(alphas, found.kept, strict=True) if kept)

    return BetaAnswer(
        beta=beta,
        images=wrong.shape[2],
        seeds=tuple(table.seeds),
        points=_risk_points(table, confidence),
        alpha=alphas[best],
        at_edge=best == len(alphas) - 1 or (best == 0 and alphas[0] > 0),
        exact_set=members(best_set(wrong, confidence=confidence)),
        bootstrap_set=members(bootstrap_best_set(wrong.mean(axis=(0, 2)), resampled, confidence=confidence)),
        curve=curve,
        soft_alpha=alphas[int(soft_means.argmin())],
        soft_set=members(bootstrap_best_set(soft_means, soft_resampled, confidence=confidence)),
        against=(
            _gain("alpha = beta", beta, alphas, wrong, best, confidence, seed),
            _gain(f"alpha = {LOWER_SHARE:g} beta", LOWER_SHARE * beta, alphas, wrong, best, confidence, seed),
        ),
        left_out=table.left_out,
        confidence=confidence,
    )


def _comparable(results: StudyResults, beta: float, objective: Objective) -> _Table:
    cells = {(alpha, run): cell for (alpha, b, run), cell in results.cells.items() if b == beta}
    if not cells:
        known = ", ".join(f"{b:g}" for b in results.betas)
        raise SettingError(f"beta must be one of those measured ({known}), got {beta:g}")
    alphas, seeds = _largest_rectangle(set(cells))
    rows = [[cells[alpha, run] for alpha in alphas] for run in seeds]
    return _Table(
        alphas,
        seeds,
        np.array([[objective.loss(cell) for cell in row] for row in rows]),
        np.array([[1.0 - cell.first_hits / cell.first_votes for cell in row] for row in rows]),
        len(cells) - len(alphas) * len(seeds),
    )


def _risk_points(table: _Table, confidence: float) -> tuple[RiskPoint, ...]:
    return tuple(
        _risk_point(alpha, table.wrong[:, index], table.soft[:, index], confidence)
        for index, alpha in enumerate(table.alphas)
    )


def _largest_rectangle(cells: set[tuple[float, int]]) -> tuple[list[float], list[int]]:
    """Return the alphas and seeds of a complete table among the (alpha, seed) of an unfinished study.

    Seeds are added in the order of how many alphas have them, as long as the table grows.
    """
    by_seed = {run: {alpha for alpha, other in cells if other == run} for _, run in cells}
    order = sorted(by_seed, key=lambda run: (-len(by_seed[run]), run))
    tables = []
    for count in range(1, len(order) + 1):
        common = set.intersection(*(by_seed[run] for run in order[:count]))
        tables.append((len(common) * count, len(common), count, common))
    _, _, count, common = max(tables, key=lambda table: table[:2])
    return sorted(common), sorted(order[:count])


def _risk_point(
    alpha: float,
    wrong: Bool[np.ndarray, "seeds images"],
    soft: Float[np.ndarray, "seeds images"],
    confidence: float,
) -> RiskPoint:
    low, high = mean_rate_interval(wrong, confidence=confidence)
    by_image = soft.mean(axis=0)
    mean = float(by_image.mean())
    half = float(special.ndtri((1.0 + confidence) / 2.0) * by_image.std() / np.sqrt(by_image.size))
    return RiskPoint(
        alpha,
        int(wrong.sum()),
        wrong.size,
        float(wrong.mean()),
        low,
        high,
        mean,
        max(0.0, mean - half),
        min(1.0, mean + half),
    )


def _gain(
    rule: str,
    wanted: float,
    alphas: Sequence[float],
    wrong: Bool[np.ndarray, "seeds alphas images"],
    best: int,
    confidence: float,
    seed: int,
) -> Gain:
    reference = int(np.abs(np.asarray(alphas) - wanted).argmin())
    risk = float(wrong[:, reference].mean())
    crossed = cross_fitted_gain(wrong, reference, confidence=confidence, seed=seed)
    difference, low, high, p_value = 0.0, 0.0, 0.0, 1.0
    if best != reference:
        found = compare_selected(
            wrong[:, reference], wrong[:, best], confidence=confidence, candidates=len(alphas) - 1
        )
        difference, low, high, p_value = found.difference, found.low, found.high, found.p_value
    return Gain(
        rule,
        alphas[reference],
        risk,
        difference,
        low,
        high,
        p_value,
        (alphas[crossed.selected[0]], alphas[crossed.selected[1]]),
        crossed.risk,
        crossed.gain,
        crossed.low,
        crossed.high,
        crossed.p_value,
    )
