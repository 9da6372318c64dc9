"""How often the best contender drops out of a race, as a table in Markdown.

python benchmarks/racing.py --runs 100000
"""

from __future__ import annotations

import argparse

import numpy as np

from sfumato.answers.race import Race
from sfumato.statistics.binomial import two_sided_interval

IMAGES = 1000
BATCHES = 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    simulate(parser.parse_args().runs)


def simulate(runs: int) -> None:
    """Print how often contender 0, which is truly best or equally good, drops out."""
    print("| contenders | losses | level | runs | best dropped | 99.9 % interval | others left |")
    print("|---|---|---|---|---|---|---|")
    for contenders in (2, 6, 36):
        for level in (0.05, 0.001):
            for name, shared, behind in (
                ("all equal, independent", 0.0, 0.0),
                ("all equal, nine in ten shared", 0.9, 0.0),
                ("others 2 points behind", 0.5, 0.02),
            ):
                dropped, left = _race_often(contenders, level, shared, behind, runs)
                low, high = two_sided_interval(dropped, runs, 0.999)
                print(
                    f"| {contenders} | {name} | {level:g} | {runs:,} | {dropped / runs:.5f} | "
                    f"{low:.5f} to {high:.5f} | {left:.2f} of {contenders - 1} |",
                    flush=True,
                )


def _race_often(contenders: int, level: float, shared: float, behind: float, runs: int) -> tuple[int, float]:
    """Return in how many races contender 0 drops out, and how many others are left on average."""
    generator = np.random.default_rng(0)
    losses = np.full((contenders, 1), 0.3 + behind)
    losses[0] = 0.3
    dropped = left = 0
    for _ in range(runs):
        race, batch = Race(contenders, IMAGES, level), IMAGES // BATCHES
        for _ in range(BATCHES):
            own = generator.random((contenders, batch), dtype=np.float32)
            common = generator.random((1, batch), dtype=np.float32)
            together = generator.random((1, batch), dtype=np.float32) < shared
            race.add(np.where(together, common, own) < losses)
        dropped += not race.running[0]
        left += int(race.running[1:].sum())
    return dropped, left / runs


if __name__ == "__main__":
    main()
