"""The measurements of a study: for every cell (alpha, beta, seed) each image's prediction and votes.

Everything a study says later (risks, intervals, the best alpha, its uncertainty) is a function of these
per-image results. Within one beta all cells use the same noise for the same image (common random numbers),
so that differences between alphas are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sfumato.certification.certificate import Certificate, certificate_columns
from sfumato.frames import columns_of, data_frame
from sfumato.notebooks import html_list
from sfumato.smoothing.risk import ImageVotes

_PLACE = ("alpha", "beta", "seed")


@dataclass(frozen=True)
class _Place:
    alpha: float
    beta: float
    seed: int


@dataclass(frozen=True)
class CellResult(ImageVotes, _Place):
    """One base classifier, smoothed at one beta, on the test images of a study.

    Attributes:
        alpha: training noise, standard deviation in the input's unit.
        beta: smoothing noise, likewise; 0 is the base classifier itself, one vote.
        seed: of the training (the noise of the votes is keyed by the study's own seed).
    """


@dataclass(frozen=True)
class StudyResults:
    """All cells of a study that have been measured on the same test images.

    Attributes:
        data: name of the data set.
        unit: what a noise level of 1 means.
        votes: noisy copies per image; their majority is the prediction.
        cells: by (alpha, beta, seed); complete cells only.
        certificates: by (alpha, beta, seed), where images were certified too.
    """

    data: str
    unit: str
    votes: int
    cells: dict[tuple[float, float, int], CellResult]
    certificates: dict[tuple[float, float, int], list[Certificate]]

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per cell: its risks, and the mean number of votes.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        cells = [self.cells[place] for place in sorted(self.cells)]
        return data_frame(
            {
                **columns_of(cells, ("alpha", "beta", "seed")),
                "images": [len(cell.examples) for cell in cells],
                **columns_of(cells, ("errors", "risk", "soft_risk")),
                "votes": [float(cell.votes.mean()) for cell in cells],
            },
            index=_PLACE,
        )

    def _repr_html_(self) -> str:
        rows = [
            [f"{alpha:g}", f"{beta:g}", seed, len(cell.examples), f"{cell.risk:.4f}", f"{cell.soft_risk:.4f}"]
            for (alpha, beta, seed), cell in sorted(self.cells.items())
        ]
        certified = sum(map(len, self.certificates.values()))
        caption = (
            f"{self.data}: {len(self.cells)} cells, {self.votes} votes each, {certified:,} certificates; "
            f"alpha and beta in: {self.unit}"
        )
        return html_list(caption, ["alpha", "beta", "seed", "images", "risk", "soft risk"], rows)

    def certificates_to_frame(self) -> Any:
        """Return a pandas data frame with one row per certificate of every cell.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        rows = [(place, row) for place in sorted(self.certificates) for row in self.certificates[place]]
        places = {name: [place[at] for place, _ in rows] for at, name in enumerate(_PLACE)}
        return data_frame(places | certificate_columns(row for _, row in rows), index=(*_PLACE, "idx"))

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
