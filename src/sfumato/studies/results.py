"""What a study has measured: for every cell (alpha, beta, seed) each test image's prediction and votes.

Everything a study says later (risks, intervals, the best alpha, its uncertainty) is a function of these
per-image results. Within one beta all cells use the same noise for the same image (common random numbers),
so that differences between alphas are paired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from sfumato.certification.certificate import Certificate


@dataclass(frozen=True)
class CellResult:
    """One base classifier, smoothed at one beta, on the test images of a study.

    Attributes:
        alpha: training noise, standard deviation in the input's unit.
        beta: smoothing noise, likewise; 0 is the base classifier itself, one vote.
        seed: of the training (the noise of the votes is keyed by the study's own seed).
        examples: indices of the test images, increasing.
        labels: their true classes.
        predicted: the majority class of the votes, -1 where every vote was NaN.
        votes: noisy copies spent on each image.
        first_votes: how many of these, the first ones, were counted before any look at the result, so
            that ``first_hits / first_votes`` estimates the per-noise-sample accuracy without bias.
        first_hits: how many of the first votes were for the label.
    """

    alpha: float
    beta: float
    seed: int
    examples: Int[np.ndarray, " images"]
    labels: Int[np.ndarray, " images"]
    predicted: Int[np.ndarray, " images"]
    votes: Int[np.ndarray, " images"]
    first_votes: Int[np.ndarray, " images"]
    first_hits: Int[np.ndarray, " images"]

    @property
    def wrong(self) -> Bool[np.ndarray, " images"]:
        """Whether the smoothed prediction differs from the label."""
        return np.asarray(self.predicted != self.labels)

    @property
    def errors(self) -> int:
        """How many predictions differ from the label."""
        return int(self.wrong.sum())

    @property
    def risk(self) -> float:
        """Delta(alpha, beta) on these images."""
        return float(self.wrong.mean())

    @property
    def soft_risk(self) -> float:
        """The share of single noisy copies whose class is not the label, averaged over images."""
        return float(1.0 - (self.first_hits / self.first_votes).mean())


@dataclass(frozen=True)
class StudyResults:
    """All cells of a study that have been measured on the same test images.

    Attributes:
        data: name of the data set.
        unit: what a noise level of 1 means.
        votes: noisy copies per image of which the prediction is the majority.
        cells: by (alpha, beta, seed); complete cells only.
        certificates: by (alpha, beta, seed), where images were certified too.
    """

    data: str
    unit: str
    votes: int
    cells: dict[tuple[float, float, int], CellResult]
    certificates: dict[tuple[float, float, int], list[Certificate]]

    @property
    def alphas(self) -> list[float]:
        """Training noises measured, increasing."""
        return sorted({alpha for alpha, _, _ in self.cells})

    @property
    def betas(self) -> list[float]:
        """Smoothing noises measured, increasing."""
        return sorted({beta for _, beta, _ in self.cells})

    @property
    def seeds(self) -> list[int]:
        """Training seeds measured, increasing."""
        return sorted({seed for _, _, seed in self.cells})
