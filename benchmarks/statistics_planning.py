"""What planning costs: boundaries cold and from the cache, and the overhead of each look.

Targets: a usual grid in under 3 s cold and under 20 ms from the cache; under 20 microseconds an image
and look when vectorised over images.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import special

from sfumato.noise import Gaussian
from sfumato.plans import Curve, Decide, Predict, Vote
from sfumato.statistics import cache
from sfumato.statistics.walk import binomial_step

GRIDS = {
    "beta .25, 0 to .75": (0.25, tuple(np.arange(0.0, 0.76, 0.25))),
    "beta .5, 0 to 1.75": (0.5, tuple(np.arange(0.0, 1.76, 0.25))),
    "beta 1, 0 to 3.5": (1.0, tuple(np.arange(0.0, 3.51, 0.25))),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="the median of so many timings is reported")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--output", type=Path, help="also write the report here")
    settings = parser.parse_args()
    report = [
        "# Planning cost",
        "",
        f"Made by `python benchmarks/statistics_planning.py {' '.join(sys.argv[1:])}` on 2 CPU cores.",
        *boundaries_report(settings),
        *looks_report(settings),
    ]
    text = "\n".join(report) + "\n"
    print(text)
    if settings.output:
        settings.output.write_text(text)


def boundaries_report(settings) -> list[str]:
    lines = [
        "",
        "## Boundaries of a curve, cap 100,000, confidence .999 (targets: 3 s cold, 20 ms cached)",
        "",
        "| grid | chunk | radii | cold, s | from disk, ms |",
        "|---|---|---|---|---|",
    ]
    for name, (beta, radii) in GRIDS.items():
        for chunk in (32, 128):
            cold, warm = [], []
            for _ in range(settings.repeats):
                with tempfile.TemporaryDirectory() as folder:
                    os.environ["SFUMATO_CACHE"] = folder
                    binomial_step.cache_clear()
                    cold.append(_planning(radii, beta, chunk))
                    warm.append(_planning(radii, beta, chunk))
            lines.append(
                f"| {name} | {chunk} | {len(radii)} | {np.median(cold):.2f} | {1e3 * np.median(warm):.1f} |"
            )
    return lines


def _planning(radii, beta: float, chunk: int) -> float:
    """Return the seconds it takes to get the boundaries when this process remembers none."""
    cache._remembered.cache_clear()
    began = time.perf_counter()
    Curve(tuple(radii), chunk=chunk).tests(Gaussian(beta), 0.999, label_known=False)
    return time.perf_counter() - began


def looks_report(settings) -> list[str]:
    lines = [
        "",
        f"## Overhead of demand() and update(), {settings.images} images (target: 20 microseconds)",
        "",
        "| plan | classes | looks | microseconds an image and look |",
        "|---|---|---|---|",
    ]
    radii = tuple(np.arange(0.25, 1.76, 0.25))
    for plan in (Decide(0.5), Curve(radii), Predict(n_max=100_000), Vote(100)):
        for classes in (10, 100, 1000):
            looks, cost = zip(*(_overhead(plan, classes, settings.images) for _ in range(3)), strict=True)
            lines.append(f"| {plan.name} | {classes} | {looks[0]} | {np.median(cost):.2f} |")
    return lines


def _overhead(plan, classes: int, images: int) -> tuple[int, float]:
    generator = np.random.default_rng(0)
    leading = special.ndtr(generator.uniform(-0.5, 4.0, size=images))
    probabilities = np.zeros((images, classes))
    probabilities[:, 0] = leading
    probabilities[:, 1:5] = ((1.0 - leading) / 4.0)[:, None]
    run = plan.start(images, classes, noise=Gaussian(0.5), confidence=0.999)
    looks = seconds = active = 0
    while True:
        began = time.perf_counter()
        wanted = run.demand()
        seconds += time.perf_counter() - began
        if not wanted.any():
            return looks, 1e6 * seconds / active
        rows = np.flatnonzero(wanted)
        counts = np.zeros((images, classes), dtype=np.int64)
        counts[rows, :5] = generator.multinomial(wanted[rows], probabilities[rows, :5])
        began = time.perf_counter()
        run.update(counts)
        seconds += time.perf_counter() - began
        # Finished images cost too; they are charged to the ones that still vote.
        active += rows.size
        looks += 1


if __name__ == "__main__":
    main()
