"""``sfumato study show``, ``best`` and ``plot``: what a study has measured, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, print_json, print_table, warn

if TYPE_CHECKING:
    from sfumato.answers.best import BetaAnswer, CertifiedLine, StudyAnswer

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
    from sfumato.errors import DataError
    from sfumato.reporting.answer_tables import risk_table
    from sfumato.studies.store import load_results

    wanted = options.parse_numbers("radii", radii) or ()
    results = load_results(folder)
    found = risk_points(results, confidence=confidence)
    certified = certified_lines(results, wanted, confidence=confidence)
    if wanted and not certified:
        raise DataError(
            f"{folder}: holds no certificates; ask for them under [certification] in its study file"
        )
    if as_json:
        print_json(
            {
                "data": results.data,
                "unit": results.unit,
                "votes": results.votes,
                "seeds": results.seeds,
                "confidence": confidence,
                "risks": [{"beta": beta, "points": points} for beta, points in found.items()],
                "certified": certified,
            }
        )
        return
    cell = next(iter(results.cells.values()))
    about = (
        f"on {len(cell.examples):,} test images of {results.data}, {results.votes} votes each, "
        f"with {100 * confidence:.4g} % intervals"
    )
    for table in [risk_table(found, about), *([risk_table(found, about, soft=True)] if soft else [])]:
        print_table(table.title, table.columns, table.rows)
    if certified:
        _print_certified(certified, wanted)
    left_out = len(results.cells) - sum(
        point.trials // len(cell.examples) for points in found.values() for point in points
    )
    if left_out:
        warn(f"{left_out} finished cells are left out: other alphas of their beta lack their training seed")
    OUT.print(f"seeds {', '.join(map(str, results.seeds))}; alpha and beta in: {results.unit}", markup=False)


def _print_certified(lines: Sequence[CertifiedLine], radii: Sequence[float]) -> None:
    print_table(
        f"Certified accuracy, on {lines[0].points[0].examples} test images",
        ["alpha", "beta", "seed", *(f"radius {radius:g}" for radius in radii)],
        [
            [
                f"{line.alpha:g}",
                f"{line.beta:g}",
                str(line.seed),
                *(f"{point.share:.4f} [{point.low:.4f}, {point.high:.4f}]" for point in line.points),
            ]
            for line in lines
        ],
    )


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
    """Draw the risk against alpha for every beta, or alpha* against beta with its confidence set.

    Example: sfumato study plot mnist-study --out risk.png --published pal_sulam_mnist_risk.csv

    Example: sfumato study plot mnist-study --best-out best.svg
    """
    from sfumato.answers.published import load_published
    from sfumato.errors import SettingError
    from sfumato.reporting.static import save_picture
    from sfumato.reporting.study_figures import best_alpha, study_risk
    from sfumato.reporting.style import require_figure_path

    figures = [(path, describe) for path, describe in ((out, study_risk), (best_out, best_alpha)) if path]
    if not figures:
        raise SettingError("--out is missing; give the figure to write (or --best-out)")
    for path, _ in figures:
        require_figure_path(path)
    beside = None if published is None else load_published(published)
    answer = _answer(folder, confidence, draws, seed)
    for path, describe in figures:
        save_picture(describe(answer, beside), path)
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
