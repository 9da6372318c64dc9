"""The answers of a study: for each beta the best alpha, its confidence set and its gain.

A pure function of the per-image results. Sets and gains are those of ``answers.best_pair`` at one beta; the
bands of the smoothed curves cover the choice of images and the randomness of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from sfumato.answers.best_pair import Gain, Losses, best_pair, comparable_losses
from sfumato.answers.objective import Objective, VoteRisk
from sfumato.answers.smooth_risk import DEFAULT_DRAWS, LEAST_ALPHAS, SmoothRisk, smooth_errors
from sfumato.errors import require_count, require_open_unit
from sfumato.frames import columns_of, data_frame
from sfumato.notebooks import html_table
from sfumato.statistics.compare import mean_rate_interval
from sfumato.studies.results import StudyResults


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
class BetaAnswer:
    """The answer at one beta.

    Attributes:
        beta: smoothing noise, input units.
        images: how many test images.
        seeds: training seeds that every alpha here was trained with.
        points: one per alpha, increasing.
        alpha: alpha*, with the lowest measured Delta; the smallest alpha in a tie.
        at_edge: alpha* is the largest alpha measured, or the smallest and not 0, so the best may lie beyond.
        exact_set: alphas that no other alpha beats significantly, by paired tests with Holm's correction.
            With probability at least ``confidence`` it holds the truly best of the measured alphas (exactly
            for one seed; for several seeds if there are many images).
        curve: the smoothed curve with its own minimum; None for fewer than 5 alphas.
        gain: over alpha = beta, or over the measured alpha nearest to beta.
        left_out: cells at this beta that were not used, since their seed is missing for other alphas.
        confidence: of every set and interval.
    """

    beta: float
    images: int
    seeds: tuple[int, ...]
    points: tuple[RiskPoint, ...]
    alpha: float
    at_edge: bool
    exact_set: tuple[float, ...]
    curve: SmoothRisk | None
    gain: Gain
    left_out: int
    confidence: float

    @property
    def alphas(self) -> tuple[float, ...]:
        """Training noises compared, increasing."""
        return tuple(point.alpha for point in self.points)

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per alpha: the fields of ``RiskPoint``, and ``in_set``.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame(_risk_columns([self]), index="alpha")

    @property
    def best(self) -> RiskPoint:
        """Delta and the soft risk at alpha*."""
        return self.points[self.alphas.index(self.alpha)]


@dataclass(frozen=True, repr=False)
class StudyAnswer:
    """All answers of a study; printed, one line per beta with its best alpha.

    Attributes:
        data: name of the data set.
        unit: what a noise level of 1 means.
        votes: noisy copies per image.
        betas: one answer per beta, increasing.
    """

    data: str
    unit: str
    votes: int
    betas: tuple[BetaAnswer, ...]

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per beta: its best alpha, the set, and the gain.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        gains = columns_of([found.gain for found in self.betas], ("gain", "low", "high", "p_value"))
        return data_frame(
            {
                **columns_of(self.betas, ("beta", "alpha", "exact_set", "at_edge")),
                **columns_of([found.best for found in self.betas], ("risk", "low", "high", "soft")),
                **{name if name in ("gain", "p_value") else f"gain_{name}": gains[name] for name in gains},
                **columns_of(self.betas, ("images", "confidence")),
            },
            index="beta",
        )

    def risks_to_frame(self) -> Any:
        """Return a pandas data frame with one row per (beta, alpha): the fields of ``RiskPoint``, ``in_set``.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        betas = [found.beta for found in self.betas for _ in found.points]
        return data_frame({"beta": betas, **_risk_columns(self.betas)}, index=("beta", "alpha"))

    def __repr__(self) -> str:
        return "\n".join(
            f"beta {found.beta:g}: best alpha {found.alpha:g}, risk {found.best.risk:.4f} "
            f"({found.best.low:.4f} to {found.best.high:.4f}); with probability {found.confidence:g} the "
            f"best of those measured is among {', '.join(f'{alpha:g}' for alpha in found.exact_set)}"
            for found in self.betas
        )

    def _repr_html_(self) -> str:
        rows = [
            [
                f"{found.beta:g}",
                f"{found.alpha:g}",
                ", ".join(f"{alpha:g}" for alpha in found.exact_set),
                f"{found.best.risk:.4f} [{found.best.low:.4f}, {found.best.high:.4f}]",
                f"{found.gain.gain:.4f} [{found.gain.low:.4f}, {found.gain.high:.4f}]",
                f"{found.gain.p_value:.2g}",
            ]
            for found in self.betas
        ]
        caption = (
            f"Best training noise on {self.data}, {self.votes} votes each; alpha and beta in: {self.unit}"
        )
        return html_table(caption, ["beta", "alpha*", "set", "risk", "gain", "p"], rows)


def _risk_columns(answers: Sequence[BetaAnswer]) -> dict[str, list[Any]]:
    points = [point for found in answers for point in found.points]
    in_set = [point.alpha in found.exact_set for found in answers for point in found.points]
    return {**columns_of(points, [one.name for one in fields(RiskPoint)]), "in_set": in_set}


def answer_study(
    results: StudyResults,
    *,
    confidence: float = 0.95,
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
    objective: Objective[Any] | None = None,
    beta: float | None = None,
) -> StudyAnswer:
    """Return the answers of a study, at every ``beta`` or at one.

    ``seed`` determines the halves of the images and the bands of the curves. ``objective`` is the criterion
    for alpha*, by default ``VoteRisk()``; its mean loss takes the place of Delta.

    Raises:
        SettingError: a confidence outside (0, 1), fewer than 1 draw, a beta that was not measured.
        DataError: no cells, or cells that were measured on different images.
    """
    require_open_unit("confidence", confidence)
    require_count("draws", draws)
    chosen = objective or VoteRisk()
    comparable_losses(results, chosen)  # all betas on the same images
    betas = results.betas if beta is None else [beta]
    answers = tuple(_answer_beta(results, beta, chosen, confidence, draws, seed) for beta in betas)
    return StudyAnswer(results.data, results.unit, results.votes, answers)


def risk_points(results: StudyResults, *, confidence: float = 0.95) -> dict[float, tuple[RiskPoint, ...]]:
    """Return for each beta the risks of the alphas that can be compared there, alphas increasing.

    Raises:
        SettingError: a confidence outside (0, 1).
        DataError: as ``answer_study``.
    """
    require_open_unit("confidence", confidence)
    comparable_losses(results, VoteRisk())  # all betas on the same images
    found = {beta: comparable_losses(results, VoteRisk(), beta) for beta in results.betas}
    return {beta: _risk_points(results, losses, confidence) for beta, losses in found.items()}


def _answer_beta(
    results: StudyResults,
    beta: float,
    objective: Objective[Any],
    confidence: float,
    draws: int,
    seed: int,
) -> BetaAnswer:
    losses = comparable_losses(results, objective, beta)
    alphas = [alpha for alpha, _ in losses.pairs]
    found = best_pair(results, objective, beta=beta, confidence=confidence, seed=seed)
    return BetaAnswer(
        beta=beta,
        images=found.images,
        seeds=found.seeds,
        points=_risk_points(results, losses, confidence),
        alpha=found.alpha,
        at_edge=bool(found.edges),
        exact_set=tuple(alpha for alpha, _ in found.members),
        curve=smooth_errors(alphas, losses.lost, confidence=confidence, draws=draws, seed=seed)
        if len(alphas) >= LEAST_ALPHAS
        else None,
        gain=found.gain,
        left_out=found.left_out,
        confidence=confidence,
    )


def _risk_points(results: StudyResults, losses: Losses, confidence: float) -> tuple[RiskPoint, ...]:
    points = []
    for index, pair in enumerate(losses.pairs):
        cells = [results.cells[(*pair, run)] for run in losses.seeds]
        soft = np.array([1.0 - cell.first_hits / cell.first_votes for cell in cells])
        points.append(_risk_point(pair[0], losses.lost[:, index], soft, confidence))
    return tuple(points)


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
