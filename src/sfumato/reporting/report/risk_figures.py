"""Interactive figures of the risk Delta(alpha, beta): its lines, its map, and the votes it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from sfumato.reporting.report.plotly_style import (
    INK,
    MARKERS,
    add_band,
    colours,
    new_figure,
)
from sfumato.reporting.risk_lines import RiskLine, edges
from sfumato.studies.results import StudyResults

_HALO = "rgba(255, 255, 255, 0.75)"  # around lines that lie on the map


def risk_figure(lines: Sequence[RiskLine], unit: str) -> go.Figure:
    """Return risk against alpha, one line per beta.

    Points are measured, with their exact intervals on hovering; line and band are the smoothed curve and
    its band (without enough alphas: the measured values and their exact intervals). The star is
    where the line is lowest, the ring the measured alpha nearest to beta.
    """
    palette = colours(len(lines))
    ticks = _log_ticks(*_log_range(lines))
    axis = {
        "type": "log",
        "tickvals": [10**tick for tick in ticks],
        "ticktext": [f"{10**tick:.2g}" for tick in ticks],
    }
    figure = new_figure(f"training noise α ({unit})", "risk Δ(α, β)", palette.dark, height=460, yaxis=axis)
    for index, line in enumerate(lines):
        group, colour = f"beta {line.beta:g}", palette.lines[index]
        measured = np.maximum(line.risks, line.floor)
        if line.curve is not None:
            alphas, values = line.curve.alphas, np.maximum(line.curve.risk, line.floor)
            low, high = line.curve.low, line.curve.high
            star = (line.curve.alpha, max(line.curve.lowest, line.floor))
        else:
            alphas, values = np.array(line.alphas), measured
            low = np.array(line.low if line.low is not None else line.risks)
            high = np.array(line.high if line.high is not None else line.risks)
            star = (line.best, float(measured[line.alphas.index(line.best)]))
        add_band(
            figure,
            alphas,
            np.maximum(low, line.floor),
            np.maximum(high, line.floor),
            palette.band(index),
            group,
        )
        figure.add_scatter(
            x=alphas,
            y=values,
            mode="lines",
            name=f"β = {line.beta:g}",
            line={"color": colour, "width": 2},
            legendgroup=group,
            hoverinfo="skip",
        )
        hover = [
            f"β {line.beta:g}, α {alpha:g}<br>"
            f"risk {risk:.4f} ({round(risk * line.images)} of {line.images:,})"
            + (
                ""
                if line.low is None or line.high is None
                else f"<br>{line.low[i]:.4f} to {line.high[i]:.4f}"
            )
            for i, (alpha, risk) in enumerate(zip(line.alphas, line.risks, strict=True))
        ]
        figure.add_scatter(
            x=line.alphas,
            y=measured,
            mode="markers",
            marker={"color": colour, "symbol": MARKERS[index % len(MARKERS)], "size": 6},
            legendgroup=group,
            showlegend=False,
            text=hover,
            hoverinfo="text",
        )
        nearest = line.alphas.index(line.nearest)
        for x, y, symbol, size, what in (
            (line.nearest, float(measured[nearest]), "circle-open", 15, "α nearest β"),
            (*star, "star", 15, "lowest"),
        ):
            figure.add_scatter(
                x=[x],
                y=[y],
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": size, "line": _outline(symbol, colour)},
                legendgroup=group,
                showlegend=False,
                text=[f"β {line.beta:g}: {what}<br>α {x:.3g}, risk {y:.4f}"],
                hoverinfo="text",
            )
    for symbol, name in (("star", "lowest: α*"), ("circle-open", "α nearest β")):
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=name,
            marker={"color": INK, "symbol": symbol, "size": 11},
            hoverinfo="skip",
        )
    return figure


def risk_map(lines: Sequence[RiskLine], unit: str) -> go.Figure:
    """Return the map of the risk over (alpha, beta), with the ridge alpha*(beta) and the diagonal.

    Colour is the logarithm of the risk. Cells are drawn around the measured values, however spaced; white
    ones were not measured.
    """
    alphas = sorted({alpha for line in lines for alpha in line.alphas})
    betas = [line.beta for line in lines]
    risks = np.full((len(betas), len(alphas)), np.nan)
    text = np.full(risks.shape, "", dtype=object)
    for row, line in enumerate(lines):
        for alpha, risk in zip(line.alphas, line.risks, strict=True):
            column = alphas.index(alpha)
            risks[row, column] = np.log10(max(risk, line.floor))
            text[row, column] = f"α {alpha:g}, β {line.beta:g}<br>risk {risk:.4f}"
    ticks = _log_ticks(float(np.nanmin(risks)), float(np.nanmax(risks)))
    figure = new_figure(
        f"training noise α ({unit})", f"smoothing noise β ({unit})", colours(2).dark, height=460
    )
    figure.add_trace(
        go.Heatmap(
            x=edges(alphas),
            y=edges(betas),
            z=risks,
            text=text,
            hoverinfo="text",
            hoverongaps=False,
            colorscale="Cividis",
            colorbar={
                "title": {"text": "risk"},
                "tickvals": ticks,
                "ticktext": [f"{10**tick:.2g}" for tick in ticks],
                "thickness": 14,
            },
        )
    )
    ends = [min(edges(alphas)[0], edges(betas)[0]), max(edges(alphas)[-1], edges(betas)[-1])]
    halo = {"color": _HALO, "width": 5}
    ridge = {"x": [line.best for line in lines], "y": betas}
    figure.add_scatter(x=ends, y=ends, mode="lines", line=halo, showlegend=False, hoverinfo="skip")
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="α = β", line={"color": "#111111", "width": 2, "dash": "dash"}
    )
    figure.add_scatter(**ridge, mode="lines", line=halo, showlegend=False, hoverinfo="skip")
    figure.add_scatter(
        **ridge,
        mode="lines+markers",
        name="α*(β), the lowest measured",
        line={"color": "#D55E00", "width": 3},
        marker={"symbol": "star", "size": 13, "line": {"width": 1, "color": _HALO}},
        text=[f"β {line.beta:g}: α* {line.best:g}" for line in lines],
        hoverinfo="text",
    )
    figure.update_xaxes(range=[edges(alphas)[0], edges(alphas)[-1]], showgrid=False)
    figure.update_yaxes(range=[edges(betas)[0], edges(betas)[-1]], showgrid=False)
    figure.update_layout(meta={"dark": {"#111111": "#111111"}})
    return figure


def _outline(symbol: str, colour: str) -> dict[str, object]:
    """Return the rim of a mark: an open one is its rim, a filled one is set off from what it lies on."""
    open_one = symbol.endswith("-open")
    return {"width": 2 if open_one else 1, "color": colour if open_one else _HALO}


def _log_range(lines: Sequence[RiskLine]) -> tuple[float, float]:
    """Return the logarithms of the lowest and the highest value that is drawn, bounds included."""
    values = [
        max(value, line.floor)
        for line in lines
        for value in (*line.risks, *(line.low or ()), *(line.high or ()))
    ]
    return math.log10(min(values)), math.log10(max(values))


def _log_ticks(lowest: float, highest: float) -> list[float]:
    """Return logarithms of round numbers from ``lowest`` to ``highest``, both logarithms themselves."""
    steps = (1, 2, 5) if highest - lowest > 1 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    decades = range(math.floor(lowest), math.ceil(highest) + 1)
    ticks = [decade + math.log10(step) for decade in decades for step in steps]
    return [tick for tick in ticks if lowest - 0.02 <= tick <= highest + 0.02]


def risk_votes_figure(results: StudyResults) -> go.Figure:
    """Return the mean votes per image against alpha, one line per beta, with those of a fixed number.

    Of several seeds the mean.
    """
    betas = [beta for beta in results.betas if beta > 0]
    palette = colours(len(betas))
    figure = new_figure(
        f"training noise α ({results.unit})",
        "votes per image, mean",
        palette.dark,
        yaxis={"rangemode": "tozero"},
    )
    for index, beta in enumerate(betas):
        alphas = sorted({alpha for alpha, b, _ in results.cells if b == beta})
        means = [
            float(
                np.mean(
                    [
                        cell.votes.mean()
                        for (a, b, _), cell in results.cells.items()
                        if (a, b) == (alpha, beta)
                    ]
                )
            )
            for alpha in alphas
        ]
        figure.add_scatter(
            x=alphas,
            y=means,
            mode="lines+markers",
            name=f"β = {beta:g}",
            line={"color": palette.lines[index], "width": 2},
            marker={"symbol": MARKERS[index % len(MARKERS)], "size": 7},
            text=[
                f"β {beta:g}, α {alpha:g}<br>{mean:.1f} votes of {results.votes}, "
                f"{results.votes / mean:.2f} times fewer"
                for alpha, mean in zip(alphas, means, strict=True)
            ],
            hoverinfo="text",
        )
    figure.add_scatter(
        x=[min(results.alphas), max(results.alphas)],
        y=[results.votes] * 2,
        mode="lines",
        name=f"{results.votes} for every image",
        line={"color": INK, "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    return figure
