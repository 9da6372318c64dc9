"""The published synthetic study against Sfumato's, and random sequential adsorption, timed.

The slow side is the procedure of Pal & Sulam 2023 as they published it, written here for this comparison:
a Python rejection loop per draw, fresh draws for every beta, two calls of scipy.ndimage.gaussian_filter
per point, copies and thresholds in between. Both sides use the same random stream, so that their risks must
be equal; the last lines say whether they are. Rounds alternate, so that a busy machine slows both.

    OMP_NUM_THREADS=1 python benchmarks/theory_fields.py > benchmarks/results/theory_fields.md
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from sfumato.theory.figure4 import ALPHAS, BETAS, ZETAS, figure4_published
from sfumato.theory.packing import pack_balls

SEED, DRAWS, SIDE, RADIUS, ATTEMPTS = 246, 10, 100, 10, 10_000


def published_draw(zeta: int) -> np.ndarray:
    grid = np.zeros((SIDE, SIDE))
    centres = np.zeros((SIDE, SIDE))
    candidates = np.random.randint(low=0, high=SIDE, size=[ATTEMPTS, 2])  # noqa: NPY002
    apart = 2 * RADIUS + zeta
    for x, y in candidates:
        rows = slice(int(max(0, x - apart)), int(min(SIDE, x + apart)))
        columns = slice(int(max(0, y - apart)), int(min(SIDE, y + apart)))
        if np.sum(centres[rows, columns]) == 0:
            centres[x, y] = 1
            for dx in range(-RADIUS, RADIUS):
                for dy in range(-RADIUS, RADIUS):
                    if dx**2 + dy**2 <= RADIUS**2 and x + dx < SIDE and y + dy < SIDE:
                        grid[x + dx, y + dy] = 1
    return grid


def published_risk(labels: np.ndarray, alpha: float, beta: float) -> float:
    def decided(values: np.ndarray) -> np.ndarray:
        answer = copy.deepcopy(values)
        answer[answer < 0.5] = 0
        answer[answer >= 0.5] = 1
        return answer

    trained = decided(gaussian_filter(labels, sigma=alpha, mode="constant", cval=0))
    smoothed = decided(gaussian_filter(trained, sigma=beta, mode="constant", cval=0))
    return float(np.mean(np.abs(decided(labels) - smoothed)))


def published_study() -> np.ndarray:
    np.random.seed(SEED)  # noqa: NPY002
    risk = np.empty((len(ZETAS), len(BETAS), len(ALPHAS), DRAWS))
    for column, beta in enumerate(BETAS):
        for row, zeta in enumerate(ZETAS):
            for draw in range(DRAWS):
                grid = np.array(published_draw(zeta), dtype=np.float32)
                risk[row, column, :, draw] = [published_risk(grid, alpha, beta) for alpha in ALPHAS]
    return risk


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def main() -> None:
    """Run both sides in turn and print the record as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    settings = parser.parse_args()
    figure4_published(draws=1)
    rows = []
    for _ in range(settings.rounds):
        slow, theirs = timed(published_study)
        fast, ours = timed(figure4_published)
        rows.append((slow, fast))
    ratios = [slow / fast for slow, fast in rows]
    print("# The published synthetic study and random packing, timed\n")
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"NumPy {np.__version__}, {os.cpu_count()} CPU cores, one thread each side, load average {load}.\n")
    print(
        f"Grid of {SIDE} x {SIDE}, radius {RADIUS}, {len(ZETAS)} zeta, {len(BETAS)} beta, {len(ALPHAS)} "
        f"alpha, {DRAWS} draws, {settings.rounds} rounds in turn.\n"
    )
    print("| round | published procedure, s | here, s | ratio |")
    print("|---|---|---|---|")
    for number, ((slow, fast), ratio) in enumerate(zip(rows, ratios, strict=True), start=1):
        print(f"| {number} | {slow:.2f} | {fast:.3f} | {ratio:.1f} |")
    print(f"\nRatio: median {np.median(ratios):.1f}, from {min(ratios):.1f} to {max(ratios):.1f}.")
    # The published mean over pixels is in single precision.
    apart = np.count_nonzero(np.abs(theirs - ours.risk) > 0.01 / SIDE**2)
    print(
        f"Risks that differ between the two by a hundredth of a pixel or more: {apart} of {ours.risk.size}.\n"
    )
    print("| packing | balls | density | saturated | seconds |")
    print("|---|---|---|---|---|")
    for label, dim, side, radius, number in (
        ("torus 400 x 400, radius 10", 2, 400.0, 10.0, None),
        ("torus 4000 x 4000, radius 10", 2, 4000.0, 10.0, None),
        ("torus 40^3, radius 1", 3, 40.0, 1.0, None),
        ("torus 103.5^3, radius 1, 100 000 asked", 3, 103.5, 1.0, 100_000),
    ):
        seconds, balls = timed(
            lambda dim=dim, side=side, radius=radius, number=number: pack_balls(
                dim, side, radius, 0.0, seed=0, number=number
            )
        )
        verdict = "proved" if number is None else "stopped at the number"
        print(f"| {label} | {balls.number} | {balls.density:.4f} | {verdict} | {seconds:.3f} |")


if __name__ == "__main__":
    main()
