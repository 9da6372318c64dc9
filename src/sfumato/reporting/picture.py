"""A picture as plain data: panels of lines, bands, bars and maps. ``static`` and ``interactive`` draw it.

All text is plain. Greek letters are letters, and each drawer escapes what its library would read as markup.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from sfumato.reporting.style import BLACK, Colour

Numbers: TypeAlias = Sequence[float] | Float[np.ndarray, " points"]
Step: TypeAlias = Literal["straight", "pre", "post"]
"""How points are joined: a value holds up to its x (pre), from its x on (post), or neither."""


@dataclass(frozen=True)
class Line:
    """A line through points, with or without markers.

    Attributes:
        x, y: as many numbers each; none for an entry of the legend alone.
        colour: of line and markers.
        name: its entry in the legend, once however many layers have it; empty for none.
        width: in points; 0 for markers alone.
        dash: solid, dash, dot or dashdot.
        marker: circle, square, triangle-up, diamond, triangle-down, cross, x or star; empty for none.
        size: of the markers, in points.
        hollow: whether the markers are outlines.
        halo: whether a rim sets the line off from a map below it.
        hover: a text for each point, for the report.
        group: what the report shows and hides together with an entry of the legend.
    """

    x: Numbers
    y: Numbers
    colour: Colour
    name: str = ""
    width: float = 1.5
    dash: str = "solid"
    step: Step = "straight"
    marker: str = ""
    size: float = 3.0
    hollow: bool = False
    halo: bool = False
    hover: Sequence[str] = ()
    group: str = ""


@dataclass(frozen=True)
class Band:
    """The area between two lines over the same x.

    Attributes:
        opacity: of its colour, from 0 to 1.
    """

    x: Numbers
    low: Numbers
    high: Numbers
    colour: Colour
    step: Step = "straight"
    group: str = ""
    opacity: float = 0.15


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, each in a row of the vertical axis.

    Attributes:
        rows, begins, ends: as many numbers each.
        labels: a text inside each bar.
        ink: colour of these texts.
    """

    rows: Sequence[int]
    begins: Numbers
    ends: Numbers
    colour: Colour
    name: str = ""
    labels: Sequence[str] = ()
    ink: str = "#111111"
    hover: Sequence[str] = ()


@dataclass(frozen=True)
class HeatMap:
    """Values as colours of the cells of a grid.

    Attributes:
        x, y: borders of the cells, one more than there are columns and rows.
        values: nan where a cell is left empty.
        colours: name of a colour map that both libraries have.
        scale: label of the colour bar; without one there is no bar.
        log: whether colours follow the logarithm.
        limits: values of the first and last colour; those of the data where not given.
        hover: a text for each cell.
    """

    x: Numbers
    y: Numbers
    values: Float[np.ndarray, "rows columns"]
    colours: str = "cividis"
    scale: str = ""
    log: bool = False
    limits: tuple[float | None, float | None] = (None, None)
    hover: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Outline:
    """The line along which values given at the middles of cells cross 1/2. In files only."""

    x: Numbers
    y: Numbers
    values: Float[np.ndarray, "rows columns"]
    colour: Colour = BLACK


Layer: TypeAlias = Line | Band | Bars | HeatMap | Outline


@dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    Attributes:
        label: what it shows, with the unit.
        limits: first and last number; as the data need where not given.
        log: whether it is logarithmic.
        percent: whether shares are written as percentages.
        rows: names of the rows 0, 1, ... from the top, of bars.
        grid: whether grid lines cross it.
    """

    label: str
    limits: tuple[float | None, float | None] = (None, None)
    log: bool = False
    percent: bool = False
    rows: Sequence[str] = ()
    grid: bool = True


@dataclass(frozen=True)
class Panel:
    """A pair of axes and what is drawn on it, the last on top.

    Attributes:
        square: whether both axes have the same scale.
    """

    x: Axis
    y: Axis
    layers: Sequence[Layer]
    title: str = ""
    square: bool = False


@dataclass(frozen=True)
class Picture:
    """Panels in rows, with one legend for all of them.

    Attributes:
        panels: rows of equally many panels. They share their horizontal axis.
        title: above all panels.
        width: in inches, where the user does not choose it.
        tall: height in inches at any width; in the golden ratio if not given.
        heights: of the rows, in proportion to each other; equal if not given.
        share_y: which panels share their vertical axis.
        legend_below: whether the legend stands below the panels, however wide they are.
    """

    panels: tuple[tuple[Panel, ...], ...]
    title: str = ""
    width: float = 6.4
    tall: float | None = None
    heights: Sequence[float] | None = None
    share_y: Literal["all", "col", "none"] = "all"
    legend_below: bool = False


def edges(values: Numbers) -> list[float]:
    """Return the borders of cells around increasing values, half-way between neighbours.

    >>> edges([0.0, 1.0, 3.0]), edges([0.5])
    ([-0.5, 0.5, 2.0, 4.0], [0.45, 0.55])
    """
    if len(values) == 1:
        return [values[0] - 0.05, values[0] + 0.05]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(values)]
    return [2 * values[0] - middles[0], *middles, 2 * values[-1] - middles[-1]]


def log_steps(low: float, high: float) -> tuple[float, ...]:
    """Return which multiples of the powers of ten are marked on a logarithmic axis from ``low`` to ``high``.

    >>> log_steps(0.01, 0.5), log_steps(0.2, 0.4), log_steps(80.0, 100_100.0)
    ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0), (1.0,))
    """
    decades = np.log10(high / low)
    if decades > 3:
        return (1.0,)
    return (1.0, 2.0, 5.0) if decades > 1 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def tick_text(value: float) -> str:
    """Return the number at a tick of a logarithmic axis.

    >>> tick_text(0.05), tick_text(100_000.0)
    ('0.05', '100,000')
    """
    return f"{value:,.6g}"
