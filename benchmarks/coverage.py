"""How often certificates are false: a million simulated certifications for each plan and noise.

Classes: 2, 10 and 1,000. The probability of one class lies just below the threshold of the plan's radius
(0.6 and 0.9), or well below that of 0.9; the other classes share the rest equally. What a class is truly
entitled to is computed by formulas of this script's own. Rows are appended as they are made, so that a run
that was ended goes on; without --rows of its own the table is printed from the rows that are there.
"""

from __future__ import annotations

import argparse
import csv
import functools
import math
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from scipy import optimize, special, stats

import sfumato.plans.top_k
from sfumato.noise import AnisotropicGaussian, DiscretisedGaussian, Gaussian, Laplace, Noise, Uniform
from sfumato.plans import Curve, Decide, Fixed, FixedTwoClass, Plan, Precision, Predict, TopK

BETA = 0.5
NOISES = {
    "gaussian": Gaussian(BETA),
    "uniform": Uniform(BETA),
    "laplace": Laplace(BETA),
    "anisotropic": AnisotropicGaussian(BETA, scales=(1.0, 3.0)),
    "discretised": DiscretisedGaussian(BETA),
}
CLASSES = (2, 10, 1000)
# The threshold, and how far below it the class is, in z = Phi^-1(p).
PLACES = {"just below .6": (0.6, 1e-4), "just below .9": (0.9, 1e-4), "far below .9": (0.9, 0.3)}
PLANS = (
    "decide",
    "decide, label known",
    "curve",
    "curve, label known",
    "precision",
    "fixed",
    "two_class",
    "top_k",
    "predict",
)
K = 2
# Many simulated images have the same counts: their radius of top_k, a search for a root, is found once.
_top_k_radius = functools.cache(sfumato.plans.top_k.top_k_radius)
COLUMNS = ("plan", "noise", "classes", "place", "runs", "false", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=112_000, help="simulated images per cell")
    parser.add_argument("--confidence", type=float, default=0.999)
    parser.add_argument("--n-max", type=int, default=2_000, help="cap of the plans, and their bounding votes")
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=PLANS)
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=list(NOISES))
    parser.add_argument("--rows", type=Path, required=True, help="where the rows are kept")
    settings = parser.parse_args()
    sfumato.plans.top_k.top_k_radius = lambda noise, q, others: _top_k_radius(noise, q, tuple(others))
    if not settings.rows.exists():
        settings.rows.write_text("\t".join(COLUMNS) + "\n")
    made = {tuple(row[name] for name in COLUMNS[:4]) for row in _rows(settings.rows)}
    for plan in settings.plans:
        for noise in settings.noises:
            for classes in CLASSES:
                for place in PLACES:
                    cell = (plan, noise, str(classes), place)
                    if cell not in made and not (plan == "top_k" and classes <= K):
                        _append(settings, cell)
    print(report(_rows(settings.rows), settings, 1.0 - settings.confidence))


def _append(settings: argparse.Namespace, cell: tuple[str, str, str, str]) -> None:
    began = time.process_time()
    runs = settings.runs
    if cell[0] == "top_k":
        runs = math.ceil(runs * len(CLASSES) / (len(CLASSES) - 1))
    false = false_certificates(*cell[:2], int(cell[2]), cell[3], runs, settings)
    row = [*cell, str(runs), str(false), f"{time.process_time() - began:.1f}"]
    with settings.rows.open("a") as file:
        file.write("\t".join(row) + "\n")
    print(*row, sep="\t", file=sys.stderr, flush=True)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def false_certificates(
    name: str, noise_name: str, classes: int, place: str, runs: int, settings: argparse.Namespace
) -> int:
    """Return how many of ``runs`` simulated images got a false answer."""
    noise, (threshold, below) = NOISES[noise_name], PLACES[place]
    plan = make_plan(name, noise_name, threshold, settings.n_max)
    probability = float(special.ndtr(special.ndtri(threshold) - below))
    probabilities = np.full(classes, (1.0 - probability) / (classes - 1))
    probabilities[0] = probability
    truth = true_radii(name, noise_name, probabilities)
    generator = np.random.default_rng(zlib.crc32(f"{name} {noise_name} {classes} {place}".encode()))
    at_once = max(500, 1_000_000 // classes)
    false = 0
    for begin in range(0, runs, at_once):
        images = min(at_once, runs - begin)
        false += _simulate(plan, noise, "known" in name, probabilities, truth, images, settings, generator)
    return false


def make_plan(name: str, noise_name: str, threshold: float, n_max: int) -> Plan:
    """Return a plan whose radius, or one of them, has the threshold ``threshold``."""
    method, p = name.split(",")[0], np.array([threshold - 0.04, threshold, threshold + 0.04])
    lower, radius, upper = (float(r) for r in one_class_radius(noise_name, p))
    return {
        "decide": lambda: Decide(radius, n_max=n_max, chunk=250),
        "curve": lambda: Curve((lower, radius, upper), n_max=n_max, chunk=250),
        "precision": lambda: Precision(0.2, n_max=n_max),
        "fixed": lambda: Fixed(100, n_max),
        "two_class": lambda: FixedTwoClass(100, n_max),
        "top_k": lambda: TopK(K, 100, n_max),
        "predict": lambda: Predict(n_max=n_max, chunk=250),
    }[method]()


def _simulate(plan, noise: Noise, known, probabilities, truth, images, settings, generator) -> int:
    run = plan.start(
        images,
        probabilities.size,
        noise=noise,
        confidence=settings.confidence,
        labels=np.zeros(images, dtype=np.int64) if known else None,
    )
    while (wanted := run.demand()).any():
        counts = np.zeros((images, probabilities.size), dtype=np.int64)
        rows = np.flatnonzero(wanted)
        counts[rows] = _draw(generator, wanted[rows], probabilities)
        run.update(counts)
    decisions = run.decisions()
    predictions = np.array([decision.prediction for decision in decisions])
    radii = np.array([decision.radius for decision in decisions])
    if isinstance(plan, Predict):
        return int(np.sum((predictions >= 0) & (probabilities[predictions] < probabilities.max())))
    return int(np.sum((predictions >= 0) & (radii > truth[predictions] * (1.0 + 1e-12))))


def _draw(generator: np.random.Generator, votes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    if probabilities.size <= 10:
        return generator.multinomial(votes, probabilities)
    # The first class, then each other vote at any of the other classes: faster than 999 binomial draws.
    first = generator.binomial(votes, probabilities[0])
    others = votes - first
    place = np.repeat(np.arange(votes.size) * probabilities.size, others)
    place += generator.integers(1, probabilities.size, size=place.size)
    counts = np.bincount(place, minlength=votes.size * probabilities.size).reshape(votes.size, -1)
    counts[:, 0] = first
    return counts


def one_class_radius(noise: str, p: np.ndarray) -> np.ndarray:
    """Return the radius that a class of probability p is entitled to, whatever the others have."""
    if noise == "uniform":  # Yang et al. 2020
        return np.sqrt(3.0) * BETA * (2.0 * p - 1.0)
    if noise == "laplace":  # Teng et al. 2020
        return -BETA / np.sqrt(2.0) * np.log(2.0 * (1.0 - p))
    return BETA * stats.norm.ppf(p)  # Cohen et al. 2019; in units of the scales where there are scales


def two_class_radius(noise: str, p: float, rival: float) -> float:
    """Return the radius that a class of probability p is entitled to, before one of ``rival``."""
    if noise == "uniform":
        return math.sqrt(3.0) * BETA * (p - rival)
    if noise == "laplace":
        return BETA / math.sqrt(2.0) * max(-math.log(1.0 - p + rival), 0.5 * math.log(p / rival))
    return BETA / 2.0 * float(stats.norm.ppf(p) - stats.norm.ppf(rival))


def top_k_radius(noise: str, p: float, others: np.ndarray) -> float:
    """Return the radius within which a class of p stays among the first K (Jia et al. 2020, Theorem 1)."""

    def rise(q: float, r: float) -> float:
        if noise == "uniform":
            return min(1.0, q + r / (2.0 * math.sqrt(3.0) * BETA))
        if noise == "laplace":
            factor = math.exp(r * math.sqrt(2.0) / BETA)
            return min(factor * q, 1.0 - (1.0 - q) / factor)
        return float(stats.norm.cdf(stats.norm.ppf(q) + r / BETA))

    most = np.sort(others)[::-1][:K]

    def margin(r: float) -> float:
        return max(
            t * (1.0 - rise(1.0 - p, r)) - rise(float(most[K - t :].sum()), r) for t in range(1, K + 1)
        )

    return 0.0 if margin(0.0) <= 0 else float(optimize.brentq(margin, 0.0, 20.0, xtol=1e-14))


def true_radii(plan: str, noise: str, probabilities: np.ndarray) -> np.ndarray:
    """Return the radius that each class is entitled to; below 0 where it is not even the answer."""
    first, rest = float(probabilities[0]), float(probabilities[1])
    if plan == "two_class":
        others = two_class_radius(noise, rest, first)
        return np.array([two_class_radius(noise, first, rest), *[others] * (probabilities.size - 1)])
    if plan == "top_k":
        others = top_k_radius(noise, rest, np.delete(probabilities, 1))
        # Classes of one probability tie for the places behind the first: not among them within any radius.
        return np.array([top_k_radius(noise, first, probabilities[1:]), *[others] * (probabilities.size - 1)])
    return one_class_radius(noise, probabilities)


def report(rows: list[dict[str, str]], settings: argparse.Namespace, level: float) -> str:
    """Return the table of all rows, in shares of the level."""
    places = [f"K = {classes}, {place}" for classes in CLASSES for place in PLACES]
    lines = [
        f"Level {level:.3g}, at most {settings.n_max} votes. False answers over what the level allows. Last "
        "column: the false answers of the cell that is least probable at the level, and their p-value.",
        "",
        f"| plan | noise | certifications | {' | '.join(places)} | least probable cell |",
        "|---|---|---|" + "---|" * (len(CLASSES) * len(PLACES) + 1),
    ]
    for plan in PLANS:
        for noise in NOISES:
            mine = [row for row in rows if (row["plan"], row["noise"]) == (plan, noise)]
            if not mine:
                continue
            cells = {(row["classes"], row["place"]): (int(row["false"]), int(row["runs"])) for row in mine}
            shares = [
                f"{cells[key][0] / (level * cells[key][1]):.2f}" if key in cells else ""
                for key in ((str(k), place) for k in CLASSES for place in PLACES)
            ]
            worst, p = max(
                (
                    (false, stats.binomtest(false, runs, level, alternative="greater").pvalue)
                    for false, runs in cells.values()
                ),
                key=lambda pair: -pair[1],
            )
            total = sum(runs for _, runs in cells.values())
            lines.append(f"| {plan} | {noise} | {total:,} | {' | '.join(shares)} | {worst} ({p:.2g}) |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
