"""The deployed ball for many pairs (alpha, beta) at once, against a root finder on SciPy one pair at a time.

Target: under 50 microseconds of processor time a pair, amortised over 10^5 pairs. Both sides solve the same
pairs in turn within one run. The baseline is scipy.optimize.brentq on scipy.stats.ncx2.cdf, two roots a pair.
Below it is the depth of one erosion far from the origin, where the baseline's r - rho loses digits.

    python benchmarks/theory_balls.py --output benchmarks/results/theory_balls.md
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import scipy
from scipy import optimize, stats

from sfumato.theory.balls import ball_radius, critical_sigma

DIMS = (1, 2, 10, 784, 100_000)
RATIOS = (10.0, 1e2, 1e3, 1e4, 1e5, 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000, help="solved at once")
    parser.add_argument("--baseline-pairs", type=int, default=100, help="of them solved one at a time")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="also write the report here")
    settings = parser.parse_args()
    report = [
        "# One ball under two noises",
        "",
        f"Made by `python benchmarks/theory_balls.py {' '.join(sys.argv[1:])}` with SciPy "
        f"{scipy.__version__} on {os.cpu_count()} CPU cores.",
        *speed_report(settings),
        *depth_report(),
    ]
    text = "\n".join(report) + "\n"
    print(text)
    if settings.output:
        settings.output.write_text(text)


def speed_report(settings) -> list[str]:
    lines = [
        "",
        f"## Two-step radius for {settings.pairs:,} pairs (target: 50 microseconds a pair)",
        "",
        "Median of the repeats with their range, in processor time of one thread; alpha and beta uniform up"
        " to 0.7 of the critical noise.",
        "",
        "| dim | microseconds a pair | brentq on ncx2.cdf | times faster | largest relative difference |",
        "|---|---|---|---|---|",
    ]
    for dim in DIMS:
        rng = np.random.default_rng(dim)
        alpha, beta = rng.uniform(0.01, 0.7, (2, settings.pairs)) * critical_sigma(dim, 1.0)
        some = slice(settings.baseline_pairs)
        ours, theirs = [], []
        for _ in range(settings.repeats):
            started = time.process_time()
            found = ball_radius(dim, ball_radius(dim, 1.0, alpha).radius, beta).radius
            ours.append((time.process_time() - started) / settings.pairs * 1e6)
            started = time.process_time()
            expected = [
                _eroded(dim, _eroded(dim, 1.0, a), b) for a, b in zip(alpha[some], beta[some], strict=True)
            ]
            theirs.append((time.process_time() - started) / settings.baseline_pairs * 1e6)
        ratio = np.array(theirs) / np.array(ours)
        apart = np.abs(found[some] - expected)[found[some] > 0.01].max()
        lines.append(
            f"| {dim:,} | {_spread(ours, '.1f')} | {_spread(theirs, ',.0f')} | {_spread(ratio, '.0f')} "
            f"| {apart:.0e} |"
        )
    return lines


def _eroded(dim: int, radius: float, sigma: float) -> float:
    """Return rho by a root finder on SciPy's distribution, in the unit of sigma."""
    b = radius / sigma

    def excess(a: float) -> float:
        return float(stats.ncx2.cdf(b * b, dim, a * a)) - 0.5

    if b == 0.0 or excess(0.0) < 0.0:
        return 0.0
    return sigma * float(optimize.brentq(excess, 0.0, b * (1.0 + 1e-9), xtol=1e-14, rtol=1e-14))


def depth_report() -> list[str]:
    lines = [
        "",
        "## Depth of one erosion, r - rho at sigma = 1 in two dimensions",
        "",
        "The depth tends to sigma^2 / 2 r. The baseline subtracts its root from r.",
        "",
        "| r | depth | times 2 r | brentq on ncx2.cdf | relative difference |",
        "|---|---|---|---|---|",
    ]
    for ratio in RATIOS:
        depth = float(ball_radius(2, ratio, 1.0).depth)
        try:
            other = ratio - _eroded(2, ratio, 1.0)
            shown = f"{other:.12g} | {abs(other / depth - 1.0):.0e}"
        except (ValueError, RuntimeError) as error:
            shown = f"{type(error).__name__} | "
        lines.append(f"| {ratio:g} | {depth:.12g} | {2.0 * ratio * depth:.12g} | {shown} |")
    return lines


def _spread(values, form: str) -> str:
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
    return f"{middle:{form}} ({low:{form}}-{high:{form}})"


if __name__ == "__main__":
    main()
