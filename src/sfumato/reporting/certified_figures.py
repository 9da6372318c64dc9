"""Static figures of certificates for papers: certified accuracy, radii, outcomes, votes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sfumato.errors import DataError
from sfumato.reporting.certified_sets import (
    FULL,
    bin_count,
    curve_of,
    largest_radius,
    outcomes,
    radius_axis,
    radius_shares,
    votes_spent,
)
from sfumato.reporting.figures import line_colours, new_figure, place_legend, save_figure
from sfumato.reporting.sources import CertifiedSet
from sfumato.reporting.style import COLOURS, figure_size, require_figure_path, sized_style

_USUAL_WIDTH = 6.4
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


def draw_certified_sets(
    sets: Sequence[CertifiedSet],
    path: Path,
    *,
    confidence: float = 0.95,
    width: float | None = None,
    height: float | None = None,
) -> None:
    """Draw certified accuracy against radius, one step line with its band per set, and save it.

    Raises:
        SettingError: a suffix other than .png, .svg, .pdf, or a size that no page has.
        OutputError: the file cannot be written.
    """
    largest = 1.03 * largest_radius(sets)
    with matplotlib.rc_context(sized_style(width or _USUAL_WIDTH)):
        figure, axes = _begin(path, width, height)
        for index, (found, colour) in enumerate(zip(sets, line_colours(len(sets)), strict=True)):
            points = curve_of(found, largest, confidence=confidence)
            radii = [point.radius for point in points]
            low, high = [p.low for p in points], [p.high for p in points]
            # a value belongs to the stretch that ends at its radius
            axes.fill_between(radii, low, high, step="pre", color=colour, alpha=0.15, lw=0)
            shares = [p.share for p in points]
            axes.step(radii, shares, where="pre", color=colour, ls=_dash(index), lw=1.3, label=found.name)
        axes.set(xlim=(0, largest), ylim=(0, 1))
        axes.set_xlabel(radius_axis(sets))
        axes.set_ylabel("certified accuracy")
        place_legend(figure, axes)
        save_figure(figure, path)


def draw_radii(
    sets: Sequence[CertifiedSet], path: Path, *, width: float | None = None, height: float | None = None
) -> None:
    """Draw how the radii of correct predictions are distributed, as shares of all examples, and save it.

    Raises:
        SettingError, OutputError: as ``draw_certified_sets``.
    """
    bins = np.linspace(0.0, largest_radius(sets), bin_count(sets) + 1)
    with matplotlib.rc_context(sized_style(width or _USUAL_WIDTH)):
        figure, axes = _begin(path, width, height)
        for index, (found, colour) in enumerate(zip(sets, line_colours(len(sets)), strict=True)):
            abstained = outcomes(found).abstained / len(found.certificates)
            axes.stairs(
                radius_shares(found, bins),
                bins,
                color=colour,
                ls=_dash(index),
                lw=1.3,
                label=f"{found.name} ({abstained:.0%} abstained)",
            )
        axes.set(xlim=(0, bins[-1]), ylim=(0, None))
        axes.set_xlabel(radius_axis(sets))
        axes.set_ylabel("share of all examples")
        place_legend(figure, axes)
        save_figure(figure, path)


def draw_votes(
    sets: Sequence[CertifiedSet], path: Path, *, width: float | None = None, height: float | None = None
) -> None:
    """Draw which share of the examples needed more than so many votes, and save it.

    Raises:
        DataError: no set says its votes.
        SettingError, OutputError: as ``draw_certified_sets``.
    """
    told = [(found, spent) for found in sets if (spent := votes_spent(found)) is not None]
    if not told:
        raise DataError("none of these tables says its votes; those written by sfumato certify do")
    least = min(int(spent.min()) for _, spent in told)
    with matplotlib.rc_context(sized_style(width or _USUAL_WIDTH)):
        figure, axes = _begin(path, width, height)
        for index, ((found, spent), colour) in enumerate(zip(told, line_colours(len(told)), strict=True)):
            steps = np.unique(spent)
            more = [float((spent > step).mean()) for step in steps]
            saved = FULL / spent.mean()
            axes.step(
                [0.8 * least, *steps],
                [1.0, *more],
                where="post",
                color=colour,
                ls=_dash(index),
                lw=1.3,
                label=f"{found.name} ({saved:.1f} times fewer)",
            )
        axes.axvline(FULL, color="#555555", ls="--", lw=1, label=f"{FULL:,} for each")
        axes.set_xscale("log")
        axes.set(ylim=(0, 1.02), xlabel="votes", ylabel="share that needed more")
        place_legend(figure, axes)
        save_figure(figure, path)


def draw_outcomes(
    sets: Sequence[CertifiedSet], path: Path, *, width: float | None = None, height: float | None = None
) -> None:
    """Draw for each set the shares that are correct, abstained and wrong, as one bar, and save it.

    Raises:
        SettingError, OutputError: as ``draw_certified_sets``.
    """
    found = [outcomes(one) for one in sets]
    rows = range(len(sets))
    with matplotlib.rc_context(sized_style(width or _USUAL_WIDTH)):
        figure, axes = _begin(path, width, height or 0.9 + 0.28 * len(sets))
        begin = np.zeros(len(sets))
        for name, colour, counts in (
            ("correct", COLOURS[0], [one.correct for one in found]),
            ("abstained", "#9aa0a6", [one.abstained for one in found]),
            ("wrong class", COLOURS[1], [one.wrong for one in found]),
        ):
            shares = np.array([count / one.examples for count, one in zip(counts, found, strict=True)])
            axes.barh(rows, shares, left=begin, color=colour, label=name, height=0.7)
            begin += shares
        axes.set_yticks(list(rows), [one.name for one in sets])
        axes.set_ylim(len(sets) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0, 1), xlabel="share of the examples")
        place_legend(figure, axes, below=True)
        save_figure(figure, path)


def _begin(path: Path, width: float | None, height: float | None) -> tuple[Figure, Axes]:
    require_figure_path(path)
    figure = new_figure(figure_size(width or _USUAL_WIDTH, height))
    return figure, figure.subplots()


def _dash(index: int) -> str | tuple[int, tuple[float, ...]]:
    """Return a line style that goes on where the colours begin anew or are hard to tell apart in print."""
    return _DASHES[index % len(_DASHES)]
