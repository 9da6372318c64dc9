"""``sfumato study search``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, print_json, print_table, progress_bar, tell, warn
from sfumato.cli.vote_precision import warn_if_slow

if TYPE_CHECKING:
    from sfumato.answers.pair_search import PairPoint, PairSearchResult
    from sfumato.answers.search import SearchResult
    from sfumato.studies.design import Design


_BEST = ("alpha", "beta", "accuracy", "low", "high", "members", "confidence")


def command(
    file: Annotated[Path, typer.Argument(help="A study file, or the folder of a study.")],
    beta: Annotated[
        float | None,
        typer.Option("--beta", help="Smoothing noise to find the best alpha for; needed without --radius."),
    ] = None,
    radius: Annotated[
        float | None,
        typer.Option("--radius", help="L2 radius: find the pair with the most certified accuracy there."),
    ] = None,
    budget: Annotated[
        int, typer.Option("--budget", help="Most models to train, in all searches for this beta or radius.")
    ] = 8,
    out: options.StudyOut = None,
    step: Annotated[
        float | None,
        typer.Option(
            "--step",
            help="Step between alphas (default: 0.05 beta; with --radius, 0.1 of the smallest beta).",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of the trainings (default: the study's first).")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option("--images", help="With --radius: number of test images (default: at most 1,000)."),
    ] = None,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Find the best noises with few trainings: alpha* for one beta, or the best pair at a radius.

    With --beta alone, the search is for the alpha with the fewest errors of the vote at this beta. With
    --radius, it is for the pair with the highest certified accuracy at this radius: every network is
    certified at all betas of the study, or at --beta; a beta that is surely not its best drops out early.
    Each certificate has the confidence of the study's table [certification], else 0.999.

    Each alpha is chosen from the results so far. Models that the study has already trained cost nothing, and
    new models are added to the study. The study file is not changed, except that --data-dir is written into
    it. If the command is killed, give it again to continue; with a larger budget a finished search
    continues.

    Example: sfumato study search mnist-study --beta 0.5 --budget 6

    Example: sfumato study search mnist-study --radius 1 --budget 6
    """
    from sfumato.answers.pair_search import search_pairs
    from sfumato.answers.search import AlphaSearch, SearchPoint, search_study
    from sfumato.errors import SettingError
    from sfumato.reporting.model_card import write_study_cards
    from sfumato.statistics.binomial import two_sided_interval
    from sfumato.studies.run import Watch

    if beta is None and radius is None:
        raise SettingError("--beta is missing; give the smoothing noise, or --radius for the best pair")
    if radius is None and images is not None:
        raise SettingError("--images goes with --radius; the risk is measured on the images of the study")
    # the pairs of a radius are searched from the study's betas, which are read first
    search = None if radius is not None or beta is None else AlphaSearch(beta, budget, step=step)
    data = {} if data_dir is None else {"data_dir": str(data_dir)}
    design = read_study(file, {"data": data})
    warn_if_slow(device, design.model.shared.precision, design.votes.precision)
    folder = options.study_folder(file, out)
    with progress_bar("search", 1) as bar:
        watch = Watch(on_start=lambda work: bar.restart("search", work), on_work=bar.advance, on_warning=warn)

        def announce(point: SearchPoint) -> None:
            if not as_json:
                tell(f"alpha {point.alpha:g}: risk {point.errors / point.examples:.4f}")

        def announce_pair(point: PairPoint) -> None:
            if not as_json:
                tell(
                    f"alpha {point.alpha:g}: certified accuracy {1 - point.lost / point.images:.4f} at beta "
                    f"{point.beta:g}"
                )

        if search is not None:
            result = search_study(
                design, folder, search, seed=seed, device=device, watch=watch, on_point=announce
            )
        else:
            assert radius is not None
            pairs = search_pairs(
                design,
                folder,
                radius,
                budget,
                beta=beta,
                step=step,
                images=images,
                seed=seed,
                device=device,
                watch=watch,
                on_point=announce_pair,
            )
    write_study_cards(folder)
    if search is None:
        _print_pairs(pairs, folder, as_json)
        return
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
        f"{folder}: the models; next: sfumato study best {shlex.quote(str(folder))}",
        markup=False,
    )


def _print_pairs(result: PairSearchResult, folder: Path, as_json: bool) -> None:
    from sfumato.statistics.binomial import two_sided_interval

    search, answer = result.search, result.answer
    if as_json:
        print_json(
            {
                "radius": search.radius,
                "betas": search.betas,
                "cannot": result.cannot,
                "certificate_confidence": result.certificate_confidence,
                "unit": result.unit,
                "seed": result.seed,
                "best": {name: getattr(answer, name) for name in _BEST},
                "points": result.points,
            }
        )
        return
    rows = []
    for point in sorted(result.points, key=lambda point: point.alpha):
        held = point.images - point.lost
        low, high = two_sided_interval(held, point.images, answer.confidence)
        numbers = (f"{point.alpha:g}", f"{point.beta:g}", f"{held / point.images:.4f}")
        dropped = ", ".join(f"{beta:g}" for beta in point.dropped) or "none"
        when = "now" if point.new else "before"
        rows.append([*numbers, f"{low:.4f} to {high:.4f}", dropped, f"{point.votes:,}", when])
    print_table(
        f"Certified accuracy at radius {search.radius:g}, {answer.images} test images, seed {result.seed}",
        ["alpha", "its best beta", "accuracy", "95 % interval", "betas dropped", "votes", "trained"],
        rows,
    )
    trained = sum(point.new for point in result.points)
    best = (answer.alpha, answer.beta)
    others = ", ".join(f"({alpha:g}, {beta:g})" for alpha, beta in answer.members if (alpha, beta) != best)
    OUT.print(
        f"alpha* = {answer.alpha:g}, beta* = {answer.beta:g}: certified accuracy {answer.accuracy:.4f}, "
        f"within {answer.low:.4f} to {answer.high:.4f} in the population\n"
        f"not significantly worse (alpha, beta): {others or 'no other pair'}",
        markup=False,
    )
    if result.cannot:
        OUT.print(
            f"beta {', '.join(f'{beta:g}' for beta in result.cannot)} cannot certify this radius",
            markup=False,
        )
    OUT.print(
        f"{trained} {'model' if trained == 1 else 'models'} trained, {search.spent} of the budget of "
        f"{search.budget} spent; each certificate holds with probability at least "
        f"{result.certificate_confidence:g}; radius, alpha and beta in: {result.unit}\n"
        f"{folder}: the models and their certificates",
        markup=False,
    )
    if answer.accuracy == 0:
        warn(f"no pair certifies any image at radius {search.radius:g}; ask for a smaller one")
        return
    for edge in answer.edges:
        if edge.startswith("beta") and len(search.betas) > 1:
            warn(f"{edge} of those that can certify; the best may lie beyond")
    if answer.alpha == search.range[1]:
        warn(f"alpha* is at the end of the range searched, {answer.alpha:g}; it may lie beyond")


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
