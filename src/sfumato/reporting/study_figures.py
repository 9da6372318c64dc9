"""The figures of a study: risk against alpha for each beta, and the best alpha against beta."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sfumato.advice.rules import SHARE
from sfumato.answers.best import BetaAnswer, StudyAnswer
from sfumato.answers.published import PublishedBest, PublishedResults, published_best
from sfumato.answers.smooth_risk import SmoothRisk
from sfumato.reporting.figures import line_colours, new_figure, place_legend, save_figure
from sfumato.reporting.risk_lines import RiskLine, edges
from sfumato.reporting.style import COLOURS, MARKERS, figure_size, require_figure_path, sized_style

_PUBLISHED = "#8a8a8a"


def draw_study_risk(
    study: StudyAnswer,
    path: Path,
    published: PublishedResults | None = None,
    *,
    width: float | None = None,
    height: float | None = None,
) -> None:
    """Draw log Delta against alpha, one line per beta, and save it to ``path``.

    Dots are measured; line and band are the smoothed curve and its band (without enough alphas:
    the measured values and their exact intervals). The star is alpha*, where the line is lowest; the ring
    is the measured alpha nearest to beta. Published results get a panel of their own on the same axes.

    ``width`` and ``height`` are in inches.

    Raises:
        SettingError: a suffix other than .png, .svg, .pdf, or a size that no page has.
        OutputError: the file cannot be written.
    """
    require_figure_path(path)
    panels = 1 if published is None else 2
    line_break = " " if width is None else "\n"
    betas = sorted({a.beta for a in study.betas} | set(published.betas if published else ()))
    colours = dict(zip(betas, line_colours(len(betas)), strict=True))
    markers = {beta: MARKERS[i % len(MARKERS)] for i, beta in enumerate(betas)}
    with matplotlib.rc_context(sized_style(width or 6.8)):
        figure = new_figure(
            (6.8 if panels == 1 else 11.0, 4.4) if width is None else figure_size(width, height)
        )
        row = figure.subplots(1, panels, sharex=True, sharey=True, squeeze=False)
        for answer in study.betas:
            _measured_line(row[0, 0], answer, colours[answer.beta], markers[answer.beta])
        images = max(answer.images for answer in study.betas)
        title = f"{study.data}: {images:,} test images,{line_break}{study.votes} votes each"
        row[0, 0].set_title(title, loc="left")
        if published is not None:
            for beta in published.betas:
                best = published_best(published, beta)
                _published_line(row[0, 1], published, best, colours[beta], markers[beta])
            title = f"published: {published.name},{line_break}{published.images:,} test images"
            row[0, 1].set_title(title, loc="left")
        row[0, 0].set_yscale("log")
        row[0, 0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        row[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        row[0, 0].yaxis.set_minor_formatter(NullFormatter())
        row[0, 0].set_ylabel(r"risk $\Delta(\alpha, \beta)$")
        for axes in row[0]:
            axes.set_xlabel(rf"training noise $\alpha$ ({study.unit})")
        _explain(figure, row[0, -1], colours, markers)
        save_figure(figure, path)


def _measured_line(axes: Axes, answer: BetaAnswer, colour: str, marker: str) -> None:
    floor = 0.5 / answer.points[0].trials  # where a risk of zero is drawn
    alphas = np.array(answer.alphas)
    values = np.maximum([point.risk for point in answer.points], floor)
    if answer.curve is None:
        bands = np.array([(point.low, point.high) for point in answer.points]).T
        _line(axes, alphas, values, bands, floor, colour)
        _star(axes, answer.alpha, max(answer.best.risk, floor), colour)
    else:
        _curve(axes, answer.curve, floor, colour)
    axes.plot(alphas, values, marker=marker, ms=3, lw=0, color=colour, zorder=3)
    nearest = list(answer.alphas).index(answer.gain.alpha)
    axes.plot(alphas[nearest], values[nearest], marker="o", ms=9, mfc="none", mec=colour, mew=1.2, zorder=4)


def _published_line(
    axes: Axes, published: PublishedResults, best: PublishedBest, colour: str, marker: str
) -> None:
    floor = 0.5 / published.images
    alphas = published.alphas(best.beta)
    values = np.array([published.errors[alpha, best.beta] for alpha in alphas]) / published.images
    axes.plot(alphas, np.maximum(values, floor), marker=marker, ms=2, lw=0, color=colour, alpha=0.5)
    if best.curve is None:
        _star(axes, best.alpha, max(best.risk, floor), colour)
    else:
        _curve(axes, best.curve, floor, colour)


def _curve(axes: Axes, curve: SmoothRisk, floor: float, colour: str) -> None:
    _line(axes, curve.alphas, curve.risk, np.array([curve.low, curve.high]), floor, colour)
    _star(axes, curve.alpha, curve.lowest, colour)


def _line(
    axes: Axes,
    alphas: Float[np.ndarray, " k"],
    values: Float[np.ndarray, " k"],
    bands: Float[np.ndarray, "2 k"],
    floor: float,
    colour: str,
) -> None:
    low, high = np.maximum(bands, floor)
    axes.fill_between(alphas, low, high, color=colour, alpha=0.13, lw=0)
    axes.plot(alphas, values, color=colour, lw=1.4)


def _star(axes: Axes, alpha: float, risk: float, colour: str) -> None:
    axes.plot(alpha, risk, marker="*", ms=13, color=colour, mec="white", mew=0.7, lw=0, zorder=5)


def _explain(figure: Figure, axes: Axes, colours: dict[float, str], markers: dict[float, str]) -> None:
    for beta, colour in reversed(colours.items()):  # as the lines lie: the largest beta on top
        axes.plot([], [], color=colour, marker=markers[beta], ms=3, lw=1.4, label=rf"$\beta$ = {beta:g}")
    axes.plot([], [], marker="*", ms=10, color="#555555", lw=0, label=r"$\alpha^*$: lowest")
    axes.plot([], [], marker="o", ms=8, mfc="none", mec="#555555", lw=0, label=r"$\alpha$ nearest $\beta$")
    place_legend(figure, axes)


def draw_best_alpha(
    study: StudyAnswer,
    path: Path,
    published: PublishedResults | None = None,
    *,
    width: float | None = None,
    height: float | None = None,
) -> None:
    """Draw alpha* against beta with its confidence set, beside alpha = beta, and save it to ``path``.

    The bar spans the set and its dots are the members; diamonds are the minima of the smoothed curves.
    Published results are grey, slightly to the right: the lowest risk and the alphas within one standard
    error of it.

    ``width`` and ``height`` are in inches.

    Raises:
        SettingError: a suffix other than .png, .svg, .pdf, or a size that no page has.
        OutputError: the file cannot be written.
    """
    require_figure_path(path)
    largest = max([a.beta for a in study.betas] + (published.betas if published else []) + [0.1])
    with matplotlib.rc_context(sized_style(width or 6.8)):
        size = (6.8, 4.4) if width is None else figure_size(width, height)
        figure = new_figure(size)
        axes = figure.subplots()
        ends = np.array([0.0, 1.04 * largest])
        axes.plot(ends, ends, color="black", lw=1.2, label=r"$\alpha = \beta$")
        axes.plot(
            ends,
            SHARE * ends,
            color="black",
            lw=0.7,
            ls="--",
            label=rf"$\alpha$ = {SHARE:g} $\beta$",
        )
        for answer in study.betas:
            _best_bars(axes, answer)
        _best_labels(axes, study)
        if published is not None:
            _published_bars(axes, published, 0.012 * largest)
        axes.set_xlabel(rf"smoothing noise $\beta$ ({study.unit})")
        axes.set_ylabel(r"training noise $\alpha$")
        axes.set_title(f"Best training noise: {study.data}", loc="left")
        place_legend(figure, axes)
        save_figure(figure, path)


def _best_bars(axes: Axes, answer: BetaAnswer) -> None:
    beta, colour = answer.beta, COLOURS[0]
    axes.plot([beta] * 2, _ends(answer.exact_set), color=colour, lw=1.2)
    axes.plot([beta] * len(answer.exact_set), answer.exact_set, color=colour, marker="o", ms=2.5, lw=0)
    axes.plot(beta, answer.alpha, color=colour, marker="*", ms=12, mec="white", mew=0.6, lw=0, zorder=5)
    if answer.curve is not None:
        axes.plot(beta, answer.curve.alpha, color=colour, marker="D", ms=5, mfc="none", lw=0, zorder=6)


def _best_labels(axes: Axes, study: StudyAnswer) -> None:
    colour, level = COLOURS[0], f"{100 * study.betas[0].confidence:.4g} % set"
    axes.plot([], [], color=colour, marker="*", ms=10, lw=0, label=r"$\alpha^*$ measured")
    if any(answer.curve is not None for answer in study.betas):
        axes.plot([], [], color=colour, marker="D", ms=5, mfc="none", lw=0, label=r"$\alpha^*$ smoothed")
    axes.plot([], [], color=colour, lw=1.2, marker="o", ms=2.5, label=level)


def _published_bars(axes: Axes, published: PublishedResults, shift: float) -> None:
    found = [published_best(published, beta) for beta in published.betas]
    for best in found:
        axes.plot([best.beta + shift] * 2, _ends(best.within_one), color=_PUBLISHED, lw=1.2)
    places = [best.beta + shift for best in found]
    axes.plot(
        places,
        [best.alpha for best in found],
        color=_PUBLISHED,
        marker="s",
        ms=4,
        lw=0,
        label="published, with the\nalphas within 1 SE",
    )


def _ends(members: Sequence[float]) -> tuple[float, float]:
    return min(members), max(members)


def draw_risk_map(
    lines: Sequence[RiskLine],
    unit: str,
    path: Path,
    *,
    width: float | None = None,
    height: float | None = None,
) -> None:
    """Draw the risk over (alpha, beta), the ridge alpha*(beta) and the diagonal, and save it to ``path``.

    Colour is logarithmic, darker is lower; white cells were not measured. ``width`` and ``height`` are in
    inches.

    Raises:
        SettingError: a suffix other than .png, .svg, .pdf, or a size that no page has.
        OutputError: the file cannot be written.
    """
    require_figure_path(path)
    alphas, betas = sorted({alpha for line in lines for alpha in line.alphas}), [line.beta for line in lines]
    risks = np.full((len(betas), len(alphas)), np.nan)
    for row, line in enumerate(lines):
        for alpha, risk in zip(line.alphas, line.risks, strict=True):
            risks[row, alphas.index(alpha)] = max(risk, line.floor)
    with matplotlib.rc_context(sized_style(width or 6.8)):
        figure = new_figure(figure_size(width or 6.8, height))
        axes = figure.subplots()
        axes.grid(visible=False)
        x, y = edges(alphas), edges(betas)
        mesh = axes.pcolormesh(x, y, risks, norm=LogNorm(), cmap="cividis", rasterized=True)
        wide = np.nanmax(risks) > 10 * np.nanmin(risks)
        steps = (1.0, 2.0, 5.0) if wide else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
        bar = figure.colorbar(mesh, ax=axes, label="risk", ticks=LogLocator(subs=steps))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        ends = [min(x[0], y[0]), max(x[-1], y[-1])]
        axes.plot(ends, ends, color="white", lw=2.6)
        axes.plot(ends, ends, color="black", lw=1.2, ls="--", label=r"$\alpha = \beta$")
        ridge = [line.best for line in lines]
        axes.plot(ridge, betas, color="white", lw=3.2)
        axes.plot(ridge, betas, color=COLOURS[1], lw=1.6, marker="*", ms=9, mec="white", mew=0.6)
        axes.plot([], [], color=COLOURS[1], lw=1.6, marker="*", ms=9, label=r"$\alpha^*(\beta)$")
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        axes.set_xlabel(rf"training noise $\alpha$ ({unit})")
        axes.set_ylabel(r"smoothing noise $\beta$")
        place_legend(figure, axes, below=True)
        save_figure(figure, path)
