"""``sfumato study show``, ``best`` and ``plot``: what a study has measured, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.plot import draw_study, require_figures
from sfumato.cli.table import certified_sets, measured_table
from sfumato.cli.terminal import OUT, print_json, print_table, warn

if TYPE_CHECKING:
    from sfumato.answers.best import BetaAnswer, StudyAnswer
    from sfumato.studies.results import StudyResults

Folder = Annotated[Path, typer.Argument(help="The folder of a study, as written by sfumato study run.")]
Confidence = Annotated[
    float,
    typer.Option("--confidence", help="Of every interval and set, strictly between 0 and 1."),
]
Draws = Annotated[int, typer.Option("--draws", help="Draws of the bootstrap.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the bootstrap and of the halves of the images.")]


def show(
    folder: Folder,
    soft: Annotated[
        bool, typer.Option("--soft", help="Also the soft risk: the share of single noisy copies in error.")
    ] = False,
    radii: Annotated[
        str | None, typer.Option("--radii", help="Also certified accuracy at these, e.g. 0.25,0.5.")
    ] = None,
    confidence: Confidence = 0.95,
    as_json: options.Json = False,
) -> None:
    """Print the risk Delta by alpha and beta with exact intervals; a star marks each beta's lowest.

    A study that is still running shows the cells that are complete.

    Example: sfumato study show mnist-study --soft
    """
    from sfumato.answers.best import certified_lines, risk_points
    from sfumato.reporting.answer_tables import certified_table
    from sfumato.reporting.sources import Sources, StudySource
    from sfumato.studies.store import load_results

    wanted = options.parse_numbers("radii", radii)
    results = load_results(folder)
    risks = risk_points(results, confidence=confidence)
    lines = certified_lines(results, wanted, confidence=confidence)
    sets = certified_sets(Sources((StudySource(folder.name, folder, results),), (), ())) if wanted else ()
    if as_json:
        about = {"data": results.data, "unit": results.unit, "votes": results.votes, "seeds": results.seeds}
        by_beta = [{"beta": beta, "points": points} for beta, points in risks.items()]
        print_json({**about, "confidence": confidence, "risks": by_beta, "certified": lines})
        return
    print_risks(results, confidence, soft=soft)
    if sets:
        table = certified_table(sets, wanted, confidence=confidence)
        print_table(table.title, table.columns, table.rows)


def print_risks(results: StudyResults, confidence: float = 0.95, *, soft: bool = False) -> None:
    """Print the risk of a study as sfumato table does, and what was left out of it."""
    from sfumato.answers.best import risk_points

    for of_copies in (False, True) if soft else (False,):
        table = measured_table(results, confidence, soft=of_copies)
        print_table(table.title, table.columns, table.rows)
    images = len(next(iter(results.cells.values())).examples)
    used = sum(point.trials // images for points in risk_points(results).values() for point in points)
    if left_out := len(results.cells) - used:
        warn(f"{left_out} finished cells are left out: other alphas of their beta lack their training seed")
    OUT.print(f"seeds {', '.join(map(str, results.seeds))}; alpha and beta in: {results.unit}", markup=False)


def best(
    folder: Folder,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything as JSON, the smoothed curves too.")
    ] = False,
    confidence: Confidence = 0.95,
    draws: Draws = 2000,
    seed: Seed = 0,
    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            help="What alpha* is best at: vote-risk (fewest wrong votes), or what a --plugin registers.",
        ),
    ] = "vote-risk",
) -> None:
    """Print for each beta the best alpha, how sure that is, and what it gains over alpha = beta.

    The set holds the alpha, of those measured, that is truly best with the stated confidence. Differences
    are paired, and their intervals and p-values corrected for having picked alpha* on the same images;
    the gain behind them is of an alpha picked on one half of the images and measured on the other.

    Example: sfumato study best mnist-study

    Example: sfumato study best mnist-study --json > best.json
    """
    from sfumato.reporting.answer_tables import gain_cells, members

    answer = _answer(folder, confidence, draws, seed, objective)
    if as_json:
        print_json(answer)
        return
    images = max(found.images for found in answer.betas)
    print_table(
        f"Best alpha on {images:,} test images of {answer.data}, {answer.votes} votes each, "
        f"confidence {confidence:.4g}",
        ["beta", "alpha*", "set", "risk", "risk at alpha = beta", "difference", "p", "gain, cross-fitted"],
        [
            [
                f"{found.beta:g}",
                f"{found.alpha:g}",
                members(found.exact_set, found.alphas),
                f"{found.best.risk:.4f}",
                *gain_cells(found.against[0]),
            ]
            for found in answer.betas
        ],
    )
    print_table(
        f"Against {answer.betas[0].against[1].rule}",
        ["beta", "alpha*", "risk at the rule", "difference", "p", "gain, cross-fitted"],
        [[f"{a.beta:g}", f"{a.alpha:g}", *gain_cells(a.against[1])] for a in answer.betas],
    )
    print_table(
        "Other views of the best alpha",
        ["beta", "bootstrap set", "smoothed", "risk there", "soft optimum", "soft set"],
        [
            [
                f"{found.beta:g}",
                members(found.bootstrap_set, found.alphas),
                *_curve_cells(found),
                f"{found.soft_alpha:g}",
                members(found.soft_set, found.alphas),
            ]
            for found in answer.betas
        ],
    )
    OUT.print(
        f"seeds {', '.join(map(str, answer.betas[0].seeds))}; rules take the nearest alpha measured, in "
        f"brackets; alpha and beta in: {answer.unit}",
        markup=False,
    )
    _warn_about(answer.betas)


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
        typer.Option("--published", help="A CSV with the columns alpha,beta,errors,risk, to draw beside."),
    ] = None,
    confidence: Confidence = 0.95,
    draws: Draws = 2000,
    seed: Seed = 0,
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
    chosen = AnswerSettings(confidence=confidence, draws=draws, seed=seed)
    require_figures(figures.values())
    beside = () if published is None else (load_published(published),)
    study = StudySource(folder.name, folder, load_results(folder))
    answer = draw_study(figures, Sources((study,), (), beside), chosen)
    for path in figures.values():
        OUT.print(str(path), markup=False)
    _warn_about(answer.betas)


def _answer(
    folder: Path, confidence: float, draws: int, seed: int, objective: str = "vote-risk"
) -> StudyAnswer:
    from sfumato.answers.best import answer_study
    from sfumato.answers.objective import make_objective
    from sfumato.errors import require_count
    from sfumato.studies.store import load_results

    require_count("seed", seed, minimum=0)
    chosen = make_objective(objective)
    return answer_study(load_results(folder), confidence=confidence, draws=draws, seed=seed, objective=chosen)


def _curve_cells(found: BetaAnswer) -> list[str]:
    if found.curve is None:
        return ["", ""]
    curve = found.curve
    return [f"{curve.alpha:.3g} [{curve.alpha_low:.3g}, {curve.alpha_high:.3g}]", f"{curve.lowest:.4f}"]


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
                f"{where}{found.left_out} finished cells are left out: other alphas lack their training seed"
            )
