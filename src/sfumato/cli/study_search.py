"""``sfumato study search``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.slow_precision import warn_if_slow
from sfumato.cli.terminal import OUT, print_json, print_table, progress_bar, tell, warn

if TYPE_CHECKING:
    from sfumato.answers.search import SearchResult
    from sfumato.studies.design import Design


def command(
    file: Annotated[Path, typer.Argument(help="A study file, or the folder of a study.")],
    beta: Annotated[float, typer.Option("--beta", help="Smoothing noise to find the best alpha for.")],
    budget: Annotated[int, typer.Option("--budget", help="How many models may be trained in all.")] = 8,
    out: options.StudyOut = None,
    step: Annotated[
        float | None, typer.Option("--step", help="Alphas are multiples of it (default: 0.05 beta).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the trainings (default: the study's first).")
    ] = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Find the best training noise alpha* for one smoothing noise with few trainings.

    Each next alpha is chosen by what the ones before have shown. What the study has trained already
    costs nothing, and what is trained here belongs to the study; its file stays as it is, but for a
    --data-dir that is given. The same command goes on where a killed one stopped; a larger budget goes
    on from where a finished search ended.

    Example: sfumato study search mnist-study --beta 0.5 --budget 6
    """
    from sfumato.answers.search import AlphaSearch, SearchPoint, search_study
    from sfumato.statistics.binomial import two_sided_interval
    from sfumato.studies.run import Watch

    search = AlphaSearch(beta, budget, step=step)
    data = {} if data_dir is None else {"data_dir": str(data_dir)}
    design = read_study(file, {"data": data})
    warn_if_slow(device, design.model.shared.precision, design.votes.precision)
    folder = options.study_folder(file, out)
    with progress_bar("search", 1) as bar:

        def announce(point: SearchPoint) -> None:
            if not as_json:
                tell(f"alpha {point.alpha:g}: risk {point.errors / point.examples:.4f}")

        watch = Watch(on_start=lambda work: bar.restart("search", work), on_work=bar.advance, on_warning=warn)
        result = search_study(
            design, folder, search, seed=seed, device=device, watch=watch, on_point=announce
        )
    if as_json:
        found = {"best": result.search.best(), "points": result.points}
        print_json({"beta": beta, "unit": result.unit, "seed": result.seed, **found})
        return
    rows = []
    for point in sorted(result.points, key=lambda point: point.alpha):
        low, high = two_sided_interval(point.errors, point.examples, 0.95)
        cells = (f"{point.alpha:g}", f"{point.errors / point.examples:.4f}", f"{low:.4f} to {high:.4f}")
        rows.append([*cells, str(point.errors), "now" if point.new else "before"])
    print_table(
        f"Risk at beta = {beta:g}, {result.points[0].examples} test images, seed {result.seed}",
        ["alpha", "risk", "95 % interval", "errors", "trained"],
        rows,
    )
    _print_best(result)
    _print_rules(result, folder)
    trained = sum(point.new for point in result.points)
    OUT.print(
        f"{trained} {'model' if trained == 1 else 'models'} trained, {result.search.spent} of the budget of "
        f"{budget} spent; alpha and beta in: {result.unit}\n"
        f"{folder}: the models; next: sfumato study best {folder}",
        markup=False,
    )


def read_study(file: Path, changes: Mapping[str, Mapping[str, Any]]) -> Design:
    """Return the study of a file, or of a study's folder, as ``studies.design.read_design``."""
    from sfumato.studies.design import read_design
    from sfumato.studies.run import STUDY_FILE

    return read_design(file / STUDY_FILE if file.is_dir() else file, changes)


def _print_best(result: SearchResult) -> None:
    best = result.search.best()
    nearest = min(result.points, key=lambda point: (abs(point.alpha - best.alpha), point.alpha)).alpha
    lowest, highest = result.search.range
    OUT.print(
        f"alpha* = {best.alpha:g}, within {best.low:.3g} to {best.high:.3g}; risk there "
        f"{best.risk:.4f}, within {best.risk_low:.4f} to {best.risk_high:.4f} (both with posterior "
        f"probability {best.confidence:g} under the curve model)\n"
        f"the nearest model trained has alpha {nearest:g}",
        markup=False,
    )
    if best.alpha in (lowest, highest):
        warn(f"alpha* is at the end of the range searched, {lowest:g} to {highest:g}; it may lie beyond")


def _print_rules(result: SearchResult, folder: Path) -> None:
    """Print what the rules name that need no search, with the curve's risk there."""
    from sfumato.advice.rules import SHARE, same_rule, share_rule
    from sfumato.answers.baselines import study_kappa_rule
    from sfumato.studies.store import load_results

    beta = result.search.beta
    rules = {"alpha = beta": same_rule(beta), f"{SHARE:g} beta": share_rule(beta)}
    if kappa := study_kappa_rule(load_results(folder), beta, result.seed):
        rules[f"kappa rule, from alpha {kappa.alpha0:g}"] = kappa(beta)
    print_table(
        "Rules without a search, and the curve's risk there",
        ["rule", "alpha", "risk"],
        [[name, f"{alpha:.3g}", f"{result.search.predict(alpha):.4f}"] for name, alpha in rules.items()],
    )
