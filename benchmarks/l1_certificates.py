"""L1 certificates under uniform and Laplace noise, against linear classifiers whose distance is known.

A linear classifier answers whether w z > 0; its L1 distance at x is w x / max|w|. The probability that a
noisy copy is on the wrong side is computed (closed form along an axis, else by Gil-Pelaez inversion of the
characteristic function), votes are drawn from it, and plans certify them as users would.

    python benchmarks/l1_certificates.py --output benchmarks/results/l1_certificates.md
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy import stats

from sfumato.noise import Laplace, Noise, Uniform
from sfumato.plans import Curve, Decision, Fixed, FixedTwoClass, Plan, Precision

NOISES = (Uniform(0.5), Laplace(0.5))
CONFIDENCE = 0.999
# Directions of which no coordinate counts for nothing; the first is an axis.
DIRECTIONS = {
    "an axis": (1.0,),
    "(1, 1/4)": (1.0, 0.25),
    "(1, 1/2, 1/4)": (1.0, 0.5, 0.25),
    "(1, 1)": (1.0, 1.0),
    "10 equal": (1.0,) * 10,
    "100 equal": (1.0,) * 100,
}


def failure(noise: Noise, weights: tuple[float, ...], margin: np.ndarray) -> np.ndarray:
    """Return P(weights . noise <= -margin)."""
    if len(weights) == 1 and isinstance(noise, Uniform):
        return stats.uniform.cdf(-margin, -noise.half_width, 2.0 * noise.half_width)
    if len(weights) == 1:
        return stats.laplace.cdf(-margin, 0.0, noise.scale)
    # in steps far finer than the width of the characteristic function, from the middle of the first one
    width = noise.standard_deviation * float(np.linalg.norm(weights))
    step = 2e-3 / width
    u = step * (np.arange(1_000_000) + 0.5)
    transform = np.ones_like(u)
    for weight in weights:
        if isinstance(noise, Uniform):
            transform *= np.sinc(weight * noise.half_width * u / np.pi)
        else:
            transform /= 1.0 + (weight * noise.scale * u) ** 2
    kernel = step * transform / (np.pi * u)
    return np.array([0.5 - float((np.sin(m * u) * kernel).sum()) for m in margin])


def largest(noise: Noise) -> float:
    """Return up to which distance an axis-aligned classifier is looked at."""
    return noise.half_width if isinstance(noise, Uniform) else 4.5 * noise.scale


def parameter(noise: Noise) -> float:
    return noise.half_width if isinstance(noise, Uniform) else noise.scale


def certified(plan: Plan, noise: Noise, q: np.ndarray, generator: np.random.Generator) -> list[Decision]:
    run = plan.start(q.size, 2, noise=noise, confidence=CONFIDENCE)
    while (wanted := run.demand()).any():
        wrong = generator.binomial(wanted, q)
        run.update(np.stack([wanted - wrong, wrong], axis=1))
    return run.decisions()


def validity_report(runs: int, generator: np.random.Generator) -> list[str]:
    """Return how often a radius exceeds the true distance; ends the script where more often than allowed."""
    allowed = runs * (1.0 - CONFIDENCE)
    lines = [
        "",
        f"## Radii beyond the true distance, of {runs:,} certifications each",
        "",
        f"Allowed are {allowed:.0f} on average: up to {allowed + 4 * np.sqrt(allowed):.0f} are no surprise.",
        "Axis-aligned classifiers, at distances spread evenly over the whole range that a radius can reach.",
        "",
        "| noise | plan | beyond | largest share of the distance certified | mean votes |",
        "|---|---|---|---|---|",
    ]
    for noise in NOISES:
        grid = tuple(np.linspace(0.1, 0.95, 6) * largest(noise))
        for plan in (Fixed(), FixedTwoClass(), Precision(0.05), Curve(grid)):
            distances = generator.uniform(0.02, 0.999, runs) * largest(noise)
            found = certified(plan, noise, failure(noise, (1.0,), distances), generator)
            radii = np.array([decision.radius for decision in found])
            beyond = int((radii > distances).sum())
            assert beyond <= allowed + 4 * np.sqrt(allowed), "more radii are too large than allowed"
            votes = np.mean([decision.votes for decision in found])
            name = f"curve of {len(grid)} radii" if isinstance(plan, Curve) else plan.name
            lines.append(
                f"| {noise.name} | {name} | {beyond} | {(radii / distances).max():.4f} | {votes:,.0f} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def closeness_report(generator: np.random.Generator) -> list[str]:
    """Return which share of the true distance is certified, by distance."""
    shares = (0.1, 0.2, 0.35, 0.5, 0.75, 0.95, 1.5, 2.0, 3.0, 4.0, 5.0)
    lines = [
        "",
        "## Share of the true distance that `fixed(100,100000)` certifies, axis-aligned",
        "",
        "Mean of 2,000 certifications at each distance, in units of lambda.",
        "",
        f"| noise | {' | '.join(f'{share:g}' for share in shares)} |",
        "|---" * (len(shares) + 1) + "|",
    ]
    for noise in NOISES:
        cells = []
        for share in shares:
            distance = np.full(2000, share * parameter(noise))
            found = certified(Fixed(), noise, failure(noise, (1.0,), distance), generator)
            cells.append(f"{np.mean([decision.radius for decision in found]) / distance[0]:.4f}")
        lines.append(f"| {noise.name} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "A radius under uniform noise never exceeds lambda, however far the hyperplane is.",
    ]


def directions_report() -> list[str]:
    """Return which share of the distance any number of votes could certify, by the classifier's direction."""
    lines = [
        "",
        "## Share of the true distance that the exact probability certifies, by the direction of w",
        "",
        "Not a matter of votes: the certificate is tight along an axis, and holds a reserve elsewhere.",
        "",
        "| noise | distance, lambda | " + " | ".join(DIRECTIONS) + " |",
        "|---" * (len(DIRECTIONS) + 2) + "|",
    ]
    for noise in NOISES:
        for share in (0.5, 0.9, 2.0):
            margin = np.array([share * parameter(noise)])
            found = [
                noise.radius(float(failure(noise, weights, margin)[0])) / margin[0]
                for weights in DIRECTIONS.values()
            ]
            assert max(found) <= 1.0 + 1e-6, "a radius exceeds the true distance"
            lines.append(f"| {noise.name} | {share:g} | {' | '.join(f'{value:.3f}' for value in found)} |")
    return lines


def main() -> None:
    """Print the report as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000, help="certifications per noise and plan")
    parser.add_argument("--output", type=Path, help="also write the report here")
    settings = parser.parse_args()
    began, generator = time.perf_counter(), np.random.default_rng(0)
    report = [
        "# L1 certificates on linear classifiers",
        "",
        f"Made by `python benchmarks/l1_certificates.py --runs {settings.runs}` on a core of 2; "
        f"confidence {CONFIDENCE}, standard deviation 0.5: lambda is "
        + ", ".join(f"{parameter(noise):.4f} ({noise.name})" for noise in NOISES)
        + ".",
        *validity_report(settings.runs, generator),
        *closeness_report(generator),
        *directions_report(),
    ]
    text = "\n".join([*report, "", f"Whole run: {time.perf_counter() - began:.0f} s."]) + "\n"
    print(text)
    if settings.output:
        settings.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
