"""Tables of finished studies, beside the published results where there are any.

    sfumato study run benchmarks/studies/mnist-cnn.toml --out mnist-cnn --data-dir DIR
    python benchmarks/study_runs.py mnist-cnn [--published pal_sulam_mnist_risk.csv] [--csv OUT]

The authors' smoothed minimum and its alphas within one standard error are of the curve smoothed by the same
model as ours (:mod:`sfumato.answers.smooth_risk`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sfumato.answers.best import BetaAnswer, answer_study
from sfumato.answers.published import COLUMNS, PublishedResults, load_published, published_best
from sfumato.statistics.binomial import two_sided_interval
from sfumato.studies.store import load_results


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--csv", type=Path, help="also write the risks, in the columns of published ones")
    settings = parser.parse_args()
    results = load_results(settings.folder)
    found = answer_study(results).betas
    if settings.csv is not None:
        settings.csv.write_text("".join(f"{line}\n" for line in csv_lines(found)))
    answers = [answer for answer in found if answer.beta > 0]
    images = answers[0].images
    print(f"{results.data}, {images:,} test images, votes {results.votes}, seeds {results.seeds}\n")
    print_risks(answers)
    print()
    print_answers(answers)
    if settings.published is not None:
        print()
        print_comparison(answers, load_published(settings.published))


def csv_lines(answers: Sequence[BetaAnswer]) -> list[str]:
    """Return the errors and risks, as ``load_published`` reads them."""
    rows = [(p.alpha, answer.beta, p.errors, p.risk) for answer in answers for p in answer.points]
    return [",".join(COLUMNS), *(f"{a:g},{b:g},{errors},{risk:g}" for a, b, errors, risk in sorted(rows))]


def print_risks(answers: list[BetaAnswer]) -> None:
    """Print Delta in per cent, alpha down, beta across."""
    alphas = sorted({alpha for answer in answers for alpha in answer.alphas})
    head("alpha", *(f"beta {answer.beta:g}" for answer in answers))
    for alpha in alphas:
        cells = []
        for answer in answers:
            risk = next((f"{100 * p.risk:.2f}" for p in answer.points if p.alpha == alpha), "")
            cells.append(f"**{risk}**" if alpha == answer.alpha else risk)
        print(f"| {alpha:g} | {' | '.join(cells)} |")


def print_answers(answers: list[BetaAnswer]) -> None:
    """Print alpha*, its set and its gain."""
    head(
        *("beta", "alpha*", "risk (95 %)", "95 % set", "smooth alpha* (95 %)"),
        "gain over alpha = beta",
    )
    for answer in answers:
        best = answer.best
        curve = answer.curve
        smooth = (
            "-" if curve is None else f"{curve.alpha:.3f} ({curve.alpha_low:.2f} to {curve.alpha_high:.2f})"
        )
        gain = answer.gain
        gained = (
            f"{100 * gain.gain:.2f} ({100 * gain.low:.2f} to {100 * gain.high:.2f}), p = {gain.p_value:.2g}"
        )
        print(
            f"| {answer.beta:g} | {answer.alpha:g}{' (edge)' if answer.at_edge else ''} | {best.risk:.4f} "
            f"({best.low:.4f} to {best.high:.4f}) | {listed(answer.exact_set)} | {smooth} | "
            f"{gained} |"
        )


def print_comparison(answers: list[BetaAnswer], published: PublishedResults) -> None:
    """Print our lowest risk and alpha* beside the published ones."""
    head(
        "beta",
        "ours: alpha*, risk (95 %)",
        "authors: smooth alpha*, risk",
        "their 1 SE set",
        "risk",
        "alpha*",
    )
    for answer in answers:
        if answer.beta not in published.betas:
            continue
        theirs = published_best(published, answer.beta)
        if theirs.curve is None:
            continue
        curve = theirs.curve
        error = float(np.sqrt(curve.lowest * (1.0 - curve.lowest) / published.images))
        within = curve.alphas[curve.risk <= curve.lowest + error]
        low, _ = two_sided_interval(answer.best.errors, answer.best.trials, 0.95)
        risk = (
            "at or below"
            if answer.best.risk <= curve.lowest
            else "within"
            if low <= curve.lowest
            else "ABOVE"
        )
        inside = [a for a in answer.exact_set if within.min() - 1e-9 <= a <= within.max() + 1e-9]
        if within.min() <= answer.alpha <= within.max():
            place = "in their set"
        else:
            place = "sets overlap" if inside else "APART"
        print(
            f"| {answer.beta:g} | {answer.alpha:g}, {answer.best.risk:.4f} ({answer.best.low:.4f} to "
            f"{answer.best.high:.4f}) | {curve.alpha:.3f}, {curve.lowest:.4f} | {within.min():.2f} to "
            f"{within.max():.2f} | {risk} | {place} |"
        )


def head(*columns: str) -> None:
    """Print the head of a table."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")


def listed(alphas: tuple[float, ...]) -> str:
    """Return the alphas of a set."""
    return ", ".join(f"{alpha:g}" for alpha in alphas)


if __name__ == "__main__":
    main()
