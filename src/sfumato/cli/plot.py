"""``sfumato plot``: figures for papers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sfumato.cli import options
from sfumato.cli.from_settings import takes_fields
from sfumato.cli.table import (
    answer_fields,
    cells_by_name,
    certified_sets,
    compared_results,
    warn_of_differences,
)
from sfumato.cli.terminal import OUT, note, warn

if TYPE_CHECKING:
    from sfumato.answers.best import StudyAnswer
    from sfumato.answers.settings import AnswerSettings
    from sfumato.reporting.sources import Sources


@takes_fields(answer_fields)
def command(
    figure: Annotated[
        Literal["risk", "best", "map", "certified", "radii", "outcomes", "votes", "pairs", "radius"],
        typer.Argument(
            help="risk: risk against alpha; best: best alpha against beta; map: risk over both; certified: "
            "accuracy against radius; radii: their distribution; outcomes: correct, abstained, wrong; "
            "votes: votes spent; pairs: certified accuracy at --radius over alpha and beta, with the best "
            "pair and its set; radius: the best pair and the best alpha = beta against the radius."
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            help="A study's folder, certification tables (.tsv, from Sfumato or other tools), published "
            "risks (.csv). NAME=PATH sets the name that the figure uses."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The .pdf, .svg or .png to write.")],
    radius: Annotated[
        str | None, typer.Option("--radius", help="For pairs: one radius. For radius: several, 0.25,0.5,1.")
    ] = None,
    attack: options.Attacks = None,
    width: Annotated[
        str, typer.Option("--width", help="column (3.25 inches), text (5.5 inches), or a number of inches.")
    ] = "text",
    height: Annotated[
        float | None, typer.Option("--height", help="Height in inches (default: by the golden ratio).")
    ] = None,
    **settings: Any,
) -> None:
    """Draw one figure for a paper, PDF, SVG or PNG, in printed size and safe for colour-blind eyes.

    If you include the figure without scaling it, its text is as large as the captions of the paper.

    Example: sfumato plot certified mine.tsv "Cohen et al.=cohen.tsv" --out certified.pdf --width column

    Example: sfumato plot certified mine.tsv --attack attack.json --out band.pdf

    Example: sfumato plot map mnist-study --out map.svg

    Example: sfumato plot pairs cohen/cifar10_*.tsv --radius 1.25 --out pairs.png
    """
    from sfumato.answers.settings import AnswerSettings
    from sfumato.errors import SettingError
    from sfumato.reporting.sources import read_sources
    from sfumato.reporting.static import save_picture
    from sfumato.reporting.study_figures import published_lines, risk_map
    from sfumato.reporting.style import figure_size, figure_width

    chosen = AnswerSettings(**settings)
    inches = figure_width(width)
    figure_size(inches, height)
    radii = _radii(figure, radius)
    require_figures([out])
    if attack and figure != "certified":
        raise SettingError(f"only the figure certified takes --attack, {figure} does not")
    found = read_sources(sources, on_note=note)
    if radii:
        _draw_pairs(figure, found, radii, out, chosen, width=inches, height=height)
    elif figure == "map" and len(found.published) == 1 and not found.studies:
        picture = risk_map(published_lines(found.published[0]), "unit as published")
        save_picture(picture, out, width=inches, height=height)
    elif figure in ("risk", "best", "map"):
        draw_study({figure: out}, found, chosen, width=inches, height=height)
    else:
        _draw_certificates(figure, found, attack or (), out, chosen.confidence, width=inches, height=height)
    OUT.print(str(out), markup=False)


def _radii(figure: str, text: str | None) -> list[float]:
    """Return the radii of the figures pairs and radius; the others have none."""
    from sfumato.errors import SettingError, require_nonnegative

    radii = [require_nonnegative("radius", r) for r in options.parse_numbers("radius", text)]
    if figure not in ("pairs", "radius"):
        if radii:
            raise SettingError(f"only the figures pairs and radius take --radius, {figure} does not")
    elif not radii:
        raise SettingError(f"{figure} draws certified accuracy at a radius; give --radius, e.g. 0.5")
    elif figure == "pairs" and len(radii) > 1:
        raise SettingError(f"pairs draws one radius, got {text}; radius draws several")
    return radii


def require_figures(paths: Iterable[Path]) -> None:
    """Refuse files that cannot be figures, or cannot be written, before any work.

    Raises:
        SettingError: a suffix of no figure.
        OutputError: a folder that cannot be written to.
    """
    from sfumato.files import require_writable
    from sfumato.reporting.style import require_figure_path

    for path in paths:
        require_figure_path(path)
        require_writable(path)


def draw_study(
    figures: Mapping[str, Path], found: Sources, settings: AnswerSettings, **size: float | None
) -> StudyAnswer:
    """Draw figures of one study (risk, best, map), each to its path; return the answer that they show.

    Raises:
        SettingError: not one study, or more than one file of published risks beside it.
    """
    from sfumato.answers.best import answer_study
    from sfumato.errors import SettingError
    from sfumato.reporting.static import save_picture
    from sfumato.reporting.study_figures import best_alpha, risk_map, study_lines, study_risk

    results = [study.results for study in found.studies if study.results is not None]
    if len(results) != 1 or len(found.published) > 1 or found.tables:
        raise SettingError(
            f"{' and '.join(figures)} draws one study, beside at most one file of published risks; got "
            f"{len(results)} studies, {len(found.published)} of published risks and {len(found.tables)} "
            "certification tables"
        )
    answer = answer_study(results[0], **dict(settings))
    for figure, path in figures.items():
        if figure == "map":
            picture = risk_map(study_lines(answer), answer.unit)
        else:
            describe = study_risk if figure == "risk" else best_alpha
            picture = describe(answer, next(iter(found.published), None))
        save_picture(picture, path, **size)
    return answer


def _draw_pairs(
    figure: str,
    found: Sources,
    radii: Sequence[float],
    out: Path,
    settings: AnswerSettings,
    **size: float | None,
) -> None:
    from sfumato.answers.best_pair import best_pair
    from sfumato.answers.objective import CertifiedAccuracy
    from sfumato.reporting.pair_figures import best_by_radius, best_pair_map
    from sfumato.reporting.static import save_picture

    results = compared_results(found)
    warn_of_differences(cells_by_name(results))
    answers = {
        radius: best_pair(
            results, CertifiedAccuracy(radius), confidence=settings.confidence, seed=settings.seed
        )
        for radius in radii
    }
    if figure == "pairs":
        picture = best_pair_map(answers[radii[0]], results.unit)
    else:
        picture = best_by_radius(answers, results.unit)
    save_picture(picture, out, **size)


def _draw_certificates(
    figure: str,
    found: Sources,
    attacks: Sequence[Path],
    out: Path,
    confidence: float,
    **size: float | None,
) -> None:
    from sfumato.reporting.attacked_sets import read_attacks, told_of
    from sfumato.reporting.certified_figures import certified_accuracy, outcome_bars, radii, votes
    from sfumato.reporting.static import save_picture

    sets = certified_sets(found)
    if figure == "certified":
        attacked = read_attacks(attacks, sets)
        picture = certified_accuracy(sets, confidence=confidence, attacks=attacked)
        for line, wrong in told_of(sets, attacked):
            (warn if wrong else note)(line)
    else:
        picture = {"radii": radii, "outcomes": outcome_bars, "votes": votes}[figure](sets)
    save_picture(picture, out, **size)
