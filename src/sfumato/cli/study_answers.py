"""``sfumato study show``, ``best`` and ``plot``: what a study has measured, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options, study_kept
from sfumato.cli.from_settings import takes_fields
from sfumato.cli.plot import draw_study, require_figures
from sfumato.cli.table import (
    answer_fields,
    cells_by_name,
    certified_sets,
    compared_results,
    measured_table,
    warn_of_differences,
)
from sfumato.cli.terminal import OUT, note, print_json, print_table, warn

if TYPE_CHECKING:
    from sfumato.answers.best import BetaAnswer
    from sfumato.answers.objective import CertifiedAccuracy, WeightedAccuracy
    from sfumato.answers.settings import AnswerSettings
    from sfumato.studies.results import StudyResults

Folder = Annotated[Path, typer.Argument(help="The folder of a study, as written by sfumato study run.")]


def show(
    folder: Folder,
    soft: Annotated[
        bool, typer.Option("--soft", help="Also the soft risk: the share of single noisy copies in error.")
    ] = False,
    radii: Annotated[
        str | None, typer.Option("--radii", help="Also certified accuracy at these radii, e.g. 0.25,0.5.")
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", help="Confidence level of all intervals, between 0 and 1.")
    ] = 0.95,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Only list what the folder keeps: also rows of other settings, races and searches."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Print the risk Delta by alpha and beta with exact intervals; a star marks the lowest risk of each beta.

    A study that is still running shows the cells that are complete.

    Example: sfumato study show mnist-study --soft

    Example: sfumato study show mnist-study --all
    """
    if everything:
        study_kept.show_all(folder, as_json=as_json, with_others=soft or radii is not None)
        return
    from sfumato.answers.best import risk_points
    from sfumato.certification.accuracy import certified_accuracy, is_asked
    from sfumato.errors import require_nonnegative
    from sfumato.reporting.answer_tables import certified_table
    from sfumato.reporting.certified_sets import require_certified
    from sfumato.reporting.sources import Sources, StudySource
    from sfumato.studies.store import load_results

    wanted = [require_nonnegative("radius", r) for r in options.parse_numbers("radii", radii)]
    results = load_results(folder)
    risks = risk_points(results, confidence=confidence)
    sets = certified_sets(Sources((StudySource(folder.name, folder, results),), (), ())) if wanted else ()
    require_certified(sets, wanted if sets else ())
    if as_json:
        certified = [
            {
                **dict(zip(("alpha", "beta", "seed"), cell, strict=True)),
                "points": certified_accuracy(
                    rows, [radius for radius in wanted if is_asked(radius, rows)], confidence=confidence
                ),
            }
            for cell, rows in sorted(results.certificates.items())
            if wanted and rows
        ]
        about = {"data": results.data, "unit": results.unit, "votes": results.votes, "seeds": results.seeds}
        by_beta = [{"beta": beta, "points": points} for beta, points in risks.items()]
        print_json({**about, "confidence": confidence, "risks": by_beta, "certified": certified})
        return
    if sets:
        table = certified_table(sets, wanted, confidence=confidence)
        print_table(table.title, table.columns, table.rows)
    print_risks(results, confidence, soft=soft)


def print_risks(results: StudyResults, confidence: float = 0.95, *, soft: bool = False) -> None:
    """Print the risk of a study as sfumato table does, and what was left out of it."""
    from sfumato.answers.best import risk_points

    for of_copies in (False, True) if soft else (False,):
        table = measured_table(results, confidence, soft=of_copies)
        print_table(table.title, table.columns, table.rows)
    images = len(next(iter(results.cells.values())).examples)
    used = sum(point.trials // images for points in risk_points(results).values() for point in points)
    if left_out := len(results.cells) - used:
        warn(f"{left_out} finished cells are not used: other alphas lack their training seed")
    OUT.print(f"seeds {', '.join(map(str, results.seeds))}; alpha and beta in: {results.unit}", markup=False)


@takes_fields(answer_fields)
def best(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="The folder of a study; or certification tables (.tsv, from Sfumato or published). A name "
            "like noise_0.25_test_sigma_0.5.tsv states alpha and beta; for other names write ALPHA,BETA=PATH."
        ),
    ],
    radius: Annotated[
        str | None,
        typer.Option(
            "--radius", help="Maximise certified accuracy at each of these radii, over alpha and beta: 0.5,1."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", help="Weights of the radii, whole numbers, e.g. 2,1: find one pair for all radii."
        ),
    ] = None,
    beta: Annotated[
        float | None, typer.Option("--beta", help="Only this smoothing noise (default: all measured).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, the smoothed curves too.")
    ] = False,
    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            help="Criterion for alpha*: vote-risk (fewest errors of the vote), or one that a --plugin "
            "registers.",
        ),
    ] = "vote-risk",
    **settings: Any,
) -> None:
    """Print the best noises of a study, their confidence set, and their gain over alpha = beta.

    Without --radius: for each beta, the alpha for which the vote is wrong on the fewest images. With
    --radius: for each radius, the pair (alpha, beta) that certifies the most images; with --weights too, the
    one pair with the largest weighted mean over all radii. With the stated confidence, the set holds the
    noises that are truly best among those measured. For the gain, one half of the images selects the best
    noises, and the other half measures them.

    Example: sfumato study best mnist-study

    Example: sfumato study best mnist-study --radius 0.5,1.0

    Example: sfumato study best mnist-study --radius 0.5,1.0 --weights 2,1

    Example: sfumato study best cohen/cifar10_*.tsv --radius 0.25,1.25 --beta 0.5
    """
    from sfumato.answers.best import answer_study
    from sfumato.answers.objective import make_objective
    from sfumato.answers.settings import AnswerSettings
    from sfumato.errors import SettingError, require_nonnegative
    from sfumato.reporting.answer_tables import best_table

    chosen = AnswerSettings(**settings)
    radii = [require_nonnegative("radius", r) for r in options.parse_numbers("radius", radius)]
    if radii and objective != "vote-risk":
        raise SettingError("--radius and --objective exclude each other; give one of them")
    shares = options.parse_numbers("weights", weights, int)
    twice = [one for one in radii if radii.count(one) > 1]
    if twice and shares:
        raise SettingError(f"--radius has {twice[0]:g} twice; with --weights give each radius once")
    if shares and len(shares) != len(radii):
        raise SettingError(
            f"--weights must be one for each radius of --radius ({len(radii)}), got {len(shares)}"
        )
    results = _results(sources)
    if radii:
        _print_best_pairs(results, _objectives(radii, shares), beta, chosen, as_json)
        return
    if not results.cells and results.certificates:
        raise SettingError("certification tables answer for a radius; give --radius, e.g. 0.25,0.5,1")
    answer = answer_study(results, **dict(chosen), objective=make_objective(objective), beta=beta)
    if as_json:
        print_json(answer)
        return
    table = best_table(answer)
    print_table(table.title, table.columns, table.rows)
    OUT.print(
        "gain: alpha* selected on one half of the images and measured on the other, so not the difference of "
        f"the risks\nseeds {', '.join(map(str, answer.betas[0].seeds))}; brackets hold the measured alpha "
        f"that is nearest to a rule; alpha and beta in: {answer.unit}",
        markup=False,
    )
    _warn_about(answer.betas)


def _results(sources: Sequence[str]) -> StudyResults:
    """Return what a study's folder has measured, or what certification tables hold."""
    from sfumato.reporting.sources import read_sources
    from sfumato.studies.store import load_results

    if len(sources) == 1 and not Path(sources[0].rpartition("=")[2]).is_file():
        return load_results(Path(sources[0]))
    return compared_results(read_sources(sources, on_note=note))


def _objectives(
    radii: Sequence[float], weights: Sequence[float]
) -> dict[str, CertifiedAccuracy | WeightedAccuracy]:
    """Return what to answer for, by what the column of radii says: each radius, or their weighted mean."""
    from sfumato.answers.objective import CertifiedAccuracy, WeightedAccuracy

    if not weights:
        return {f"{radius:.10g}": CertifiedAccuracy(radius) for radius in radii}
    parts = {radius: int(weight) for radius, weight in zip(radii, weights, strict=True)}
    return {" + ".join(f"{w} x {radius:.10g}" for radius, w in parts.items()): WeightedAccuracy(parts)}


def _print_best_pairs(
    results: StudyResults,
    objectives: Mapping[str, CertifiedAccuracy | WeightedAccuracy],
    beta: float | None,
    chosen: AnswerSettings,
    as_json: bool,
) -> None:
    from sfumato.answers.best_pair import best_pair
    from sfumato.answers.objective import WeightedAccuracy
    from sfumato.reporting.answer_tables import pairs_table

    confidence, seed = chosen.confidence, chosen.seed
    weighted = any(isinstance(one, WeightedAccuracy) for one in objectives.values())
    found = {
        name: best_pair(results, objective, beta=beta, confidence=confidence, seed=seed)
        for name, objective in objectives.items()
    }
    warn_of_differences(cells_by_name(results))
    if as_json:
        answers = [{"radius": one.asked, "answer": found[name]} for name, one in objectives.items()]
        print_json({"data": results.data, "unit": results.unit, "best": answers})
        return
    table = pairs_table(found, results.data, confidence=confidence, beta=beta)
    print_table(table.title, table.columns, table.rows)
    OUT.print(
        "gain in certified accuracy: selected on one half of the images, measured on the other"
        + (f"; radius, alpha and beta in: {results.unit}" if results.unit else "")
        + ("; of weighted radii, set and p-value hold for many images" if weighted else ""),
        markup=False,
    )
    for edge in dict.fromkeys(edge for answer in found.values() for edge in answer.edges):
        where = ", ".join(name for name, answer in found.items() if edge in answer.edges)
        warn(f"radius {where}: {edge} measured; the best may lie beyond")
    if left_out := max(answer.left_out for answer in found.values()):
        warn(f"{left_out} certified cells are not used: other pairs lack their training seed")


@takes_fields(answer_fields)
def plot(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", help="Risk against alpha: a .png, .svg or .pdf to write.")
    ] = None,
    best_out: Annotated[
        Path | None, typer.Option("--best-out", help="alpha* against beta: a .png, .svg or .pdf to write.")
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option("--published", help="A CSV file with columns alpha,beta,errors,risk, to draw too."),
    ] = None,
    **settings: Any,
) -> None:
    """Draw the figures risk and best of sfumato plot: risk against alpha, alpha* against beta with its set.

    Example: sfumato study plot mnist-study --out risk.png --published pal_sulam_mnist_risk.csv

    Example: sfumato study plot mnist-study --best-out best.svg
    """
    from sfumato.answers.published import load_published
    from sfumato.answers.settings import AnswerSettings
    from sfumato.errors import SettingError
    from sfumato.reporting.sources import Sources, StudySource
    from sfumato.studies.store import load_results

    figures = {name: path for name, path in (("risk", out), ("best", best_out)) if path is not None}
    if not figures:
        raise SettingError("--out is missing; give the figure to write (or --best-out)")
    chosen = AnswerSettings(**settings)
    require_figures(figures.values())
    beside = () if published is None else (load_published(published),)
    study = StudySource(folder.name, folder, load_results(folder))
    answer = draw_study(figures, Sources((study,), (), beside), chosen)
    for path in figures.values():
        OUT.print(str(path), markup=False)
    _warn_about(answer.betas)


def _warn_about(answers: Iterable[BetaAnswer]) -> None:
    for found in answers:
        where = f"beta {found.beta:g}: "
        if len(found.alphas) == 1:
            warn(f"{where}alpha {found.alpha:g} is the only one measured; nothing can be compared")
        elif found.at_edge:
            end = "largest" if found.alpha == found.alphas[-1] else "smallest"
            warn(f"{where}alpha* {found.alpha:g} is the {end} alpha measured; the best may lie beyond")
        if found.left_out:
            warn(
                f"{where}{found.left_out} finished cells are not used: other alphas lack their training seed"
            )
