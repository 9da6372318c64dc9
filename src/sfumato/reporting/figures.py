"""Static figures, one style for all: colour-blind-safe hues, direct labels, bands for uncertainty.

Nothing here touches the user's matplotlib: figures are objects of their own, made without ``pyplot`` and its
backend, and the style holds while a figure is drawn.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sfumato.certification.accuracy import certified_accuracy
from sfumato.certification.certificate import Certificate
from sfumato.files import write_bytes
from sfumato.reporting.style import COLOURS, MARKERS, STYLE
from sfumato.smoothing.risk import Risk

_POINTS = 72  # per inch
_WIDE = 6.0  # inches: from here on a legend fits beside the axes


def draw_risk(
    risks: Mapping[tuple[float, float], Risk], unit: str, title: str, path: Path, floor: float | None = None
) -> None:
    """Draw Delta against alpha, one line per beta, and save it to ``path`` (PNG, SVG or PDF by suffix).

    Bands are exact 95 % intervals; the filled star is each beta's lowest measured risk, the open ring
    is alpha = beta. ``floor`` is where a risk of zero is drawn on the logarithmic axis.

    Raises:
        OutputError: the file cannot be written.
    """
    alphas = sorted({alpha for alpha, _ in risks})
    betas = sorted({beta for _, beta in risks})
    some = next(iter(risks.values()))
    lowest = floor or 0.5 / some.examples
    with matplotlib.rc_context(STYLE):
        figure = new_figure((6.4, 4.2))
        axes = figure.subplots()
        for index, beta in enumerate(betas):
            line = [risks[alpha, beta] for alpha in alphas]
            colour = COLOURS[index % len(COLOURS)]
            values = np.maximum([risk.value for risk in line], lowest)
            low, high = np.array([risk.interval() for risk in line]).T
            axes.fill_between(
                alphas, np.maximum(low, lowest), np.maximum(high, lowest), color=colour, alpha=0.12, lw=0
            )
            axes.plot(
                alphas,
                values,
                color=colour,
                marker=MARKERS[index % len(MARKERS)],
                ms=3,
                lw=1.4,
                label=rf"$\beta$ = {beta:g}",
            )
            best = int(np.argmin([risk.errors for risk in line]))
            axes.plot(
                alphas[best], values[best], marker="*", ms=13, color=colour, mec="white", mew=0.7, zorder=5
            )
            if beta in alphas:
                axes.plot(
                    beta,
                    values[alphas.index(beta)],
                    marker="o",
                    ms=10,
                    mfc="none",
                    mec=colour,
                    mew=1.3,
                    zorder=4,
                )
        axes.plot([], [], marker="*", ms=10, color="#555555", lw=0, label="lowest")
        axes.plot([], [], marker="o", ms=8, mfc="none", mec="#555555", lw=0, label=r"$\alpha = \beta$")
        axes.set_yscale("log")
        axes.set_xlabel(rf"training noise $\alpha$ ({unit})")
        axes.set_ylabel(r"risk $\Delta(\alpha, \beta)$")
        axes.set_title(title, loc="left")
        axes.legend(ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5))
        save_figure(figure, path)


def draw_certified_accuracy(
    certificates: Mapping[str, Sequence[Certificate]], unit: str, title: str, path: Path
) -> None:
    """Draw certified accuracy against radius, one step line per set, and save it to ``path``.

    Bands are pointwise exact 95 % intervals over the sample of examples.

    Raises:
        OutputError: the file cannot be written.
    """
    largest = max(c.radius for rows in certificates.values() for c in rows)
    radii = np.linspace(0, largest * 1.05 or 1.0, 400)
    with matplotlib.rc_context(STYLE):
        figure = new_figure((6.4, 4.2))
        axes = figure.subplots()
        for index, (name, rows) in enumerate(certificates.items()):
            _certified_line(axes, rows, radii, name, COLOURS[index % len(COLOURS)])
        axes.set_ylim(0, 1)
        axes.set_xlim(0, radii[-1])
        axes.set_xlabel(f"L2 radius ({unit})")
        axes.set_ylabel("certified accuracy")
        axes.set_title(title, loc="left")
        axes.legend(loc="upper right")
        save_figure(figure, path)


def _certified_line(
    axes: Axes, rows: Sequence[Certificate], radii: np.ndarray, name: str, colour: str
) -> None:
    points = certified_accuracy(rows, [float(r) for r in radii])
    axes.fill_between(
        radii, [p.low for p in points], [p.high for p in points], color=colour, alpha=0.12, lw=0
    )
    axes.plot(radii, [p.share for p in points], color=colour, lw=1.6, label=name)


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
