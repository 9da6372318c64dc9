"""What all interactive figures share: import, colours on light and dark pages, axes, text as text."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.colors import sample_colorscale

from sfumato.reporting.style import COLOURS, ON_DARK

MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
_BAND = 0.15
INK, PAPER = "#555555", "#ffffff"


def plain(text: str) -> str:
    """Return ``text`` so that Plotly, which reads tags and entities in labels, shows it as it is.

    >>> plain("<b>a</b> & b")
    '&lt;b&gt;a&lt;/b&gt; &amp; b'
    """
    return html.escape(text, quote=False)


@dataclass(frozen=True)
class Colours:
    """A colour per line, as on a light page, and what each of them and its band becomes on a dark one."""

    lines: tuple[str, ...]
    dark: Mapping[str, str]

    def band(self, index: int) -> str:
        """Return the light tint of a line's band."""
        return _tint(self.lines[index])


def colours(count: int) -> Colours:
    """Return colours for so many lines: distinct hues for few, from dark to light for many."""
    if count <= len(COLOURS):
        lines, dark = COLOURS[:count], ON_DARK[:count]
    else:
        lines, dark = _ramp(count, 0.0, 0.85), _ramp(count, 0.25, 1.0)
    pairs = dict(zip(lines, dark, strict=True))
    return Colours(
        tuple(lines),
        pairs | {_tint(light): _tint(other) for light, other in pairs.items()} | {INK: "#b8b8b8"},
    )


def _ramp(count: int, first: float, last: float) -> tuple[str, ...]:
    places = [first + (last - first) * index / max(1, count - 1) for index in range(count)]
    return tuple(sample_colorscale("Viridis", places, colortype="rgb"))


def _tint(colour: str) -> str:
    red, green, blue = _channels(colour)
    return f"rgba({red}, {green}, {blue}, {_BAND})"


def _channels(colour: str) -> tuple[int, int, int]:
    if colour.startswith("#"):
        return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
    red, green, blue = colour.removeprefix("rgb(").removesuffix(")").split(",")
    return int(red), int(green), int(blue)


def new_figure(
    x: str, y: str, dark: Mapping[str, str], *, height: int = 400, **axes: dict[str, Any]
) -> go.Figure:
    """Return an empty figure with these axis titles (plain text); ``axes`` adds to xaxis and yaxis.

    Colours of text, grid and background are the page's; the page sets them.
    """
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 12, "t": 30, "b": 56},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        showlegend=True,
        # the page gives it rows below the axis, as many as its width needs
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "tracegroupgap": 0},
        hovermode="closest",
        meta={"dark": dict(dark)},
    )
    figure.update_xaxes(title={"text": plain(x)}, automargin=True, zeroline=False, **axes.get("xaxis", {}))
    figure.update_yaxes(title={"text": plain(y)}, automargin=True, zeroline=False, **axes.get("yaxis", {}))
    return figure


def add_band(
    figure: go.Figure,
    x: Sequence[float] | Float[np.ndarray, " points"],
    low: Sequence[float] | Float[np.ndarray, " points"],
    high: Sequence[float] | Float[np.ndarray, " points"],
    colour: str,
    group: str,
    shape: str = "linear",
) -> None:
    """Fill between two lines; it is shown and hidden with the line of its ``group``."""
    common = {
        "x": x,
        "mode": "lines",
        "line": {"width": 0, "shape": shape},
        "legendgroup": group,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    figure.add_scatter(y=low, **common)
    figure.add_scatter(y=high, fill="tonexty", fillcolor=colour, **common)
