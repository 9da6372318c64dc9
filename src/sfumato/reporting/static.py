"""Pictures drawn by matplotlib, for files and for the user's own axes.

Nothing here touches the user's matplotlib. Figures are made without ``pyplot`` and its backend, and the
style holds only while a figure is drawn.
"""

from __future__ import annotations

import io
import re
from functools import singledispatch
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from sfumato.files import write_bytes
from sfumato.reporting.picture import (
    Axis,
    Band,
    Bars,
    HeatMap,
    Layer,
    Line,
    Outline,
    Panel,
    Picture,
    log_steps,
    tick_text,
)
from sfumato.reporting.style import MARKERS, figure_size, require_figure_path, sized_style

_MARKERS = dict(zip(("", *MARKERS, "star"), ("", *"os^DvPX*"), strict=True))
_DASHES = {"solid": "-", "dash": (0, (5, 1.5)), "dot": (0, (1, 1)), "dashdot": (0, (4, 1, 1, 1))}
_GREEK = {"α": r"\alpha", "β": r"\beta", "ζ": r"\zeta", "Δ": r"\Delta"}
_EMPTY = "#f4f4f4"  # cells without a value
_RIMMED = 6.0  # points: markers from this size on have a white rim
_POINTS = 72  # per inch
_WIDE = 6.0  # inches: from here on a legend fits beside the axes


def save_picture(
    picture: Picture, path: Path, *, width: float | None = None, height: float | None = None
) -> None:
    """Draw a picture and save it as PNG, SVG or PDF, by the suffix of ``path``.

    ``width`` and ``height`` are in inches; a legend below the panels adds to the height.

    Raises:
        SettingError: another suffix, or a size that no page has.
        OutputError: the file cannot be written.
    """
    require_figure_path(path)
    inches = figure_size(width or picture.width, height or picture.tall)
    drawn = io.BytesIO()
    with matplotlib.rc_context(sized_style(inches[0])):
        draw(picture, inches).savefig(drawn, format=path.suffix.removeprefix(".").lower())
    write_bytes(path, drawn.getvalue())


def draw(picture: Picture, size: tuple[float, float], *, legend: bool = True) -> Figure:
    """Return the picture as a figure of ``size`` (width, height) in inches."""
    figure = Figure(figsize=size, layout="constrained")
    rows, columns = len(picture.panels), len(picture.panels[0])
    grid = figure.subplots(
        rows,
        columns,
        sharex=True,
        sharey=picture.share_y,
        squeeze=False,
        height_ratios=picture.heights,
    )
    for (row, column), axes in np.ndenumerate(grid):
        draw_on(axes, picture.panels[row][column])
        if row < rows - 1:
            axes.set_xlabel("")
        if column > 0:
            axes.set_ylabel("")
    if picture.title:
        figure.suptitle(mathtext(picture.title), x=0.01, ha="left", fontsize="medium")
    entries: dict[str, Any] = {}
    for axes in grid.flat:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if legend and entries:
        _place_legend(figure, grid.flat[-1], entries, below=picture.legend_below)
    return figure


def draw_on(axes: Axes, panel: Panel) -> Axes:
    """Draw a panel on matplotlib axes and return them, e.g. as a part of the user's own figure."""
    for which, axis in (("x", panel.x), ("y", panel.y)):
        if axis.log:
            axes.set(**{f"{which}scale": "log"})
    for layer in panel.layers:
        _draw(layer, axes)
    axes.grid(visible=panel.x.grid, axis="x")
    axes.grid(visible=panel.y.grid, axis="y")
    axes.set(xlabel=mathtext(panel.x.label), ylabel=mathtext(panel.y.label))
    for set_limits, axis in ((axes.set_xlim, panel.x), (axes.set_ylim, panel.y)):
        if axis.limits != (None, None):  # else limits would no longer follow what shared axes draw
            set_limits(*axis.limits)
    _mark(axes.xaxis, panel.x)
    _mark(axes.yaxis, panel.y)
    if panel.title:
        axes.set_title(mathtext(panel.title), loc="left")
    if panel.square:
        axes.set_aspect("equal")
    return axes


def _mark(axis: MatplotlibAxis, wanted: Axis) -> None:
    if wanted.percent:
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if wanted.log:
        _mark_logarithms(axis)
    if wanted.rows:
        axis.set_ticks(range(len(wanted.rows)), [mathtext(name) for name in wanted.rows])
        axis.set_view_interval(len(wanted.rows) - 0.5, -0.5, ignore=True)


def _mark_logarithms(axis: MatplotlibAxis) -> None:
    axis.set_major_locator(LogLocator(subs=log_steps(*sorted(axis.get_view_interval()))))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
    axis.set_minor_formatter(NullFormatter())


@singledispatch
def _draw(layer: Layer, axes: Axes) -> None:
    raise TypeError(f"no drawing of {layer!r}")


@_draw.register
def _(line: Line, axes: Axes) -> None:
    colour, joined = line.colour.light, {"straight": "default", "pre": "steps-pre", "post": "steps-post"}
    if line.halo:
        axes.plot(line.x, line.y, color="white", lw=line.width + 1.6)
    rim = colour if line.hollow or line.size < _RIMMED else "white"
    axes.plot(
        line.x,
        line.y,
        color=colour,
        lw=line.width,
        ls=_DASHES[line.dash] if line.width else "",
        drawstyle=joined[line.step],
        marker=_MARKERS[line.marker],
        ms=line.size,
        mfc="none" if line.hollow else colour,
        mec=rim,
        mew=1.2 if line.hollow else 0.7,
        label=mathtext(line.name) or None,
        zorder=2 if line.width else 3,
        clip_on=line.marker != "star" or not len(line.x),  # a lowest risk may lie on the axis
    )


@_draw.register
def _(band: Band, axes: Axes) -> None:
    step: Any = None if band.step == "straight" else band.step
    colour = band.colour.light
    axes.fill_between(band.x, band.low, band.high, step=step, color=colour, alpha=band.opacity, lw=0)


@_draw.register
def _(bars: Bars, axes: Axes) -> None:
    lengths = np.subtract(bars.ends, bars.begins)
    drawn = axes.barh(
        bars.rows, lengths, left=bars.begins, height=0.7, color=bars.colour.light, label=mathtext(bars.name)
    )
    if bars.labels:
        axes.bar_label(drawn, bars.labels, label_type="center", fontsize="small", color=bars.ink)


@_draw.register
def _(heat: HeatMap, axes: Axes) -> None:
    low, high = heat.limits
    mesh = axes.pcolormesh(
        heat.x,
        heat.y,
        heat.values,
        cmap=heat.colours,
        rasterized=True,
        **({"norm": LogNorm(low, high)} if heat.log else {"vmin": low, "vmax": high}),
    )
    axes.set_facecolor(_EMPTY)
    if heat.scale:
        bar = axes.figure.colorbar(mesh, ax=axes, label=mathtext(heat.scale))
        if heat.log:
            _mark_logarithms(bar.ax.yaxis)


@_draw.register
def _(outline: Outline, axes: Axes) -> None:
    axes.contour(
        outline.x, outline.y, outline.values, levels=[0.5], colors=outline.colour.light, linewidths=0.6
    )


def mathtext(text: str) -> str:
    r"""Return plain text, escaped so that matplotlib shows it unchanged; Greek letters are in italics.

    >>> print(mathtext("α* for $5"))
    $\alpha^*$ for \$5
    """
    escaped = text.replace("$", r"\$")
    if escaped.startswith("_"):  # such a label is left out of legends
        escaped = f" {escaped}"
    return re.sub(r"([αβζΔ])(\*?)", lambda m: f"${_GREEK[m[1]]}{'^*' if m[2] else ''}$", escaped)


def _place_legend(figure: Figure, axes: Axes, entries: dict[str, Any], *, below: bool) -> None:
    """Put the legend beside the last axes, or below all where the figure is narrow; it grows by its rows."""
    labels, handles = list(entries), list(entries.values())
    width = figure.get_figwidth()
    if width >= _WIDE and not below:
        axes.legend(handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return
    size = matplotlib.rcParams["font.size"]
    letters = max(
        len(line) for label in labels for line in re.sub(r"\\[a-zA-Z]+|[\\$^]", "x", label).split("\n")
    )
    entry = (0.5 * letters + 4.5) * size / _POINTS  # inches, of an average letter
    columns = max(1, min(len(labels), int(width / entry)))
    rows = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 1.45 * size / _POINTS * (rows - 1))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
