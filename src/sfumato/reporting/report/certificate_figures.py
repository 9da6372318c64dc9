"""Interactive figures of certificates: certified accuracy, radii, outcomes, votes. Aggregated, never raw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from sfumato.reporting.certified_sets import (
    FULL,
    MOST_RADII,
    bin_count,
    curve_of,
    largest_radius,
    outcomes,
    radius_axis,
    radius_shares,
    votes_spent,
)
from sfumato.reporting.report.plotly_style import INK, add_band, colours, new_figure, plain
from sfumato.reporting.sources import CertifiedSet

MOST_BANDS = 8
"""Of more lines the bands would hide the lines."""


def certified_accuracy_figure(sets: Sequence[CertifiedSet], *, confidence: float) -> go.Figure:
    """Return certified accuracy against radius, one step line with its band per set."""
    palette = colours(len(sets))
    largest = 1.03 * largest_radius(sets)
    figure = new_figure(
        radius_axis(sets),
        "certified accuracy",
        palette.dark,
        height=460,
        yaxis={"range": [0, 1.01]},
        xaxis={"range": [0, largest]},
    )
    for index, found in enumerate(sets):
        points = curve_of(found, largest, confidence=confidence)
        radii = [point.radius for point in points]
        group = f"set {index}"
        if len(sets) <= MOST_BANDS:
            add_band(
                figure,
                radii,
                [p.low for p in points],
                [p.high for p in points],
                palette.band(index),
                group,
                "vh",
            )
        figure.add_scatter(
            x=radii,
            y=[p.share for p in points],
            mode="lines",
            name=plain(found.name),
            line={"color": palette.lines[index], "width": 2, "shape": "vh"},
            legendgroup=group,
            text=[
                f"{plain(found.name)}<br>radius {p.radius:.3g}: {p.share:.4f} ({p.certified:,} of "
                f"{p.examples:,})<br>{p.low:.4f} to {p.high:.4f}"
                for p in points
            ],
            hoverinfo="text",
        )
    return figure


def radii_figure(sets: Sequence[CertifiedSet]) -> go.Figure:
    """Return how the radii of correct predictions are distributed: share of all examples per bin."""
    palette = colours(len(sets))
    largest = largest_radius(sets)
    edges = np.linspace(0.0, largest, bin_count(sets) + 1)
    figure = new_figure(
        radius_axis(sets),
        "share of all examples",
        palette.dark,
        yaxis={"rangemode": "tozero"},
        xaxis={"range": [0, largest]},
    )
    for index, found in enumerate(sets):
        shares = radius_shares(found, edges)
        figure.add_scatter(
            x=edges,
            y=[*shares, shares[-1]],
            mode="lines",
            name=plain(found.name),
            line={"color": palette.lines[index], "width": 2, "shape": "hv"},
            text=[
                f"{plain(found.name)}<br>radius {low:.3g} to {high:.3g}: {share:.2%}"
                for low, high, share in zip(edges, edges[1:], shares, strict=False)
            ],
            hoverinfo="text",
        )
    return figure


def outcomes_figure(sets: Sequence[CertifiedSet]) -> go.Figure:
    """Return for each set the shares that are correct, wrong and abstained, as one stacked bar."""
    palette = colours(2)
    found = [outcomes(one) for one in sets]
    figure = new_figure("share of the examples", "", palette.dark, height=110 + 30 * len(sets))
    names = [_short(one.name) for one in sets]
    for index, (name, counts) in enumerate(
        (
            ("correct", [one.correct for one in found]),
            ("abstained", [one.abstained for one in found]),
            ("wrong class", [one.wrong for one in found]),
        )
    ):
        shares = [count / one.examples for count, one in zip(counts, found, strict=True)]
        colour = (palette.lines[0], "#9aa0a6", palette.lines[1])[index]
        figure.add_bar(
            y=list(range(len(sets))),
            x=shares,
            orientation="h",
            name=name,
            marker={"color": colour},
            textfont={"color": "#ffffff" if index == 0 else "#111111"},
            text=[f"{share:.0%}" if share >= 0.06 else "" for share in shares],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            hovertext=[
                f"{plain(one.name)}<br>{name}: {count:,} of {every.examples:,} ({count / every.examples:.2%})"
                for one, every, count in zip(sets, found, counts, strict=True)
            ],
            hoverinfo="text",
        )
    figure.update_layout(barmode="stack", legend={"traceorder": "normal"})
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(tickvals=list(range(len(sets))), ticktext=names, autorange="reversed", showgrid=False)
    return figure


def votes_figure(sets: Sequence[CertifiedSet]) -> go.Figure:
    """Return which share of the examples needed more than so many votes, beside 100,100 for every one."""
    told = [(found, spent) for found in sets if (spent := votes_spent(found)) is not None]
    palette = colours(len(told))
    figure = new_figure(
        "votes",
        "share that needed more",
        palette.dark,
        xaxis={"type": "log", "tickformat": "~s", "dtick": 1},
        yaxis={"range": [0, 1.02], "tickformat": ".0%"},
    )
    least = min(int(spent.min()) for _, spent in told)
    for index, (found, spent) in enumerate(told):
        steps = np.unique(spent)
        if len(steps) > MOST_RADII:
            steps = steps[np.linspace(0, len(steps) - 1, MOST_RADII).round().astype(int)]
        more = [float((spent > step).mean()) for step in steps]
        figure.add_scatter(
            x=[0.8 * least, *steps],
            y=[1.0, *more],
            mode="lines",
            name=plain(found.name),
            line={"color": palette.lines[index], "width": 2, "shape": "hv"},
            text=[
                "",
                *(
                    f"{plain(found.name)}<br>more than {s:,} votes: {m:.1%}"
                    for s, m in zip(steps, more, strict=True)
                ),
            ],
            hoverinfo="text",
        )
    figure.add_scatter(
        x=[FULL] * 2,
        y=[0, 1],
        mode="lines",
        name=f"{FULL:,} for every image",
        line={"color": INK, "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    return figure


def _short(name: str) -> str:
    return plain(name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}")
