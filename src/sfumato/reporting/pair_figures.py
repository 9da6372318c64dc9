"""Pictures of which noises to choose for a radius: the map over all pairs, and the best pair by radius."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from sfumato.answers.best_pair import Pair, PairAnswer
from sfumato.reporting.picture import Axis, Band, Line, Panel, Picture, edges
from sfumato.reporting.study_figures import pair_map
from sfumato.reporting.style import COLOURS, INK, Colour

_RIM = Colour("#d81b60", "#ff5c9a")  # seen on the dark and on the light end of the map


def best_pair_map(answer: PairAnswer, unit: str) -> Picture:
    """Return certified accuracy over (alpha, beta) with the best pair and the outline of its set."""
    panel = pair_map(
        dict(zip(answer.pairs, answer.accuracies, strict=True)), unit, scale="certified accuracy"
    )
    alphas, betas = (sorted({pair[index] for pair in answer.pairs}) for index in (0, 1))
    x, y = _outline(answer.members, alphas, betas)
    outline = Line(x, y, _RIM, f"{100 * answer.confidence:.4g} % set of the best", width=2)
    told = f"best: α {answer.alpha:g}, β {answer.beta:g}\n{answer.accuracy:.4f}"
    star = Line(
        [answer.alpha], [answer.beta], _RIM, "best pair", width=0, marker="star", size=13, hover=[told]
    )
    title = f"{answer.objective}, {answer.images:,} images"
    layers = (*panel.layers, outline, star)
    return Picture(((Panel(panel.x, panel.y, layers, title),),), legend_below=True)


def _outline(
    members: Iterable[Pair], alphas: Sequence[float], betas: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Return the borders between cells of the set and others: segments, each ended by nan."""
    inside = {(alphas.index(alpha), betas.index(beta)) for alpha, beta in members}
    x, y = edges(alphas), edges(betas)
    across: list[float] = []
    up: list[float] = []
    for column, row in sorted(inside):
        for step, begin, end in (
            ((-1, 0), (0, 0), (0, 1)),
            ((1, 0), (1, 0), (1, 1)),
            ((0, -1), (0, 0), (1, 0)),
            ((0, 1), (0, 1), (1, 1)),
        ):
            if (column + step[0], row + step[1]) not in inside:
                across += [x[column + begin[0]], x[column + end[0]], math.nan]
                up += [y[row + begin[1]], y[row + end[1]], math.nan]
    return across, up


def best_by_radius(answers: Mapping[float, PairAnswer], unit: str) -> Picture:
    """Return the certified accuracy and noises of the best pair and the best alpha = beta, by radius."""
    radii = sorted(answers)
    found = [answers[radius] for radius in radii]
    free, usual = COLOURS[0], INK
    rule = found[0].gain.rule
    told = [
        f"radius {radius:g}: α {a.alpha:g}, β {a.beta:g}\n{a.accuracy:.4f}, {a.low:.4f} to {a.high:.4f}"
        for radius, a in zip(radii, found, strict=True)
    ]
    habit = [
        f"radius {radius:g}: α {a.gain.alpha:g}, β {a.gain.beta:g}\n{1 - a.gain.risk:.4f}"
        for radius, a in zip(radii, found, strict=True)
    ]
    best = [a.accuracy for a in found]
    name = rule.replace("alpha", "α").replace("beta", "β")
    accuracy = (
        Band(radii, [a.low for a in found], [a.high for a in found], free),
        Line(radii, best, free, "best pair", marker="circle", size=4, hover=told),
        Line(radii, [1 - a.gain.risk for a in found], usual, name, dash="dash", marker="square", hover=habit),
    )
    noises = (
        Line(
            radii, [a.alpha for a in found], COLOURS[1], "α* of the best pair", marker="triangle-up", size=5
        ),
        Line(radii, [a.beta for a in found], free, "β* of the best pair", marker="circle", size=4),
        Line(radii, [a.gain.beta for a in found], usual, f"β of {name}", dash="dash", marker="square"),
    )
    in_unit = f" ({unit})" if unit else ""
    rows = (
        (Panel(Axis("radius"), Axis("certified accuracy", (0, None)), accuracy),),
        (Panel(Axis(f"radius{in_unit}"), Axis(f"noise{in_unit}", (0, None)), noises),),
    )
    return Picture(rows, tall=4.8, share_y="none", legend_below=True)
