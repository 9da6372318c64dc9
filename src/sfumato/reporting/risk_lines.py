"""The risk over alpha at each beta as figures draw it, whether a study measured or others published it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from sfumato.answers.best import StudyAnswer
from sfumato.answers.published import PublishedResults, published_best
from sfumato.answers.smooth_risk import SmoothRisk


@dataclass(frozen=True)
class RiskLine:
    """The risk over alpha at one beta, a study's or published.

    Attributes:
        beta: smoothing noise.
        alphas: training noises, increasing.
        risks: Delta as measured; ``low`` and ``high`` its bounds, None where there are none.
        curve: the smoothed line with its band; None of few alphas.
        best: alpha* as measured.
        nearest: the measured alpha nearest to beta.
        images: test images (times seeds) behind each risk.
    """

    beta: float
    alphas: tuple[float, ...]
    risks: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    curve: SmoothRisk | None
    best: float
    nearest: float
    images: int

    @property
    def floor(self) -> float:
        """Where a risk of zero is drawn on a logarithmic axis."""
        return 0.5 / self.images


def study_lines(answer: StudyAnswer) -> list[RiskLine]:
    """Return the lines of a study."""
    return [
        RiskLine(
            found.beta,
            found.alphas,
            tuple(point.risk for point in found.points),
            tuple(point.low for point in found.points),
            tuple(point.high for point in found.points),
            found.curve,
            found.alpha,
            found.gain.alpha,
            found.points[0].trials,
        )
        for found in answer.betas
    ]


def published_lines(published: PublishedResults) -> list[RiskLine]:
    """Return the lines of published error counts; without the images there are no bounds of the points."""
    lines = []
    for beta in published.betas:
        alphas, best = published.alphas(beta), published_best(published, beta)
        risks = tuple(published.errors[alpha, beta] / published.images for alpha in alphas)
        nearest = min(alphas, key=lambda alpha: (abs(alpha - beta), alpha))
        lines.append(
            RiskLine(
                beta, tuple(alphas), risks, None, None, best.curve, best.alpha, nearest, published.images
            )
        )
    return lines


def edges(values: Sequence[float]) -> list[float]:
    """Return the borders of cells around increasing values, half-way between neighbours."""
    if len(values) == 1:
        return [values[0] - 0.05, values[0] + 0.05]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(values)]
    return [2 * values[0] - middles[0], *middles, 2 * values[-1] - middles[-1]]
