"""Pictures drawn by Plotly, for the report: numbers on pointing, colours for light and dark pages."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sfumato.reporting.picture import (
    Axis,
    Band,
    Bars,
    HeatMap,
    Layer,
    Line,
    Picture,
    log_steps,
    tick_text,
)
from sfumato.reporting.style import Colour

_HALO = Colour("rgba(255, 255, 255, 0.75)", "rgba(0, 0, 0, 0.75)")
_SHAPES = {"straight": "linear", "pre": "vh", "post": "hv"}
_DENSE = {"dot": "3px,2px"}  # else hardly seen in pale colours
_PIXELS = 4 / 3  # per point
_LONGEST_ROW = 24  # letters of the name of a row


def plain(text: str) -> str:
    """Return ``text`` so that Plotly, which reads tags and entities in labels, shows it as it is.

    >>> plain("<b>a</b> & b")
    '&lt;b&gt;a&lt;/b&gt; &amp; b'
    """
    return html.escape(text, quote=False).replace("\n", "<br>")


def draw(picture: Picture) -> go.Figure:
    """Return a picture of one panel as an interactive figure.

    Colours of text, grid and background are the page's; the page sets them, and exchanges the colours
    named in ``layout.meta["dark"]`` while it is dark.
    """
    ((panel,),) = picture.panels
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=460 if picture.tall is None else round(105 * picture.tall),
        margin={"l": 64, "r": 12, "t": 30, "b": 56},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        showlegend=True,
        # the page gives it rows below the axis, as many as its width needs
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "tracegroupgap": 0},
        legend_traceorder="normal",
        hovermode="closest",
        barmode="overlay",
        bargap=0.3,
        meta={"dark": _dark(panel.layers)},
    )
    for layer in panel.layers:
        _draw(layer, figure)
    figure.update_xaxes(**_axis(panel.x, [trace.x for trace in figure.data]))
    figure.update_yaxes(**_axis(panel.y, [trace.y for trace in figure.data]))
    return figure


def _dark(layers: Sequence[Layer]) -> dict[str, str]:
    """Return what each colour, and its tint, becomes on a dark page."""
    colours = {layer.colour for layer in layers if not isinstance(layer, HeatMap)}
    bands = [layer for layer in layers if isinstance(layer, Band)]
    tints = {Colour(*(_tint(colour, band.opacity) for colour in band.colour)) for band in bands}
    return dict(sorted(colours | tints | {_HALO}))


def _tint(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def _axis(axis: Axis, drawn: Iterable[Any]) -> dict[str, Any]:
    """Return Plotly's settings of an axis on which these coordinates are ``drawn``."""
    limits = list(axis.limits)
    settings: dict[str, Any] = {
        "title": {"text": plain(axis.label)},
        "automargin": True,
        "zeroline": False,
        "showgrid": axis.grid,
    }
    if axis.log:
        values = [value for some in drawn for value in some if value]
        low, high = (min(values), max(values)) if values else (1.0, 10.0)
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [step * 10.0**decade for decade in decades for step in log_steps(low, high)]
        ticks = [tick for tick in ticks if 0.95 * low <= tick <= 1.05 * high]
        settings |= {"type": "log", "tickvals": ticks, "ticktext": [tick_text(tick) for tick in ticks]}
        limits = [None if limit is None else math.log10(limit) for limit in limits]
    if axis.percent:
        settings["tickformat"] = ".0%"
    if axis.rows:
        names = [plain(name if len(name) <= _LONGEST_ROW else _shortened(name)) for name in axis.rows]
        settings |= {"tickvals": list(range(len(names))), "ticktext": names}
        limits = [len(names) - 0.5, -0.5]
    return settings if limits == [None, None] else settings | {"range": limits}


def _shortened(name: str) -> str:
    """Return a long name without its middle: names of files differ at either end."""
    return f"{name[: _LONGEST_ROW // 2 - 1]}…{name[-_LONGEST_ROW // 2 :]}"


def _hover(texts: Sequence[str]) -> dict[str, Any]:
    return {"text": [plain(text) for text in texts], "hoverinfo": "text"} if texts else {"hoverinfo": "skip"}


@singledispatch
def _draw(layer: Layer, figure: go.Figure) -> None:
    raise TypeError(f"no drawing of {layer!r}")


@_draw.register
def _(line: Line, figure: go.Figure) -> None:
    common = {
        "x": line.x if len(line.x) else [None],
        "y": line.y if len(line.y) else [None],
        "legendgroup": line.group or None,
    }
    if line.halo:
        rim = {"color": _HALO.light, "width": _PIXELS * line.width + 3}
        figure.add_scatter(**common, mode="lines", line=rim, showlegend=False, hoverinfo="skip")
    edge = {"width": 2, "color": line.colour.light} if line.hollow else {"width": 1, "color": _HALO.light}
    figure.add_scatter(
        **common,
        **_hover(line.hover),
        mode="+".join(["lines"] * (line.width > 0) + ["markers"] * bool(line.marker)),
        name=plain(line.name),
        showlegend=bool(line.name) and plain(line.name) not in {trace.name for trace in figure.data},
        line={
            "color": line.colour.light,
            "width": _PIXELS * line.width,
            "dash": _DENSE.get(line.dash, line.dash),
            "shape": _SHAPES[line.step],
        },
        marker={
            "color": line.colour.light,
            "symbol": f"{line.marker or 'circle'}{'-open' if line.hollow else ''}",
            "size": _PIXELS * line.size + 2,
            "line": edge,
        },
        cliponaxis=line.marker != "star",  # a lowest risk may lie on the axis
    )


@_draw.register
def _(band: Band, figure: go.Figure) -> None:
    common = {
        "x": band.x,
        "mode": "lines",
        "line": {"width": 0, "shape": _SHAPES[band.step]},
        "legendgroup": band.group or None,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    figure.add_scatter(y=band.low, **common)
    figure.add_scatter(
        y=band.high, fill="tonexty", fillcolor=_tint(band.colour.light, band.opacity), **common
    )


@_draw.register
def _(bars: Bars, figure: go.Figure) -> None:
    figure.add_bar(
        y=bars.rows,
        base=bars.begins,
        x=np.subtract(bars.ends, bars.begins),
        orientation="h",
        name=plain(bars.name),
        showlegend=bool(bars.name),
        marker={"color": bars.colour.light},
        textfont={"color": bars.ink},
        text=[plain(label) for label in bars.labels],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        hovertext=[plain(text) for text in bars.hover],
        hoverinfo="text" if bars.hover else "skip",
    )


@_draw.register
def _(heat: HeatMap, figure: go.Figure) -> None:
    low, high = heat.limits
    found = {"zmin": low, "zmax": high} if None not in heat.limits else {}
    bar: dict[str, Any] = {"title": {"text": plain(heat.scale)}, "thickness": 14}
    values = heat.values
    if heat.log:
        values = np.log10(values)
        axis = _axis(Axis("", log=True), [heat.values[np.isfinite(heat.values)]])
        bar |= {"tickvals": np.log10(axis["tickvals"]), "ticktext": axis["ticktext"]}
    figure.add_trace(
        go.Heatmap(
            x=heat.x,
            y=heat.y,
            z=values,
            text=[[plain(text) for text in row] for row in heat.hover],
            hoverinfo="text" if heat.hover else "z",
            hoverongaps=False,
            colorscale=heat.colours,
            colorbar=bar,
            showscale=bool(heat.scale),
            **found,
        )
    )
