"""``sfumato plot``: figures for papers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.terminal import OUT, note

if TYPE_CHECKING:
    from sfumato.reporting.sources import Sources


class Figure(str, Enum):  # noqa: UP042 (typer shows the values of such an Enum as choices)
    """The figures there are."""

    risk = "risk"
    best = "best"
    map = "map"
    certified = "certified"
    radii = "radii"
    outcomes = "outcomes"
    votes = "votes"


def command(
    figure: Annotated[
        Figure,
        typer.Argument(
            help="risk against alpha; best alpha against beta; map of the risk over both; certified accuracy "
            "against radius; distribution of radii; outcomes: correct, abstained, wrong; votes spent."
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            help="A study's folder, certification tables (.tsv, ours or of other tools), published risks "
            "(.csv); NAME=PATH chooses what the figure calls it."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The .pdf, .svg or .png to write.")],
    width: Annotated[
        str, typer.Option("--width", help="column (3.25 inches), text (5.5 inches), or inches.")
    ] = "text",
    height: Annotated[
        float | None, typer.Option("--height", help="Inches (default: by the golden ratio).")
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", help="Of every interval and band.")] = 0.95,
    draws: Annotated[int, typer.Option("--draws", help="Draws behind the bands of curves.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Of the halves of the images and the bands.")] = 0,
) -> None:
    """Draw one figure for a paper: PDF, SVG or PNG in the size it is printed in, safe for colour-blind eyes.

    Include it without scaling, and its type has the size of the paper's captions.

    Example: sfumato plot certified mine.tsv "Cohen et al.=cohen.tsv" --out certified.pdf --width column

    Example: sfumato plot map mnist-study --out map.svg
    """
    from sfumato.errors import require_count, require_open_unit
    from sfumato.files import require_writable
    from sfumato.reporting.sources import read_sources
    from sfumato.reporting.style import figure_size, figure_width, require_figure_path

    require_open_unit("confidence", confidence)
    require_count("draws", draws)
    require_count("seed", seed, minimum=0)
    inches = figure_width(width)
    figure_size(inches, height)
    require_figure_path(out)
    require_writable(out)
    found = read_sources(sources, on_note=note)
    if figure in (Figure.risk, Figure.best, Figure.map):
        _draw_study(figure, found, out, inches, height, confidence, draws, seed)
    else:
        _draw_certificates(figure, found, out, inches, height, confidence)
    OUT.print(str(out), markup=False)


def _draw_study(
    figure: Figure,
    found: Sources,
    out: Path,
    width: float,
    height: float | None,
    confidence: float,
    draws: int,
    seed: int,
) -> None:
    from sfumato.answers.best import answer_study
    from sfumato.errors import SettingError
    from sfumato.reporting.risk_lines import published_lines, study_lines
    from sfumato.reporting.study_figures import draw_best_alpha, draw_risk_map, draw_study_risk

    if figure is Figure.map and len(found.published) == 1 and not found.studies:
        draw_risk_map(
            published_lines(found.published[0]), "unit as published", out, width=width, height=height
        )
        return
    results = [study.results for study in found.studies if study.results is not None]
    if len(results) != 1 or len(found.published) > 1 or found.tables:
        raise SettingError(
            f"{figure.value} draws one study, beside at most one file of published risks; got "
            f"{len(results)} studies, {len(found.published)} of published risks and {len(found.tables)} "
            "certification tables"
        )
    answer = answer_study(results[0], confidence=confidence, draws=draws, seed=seed)
    if figure is Figure.map:
        draw_risk_map(study_lines(answer), answer.unit, out, width=width, height=height)
        return
    draw = draw_study_risk if figure is Figure.risk else draw_best_alpha
    draw(answer, out, next(iter(found.published), None), width=width, height=height)


def _draw_certificates(
    figure: Figure, found: Sources, out: Path, width: float, height: float | None, confidence: float
) -> None:
    from sfumato.errors import DataError
    from sfumato.reporting import certified_figures

    sets = found.certified_sets()
    if not sets:
        raise DataError(
            "nothing here holds certificates; give tables of sfumato certify or of another tool, or a study "
            "with a table [certification]"
        )
    if figure is Figure.certified:
        certified_figures.draw_certified_sets(sets, out, confidence=confidence, width=width, height=height)
        return
    draw = {
        Figure.radii: certified_figures.draw_radii,
        Figure.outcomes: certified_figures.draw_outcomes,
        Figure.votes: certified_figures.draw_votes,
    }[figure]
    draw(sets, out, width=width, height=height)
