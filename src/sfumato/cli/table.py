"""``sfumato table``: the numbers of studies and certificates in the forms that papers take them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import note

if TYPE_CHECKING:
    from sfumato.reporting.sources import Sources
    from sfumato.reporting.tables import Table


class Kind(str, Enum):  # noqa: UP042 (typer shows the values of such an Enum as choices)
    """The tables there are."""

    risk = "risk"
    soft = "soft"
    best = "best"
    certified = "certified"
    outcomes = "outcomes"
    votes = "votes"


def command(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="risk or soft risk by alpha and beta; best alpha by beta; certified accuracy by radius; "
            "outcomes: correct, abstained, wrong; votes spent."
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            help="A study's folder, or certification tables (.tsv, ours or of other tools); NAME=PATH "
            "chooses what the table calls it."
        ),
    ],
    form: Annotated[
        str, typer.Option("--format", help="markdown, csv, or latex for the package booktabs.")
    ] = "markdown",
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write (default: standard output).")
    ] = None,
    radii: Annotated[
        str | None, typer.Option("--radii", help="Of certified accuracy (default: about ten round ones).")
    ] = None,
    confidence: Annotated[float, typer.Option("--confidence", help="Of every interval and set.")] = 0.95,
    draws: Annotated[int, typer.Option("--draws", help="Draws behind the bands of curves.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Of the halves of the images and the bands.")] = 0,
) -> None:
    """Write one table for a paper: Markdown, CSV or LaTeX.

    Example: sfumato table best mnist-study --format latex --out best.tex

    Example: sfumato table certified mine.tsv "Cohen et al.=cohen.tsv" --radii 0.25,0.5,1
    """
    from sfumato.errors import require_count, require_nonnegative, require_open_unit
    from sfumato.files import require_writable, write_text
    from sfumato.reporting.sources import read_sources
    from sfumato.reporting.tables import formatter

    require_open_unit("confidence", confidence)
    require_count("draws", draws)
    require_count("seed", seed, minimum=0)
    write = formatter(form)
    wanted = [require_nonnegative("radius", r) for r in options.parse_numbers("radii", radii) or ()]
    if out is not None:
        require_writable(out)
    found = read_sources(sources, on_note=note)
    if kind in (Kind.risk, Kind.soft, Kind.best):
        table = _study_table(kind, found, confidence, draws, seed)
    else:
        table = _certified_table(kind, found, wanted, confidence)
    text = write(table)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(out)


def _study_table(kind: Kind, found: Sources, confidence: float, draws: int, seed: int) -> Table:
    from sfumato.answers.best import answer_study, risk_points
    from sfumato.errors import SettingError
    from sfumato.reporting.answer_tables import best_table, risk_table

    results = [study.results for study in found.studies if study.results is not None]
    if len(results) != 1:
        raise SettingError(f"{kind.value} is a table of one study, got {len(results)}")
    if kind is Kind.best:
        return best_table(answer_study(results[0], confidence=confidence, draws=draws, seed=seed))
    images = len(next(iter(results[0].cells.values())).examples)
    about = (
        f"on {images:,} test images of {results[0].data}, {results[0].votes} votes each, "
        f"with {100 * confidence:.4g} % intervals"
    )
    points = risk_points(results[0], confidence=confidence)
    return risk_table(points, about, soft=kind is Kind.soft)


def _certified_table(kind: Kind, found: Sources, radii: list[float], confidence: float) -> Table:
    from sfumato.errors import DataError
    from sfumato.reporting.answer_tables import certified_table, outcomes_table, votes_table

    sets = found.certified_sets()
    if not sets:
        raise DataError(
            "nothing here holds certificates; give tables of sfumato certify or of another tool, or a study "
            "with a table [certification]"
        )
    if kind is Kind.certified:
        return certified_table(sets, radii, confidence=confidence)
    return outcomes_table(sets) if kind is Kind.outcomes else votes_table(sets)
