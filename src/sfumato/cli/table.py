"""``sfumato table``: the numbers of studies and certificates in the forms that papers take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sfumato.cli import options
from sfumato.cli.from_settings import takes_fields
from sfumato.cli.terminal import note, warn

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from sfumato.answers.settings import AnswerSettings
    from sfumato.certification.certificate import Certificate
    from sfumato.reporting.sources import CertifiedSet, Sources
    from sfumato.reporting.tables import Table
    from sfumato.studies.results import StudyResults


def answer_fields() -> Mapping[str, FieldInfo]:
    """Return the fields of the settings of an answer."""
    from sfumato.answers.settings import AnswerSettings

    return AnswerSettings.model_fields


@takes_fields(answer_fields)
def command(
    kind: Annotated[
        Literal["risk", "soft", "best", "certified", "outcomes", "votes"],
        typer.Argument(
            help="risk, soft: risk or soft risk by alpha and beta; best: best alpha by beta; certified: "
            "accuracy by radius; outcomes: correct, abstained, wrong; votes: votes spent."
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            help="A study's folder, or certification tables (.tsv, from Sfumato or other tools). NAME=PATH "
            "sets the name that the table uses."
        ),
    ],
    form: Annotated[
        str, typer.Option("--format", help="markdown, csv, or latex for the package booktabs.")
    ] = "markdown",
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write (default: standard output).")
    ] = None,
    radii: Annotated[
        str | None, typer.Option("--radii", help="Radii of certified accuracy (default: about ten values).")
    ] = None,
    **settings: Any,
) -> None:
    """Write one table for a paper: Markdown, CSV or LaTeX.

    Example: sfumato table best mnist-study --format latex --out best.tex

    Example: sfumato table certified mine.tsv "Cohen et al.=cohen.tsv" --radii 0.25,0.5,1
    """
    from sfumato.answers.settings import AnswerSettings
    from sfumato.errors import require_nonnegative
    from sfumato.files import require_writable, write_text
    from sfumato.reporting.sources import read_sources
    from sfumato.reporting.tables import formatter

    chosen = AnswerSettings(**settings)
    write = formatter(form)
    wanted = [require_nonnegative("radius", radius) for radius in options.parse_numbers("radii", radii)]
    if out is not None:
        require_writable(out)
    found = read_sources(sources, on_note=note)
    if kind in ("risk", "soft", "best"):
        results = [study.results for study in found.studies if study.results is not None]
        table = _study_table(kind, results, chosen)
    else:
        table = _certified_table(kind, found, wanted, chosen.confidence)
    text = write(table)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(out)


def _study_table(kind: str, studies: Sequence[StudyResults], settings: AnswerSettings) -> Table:
    from sfumato.answers.best import answer_study
    from sfumato.errors import SettingError
    from sfumato.reporting.answer_tables import best_table

    if len(studies) != 1:
        raise SettingError(f"{kind} is a table of one study, got {len(studies)}")
    if kind == "best":
        return best_table(answer_study(studies[0], **dict(settings)))
    return measured_table(studies[0], settings.confidence, soft=kind == "soft")


def measured_table(results: StudyResults, confidence: float, *, soft: bool = False) -> Table:
    """Return the risk of a study, or its soft risk, by alpha and beta."""
    from sfumato.answers.best import risk_points
    from sfumato.reporting.answer_tables import risk_table

    images = len(next(iter(results.cells.values())).examples)
    about = (
        f"on {images:,} test images of {results.data}, {results.votes} votes each, "
        f"with {100 * confidence:.4g} % intervals"
    )
    return risk_table(risk_points(results, confidence=confidence), about, soft=soft)


def _certified_table(kind: str, found: Sources, radii: list[float], confidence: float) -> Table:
    from sfumato.reporting.answer_tables import certified_table, outcomes_table, votes_table

    sets = certified_sets(found)
    if kind == "certified":
        return certified_table(sets, radii, confidence=confidence)
    return outcomes_table(sets) if kind == "outcomes" else votes_table(sets)


def certified_sets(found: Sources) -> Sequence[CertifiedSet]:
    """Return the certificates that were given, at least one set; warn of what makes them hard to compare.

    Raises:
        DataError: there are none.
    """
    from sfumato.errors import DataError

    if sets := found.certified_sets():
        warn_of_differences({one.name: one.certificates for one in sets})
        return sets
    raise DataError(
        "nothing here holds certificates; give tables of sfumato certify or of another tool, or a study "
        "with a table [certification]"
    )


def compared_results(found: Sources) -> StudyResults:
    """Return the results of one study, or certification tables as one: pairs of noises on the same images.

    Raises:
        SettingError: neither.
        DataError: tables that do not say their noises, or are of different images.
    """
    from sfumato.answers.published import tables_as_study
    from sfumato.errors import SettingError

    studies = [study.results for study in found.studies if study.results is not None]
    if len(studies) == 1 and not found.tables and not found.published:
        return studies[0]
    if found.studies or found.published:
        raise SettingError(
            f"give one study's folder or only certification tables, got {len(found.studies)} folders, "
            f"{len(found.tables)} tables and {len(found.published)} files of published risks"
        )
    named = [(one.name, one.origin, one.settings or {}, one.certificates) for one in found.tables]
    return tables_as_study(named)


def warn_of_differences(named: Mapping[str, Sequence[Certificate]]) -> None:
    """Warn if certificates of different images, confidence or votes are compared."""
    from sfumato.reporting.certified_sets import differences

    for message in differences(named):
        warn(message)


def cells_by_name(results: StudyResults) -> dict[str, Sequence[Certificate]]:
    """Return the certificates of a study, each cell by its noises."""
    return {f"alpha {a:g}, beta {b:g}": rows for (a, b, _), rows in results.certificates.items() if rows}
