"""Figures of the exact theory: risk curves, two noises at work on a line and in a plane, diagrams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from sfumato.reporting.figures import new_figure, save_figure
from sfumato.reporting.style import COLOURS, MARKERS, STYLE
from sfumato.theory.deployed import Deployed
from sfumato.theory.figure4 import Dip, Figure4
from sfumato.theory.intervals import Intervals, smooth_probability
from sfumato.theory.phase import PhaseDiagram

_GREY = "#555555"
# Risks this close are equal up to rounding: the lowest point is then the one with the smallest noise.
_EQUAL = 1e-12
_HEADROOM = 1.6  # of the vertical axis above the highest risk at the first alpha
_VISIBLE = 1e-3  # benefits below this share of class 1 are left grey in a phase diagram


def draw_curves(
    alphas: Float[np.ndarray, "alpha"],
    betas: Sequence[float],
    risk: Float[np.ndarray, "alpha beta"],
    *,
    title: str,
    measure: str,
    path: Path,
    best_possible: float | None = None,
) -> None:
    """Draw risk against alpha, one line per beta, and save it to ``path`` (PNG, SVG or PDF by suffix).

    The star marks each beta's lowest point, the open ring alpha = beta. ``best_possible`` is drawn as a
    dashed line.

    Raises:
        OutputError: the file cannot be written.
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure((6.4, 4.0))
        axes = figure.subplots()
        for index, beta in enumerate(betas):
            colour, line = COLOURS[index % len(COLOURS)], risk[:, index]
            marker = MARKERS[index % len(MARKERS)] if len(alphas) <= 30 else None
            axes.plot(alphas, line, color=colour, lw=1.6, marker=marker, ms=3.5, label=rf"$\beta$ = {beta:g}")
            lowest = int(np.argmax(line <= line.min() + _EQUAL))
            axes.plot(
                alphas[lowest],
                line[lowest],
                "*",
                ms=13,
                color=colour,
                mec="white",
                mew=0.7,
                zorder=5,
                clip_on=False,
            )
            if alphas[0] <= beta <= alphas[-1]:
                at = np.interp(beta, alphas, line)
                axes.plot(beta, at, "o", ms=9, mfc="none", mec=colour, mew=1.3, zorder=4)
        if best_possible is not None:
            axes.axhline(best_possible, color=_GREY, lw=1, ls="--", label="best possible")
        axes.plot([], [], "*", ms=10, color=_GREY, label=r"lowest over $\alpha$")
        if any(alphas[0] <= beta <= alphas[-1] for beta in betas):
            axes.plot([], [], "o", ms=8, mfc="none", mec=_GREY, label=r"$\alpha = \beta$")
        axes.set_xlim(alphas[0], alphas[-1])
        # over-filling may cost many times what is at stake near the dip
        axes.set_ylim(0, min(1.03 * risk.max(), _HEADROOM * risk[0].max()))
        axes.set_xlabel(r"training noise $\alpha$")
        axes.set_ylabel(measure)
        axes.set_title(title, loc="left")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        save_figure(figure, path)


def draw_two_steps(region: Intervals, alone: Intervals, answer: Deployed[Intervals], path: Path) -> None:
    """Draw both steps, training and smoothing, on a union of intervals, above the regions that result.

    ``alone`` is the region after smoothing without training noise, T_beta A.

    Raises:
        OutputError: the file cannot be written.
    """
    edges = [edge for edge in (*region.starts, *region.ends) if np.isfinite(edge)]
    margin = 0.3 * (max(edges) - min(edges))
    x = np.linspace(min(edges) - margin, max(edges) + margin, 1201)
    trained, smoothed = COLOURS[0], COLOURS[1]
    with matplotlib.rc_context(STYLE):
        figure = new_figure((6.4, 5.6))
        train, smooth, rows = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1, 0.8])
        train.set_xlim(x[0], x[-1])
        train.plot(x, smooth_probability(region, x, answer.alpha), color=trained, lw=1.6)
        train.set_title(rf"training: class 1 through noise $\alpha$ = {answer.alpha:g}", loc="left")
        with_label = rf"after training with $\alpha$ = {answer.alpha:g}"
        smooth.plot(
            x, smooth_probability(answer.trained, x, answer.beta), color=smoothed, lw=1.6, label=with_label
        )
        without = smooth_probability(region, x, answer.beta)
        smooth.plot(x, without, color=_GREY, lw=1.4, ls="--", label=r"without training noise")
        smooth.set_title(rf"smoothing: share of votes under noise $\beta$ = {answer.beta:g}", loc="left")
        smooth.legend(loc="upper right", fontsize=8)
        for axes in (train, smooth):
            axes.axhline(0.5, color="black", lw=0.9, ls=":")
            for start, end in zip(region.starts, region.ends, strict=True):
                axes.axvspan(start, end, color="#eeeeee", zorder=0, lw=0)
            axes.set_ylim(0, 1.02)
            axes.set_ylabel("P(class 1)")
        _draw_rows(
            rows,
            {
                "class 1": (region, "#999999"),
                rf"trained, $\alpha$ = {answer.alpha:g}": (answer.trained, trained),
                f"and smoothed: risk {answer.risk:.3g}": (answer.smoothed, smoothed),
                f"only smoothed: risk {answer.plain_risk:.3g}": (alone, _GREY),
            },
        )
        rows.set_xlabel("x")
        save_figure(figure, path)


def _draw_rows(axes: Axes, rows: Mapping[str, tuple[Intervals, str]]) -> None:
    for height, (region, colour) in enumerate(rows.values()):
        low, high = axes.get_xlim()
        for start, end in zip(region.starts, region.ends, strict=True):
            start, end = max(start, low), min(end, high)
            axes.barh(height, end - start, left=start, height=0.6, color=colour)
        if region.is_empty:
            axes.text((low + high) / 2, height, "empty", ha="center", va="center", color=colour)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)


def draw_phase(diagram: PhaseDiagram, title: str, path: Path) -> None:
    """Draw best benefit and best alpha / beta over (gap / width, beta / width), and save to ``path``.

    Raises:
        OutputError: the file cannot be written.
    """
    benefit = diagram.best_benefit
    helps = benefit > _VISIBLE
    ratio = np.where(helps, diagram.best_alpha / diagram.betas, np.nan)
    panels = {
        "largest benefit over alpha, share of class 1": (
            np.where(helps, benefit, np.nan),
            "viridis",
            (0.0, None),
        ),
        r"best training noise, $\alpha^* / \beta$": (ratio, "cividis", (0.0, 1.0)),
    }
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = new_figure((9.0, 3.9))
        pair = figure.subplots(1, 2, sharey=True)
        for axes, (name, (values, colours, (low, high))) in zip(pair, panels.items(), strict=True):
            mesh = axes.pcolormesh(
                diagram.gaps,
                diagram.betas,
                values.T,
                cmap=colours,
                vmin=low,
                vmax=high,
                shading="nearest",
                rasterized=True,
            )
            figure.colorbar(mesh, ax=axes)
            axes.axvline(1.0, color="black", lw=1, ls=":")
            axes.set_xlabel("gap / width")
            axes.set_title(name, loc="left", fontsize=9)
            axes.set_facecolor("#f4f4f4")
        pair[0].set_ylabel(r"smoothing noise $\beta$ / width")
        pair[0].text(
            0.02,
            0.97,
            f"grey: none helps\nby more than {_VISIBLE:g}",
            transform=pair[0].transAxes,
            ha="left",
            va="top",
            fontsize=8,
        )
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        save_figure(figure, path)


def draw_field(
    panels: Mapping[str, np.ndarray], truth: np.ndarray, side: float, title: str, path: Path
) -> None:
    """Draw regions of the plane side by side, each with the outline of the true one, and save to ``path``.

    ``panels`` maps a caption to a (cells, cells) array of shares of each cell, ``truth`` likewise.

    Raises:
        OutputError: the file cannot be written.
    """
    middles = (np.arange(truth.shape[0]) + 0.5) * side / truth.shape[0]
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = new_figure((3.0 * len(panels), 3.4))
        row = figure.subplots(1, len(panels), sharey=True, squeeze=False)
        for axes, (name, share) in zip(row[0], panels.items(), strict=True):
            axes.pcolormesh(
                middles, middles, share.T, cmap="Blues", vmin=0, vmax=1.3, shading="nearest", rasterized=True
            )
            axes.contour(middles, middles, truth.T, levels=[0.5], colors="black", linewidths=0.6)
            axes.set_aspect("equal")
            axes.set_title(name, loc="left", fontsize=9)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        save_figure(figure, path)


def draw_figure4(figures: Sequence[Figure4], dips: Sequence[Sequence[Dip]], path: Path) -> None:
    """Draw Delta(alpha, beta) - Delta(0, beta) of each study in a row of its own, one panel per beta.

    Bands are one standard error over the draws; a star marks a dip below zero that is significant.

    Raises:
        OutputError: the file cannot be written.
    """
    columns = len(figures[0].betas)
    with matplotlib.rc_context(STYLE):
        grid = new_figure((3.2 * columns, 2.9 * len(figures)))
        panels = grid.subplots(len(figures), columns, sharex=True, sharey="col", squeeze=False)
        for row, study, found in zip(panels, figures, dips, strict=True):
            for axes, beta in zip(row, study.betas, strict=True):
                _figure4_panel(axes, study, float(beta), found)
            row[0].set_ylabel(f"{study.name}\n" + r"$\Delta(\alpha,\beta) - \Delta(0,\beta)$")
        for axes in panels[-1]:
            axes.set_xlabel(r"training noise $\alpha$")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        (star,) = panels[0, 0].plot([], [], "*", ms=11, color=_GREY, mec="white", lw=0)
        grid.legend(
            [*handles, star], [*labels, "significant dip"], loc="outside lower center", ncols=len(labels) + 1
        )
        save_figure(grid, path)


def _figure4_panel(axes: Axes, study: Figure4, beta: float, dips: Sequence[Dip]) -> None:
    column = int(np.argmin(np.abs(study.betas - beta)))
    for index, zeta in enumerate(study.zetas):
        colour = COLOURS[index % len(COLOURS)]
        mean, error = study.mean[index, column], study.standard_error[index, column]
        axes.fill_between(study.alphas, mean - error, mean + error, color=colour, alpha=0.18, lw=0)
        axes.plot(study.alphas, mean, color=colour, lw=1.5, label=rf"$\zeta$ = {zeta:g}")
        for dip in dips:
            if dip.significant and dip.beta == beta and dip.zeta == zeta:
                size = 18 - 3 * min(index, 3)  # dips of several curves often coincide
                axes.plot(dip.alpha, dip.depth, "*", ms=size, color=colour, mec="white", mew=0.7, zorder=5)
    axes.axhline(0.0, color="black", lw=0.8)
    axes.set_title(rf"$\beta$ = {beta:g}", loc="left")
