"""The look of every figure, static or interactive: colours, markers, type and sizes, in one place.

Colours are Okabe & Ito's, which the common kinds of colour blindness tell apart, and lines differ by
marker too.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.errors import SettingError


class Colour(NamedTuple):
    """A colour as #rrggbb: on paper and light pages, and on dark ones."""

    light: str
    dark: str


# Okabe & Ito's palette without yellow, which is too light for lines on white; lighter on dark pages
COLOURS = (
    Colour("#0072B2", "#4FA3E0"),
    Colour("#D55E00", "#FF8A3D"),
    Colour("#009E73", "#2FCFA0"),
    Colour("#CC79A7", "#E59CC6"),
    Colour("#56B4E9", "#9AD8FF"),
    Colour("#E69F00", "#FFC145"),
    Colour("#000000", "#F2F2F2"),
)
BLACK = COLOURS[-1]
INK = Colour("#555555", "#B8B8B8")
"""Of what belongs to no line: entries of the legend that explain a mark, lines to compare with."""
PALE = Colour("#9AA0A6", "#9AA0A6")

MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e0e0e0",
    "grid.linewidth": 0.6,
    "font.size": 9,
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "svg.hashsalt": "sfumato",
    # journals refuse the bitmap-like Type 3 fonts; TrueType text can be searched and edited
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
}

WIDTHS = {"column": 3.25, "text": 5.5}
"""Inches: a column of a two-column paper (ICML, CVPR), and the text of a one-column one (NeurIPS, ICLR)."""

SUFFIXES = (".png", ".svg", ".pdf")
_GOLDEN = (1 + math.sqrt(5)) / 2
_NARROWEST, _WIDEST = 1.5, 40.0


def line_colours(count: int) -> list[Colour]:
    """Return colours for ``count`` lines: distinct hues for few, from dark to light for many."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    from matplotlib import colormaps, colors

    ramp = colormaps["viridis"]
    places = np.linspace((0.0, 0.25), (0.88, 1.0), count)
    return [Colour(*(colors.to_hex(ramp(place)) for place in pair)) for pair in places]


def figure_width(text: str) -> float:
    """Return a figure's width in inches from ``column``, ``text`` or a number of inches.

    >>> figure_width("column"), figure_width("4.5")
    (3.25, 4.5)

    Raises:
        SettingError: anything else, or a width that no page has.
    """
    if text in WIDTHS:
        return WIDTHS[text]
    try:
        width = float(text)
    except ValueError:
        width = math.nan
    if not _NARROWEST <= width <= _WIDEST:
        raise SettingError(
            f"width must be {', '.join(WIDTHS)} or inches from {_NARROWEST:g} to {_WIDEST:g}, got {text!r}"
        )
    return width


def figure_size(width: float, height: float | None = None) -> tuple[float, float]:
    """Return (width, height) in inches, in the golden ratio unless a height is given.

    >>> figure_size(3.25, 2.0)
    (3.25, 2.0)

    Raises:
        SettingError: a height that no page has.
    """
    if height is None:
        return width, round(width / _GOLDEN, 3)
    if not 1.0 <= height <= _WIDEST:
        raise SettingError(f"height must be inches from 1 to {_WIDEST:g}, got {height:g}")
    return width, height


def sized_style(width: float) -> dict[Any, Any]:
    """Return the style for a figure that is printed ``width`` inches wide: 8 pt type up to a column's.

    >>> sized_style(3.25)["font.size"], sized_style(6.8)["font.size"]
    (8, 9)
    """
    return {
        **STYLE,
        "font.size": 8 if width <= WIDTHS["column"] + 0.5 else 9,
        "legend.fontsize": "small",
        "axes.titlesize": "medium",
    }


def require_figure_path(path: Path) -> Path:
    """Return ``path`` if its suffix names a format that figures are written in.

    >>> require_figure_path(Path("study.png")).name
    'study.png'

    Raises:
        SettingError: if it does not.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise SettingError(f"{path}: a figure's name must end in one of {', '.join(SUFFIXES)}")
    return path
