"""Figures on matplotlib axes: the user's own, or those of a new figure. The axes are returned.

They are the figures of ``sfumato plot``. On axes of the user the user's own matplotlib settings hold; a new
figure has Sfumato's style. ``pyplot`` is not used: a new figure is saved with ``axes.figure.savefig``, and
notebooks show ``axes.figure``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

from sfumato.answers.best import StudyAnswer
from sfumato.answers.best_pair import PairAnswer
from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.certification.measure import Measure, common_measure
from sfumato.errors import DataError
from sfumato.reporting import certified_figures
from sfumato.reporting.pair_figures import best_pair_map
from sfumato.reporting.picture import Picture
from sfumato.reporting.sources import CertifiedSet
from sfumato.reporting.static import draw, draw_on
from sfumato.reporting.study_figures import best_alpha, study_risk
from sfumato.reporting.style import figure_size, sized_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Sets = Sequence[Certificate] | Mapping[str, Sequence[Certificate]]
"""Certificates, or several of them by the name that the legend uses."""


def plot_certified_accuracy(
    certificates: Sets,
    *,
    axes: Axes | None = None,
    confidence: float = 0.95,
    unit: str = "",
    norm: str | None = None,
    legend: bool = True,
) -> Axes:
    """Draw certified accuracy against the radius, a line with its band for each set, and return the axes.

    ``unit`` is that of the radii and ``norm`` theirs, for the label; left out, what the certificates say of
    themselves, or L2. Bands hold at ``confidence`` for each radius by itself.

    >>> row = Certificate(0, 1, 1, 0.5, 0.1)
    >>> plot_certified_accuracy({"mine": [row]}, unit="pixels in [0, 1]").get_xlabel()
    'L2 radius (pixels in [0, 1])'

    Raises:
        DataError: no certificates, or some whose radii cannot be compared.
    """
    sets = _radii_of(certificates, unit, norm)
    return _drawn(certified_figures.certified_accuracy(sets, confidence=confidence), axes, legend)


def plot_radii(
    certificates: Sets,
    *,
    axes: Axes | None = None,
    unit: str = "",
    norm: str | None = None,
    legend: bool = True,
) -> Axes:
    """Draw how the radii of correct predictions are distributed, and return the axes.

    Raises:
        DataError: no certificates, or some whose radii cannot be compared.
    """
    return _drawn(certified_figures.radii(_radii_of(certificates, unit, norm)), axes, legend)


def plot_votes(certificates: Sets, *, axes: Axes | None = None, legend: bool = True) -> Axes:
    """Draw the share of examples that needed more than a number of votes, and return the axes.

    Raises:
        DataError: no certificates, or none that state their votes.
    """
    return _drawn(certified_figures.votes(_sets(certificates)), axes, legend)


def plot_outcomes(certificates: Sets, *, axes: Axes | None = None, legend: bool = True) -> Axes:
    """Draw the shares that are correct, abstained and wrong, a bar for each set, and return the axes.

    Raises:
        DataError: no certificates.
    """
    return _drawn(certified_figures.outcome_bars(_sets(certificates)), axes, legend)


def plot_risk(answer: StudyAnswer, *, axes: Axes | None = None, legend: bool = True) -> Axes:
    """Draw the risk against alpha, a line with its band for each beta, and return the axes."""
    return _drawn(study_risk(answer), axes, legend)


def plot_best_alpha(answer: StudyAnswer, *, axes: Axes | None = None, legend: bool = True) -> Axes:
    """Draw the best alpha against beta with its confidence set, and return the axes."""
    return _drawn(best_alpha(answer), axes, legend)


def plot_best_pair(
    answer: PairAnswer, *, axes: Axes | None = None, unit: str = "unit of the input", legend: bool = True
) -> Axes:
    """Draw the map over all pairs of noises with the best pair and its set, and return the axes.

    ``unit`` is that of alpha and beta, for the labels.
    """
    return _drawn(best_pair_map(answer, unit), axes, legend)


def _radii_of(certificates: Sets, unit: str, norm: str | None) -> list[CertifiedSet]:
    """Return sets whose radii can be compared, with the unit and the norm of their label."""
    named = certificates if isinstance(certificates, Mapping) else {"certificates": certificates}
    measures = [(name, rows.measure) for name, rows in named.items() if isinstance(rows, Certificates)]
    said = [(name, measure) for name, measure in measures if measure is not None]
    found = common_measure(said) if said else Measure()
    return _sets(certificates, unit or found.unit, norm or found.norm)


def _sets(certificates: Sets, unit: str = "", norm: str = "L2") -> list[CertifiedSet]:
    named = certificates if isinstance(certificates, Mapping) else {"certificates": certificates}
    if not named or not all(named.values()):
        raise DataError("there are no certificates to draw; give at least one for each name")
    return [CertifiedSet(name, rows, unit, Path(), {"norm": norm}) for name, rows in named.items()]


def _drawn(picture: Picture, axes: Axes | None, legend: bool) -> Axes:
    ((panel,),) = picture.panels
    if axes is not None:
        draw_on(axes, panel)
        if legend and axes.get_legend_handles_labels()[0]:
            axes.legend()
        return axes
    size = figure_size(picture.width, picture.tall)
    with matplotlib.rc_context(sized_style(size[0])):
        figure = draw(picture, size, legend=legend)
    return figure.axes[0]
