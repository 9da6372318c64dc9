"""Pictures of a study and of published risks: risk lines, the map of the risk, best alpha, votes spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sfumato.advice.rules import SHARE
from sfumato.answers.best import BetaAnswer, StudyAnswer
from sfumato.answers.published import PublishedResults, published_best
from sfumato.answers.smooth_risk import SmoothRisk
from sfumato.reporting.picture import Axis, Band, HeatMap, Layer, Line, Panel, Picture, edges
from sfumato.reporting.style import BLACK, COLOURS, INK, MARKERS, PALE, Colour, line_colours
from sfumato.studies.results import StudyResults

_DIAGONAL = Colour("#111111", "#f2f2f2")  # on the map, with a halo of the other kind


@dataclass(frozen=True)
class RiskLine:
    """The risk over alpha at one beta, a study's or published.

    Attributes:
        beta: smoothing noise.
        alphas: training noises, increasing.
        risks: Delta as measured; ``low`` and ``high`` its bounds, None where there are none.
        curve: the smoothed line with its band; None of few alphas.
        best: alpha* as measured.
        nearest: the measured alpha nearest to beta.
        images: test images (times seeds) behind each risk.
    """

    beta: float
    alphas: tuple[float, ...]
    risks: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    curve: SmoothRisk | None
    best: float
    nearest: float
    images: int

    @property
    def floor(self) -> float:
        """Where a risk of zero is drawn on a logarithmic axis."""
        return 0.5 / self.images

    @property
    def name(self) -> str:
        """Its entry in a legend."""
        return f"β = {self.beta:g}"


def study_lines(answer: StudyAnswer) -> list[RiskLine]:
    """Return the lines of a study."""
    return [
        RiskLine(
            found.beta,
            found.alphas,
            tuple(point.risk for point in found.points),
            tuple(point.low for point in found.points),
            tuple(point.high for point in found.points),
            found.curve,
            found.alpha,
            found.gain.alpha,
            found.points[0].trials,
        )
        for found in answer.betas
    ]


def published_lines(published: PublishedResults) -> list[RiskLine]:
    """Return the lines of published error counts; without the images there are no bounds of the points."""
    lines = []
    for beta in published.betas:
        alphas, best = published.alphas(beta), published_best(published, beta)
        risks = tuple(published.errors[alpha, beta] / published.images for alpha in alphas)
        nearest = min(alphas, key=lambda alpha: (abs(alpha - beta), alpha))
        lines.append(
            RiskLine(
                beta, tuple(alphas), risks, None, None, best.curve, best.alpha, nearest, published.images
            )
        )
    return lines


def study_risk(study: StudyAnswer, published: PublishedResults | None = None) -> Picture:
    """Return log Delta against alpha, one line per beta; published results get a panel of their own."""
    ours = study_lines(study)
    images = max(answer.images for answer in study.betas)
    title = f"{study.data}: {images:,} test images,\n{study.votes} votes each"
    if published is None:
        return Picture(((risk_panel(ours, study.unit, title),),))
    theirs = published_lines(published)
    betas = {line.beta for line in (*ours, *theirs)}
    about = f"published: {published.name},\n{published.images:,} test images"
    panels = (risk_panel(ours, study.unit, title, betas), risk_panel(theirs, study.unit, about, betas))
    return Picture((panels,), width=9.6)


def risk_panel(
    lines: Sequence[RiskLine], unit: str, title: str = "", betas: Iterable[float] | None = None
) -> Panel:
    """Return log Delta against alpha, one line per beta; ``betas`` are all that the legend shall have.

    Markers are measured, with their exact intervals on pointing. Line and band are the smoothed curve and
    its band (without enough alphas: the measured values and their exact intervals). The star is alpha*,
    where the line is lowest; the ring is the measured alpha nearest to beta.
    """
    shown = sorted(betas or [line.beta for line in lines])
    colours = dict(zip(shown, line_colours(len(shown)), strict=True))
    markers = {beta: MARKERS[index % len(MARKERS)] for index, beta in enumerate(shown)}
    layers = [layer for line in lines for layer in _risk_layers(line, colours[line.beta], markers[line.beta])]
    layers += [  # as the lines lie: the largest beta on top
        Line((), (), colours[beta], f"β = {beta:g}", marker=markers[beta], group=f"β = {beta:g}")
        for beta in reversed(shown)
    ]
    layers.append(Line((), (), INK, "α*: lowest", width=0, marker="star", size=10))
    layers.append(Line((), (), INK, "α nearest β", width=0, marker="circle", size=8, hollow=True))
    return Panel(_alpha_axis(unit), Axis("risk Δ(α, β)", log=True), layers, title)


def _alpha_axis(unit: str) -> Axis:
    return Axis(f"training noise α ({unit})")


def _risk_layers(line: RiskLine, colour: Colour, marker: str) -> list[Layer]:
    measured = np.maximum(line.risks, line.floor)
    if line.curve is not None:
        alphas, values, low, high = line.curve.alphas, line.curve.risk, line.curve.low, line.curve.high
        star = (line.curve.alpha, max(line.curve.lowest, line.floor))
    else:
        alphas, values = np.array(line.alphas), measured
        low, high = np.array(line.low or line.risks), np.array(line.high or line.risks)
        star = (line.best, float(measured[line.alphas.index(line.best)]))
    ring = (line.nearest, float(measured[line.alphas.index(line.nearest)]))
    hover = [
        f"β {line.beta:g}, α {alpha:g}\nrisk {risk:.4f} ({round(risk * line.images)} of {line.images:,})"
        + ("" if line.low is None or line.high is None else f"\n{line.low[i]:.4f} to {line.high[i]:.4f}")
        for i, (alpha, risk) in enumerate(zip(line.alphas, line.risks, strict=True))
    ]
    drawn = np.maximum([values, low, high], line.floor)
    layers: list[Layer] = [
        Band(alphas, drawn[1], drawn[2], colour, group=line.name),
        Line(alphas, drawn[0], colour, group=line.name),
        Line(line.alphas, measured, colour, width=0, marker=marker, hover=hover, group=line.name),
    ]
    for (alpha, risk), mark, size, what in ((ring, "circle", 9, "α nearest β"), (star, "star", 13, "lowest")):
        told = [f"β {line.beta:g}: {what}\nα {alpha:.3g}, risk {risk:.4f}"]
        drawn_mark = Line([alpha], [risk], colour, width=0, marker=mark, size=size, hover=told)
        layers.append(replace(drawn_mark, hollow=mark == "circle", group=line.name))
    return layers


def pair_map(
    values: Mapping[tuple[float, float], float], unit: str, *, scale: str, log: bool = False
) -> Panel:
    """Return a map of numbers over (alpha, beta) with the diagonal alpha = beta.

    Cells are drawn around the measured pairs, however spaced; those without a value stay empty.
    """
    alphas, betas = (sorted({pair[index] for pair in values}) for index in (0, 1))
    x, y = edges(alphas), edges(betas)
    numbers = [[values.get((alpha, beta), np.nan) for alpha in alphas] for beta in betas]
    hover = [
        [
            f"α {alpha:g}, β {beta:g}\n{scale} {values[alpha, beta]:.4f}" if (alpha, beta) in values else ""
            for alpha in alphas
        ]
        for beta in betas
    ]
    heat = HeatMap(x, y, np.array(numbers), scale=scale, log=log, hover=hover)
    ends = (min(x[0], y[0]), max(x[-1], y[-1]))
    diagonal = Line(ends, ends, _DIAGONAL, "α = β", dash="dash", halo=True)
    across = Axis(f"training noise α ({unit})" if unit else "training noise α", (x[0], x[-1]), grid=False)
    up = Axis("smoothing noise β", (y[0], y[-1]), grid=False)
    return Panel(across, up, (heat, diagonal))


def risk_map(lines: Sequence[RiskLine], unit: str) -> Picture:
    """Return the risk over (alpha, beta), the ridge alpha*(beta) and the diagonal.

    Colour follows the logarithm of the risk, darker is lower.
    """
    risks = {
        (alpha, line.beta): max(risk, line.floor)
        for line in lines
        for alpha, risk in zip(line.alphas, line.risks, strict=True)
    }
    panel = pair_map(risks, unit, scale="risk", log=True)
    ridge = Line(
        [line.best for line in lines],
        [line.beta for line in lines],
        COLOURS[1],
        "α*(β), the lowest measured",
        width=2,
        marker="star",
        size=9,
        halo=True,
        hover=[f"β {line.beta:g}: α* {line.best:g}" for line in lines],
    )
    return Picture(((replace(panel, layers=(*panel.layers, ridge)),),), legend_below=True)


def best_alpha(study: StudyAnswer, published: PublishedResults | None = None) -> Picture:
    """Return alpha* against beta with its confidence set, beside alpha = beta.

    The bar spans the set and its dots are the members; diamonds are the minima of the smoothed curves.
    Published results are grey, slightly to the right: the lowest risk and the alphas within one standard
    error of it.
    """
    largest = max([a.beta for a in study.betas] + (published.betas if published else []) + [0.1])
    ends = np.array([0.0, 1.04 * largest])
    level = f"{100 * study.betas[0].confidence:.4g} % set"
    layers = [
        Line(ends, ends, BLACK, "α = β", width=1.2),
        Line(ends, SHARE * ends, BLACK, f"α = {SHARE:g} β", width=0.7, dash="dash"),
        *(layer for answer in study.betas for layer in _best_layers(answer, level)),
    ]
    if published is not None:
        name = "published, with the\nalphas within 1 SE"
        for best in (published_best(published, beta) for beta in published.betas):
            at = best.beta + 0.012 * largest
            layers.append(Line([at] * len(best.within_one), best.within_one, PALE, width=1.2))
            layers.append(Line([at], [best.alpha], PALE, name, width=0, marker="square", size=4))
    across, up = Axis(f"smoothing noise β ({study.unit})"), Axis("training noise α")
    return Picture(((Panel(across, up, layers, f"Best training noise: {study.data}"),),), width=6.8)


def _best_layers(answer: BetaAnswer, level: str) -> list[Line]:
    at, members, colour = [answer.beta], answer.exact_set, COLOURS[0]
    layers = [
        Line(at * len(members), members, colour, level, width=1.2, marker="circle"),
        Line(at, [answer.alpha], colour, "α* measured", width=0, marker="star", size=12),
    ]
    if answer.curve is not None:
        smoothed = [answer.curve.alpha]
        layers.append(
            Line(at, smoothed, colour, "α* smoothed", width=0, marker="diamond", size=5, hollow=True)
        )
    return layers


def risk_votes(results: StudyResults) -> Picture:
    """Return the mean votes per image against alpha, one line per beta, with those of a fixed number.

    Of several seeds the mean.
    """
    betas = [beta for beta in results.betas if beta > 0]
    layers = []
    for index, (beta, colour) in enumerate(zip(betas, line_colours(len(betas)), strict=True)):
        alphas = sorted({alpha for alpha, b, _ in results.cells if b == beta})
        means = [
            float(
                np.mean([c.votes.mean() for (a, b, _), c in results.cells.items() if (a, b) == (alpha, beta)])
            )
            for alpha in alphas
        ]
        hover = [
            f"β {beta:g}, α {alpha:g}\n{mean:.1f} votes of {results.votes}, "
            f"{results.votes / mean:.2f} times fewer"
            for alpha, mean in zip(alphas, means, strict=True)
        ]
        marker = MARKERS[index % len(MARKERS)]
        layers.append(Line(alphas, means, colour, f"β = {beta:g}", marker=marker, size=4, hover=hover))
    ends = (min(results.alphas), max(results.alphas))
    name = f"{results.votes} for every image"
    layers.append(Line(ends, [results.votes] * 2, INK, name, width=1.2, dash="dash"))
    return Picture(((Panel(_alpha_axis(results.unit), Axis("votes per image, mean", (0, None)), layers),),))
