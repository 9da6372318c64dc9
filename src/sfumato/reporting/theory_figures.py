"""Pictures of the exact theory: risk curves, two noises at work on a line and in a plane, diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

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
    edges,
)
from sfumato.reporting.style import BLACK, COLOURS, INK, MARKERS, Colour, line_colours
from sfumato.theory.arguments import vote_levels
from sfumato.theory.deployed import Deployed
from sfumato.theory.figure4 import Dip, Figure4
from sfumato.theory.intervals import Intervals, certified, smooth_probability
from sfumato.theory.phase import PhaseDiagram

_SHADE = Colour("#999999", "#999999")
# Risks this close are equal up to rounding: the lowest point is then the one with the smallest noise.
_EQUAL = 1e-12
_HEADROOM = 1.6  # of the vertical axis above the highest risk at the first alpha
_VISIBLE = 1e-3  # benefits below this share of class 1 are left grey in a phase diagram


def curves(
    alphas: Float[np.ndarray, "alpha"],
    betas: Sequence[float],
    risk: Float[np.ndarray, "alpha beta"],
    *,
    title: str,
    measure: str,
    best_possible: float | None = None,
    trivial: float = np.inf,
) -> Picture:
    """Return risk against alpha, one line per beta; ``best_possible`` is a dashed line.

    The star marks each beta's lowest point if it is below ``trivial``, the open ring alpha = beta.
    """
    inside = [bool(alphas[0] <= beta <= alphas[-1]) for beta in betas]
    layers: list[Layer] = []
    for index, (beta, colour) in enumerate(zip(betas, line_colours(len(betas)), strict=True)):
        line = risk[:, index]
        marker = MARKERS[index % len(MARKERS)] if len(alphas) <= 30 else ""
        layers.append(Line(alphas, line, colour, f"β = {beta:g}", marker=marker))
        lowest = int(np.argmax(line <= line.min() + _EQUAL))
        star = [float(alphas[lowest])], [float(line[lowest])]
        if line.min() < trivial - _EQUAL:
            layers.append(Line(*star, colour, width=0, marker="star", size=13))
        if inside[index]:
            ring = [beta], [float(np.interp(beta, alphas, line))]
            layers.append(Line(*ring, colour, width=0, marker="circle", size=9, hollow=True))
    ends = (float(alphas[0]), float(alphas[-1]))
    if best_possible is not None:
        layers.append(Line(ends, [best_possible] * 2, INK, "best possible", width=1, dash="dash"))
    layers.append(Line((), (), INK, "lowest over α", width=0, marker="star", size=10))
    if any(inside):
        layers.append(Line((), (), INK, "α = β", width=0, marker="circle", size=8, hollow=True))
    # over-filling may cost many times what is at stake near the dip
    highest = min(1.03 * float(risk.max()), _HEADROOM * float(risk[0].max()))
    panel = Panel(Axis("training noise α", ends), Axis(measure, (0, highest)), layers, title)
    return Picture(((panel,),))


def best_against_radius(found: Sequence[Mapping[str, float]], title: str) -> Picture:
    """Return the best alpha over beta against the radius, beside the risk there, one colour per beta.

    ``found`` has for each radius and beta ``best_alpha_over_beta`` (inf for none), its ``risk``, and the risk
    at alpha = beta, ``alpha_is_beta``.
    """
    betas = sorted({row["beta"] for row in found})
    ratios: list[Layer] = []
    risks: list[Layer] = []
    for beta, colour in zip(betas, line_colours(len(betas)), strict=True):
        rows = sorted((row for row in found if row["beta"] == beta), key=lambda row: row["radius"])
        radii = [row["radius"] for row in rows]
        best = np.array([row["best_alpha_over_beta"] for row in rows])
        ratios.append(Line(radii, np.where(np.isinf(best), np.nan, best), colour, f"β = {beta:g}"))
        for name, dash in {"risk": "solid", "alpha_is_beta": "dash"}.items():
            risks.append(Line(radii, [row[name] for row in rows], colour, dash=dash))
    ends = (min(row["radius"] for row in found), max(row["radius"] for row in found))
    ratios.append(Line(ends, (1.0, 1.0), BLACK, width=0.8))
    for name, dash in {"best α": "solid", "α = β": "dash"}.items():
        risks.append(Line((), (), INK, name, dash=dash))
    across = Axis("certified radius R", ends)
    # the risk at alpha = beta may be many times what is at stake
    highest = 1.6 * max(row["risk"] for row in found)
    panels = (
        Panel(across, Axis("α* / β", (0.0, None)), ratios, "best training noise"),
        Panel(across, Axis("wrong or not certified", (0.0, highest)), risks, "risk at radius R"),
    )
    return Picture((panels,), title, width=8.0, tall=3.6, share_y="none", legend_below=True)


def two_steps(
    region: Intervals, alone: Intervals, answer: Deployed[Intervals], radius: float = 0.0
) -> Picture:
    """Return both steps, training and smoothing, on a union of intervals, above the regions that result.

    ``alone`` is the region after smoothing without training noise, T_beta A. At a radius above 0 class 1 is
    shown where it is certified, in grey what is certified for neither class.
    """
    finite = [edge for edge in (*region.starts, *region.ends) if np.isfinite(edge)]
    margin = 0.3 * (max(finite) - min(finite))
    x = np.linspace(min(finite) - margin, max(finite) + margin, 1201)
    limits = (float(x[0]), float(x[-1]))
    trained, smoothed = COLOURS[0], COLOURS[1]
    shade = [Band(span, (0, 0), (1.02, 1.02), _SHADE) for span in _spans(region, limits)]
    half = Line(limits, (0.5, 0.5), BLACK, width=0.9, dash="dot")
    train = Line(x, smooth_probability(region, x, answer.alpha), trained)
    votes = smooth_probability(answer.trained, x, answer.beta)
    plain = smooth_probability(region, x, answer.beta)
    smooth = [
        Line(x, votes, smoothed, f"smoothed after training with α = {answer.alpha:g}"),
        Line(x, plain, INK, "smoothed without training noise", width=1.4, dash="dash"),
    ]
    rows = {
        "class 1": (region, _SHADE),
        f"trained, α = {answer.alpha:g}": (answer.trained, trained),
        f"and smoothed: risk {answer.risk:.3g}": (answer.smoothed, smoothed),
        f"only smoothed: risk {answer.plain_risk:.3g}": (alone, INK),
    }
    first = f"training: class 1 through noise α = {answer.alpha:g}"
    second = f"smoothing: share of votes under noise β = {answer.beta:g}"
    levels, unsure = [half], []
    if radius > 0.0:
        pairs = [certified(one, answer.beta, radius) for one in (answer.trained, region)]
        unsure = [
            Bars([row], [start], [end], _SHADE)
            for row, (_, outer) in enumerate(pairs, 2)
            for start, end in _spans(outer, limits)
        ]
        for name, (inner, _) in zip(list(rows)[2:], pairs, strict=True):
            rows[name] = (inner, rows[name][1])
        shares = (float(share) for share in vote_levels(answer.beta, radius))
        second += f"; dotted: certified at {radius:g}"
        levels = [Line(limits, (share, share), BLACK, width=0.9, dash="dot") for share in shares]
    names = [f"{name} (empty)" if one.is_empty else name for name, (one, _) in rows.items()]
    bars = unsure + [
        Bars([row], [start], [end], colour)
        for row, (one, colour) in enumerate(rows.values())
        for start, end in _spans(one, limits)
    ]
    across, share = Axis("x", limits), Axis("P(class 1)", (0, 1.02))
    panels = (
        Panel(across, share, [*shade, half, train], first),
        Panel(across, share, [*shade, *levels, *smooth], second),
        Panel(across, Axis("", rows=names, grid=False), bars),
    )
    column = tuple((panel,) for panel in panels)
    return Picture(column, tall=5.6, heights=(1, 1, 0.8), share_y="none", legend_below=True)


def _spans(region: Intervals, limits: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the intervals as far as they lie within the limits."""
    spans = zip(np.clip(region.starts, *limits), np.clip(region.ends, *limits), strict=True)
    return [(float(start), float(end)) for start, end in spans if end > start]


def phase(diagram: PhaseDiagram, title: str) -> Picture:
    """Return best benefit and best alpha / beta over (gap / width, beta / width), side by side."""
    benefit = diagram.best_benefit
    helps = benefit > _VISIBLE
    ratio = diagram.best_alpha / diagram.betas
    x, y = edges(diagram.gaps), edges(diagram.betas)
    across = Axis("gap / width", (x[0], x[-1]), grid=False)
    up = Axis("smoothing noise β / width", (y[0], y[-1]), grid=False)
    touching = Line((1.0, 1.0), (y[0], y[-1]), BLACK, width=1, dash="dot")
    maps = {
        "largest benefit over α, share of class 1": ("benefit", benefit, "viridis", (0.0, None)),
        "best training noise": ("α* / β", ratio, "cividis", (0.0, 1.0)),
    }
    panels = tuple(
        Panel(
            across,
            up,
            (HeatMap(x, y, np.where(helps, values, np.nan).T, colours, scale, limits=limits), touching),
            name,
        )
        for name, (scale, values, colours, limits) in maps.items()
    )
    title = f"{title} (grey: no training noise helps by more than {_VISIBLE:g})"
    return Picture((panels,), title, width=9.0, tall=3.9)


def field(
    panels: Mapping[str, Float[np.ndarray, "cells cells"]],
    truth: Float[np.ndarray, "cells cells"],
    side: float,
    title: str,
) -> Picture:
    """Return regions of the plane side by side, each with the outline of the true one.

    ``panels`` maps a caption to the share of each cell that lies in the region, ``truth`` likewise.
    """
    borders = np.linspace(0.0, side, len(truth) + 1)
    middles = (borders[1:] + borders[:-1]) / 2
    axis = Axis("", (0.0, side), grid=False)
    outline = Outline(middles, middles, truth.T)
    row = tuple(
        Panel(
            axis,
            axis,
            (HeatMap(borders, borders, share.T, "Blues", limits=(0.0, 1.3)), outline),
            name,
            square=True,
        )
        for name, share in panels.items()
    )
    return Picture((row,), title, width=3.0 * len(panels), tall=3.4)


def figure4(studies: Sequence[Figure4], dips: Sequence[Sequence[Dip]]) -> Picture:
    """Return Delta(alpha, beta) - Delta(0, beta) of each study in a row of its own, one panel per beta.

    Bands are one standard error over the draws; a star marks a dip below zero that is significant.
    """
    rows = tuple(
        tuple(_figure4_panel(study, column, found) for column in range(len(study.betas)))
        for study, found in zip(studies, dips, strict=True)
    )
    width, tall = 3.2 * len(rows[0]), 2.9 * len(rows)
    return Picture(rows, width=width, tall=tall, share_y="col", legend_below=True)


def _figure4_panel(study: Figure4, column: int, dips: Sequence[Dip]) -> Panel:
    beta = float(study.betas[column])
    layers: list[Layer] = []
    for index, (zeta, colour) in enumerate(zip(study.zetas, line_colours(len(study.zetas)), strict=True)):
        mean, error = study.mean[index, column], study.standard_error[index, column]
        layers.append(Band(study.alphas, mean - error, mean + error, colour))
        layers.append(Line(study.alphas, mean, colour, f"ζ = {zeta:g}"))
        stars = [dip for dip in dips if dip.significant and dip.beta == beta and dip.zeta == zeta]
        size = 18 - 3 * min(index, 3)  # dips of several curves often coincide
        places = [dip.alpha for dip in stars], [dip.depth for dip in stars]
        layers.append(Line(*places, colour, width=0, marker="star", size=size))
    ends = (float(study.alphas[0]), float(study.alphas[-1]))
    layers.append(Line(ends, (0.0, 0.0), BLACK, width=0.8))
    layers.append(Line((), (), INK, "significant dip", width=0, marker="star", size=11))
    up = Axis(f"{study.name}\nΔ(α,β) - Δ(0,β)")
    return Panel(Axis("training noise α"), up, layers, f"β = {beta:g}")
