"""Votes that ``decide`` and ``curve`` spend on all published tables, and the certified accuracy they lose.

    python benchmarks/published_tables.py --reference DIR --every 10 --output FILE

DIR holds ``cohen/*.tsv`` (Cohen et al. 2019) and ``catrs/*.tsv`` (Jeong, Kim & Shin 2023). Votes are
simulated from the published radii, see ``published_votes``; those of catrs were made at one-sided level
0.001, the runner-up has a share Beta(5, 2) of 1 - p there. "times fewer" is against 100,100 votes for each
image; a loss is in points against the exact expectation of 100,000 votes on the same images at the same
confidence.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import published_votes as published
from sfumato.noise import Gaussian
from sfumato.plans import Curve, Decide

FIXED_VOTES = 100_100
RADII = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
STEP = 0.25
CONFIDENCE = 0.999


def main() -> None:
    """Print a row for each table and what holds over all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--every", type=int, default=10, help="take every so many images of catrs")
    parser.add_argument(
        "--tops", type=float, nargs="+", default=[3.0, 3.5], help="ends of the grids, in beta"
    )
    parser.add_argument("--costs", type=float, nargs="+", default=[5e5])
    parser.add_argument("--only", default="", help="tables whose name holds this")
    parser.add_argument("--output", type=Path, help="also write the report here")
    settings = parser.parse_args()
    tables = load(settings)
    lines = [
        "# Votes on published tables",
        "",
        f"Made by `python benchmarks/published_tables.py {' '.join(sys.argv[1:])}`; confidence {CONFIDENCE}, "
        f"cap 100,000. Decide: at {', '.join(f'{radius:g}' for radius in RADII)} up to three times the "
        f"noise. Curve: grids of step {STEP}. Simulated: no network was run.",
    ]
    lines += decide_report(tables, settings.costs[0])
    for top in settings.tops:
        for cost in settings.costs:
            lines += curve_report(tables, top, cost)
    text = "\n".join(lines) + "\n"
    print(text)
    if settings.output:
        settings.output.write_text(text)


def load(settings: argparse.Namespace) -> dict[str, tuple[float, published.Population]]:
    """Return noise and images of each table, by its name."""
    found = {}
    for number, (data, sigma) in enumerate(published.FILES):
        name = f"{data} {sigma:g} Cohen et al."
        if settings.only in name:
            folder = settings.reference / "cohen"
            found[name] = sigma, published.load(folder, data, sigma, repeats=2, seed=100 + number)
    for number, path in enumerate(sorted((settings.reference / "catrs").glob("*.tsv"))):
        sigma, described = float(path.stem.rpartition("_")[2]), path.stem.partition("_noise")[0]
        data = "Fashion-MNIST" if described.startswith("fashion") else "CIFAR-10"
        name = f"{data} {sigma:g} {described.rpartition('_')[2]}"
        if settings.only in name:
            generator = np.random.default_rng(number)
            table = published.load_table(path, sigma, 0.001, (5, 2), generator, every=settings.every)
            found[name] = sigma, table
    return found


def measured(plan, sigma: float, table: published.Population) -> tuple[np.ndarray, np.ndarray]:
    """Return the votes of each image and the loss at each radius of the plan."""
    run = plan.start(
        len(table.labels), published.CLASSES, noise=Gaussian(sigma), confidence=CONFIDENCE, labels=None
    )
    decisions = published.vote(run, table.probabilities, np.random.default_rng(1))
    predicted, radius = np.array([(d.prediction, d.radius) for d in decisions]).T
    losses = [
        100 * np.mean((predicted == table.labels) & (radius >= asked))
        - 100 * published.fixed_certified(table, asked / sigma, CONFIDENCE)
        for asked in plan.asked_radii
    ]
    return run.votes, np.array(losses)


def decide_report(tables, cost: float) -> list[str]:
    """Return the factors of ``decide`` over all cells, by radius."""
    ratios: dict[float, list[float]] = {}
    losses: list[float] = []
    for sigma, table in tables.values():
        for radius in RADII:
            if radius <= 3 * sigma:
                votes, lost = measured(Decide(radius, cost=cost), sigma, table)
                ratios.setdefault(radius / sigma, []).append(FIXED_VOTES / votes.mean())
                losses += lost.tolist()
    every = [ratio for found in ratios.values() for ratio in found]
    lines = [
        "",
        "## decide(radius), times fewer",
        "",
        "| radius / noise | cells | lowest | geometric mean | highest |",
    ]
    lines += ["|---|---|---|---|---|"]
    for place, found in [*sorted(ratios.items()), ("all", every)]:
        lines.append(
            f"| {place} | {len(found)} | {min(found):.1f} | {geometric(found):.1f} | {max(found):.1f} |"
        )
    return [*lines, "", f"Loss: {np.mean(losses):+.3f} points in the mean, {min(losses):+.2f} at worst."]


def curve_report(tables, top: float, cost: float) -> list[str]:
    """Return a row for each table: the factor of ``curve``, its loss, and which images take the votes."""
    lines = ["", f"## curve to {top:g} times the noise, cost {cost:g}", ""]
    lines += [
        "| table | votes per image | times fewer | loss, mean / worst | votes on images above the grid |"
    ]
    lines += ["|---|---|---|---|---|"]
    ratios: dict[str, list[float]] = {}
    all_losses = []
    for name, (sigma, table) in tables.items():
        grid = tuple(np.arange(1, int(top * sigma / STEP) + 1) * STEP)
        votes, losses = measured(Curve(grid, cost=cost), sigma, table)
        above = table.leading > 1 - Gaussian(sigma).failure_at(grid[-1])
        ratios.setdefault(name.partition(" ")[0], []).append(FIXED_VOTES / votes.mean())
        all_losses.append(losses.mean())
        lines.append(
            f"| {name} | {votes.mean():,.0f} | {FIXED_VOTES / votes.mean():.1f} | {losses.mean():+.2f} / "
            f"{losses.min():+.2f} | {100 * votes[above].sum() / votes.sum():.0f} % "
            f"(of {100 * above.mean():.0f} %) |"
        )
    ratios["all"] = [ratio for found in ratios.values() for ratio in found]
    lines.append("")
    for name, found in ratios.items():
        lines.append(
            f"{name}: geometric mean {geometric(found):.2f} over {len(found)} tables, "
            f"{min(found):.1f} to {max(found):.1f}."
        )
    return [*lines, f"Loss: {np.mean(all_losses):+.3f} points in the mean of the tables."]


def geometric(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


if __name__ == "__main__":
    main()
