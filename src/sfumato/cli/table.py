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
    from sfumato.reporting.table_style import TableStyle
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
    intervals: Annotated[
        bool, typer.Option("--intervals/--no-intervals", help="Whether each estimate has its interval.")
    ] = True,
    percent: Annotated[bool, typer.Option("--percent", help="Shares in per cent.")] = False,
    decimals: Annotated[
        int | None, typer.Option("--decimals", help="Decimals of shares (default: 4, in per cent 2).")
    ] = None,
    bold: Annotated[
        bool,
        typer.Option("--bold", help="The best of each column in bold; the lowest risks lose their star."),
    ] = False,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="Rows as columns: several methods side by side.")
    ] = False,
    width: Annotated[
        str, typer.Option("--width", help="LaTeX: shrink the table to a column, or to text (both columns).")
    ] = "",
    caption: Annotated[
        str, typer.Option("--caption", help="The caption, plain text (default: what the numbers are).")
    ] = "",
    label: Annotated[str, typer.Option("--label", help="LaTeX: the label, e.g. tab:certified.")] = "",
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

    Example: sfumato table certified a.tsv b.tsv --format latex --transpose --width column --percent --bold
    """
    from sfumato.answers.settings import AnswerSettings
    from sfumato.certification.file import settings_path
    from sfumato.errors import require_nonnegative
    from sfumato.files import require_no_input, require_writable, write_text
    from sfumato.reporting.sources import named_path, read_sources
    from sfumato.reporting.table_form import TableForm
    from sfumato.reporting.table_style import TableStyle

    chosen = AnswerSettings(**settings)
    style = TableStyle(intervals, percent, decimals, bold)
    _require_effect(kind, style, radii)
    written = TableForm(form, caption, label, width, transpose, bold)
    wanted = [require_nonnegative("radius", radius) for radius in options.parse_numbers("radii", radii)]
    if out is not None:
        require_writable(out)
        read = [named_path(text)[1] for text in sources]
        require_no_input(out, [*read, *(settings_path(path) for path in read if path.name)])
    found = read_sources(sources, on_note=note)
    if kind in ("risk", "soft", "best"):
        results = [study.results for study in found.studies if study.results is not None]
        table = _study_table(kind, results, chosen, style)
    else:
        table = _certified_table(kind, found, wanted, chosen.confidence, style)
    text = written.write(table)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(out)


def _require_effect(kind: str, style: TableStyle, radii: str | None) -> None:
    """Refuse an option that changes nothing in a table of this kind.

    Raises:
        SettingError: such an option was given.
    """
    from sfumato.errors import SettingError

    given = {
        "--bold": style.bold,
        "--no-intervals": not style.intervals,
        "--percent": style.percent,
        "--decimals": style.places is not None,
        "--radii": radii is not None,
    }
    shares = ["--no-intervals", "--percent", "--decimals"]
    without = {"best": ["--bold"], "outcomes": ["--no-intervals"], "votes": shares}.get(kind, [])
    for option in without + ([] if kind == "certified" else ["--radii"]):
        if given[option]:
            raise SettingError(f"the table {kind} takes no {option}; leave it out")


def _study_table(
    kind: str, studies: Sequence[StudyResults], settings: AnswerSettings, style: TableStyle
) -> Table:
    from sfumato.answers.best import answer_study
    from sfumato.errors import SettingError
    from sfumato.reporting.answer_tables import best_table

    if len(studies) != 1:
        raise SettingError(f"{kind} is a table of one study, got {len(studies)}")
    if kind == "best":
        return best_table(answer_study(studies[0], **dict(settings)), style=style)
    return measured_table(studies[0], settings.confidence, soft=kind == "soft", style=style)


def measured_table(
    results: StudyResults, confidence: float, *, soft: bool = False, style: TableStyle | None = None
) -> Table:
    """Return the risk of a study, or its soft risk, by alpha and beta."""
    from sfumato.answers.best import risk_points
    from sfumato.reporting.answer_tables import PLAIN, risk_table

    style = style or PLAIN

    images = len(next(iter(results.cells.values())).examples)
    about = (
        f"on {images:,} test images of {results.data}, {results.votes} votes each, "
        + (f"with {100 * confidence:.4g} % intervals" if style.intervals else "")
    ).removesuffix(", ")
    return risk_table(risk_points(results, confidence=confidence), about, soft=soft, style=style)


def _certified_table(
    kind: str, found: Sources, radii: list[float], confidence: float, style: TableStyle
) -> Table:
    from sfumato.reporting.answer_tables import certified_table, outcomes_table, votes_table

    sets = certified_sets(found)
    if kind == "certified":
        return certified_table(sets, radii, confidence=confidence, style=style)
    return outcomes_table(sets, style=style) if kind == "outcomes" else votes_table(sets, bold=style.bold)


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
        DataError: tables that do not say their noises, are of different images, or have radii in different
            norms, scales or units.
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
