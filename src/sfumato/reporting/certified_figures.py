"""Pictures of certificates: certified accuracy, radii, outcomes, votes. Aggregated, never raw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sfumato.certification.accuracy import NO_GUARANTEE
from sfumato.errors import DataError
from sfumato.reporting.attacked_sets import AttackedSet, attack_on, robust_band
from sfumato.reporting.certified_sets import (
    FULL,
    accuracy_name,
    bin_count,
    curve_of,
    largest_radius,
    outcomes,
    radius_axis,
    radius_shares,
    spread,
    votes_spent,
)
from sfumato.reporting.picture import Axis, Band, Bars, Layer, Line, Panel, Picture
from sfumato.reporting.sources import CertifiedSet
from sfumato.reporting.style import COLOURS, INK, PALE, Colour, line_colours

MOST_BANDS = 8
"""Of more lines the bands would hide the lines."""

_DASHES = ("solid", "dash", "dot", "dashdot")
_READABLE = 0.08  # shares from this on have room for their number


def certified_accuracy(
    sets: Sequence[CertifiedSet],
    *,
    confidence: float = 0.95,
    title: str = "",
    attacks: Sequence[AttackedSet] = (),
) -> Picture:
    """Return certified accuracy against radius, one step line with its band per set.

    A set whose classifier was attacked has a second line, its accuracy under attack. Robust accuracy lies in
    the band between the two.

    Raises:
        DataError: radii in different norms, scales or units.
    """
    largest = 1.03 * max(largest_radius(sets), *(attack.reach for attack in attacks), 0.0)
    layers: list[Layer] = []
    for index, (found, colour) in enumerate(zip(sets, line_colours(len(sets)), strict=True)):
        points = curve_of(found, largest, confidence=confidence)
        radii, group = [point.radius for point in points], f"set {index}"
        # a value belongs to the stretch that ends at its radius
        if len(sets) <= MOST_BANDS:
            low, high = [point.low for point in points], [point.high for point in points]
            layers.append(Band(radii, low, high, colour, step="pre", group=group))
        hover = [
            f"{found.name}\nradius {p.radius:.3g}: {p.share:.4f} ({p.certified:,} of {p.examples:,})\n"
            f"{p.low:.4f} to {p.high:.4f}" + ("" if p.certificate_confidence else f"\n{NO_GUARANTEE}")
            for p in points
        ]
        shares, dash = [point.share for point in points], _dash(index)
        layers.append(
            Line(radii, shares, colour, found.name, dash=dash, step="pre", hover=hover, group=group)
        )
        if attack := attack_on(found, attacks):
            layers += _under_attack(found, attack, colour, group)
    across = Axis(radius_axis(sets), (0, largest))
    up = Axis("accuracy" if attacks else accuracy_name(sets), (0, 1))
    return Picture(((Panel(across, up, layers, title),),))


def _under_attack(found: CertifiedSet, attack: AttackedSet, colour: Colour, group: str) -> list[Layer]:
    """Return the line of attacked accuracy, and the band that robust accuracy lies in."""
    band = robust_band(found, attack)
    name = f"{found.name}, under attack"
    hover = [
        f"{name} ({band.images:,} images)\nradius {radius:.3g}: robust accuracy from {low:.4f} to {high:.4f}"
        for radius, low, high in zip(band.radii, band.certified, band.attacked, strict=True)
    ]
    return [
        # fainter than that of the confidence
        Band(band.radii, band.certified, band.attacked, colour, step="pre", group=group, opacity=0.07),
        Line(
            band.radii,
            band.attacked,
            colour,
            name,
            width=1.2,
            dash="dot",
            step="pre",
            hover=hover,
            group=group,
        ),
    ]


def radii(sets: Sequence[CertifiedSet]) -> Picture:
    """Return how the radii of correct predictions are distributed: share of all examples per bin.

    Raises:
        DataError: radii in different norms, scales or units.
    """
    bins = np.linspace(0.0, largest_radius(sets), bin_count(sets) + 1)
    layers = []
    for index, (found, colour) in enumerate(zip(sets, line_colours(len(sets)), strict=True)):
        shares = radius_shares(found, bins)
        name = f"{found.name} ({outcomes(found).abstained / len(found.certificates):.0%} abstained)"
        told = [
            f"{found.name}\nradius {low:.3g} to {high:.3g}: {share:.2%}"
            for low, high, share in zip(bins, bins[1:], shares, strict=False)
        ]
        # from the axis up to the first share, and down to it after the last
        x, y = [0.0, *bins], [0.0, *shares, 0.0]
        hover = ["", *told, ""]
        layers.append(Line(x, y, colour, name, dash=_dash(index), step="post", hover=hover))
    across, up = Axis(radius_axis(sets), (0, float(bins[-1]))), Axis("share of all examples", (0, None))
    return Picture(((Panel(across, up, layers),),))


def votes(sets: Sequence[CertifiedSet]) -> Picture:
    """Return the share of examples that needed more than a number of votes, beside 100,100 for each.

    Raises:
        DataError: no set states its votes.
    """
    told = [(found, spent) for found in sets if (spent := votes_spent(found)) is not None]
    if not told:
        raise DataError("none of these tables states its votes; tables written by sfumato certify do")
    least = min(int(spent.min()) for _, spent in told)
    layers = []
    for index, ((found, spent), colour) in enumerate(zip(told, line_colours(len(told)), strict=True)):
        steps = spread(np.unique(spent).tolist())
        more = [float((spent > step).mean()) for step in steps]
        name = f"{found.name} ({FULL / spent.mean():.1f} times fewer)"
        hover = [
            f"{found.name}\nmore than {step:,} votes: {share:.1%}"
            for step, share in zip(steps, more, strict=True)
        ]
        x, y, dash = [0.8 * least, *steps], [1.0, *more], _dash(index)
        layers.append(Line(x, y, colour, name, dash=dash, step="post", hover=["", *hover]))
    layers.append(Line([FULL] * 2, [0, 1], INK, f"{FULL:,} for each", width=1.2, dash="dash"))
    panel = Panel(Axis("votes", log=True), Axis("share that needed more", (0, 1.02), percent=True), layers)
    return Picture(((panel,),))


def outcome_bars(sets: Sequence[CertifiedSet]) -> Picture:
    """Return for each set the shares that are correct, abstained and wrong, as one bar."""
    found = [outcomes(one) for one in sets]
    begins = np.zeros(len(sets))
    layers = []
    for name, colour, ink, counts in (
        ("correct", COLOURS[0], "#ffffff", [one.correct for one in found]),
        ("abstained", PALE, "#111111", [one.abstained for one in found]),
        ("wrong class", COLOURS[1], "#111111", [one.wrong for one in found]),
    ):
        shares = np.array([count / one.examples for count, one in zip(counts, found, strict=True)])
        hover = [
            f"{one.name}\n{name}: {count:,} of {every.examples:,} ({share:.2%})"
            for one, every, count, share in zip(sets, found, counts, shares, strict=True)
        ]
        labels = [f"{share:.0%}" if share >= _READABLE else "" for share in shares]
        ends = begins + shares
        layers.append(Bars(list(range(len(sets))), begins, ends, colour, name, labels, ink, hover))
        begins = ends
    names = Axis("", rows=[one.name for one in sets], grid=False)
    panel = Panel(Axis("share of the examples", (0, 1), percent=True), names, layers)
    return Picture(((panel,),), tall=0.9 + 0.28 * len(sets), legend_below=True)


def _dash(index: int) -> str:
    """Return a line style that goes on where the colours begin anew or are hard to tell apart in print."""
    return _DASHES[index % len(_DASHES)]
