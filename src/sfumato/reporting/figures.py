"""Static figures, one style for all: colour-blind-safe hues, direct labels, bands for uncertainty.

Nothing here touches the user's matplotlib: figures are objects of their own, made without ``pyplot`` and its
backend, and the style holds while a figure is drawn.
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sfumato.files import write_bytes
from sfumato.reporting.style import COLOURS

_POINTS = 72  # per inch
_WIDE = 6.0  # inches: from here on a legend fits beside the axes


def new_figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of ``size`` (width, height) in inches."""
    return Figure(figsize=size, layout="constrained")


def line_colours(count: int) -> list[str]:
    """Return colours for so many lines: distinct hues for few, from dark to light for many."""
    if count <= len(COLOURS):
        return list(COLOURS[:count])
    ramp = matplotlib.colormaps["viridis"]
    return [matplotlib.colors.to_hex(ramp(share)) for share in np.linspace(0.0, 0.92, count)]


def place_legend(figure: Figure, axes: Axes, *, below: bool = False) -> None:
    """Put the legend beside the axes, or below them where the figure is narrow; it grows by its rows."""
    handles, labels = axes.get_legend_handles_labels()
    width = figure.get_figwidth()
    if width >= _WIDE and not below:
        axes.legend(handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return
    size = matplotlib.rcParams["font.size"]
    letters = max(len(label.replace("\\", "").replace("$", "")) for label in labels)
    entry = (0.5 * letters + 4.5) * size / _POINTS  # inches, of an average letter
    columns = max(1, min(len(labels), int(width / entry)))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 1.45 * size / _POINTS * (rows - 1))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure (PNG, SVG or PDF by suffix).

    Raises:
        OutputError: the file cannot be written.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format=path.suffix.removeprefix("."))
    write_bytes(path, drawn.getvalue())
