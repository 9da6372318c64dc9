"""How many forward passes each plan saves on votes simulated from Cohen et al.'s published results.

Every plan is the one users run, fed with multinomial votes (see ``published_votes``). "times fewer" is
against the n0 + n = 100,100 votes of Cohen et al.; changes in certified accuracy are in percentage
points against the exact expectation of 100,000 votes on the same images at the same confidence.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy import special

import published_votes as published
from sfumato.noise import Gaussian
from sfumato.plans import Curve, Decide, Fixed, FixedTwoClass, Precision, Predict, Vote
from sfumato.statistics.cache import cached_boundaries
from sfumato.statistics.sequential import look_schedule
from sfumato.statistics.walk import binomial_step

FIXED_VOTES = 100_100
CURVE_TARGETS = {
    ("CIFAR-10", 0.25): 12.0,
    ("CIFAR-10", 0.50): 8.5,
    ("CIFAR-10", 1.00): 7.0,
    ("ImageNet", 0.25): 13.0,
    ("ImageNet", 0.50): 5.0,
    ("ImageNet", 1.00): 5.5,
}
TOP_RADIUS = {0.25: 0.75, 0.50: 1.75, 1.00: 3.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--reference",
        type=Path,
        required=True,
        help="folder of the files of certificates that they published",
    )
    parser.add_argument("--repeats", type=int, default=20, help="draws of each published image")
    parser.add_argument("--confidence", type=float, default=0.999)
    parser.add_argument("--cost", type=float, default=5e5, help="votes one more certificate is worth")
    parser.add_argument("--output", type=Path, help="also write the report here")
    settings = parser.parse_args()
    began = time.perf_counter()
    images = {
        key: published.load(settings.reference, *key, settings.repeats, seed=100 + i)
        for i, key in enumerate(published.FILES)
    }
    report = [
        "# Passes spent by each plan",
        "",
        f"Made by `python benchmarks/statistics_passes.py {' '.join(sys.argv[1:])}` on 2 CPU cores;"
        f" confidence {settings.confidence}, cap 100,000, cost {settings.cost:g}, "
        f"{settings.repeats} draws of each published image (500 per file, 427 for ImageNet .25).",
        "",
        "Simulated from the published radii: no network was run. With about 500 images per file the"
        " mean passes of one radius carry a sampling error of 18 to 26 %, a curve's 5 to 8 %.",
        *decide_report(images, settings),
        *curve_report(images, settings),
        *precision_report(images, settings),
        *wald_report(images, settings),
        *vote_report(images, settings),
        *predict_report(images, settings),
        *two_class_report(images, settings),
    ]
    report += ["", f"Whole run: {time.perf_counter() - began:.0f} s."]
    text = "\n".join(report) + "\n"
    print(text)
    if settings.output:
        settings.output.write_text(text)


def decide_report(images, settings) -> list[str]:
    lines = [
        "",
        "## decide(radius), 25 cells of (file, usual radius)",
        "",
        "| chunk | label known | mean passes | times fewer (total) | geometric mean | median passes |"
        " change, mean | change, worst | target (total, geometric) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    cells: dict[tuple[int, bool], list] = {}
    for chunk in (32, 128):
        for known in (False, True):
            cells[chunk, known] = [
                _decide_cell(images[key], key[1], radius, chunk, known, settings)
                for key, radii in published.USUAL_RADII.items()
                for radius in radii
            ]
            mean, median, change = (np.array(column) for column in zip(*cells[chunk, known], strict=True))
            lines.append(
                f"| {chunk} | {'yes' if known else 'no'} | {mean.mean():.0f}"
                f" | {FIXED_VOTES / mean.mean():.1f}"
                f" | {np.exp(np.log(FIXED_VOTES / mean).mean()):.1f} | {np.median(median):.0f}"
                f" | {change.mean():+.3f} | {change.min():+.3f} | {'75, 100' if known else '55, 70'} |"
            )
    lines += ["", "| file | radius | " + " | ".join(f"{c}{' label' if k else ''}" for c, k in cells) + " |"]
    lines.append("|" + "---|" * (2 + len(cells)))
    names = [(key, radius) for key, radii in published.USUAL_RADII.items() for radius in radii]
    for i, ((data, sigma), radius) in enumerate(names):
        shown = " | ".join(f"{cell[i][0]:.0f} ({cell[i][2]:+.2f})" for cell in cells.values())
        lines.append(f"| {data} {sigma:g} | {radius:g} | {shown} |")
    lines += ["", "Mean passes (change in certified accuracy, points) by chunk."]
    return lines


def _decide_cell(population, sigma, radius, chunk, known, settings):
    plan = Decide(radius, chunk=chunk, cost=settings.cost)
    decisions = _run(plan, population, sigma, settings, labels=population.labels if known else None)
    votes = np.array([d.votes for d in decisions])
    reference = published.fixed_certified(population, radius / sigma, settings.confidence)
    return votes.mean(), np.median(votes), 100.0 * (_certified(decisions, population, radius) - reference)


def _run(plan, population, sigma, settings, labels=None):
    classes = population.probabilities.shape[1]
    run = plan.start(
        population.labels.size,
        classes,
        noise=Gaussian(sigma),
        confidence=settings.confidence,
        labels=labels,
    )
    return published.vote(run, population.probabilities, np.random.default_rng(7))


def _certified(decisions, population, radius: float) -> float:
    right = np.array([d.prediction for d in decisions]) == population.labels
    return float(np.mean(right & (np.array([d.radius for d in decisions]) >= radius)))


def curve_report(images, settings) -> list[str]:
    lines = [
        "",
        "## curve(0.25, 0.5, ... to the top), mean passes, times fewer, change (mean / worst)",
        "",
        "| file | top | chunk 32 | chunk 128 | chunk 32, labels known | target |",
        "|---|---|---|---|---|---|",
    ]
    for key, population in images.items():
        grid = tuple(np.arange(0.25, TOP_RADIUS[key[1]] + 0.01, 0.25))
        cells = []
        for chunk, labels in ((32, None), (128, None), (32, population.labels)):
            plan = Curve(grid, chunk=chunk, cost=settings.cost)
            decisions = _run(plan, population, key[1], settings, labels)
            mean = np.mean([d.votes for d in decisions])
            change = [
                _certified(decisions, population, radius)
                - published.fixed_certified(population, radius / key[1], settings.confidence)
                for radius in grid
            ]
            cells.append(
                f"{mean:.0f}, {FIXED_VOTES / mean:.1f}x"
                f" ({100 * np.mean(change):+.2f} / {100 * min(change):+.2f})"
            )
        name = f"{key[0]} {key[1]:g}"
        lines.append(f"| {name} | {grid[-1]:g} | {' | '.join(cells)} | {CURVE_TARGETS[key]:g}x |")
    return lines


def precision_report(images, settings) -> list[str]:
    lines = [
        "",
        "## precision(eps), times fewer (loss of average certified radius)",
        "",
        "The loss is against Fixed() on the same images; target: 12x for eps = .05 on CIFAR-10 .5.",
        "",
        "| file | eps .01 | .02 | .05 | .1 |",
        "|---|---|---|---|---|",
    ]
    for key, population in images.items():
        fixed = _average_radius(_run(Fixed(), population, key[1], settings), population)
        cells = []
        for eps in (0.01, 0.02, 0.05, 0.1):
            decisions = _run(Precision(eps), population, key[1], settings)
            mean = np.mean([d.votes for d in decisions])
            loss = 1.0 - _average_radius(decisions, population) / fixed
            cells.append(f"{FIXED_VOTES / mean:.1f}x ({100 * loss:.1f} %)")
        lines.append(f"| {key[0]} {key[1]:g} | {' | '.join(cells)} |")
    return lines


def _average_radius(decisions, population) -> float:
    right = np.array([d.prediction for d in decisions]) == population.labels
    return float(np.mean(right * np.array([d.radius for d in decisions])))


def wald_report(images, settings) -> list[str]:
    """Compare exact expected passes with max over p' of kl(power(p), power(p')) / KL(p, p')."""
    lines = [
        "",
        "## decide(radius), class given: exact mean passes over the Wald bound of its own power curve",
        "",
        "| file | radius | chunk 32 | chunk 128 |",
        "|---|---|---|---|",
    ]
    ratios: dict[int, list[float]] = {32: [], 128: []}
    for (data, sigma), radii in published.USUAL_RADII.items():
        z_images = np.clip(special.ndtri(images[data, sigma].leading), -1.2, 6.0)
        for radius in radii:
            for chunk, found in ratios.items():
                found.append(_wald_ratio(z_images, radius / sigma, chunk, settings))
            lines.append(f"| {data} {sigma:g} | {radius:g} | {ratios[32][-1]:.3f} | {ratios[128][-1]:.3f} |")
    means = " | ".join(f"{np.mean(found):.3f}" for found in ratios.values())
    worst = " | ".join(f"{max(found):.3f}" for found in ratios.values())
    return [*lines, f"| mean | | {means} |", f"| worst | | {worst} |", "", "Target: 1.2 in the mean."]


def _wald_ratio(z_images, z0: float, chunk: int, settings) -> float:
    looks = look_schedule(100_000, chunk)
    test = cached_boundaries(special.ndtr(-z0), 1.0 - settings.confidence, looks, settings.cost)
    near = z0 + np.concatenate([-np.geomspace(2e-3, 6, 60)[::-1], [0.0], np.geomspace(2e-3, 6, 60)])
    z = near[(near > -1.25) & (near < 6.05)]
    votes, power = np.transpose([_outcome(test, float(special.ndtr(-value))) for value in z])
    power = np.clip(power, 1e-15, 1.0 - 1e-15)
    p, q = special.ndtr(z), special.ndtr(-z)
    bound = np.max(
        _divergence(power[:, None], 1.0 - power[:, None], power, 1.0 - power)
        / np.maximum(_divergence(p[:, None], q[:, None], p, q), 1e-300),
        axis=1,
        where=~np.eye(z.size, dtype=bool),
        initial=0.0,
    )
    mean_votes = np.exp(np.interp(z_images, z, np.log(votes))).mean()
    # No procedure that looks at all can spend less than one vote.
    mean_bound = np.exp(np.interp(z_images, z, np.log(np.maximum(bound, 1.0)))).mean()
    return float(mean_votes / mean_bound)


def _outcome(test, q: float) -> tuple[float, float]:
    """Return the expected votes and the probability of certifying at the failure probability ``q``."""
    first, mass, before, votes, certified = 0, np.ones(1), 0, 0.0, 0.0
    for n, certify, give_up in zip(test.looks, test.certify, test.give_up, strict=True):
        votes += mass.sum() * (n - before)
        step = binomial_step(n - before, 1.0 - q, q)
        first, mass, before = first + step.first, np.convolve(mass, step.mass), n
        count = first + np.arange(mass.size)
        certified += mass[count >= certify].sum()
        going_on = (count < certify) & (count > give_up)
        first, mass = int(count[going_on].min(initial=n)), mass[going_on]
        if not mass.size:
            break
    return votes, certified


def _divergence(p, q, other_p, other_q):
    return special.rel_entr(p, other_p) + special.rel_entr(q, other_q)


def vote_report(images, settings) -> list[str]:
    lines = [
        "",
        "## vote(100), curtailed: votes spent, times fewer, predictions that differ from all 100 votes",
        "",
        "| file | chunk 1 | chunk 8 | chunk 32 |",
        "|---|---|---|---|",
    ]
    for key, population in images.items():
        generator = np.random.default_rng(11)
        uniforms = generator.uniform(size=(population.labels.size, 100, 1))
        named = (uniforms > np.cumsum(population.probabilities, axis=1)[:, None, :-1]).sum(axis=2)
        tally = np.zeros((population.labels.size, 101, published.CLASSES), dtype=np.int16)
        np.cumsum(np.eye(published.CLASSES, dtype=np.int16)[named], axis=1, out=tally[:, 1:])
        cells = []
        for chunk in (1, 8, 32):
            run = Vote(100, chunk=chunk).start(
                named.shape[0], published.CLASSES, noise=Gaussian(key[1]), confidence=settings.confidence
            )
            rows, spent = np.arange(named.shape[0]), np.zeros(named.shape[0], dtype=np.int64)
            while (wanted := run.demand()).any():
                run.update(tally[rows, spent + wanted].astype(np.int64) - tally[rows, spent])
                spent += wanted
            predictions = np.array([d.prediction for d in run.decisions()])
            differ = int(np.sum(predictions != np.argmax(tally[:, -1], axis=1)))
            cells.append(f"{spent.mean():.1f}, {100 / spent.mean():.2f}x, {differ} of {spent.size}")
        lines.append(f"| {key[0]} {key[1]:g} | {' | '.join(cells)} |")
    return [*lines, "", "Target: identical, 1.35 times fewer."]


def predict_report(images, settings) -> list[str]:
    lines = [
        "",
        "## predict(): mean passes at caps of 1,000 and 10,000, abstentions, wrong answers",
        "",
        "| file | cap 1,000 | cap 10,000 |",
        "|---|---|---|",
    ]
    for key, population in images.items():
        cells = []
        for cap in (1_000, 10_000):
            decisions = _run(Predict(n_max=cap), population, key[1], settings)
            mean = np.mean([d.votes for d in decisions])
            predictions = np.array([d.prediction for d in decisions])
            top = population.probabilities.max(axis=1)
            chosen = population.probabilities[np.arange(top.size), predictions]
            wrong = np.mean((predictions >= 0) & (chosen < top))
            cells.append(
                f"{mean:.0f} ({cap / mean:.1f}x), {100 * np.mean(predictions < 0):.1f} %, {wrong:.1e}"
            )
        lines.append(f"| {key[0]} {key[1]:g} | {' | '.join(cells)} |")
    return lines


def two_class_report(images, settings) -> list[str]:
    lines = [
        "",
        "## two_class(100,100000) against fixed(100,100000): certified accuracy gained, points",
        "",
        "The radius is that of the two-class theorem; the guarantee is the same. Target: +1 to +3.5.",
        "",
        "| file | r = .25 | r = .5 | average certified radius |",
        "|---|---|---|---|",
    ]
    for key, population in images.items():
        one = _run(Fixed(), population, key[1], settings)
        two = _run(FixedTwoClass(), population, key[1], settings)
        gains = [_certified(two, population, r) - _certified(one, population, r) for r in (0.25, 0.5)]
        radius = _average_radius(two, population) / _average_radius(one, population) - 1.0
        cells = " | ".join(f"{100 * gain:+.2f}" for gain in gains)
        lines.append(f"| {key[0]} {key[1]:g} | {cells} | {100 * radius:+.1f} % |")
    return lines


if __name__ == "__main__":
    main()
