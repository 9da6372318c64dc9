"""The criterion for the best noises: the loss of each test image in a cell of a study, 0 or 1, or in parts.

Every set, test and gain of ``answers`` works on these losses. A new objective is a class here or in a module
of your own, with ``register_objective``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from sfumato.certification.accuracy import certified_radii, meant_radius, require_asked
from sfumato.certification.certificate import Certificate, lowest_confidence
from sfumato.errors import DataError, SettingError, require_count, require_nonnegative
from sfumato.plans import asked_radii
from sfumato.studies.results import CellResult, StudyResults

Key = tuple[float, float, int]
"""Training noise alpha, smoothing noise beta, training seed."""

_MOST_PARTS = 100  # of an image; every part is a copy of the losses in memory


class Cell(Protocol):
    """The data of one cell that an objective reads: at least the indices of its images."""

    @property
    def examples(self) -> Int[np.ndarray, " images"]:
        """Indices of the test images, increasing."""

    @property
    def labels(self) -> Int[np.ndarray, " images"]:
        """Their true classes."""


CellT = TypeVar("CellT", bound=Cell)


class Objective(ABC, Generic[CellT]):
    """The loss of each image in a cell.

    Attributes:
        name: as it is written on the command line.
    """

    name: ClassVar[str]

    @abstractmethod
    def loss(self, cell: CellT) -> Bool[np.ndarray, "*parts images"]:
        """Return for each test image of the cell whether it is lost; in ``parts`` if it may be so in part.

        An image of which k of ``parts`` parts are lost counts as k / parts of an image.
        """

    def cells(self, results: StudyResults, beta: float | None = None) -> Mapping[Key, CellT]:
        """Return the cells from which the losses are computed, for one ``beta`` or all: by default the votes.

        Raises:
            SettingError: a beta that was not measured.
            DataError: the study lacks what the objective needs.
        """
        return at_beta(results.cells, beta)  # type: ignore[arg-type]  # others override this

    def error(self, results: StudyResults) -> float:
        """Return the probability that an image that is truly lost counts as not lost; 0 of votes."""
        return 0.0


def at_beta(cells: Mapping[Key, CellT], beta: float | None) -> dict[Key, CellT]:
    """Return the cells of one beta, or all for None.

    Raises:
        SettingError: a beta that was not measured.
        DataError: no cells.
    """
    if not cells:
        raise DataError("the study has no finished cell yet; at least one is needed")
    if beta is None:
        return dict(cells)
    found = {key: cell for key, cell in cells.items() if key[1] == beta}
    if not found:
        known = ", ".join(f"{b:g}" for b in sorted({b for _, b, _ in cells}))
        raise SettingError(f"beta must be one of those measured ({known}), got {beta:g}")
    return found


class VoteRisk(Objective[CellResult]):
    """The risk Delta(alpha, beta) of Pal & Sulam 2023: an image is lost if the majority vote is wrong."""

    name: ClassVar[str] = "vote-risk"

    def __str__(self) -> str:
        return "vote risk"

    def loss(self, cell: CellResult) -> Bool[np.ndarray, " images"]:
        """Return for each test image of the cell whether its prediction differs from its label."""
        return cell.wrong


@dataclass(frozen=True)
class CertifiedCell:
    """The certificates of one cell.

    Attributes:
        examples: indices of the test images, increasing.
        labels: their true classes.
        radii: certified radius where the prediction is the label, elsewhere -1; unit of the input.
        asked: the radii that the plan of every image was asked about; none where some plan finds its own.
    """

    examples: Int[np.ndarray, " images"]
    labels: Int[np.ndarray, " images"]
    radii: Float[np.ndarray, " images"]
    asked: tuple[float, ...] = ()

    @staticmethod
    def of(certificates: Sequence[Certificate]) -> CertifiedCell:
        """Return the certificates in the order of their images."""
        rows = sorted(certificates, key=lambda row: row.idx)
        radii = zip(rows, certified_radii(rows), strict=True)
        asked = [set(asked_radii(plan)) for plan in {row.plan for row in rows}]
        return CertifiedCell(
            np.array([row.idx for row in rows]),
            np.array([row.label for row in rows]),
            np.array([radius if row.correct else -1.0 for row, radius in radii]),
            tuple(set.intersection(*asked)) if asked else (),
        )


class CertifiedAccuracy(Objective[CertifiedCell]):
    """An image is lost unless it is predicted correctly and certified at ``radius``.

    Args:
        radius: in the unit of the input.

    Raises:
        SettingError: a radius that is negative or not finite.
    """

    name: ClassVar[str] = "certified-accuracy"

    def __init__(self, radius: float) -> None:
        self.radius = self.asked = require_nonnegative("radius", radius)

    def __str__(self) -> str:
        return f"certified accuracy at radius {self.radius:g}"

    def loss(self, cell: CertifiedCell) -> Bool[np.ndarray, " images"]:
        """Return for each image of the cell whether it is not certified at the radius for its label."""
        return np.asarray(cell.radii < meant_radius(self.radius, cell.asked))

    def cells(self, results: StudyResults, beta: float | None = None) -> Mapping[Key, CertifiedCell]:
        """Return the certificates, of one ``beta`` or of all.

        Raises:
            SettingError: a beta that was not certified.
            DataError: no certificates, images without a label, certificates by a plan that guarantees nothing
                or made for other radii only, or no image certified at the radius.
        """
        certified = {key: rows for key, rows in results.certificates.items() if rows}
        if not certified:
            raise DataError(
                f"radius {self.radius:g} needs certificates and the study has only votes; add a table "
                "[certification] to its study file and run it again"
            )
        _require_guarantee(row for rows in certified.values() for row in rows)
        require_asked(self.radius, (row for rows in certified.values() for row in rows))
        cells = {key: CertifiedCell.of(rows) for key, rows in certified.items()}
        for (alpha, b, _), cell in cells.items():
            if cell.labels.min() < 0:
                raise DataError(f"the certificates of alpha {alpha:g}, beta {b:g} lack labels")
        found = at_beta(cells, beta)
        self._require_reached(cells, found)
        return found

    def _require_reached(
        self, cells: Mapping[Key, CertifiedCell], found: Mapping[Key, CertifiedCell]
    ) -> None:
        """Raise DataError if no image of ``found`` is certified at the radius; name the beta that could."""
        if not all(self.loss(cell).all() for cell in found.values()):
            return
        reach, beta = max((max(0.0, float(cell.radii.max())), b) for (_, b, _), cell in found.items())
        able = sorted({b for (_, b, _), cell in cells.items() if not self.loss(cell).all()})
        most = max(float(cell.radii.max()) / b for (_, b, _), cell in cells.items())
        could = f"; beta {', '.join(f'{b:g}' for b in able)} could"
        if not able:
            could = f"; a beta of about {self.radius / most:.2g} could" if most > 0 else ""
        asked = f"beta {beta:g} does not certify" if able else "no measured beta certifies"
        raise DataError(
            f"{asked} radius {self.radius:g}: the largest radius certified is {reach:g}, at beta "
            f"{beta:g}{could}"
        )

    def error(self, results: StudyResults) -> float:
        """Return the largest error of one certificate: the usual one for rows without confidence and plan."""
        return 1.0 - lowest_confidence(row for rows in results.certificates.values() for row in rows)


def _require_guarantee(certificates: Iterable[Certificate]) -> None:
    """Raise DataError if a certificate is by a plan that guarantees nothing: its radius bounds nothing."""
    for row in certificates:
        if lowest_confidence([row]) == 0.0:
            raise DataError(
                f"the certificates are by {row.plan}, which guarantees nothing; certify by another plan, "
                "such as decide, to compare what is certified"
            )


class WeightedAccuracy(Objective[CertifiedCell]):
    """Certified accuracy at several radii, their weighted mean.

    An image has as many parts as the weights add up to, and loses those of the radii at which it is not
    certified. So the weights are whole numbers: 2 and 1 count the first radius twice. The tests of
    ``statistics.compare`` take parts as they take repeated trainings: no longer exactly, for many images.

    Args:
        weights: of each radius, in the unit of the input.

    Raises:
        SettingError: no radius, one that is negative or not finite, a weight that is not a whole number of
            at least 1, weights that add up to more than 100.
    """

    name: ClassVar[str] = "weighted-accuracy"

    def __init__(self, weights: Mapping[float, int]) -> None:
        if not weights:
            raise SettingError("a weighted accuracy needs at least one radius, got none")
        self.asked = dict(weights)
        self.parts = {CertifiedAccuracy(r): require_count("weight", w) for r, w in weights.items()}
        if (total := sum(self.parts.values())) > _MOST_PARTS:
            raise SettingError(f"weights must add up to at most {_MOST_PARTS}, got {total}; give small ones")

    def __str__(self) -> str:
        told = ", ".join(f"{part.radius:g} (weight {weight})" for part, weight in self.parts.items())
        return f"certified accuracy, weighted mean over radius {told}"

    def loss(self, cell: CertifiedCell) -> Bool[np.ndarray, "parts images"]:
        """Return for each part of each image whether it is lost."""
        return np.repeat([part.loss(cell) for part in self.parts], list(self.parts.values()), axis=0)

    def cells(self, results: StudyResults, beta: float | None = None) -> Mapping[Key, CertifiedCell]:
        """Return the certificates; raises as ``CertifiedAccuracy`` does at each of the radii."""
        found = [part.cells(results, beta) for part in self.parts]
        return found[0]

    def error(self, results: StudyResults) -> float:
        """Return the largest error of one certificate."""
        return next(iter(self.parts)).error(results)


OBJECTIVES: dict[str, type[Objective[Any]]] = {VoteRisk.name: VoteRisk}

Registered = TypeVar("Registered", bound=type[Objective[Any]])


def register_objective(objective: Registered) -> Registered:
    """Make an objective known by its name, to the command line too; usable as a decorator.

    Raises:
        SettingError: another objective has this name.
    """
    if OBJECTIVES.setdefault(objective.name, objective) is not objective:
        raise SettingError(f"an objective {objective.name!r} is registered already; choose another name")
    return objective


def make_objective(name: str) -> Objective[Any]:
    """Return the objective of this name.

    >>> make_objective("vote-risk").name
    'vote-risk'

    Raises:
        SettingError: an unknown name.
    """
    if name not in OBJECTIVES:
        raise SettingError(f"objective must be one of {', '.join(OBJECTIVES)}, got {name!r}")
    return OBJECTIVES[name]()
