"""Time of a whole study in this version against another one's, and by threads against by processes.

    git worktree add /tmp/former COMMIT
    python benchmarks/whole_study.py --data-dir DIR --former /tmp/former/src --rounds 3

MNIST, the MLP, two alphas, three betas, two epochs, 100 sequential votes for each of 10,000 images: 120,000
passes of training and six cells. Each run is the command ``sfumato study run`` in a process of its own, start
and end included; in each round all of them run in turn, in reverse order every other round. Ratios are of one
round; their median and range are printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spreads import spread

HERE = Path(__file__).resolve().parent.parent / "src"
STUDY = """
[data]
name = "mnist"

[model]
architecture = "mlp"
precision = "{precision}"
epochs = {epochs}

[grid]
alpha = [0.2, 0.4]
beta = [0.3, 0.5, 0.7]

[votes]
n = 100
rule = "sequential"
error = 0.001
precision = "{precision}"
"""


def main() -> None:
    """Run the rounds and print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--former", type=Path, help="folder of the other version that holds sfumato")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("float32", "bf16"), default="bf16")
    settings = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    ways: dict[str, tuple[Path, tuple[str, ...]]] = {
        f"one process, {cores} threads": (HERE, ("--workers", "1", "--threads", str(cores))),
        f"{cores} processes of one thread": (HERE, ("--workers", str(cores), "--threads", "1")),
        "by default": (HERE, ()),
    }
    if settings.former:
        ways = {"the former version": (settings.former, ()), **ways}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(settings.rounds):
        for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
            took[name].append(seconds(settings, *ways[name]))
            print(f"{name}: {took[name][-1]:.1f} s", file=sys.stderr, flush=True)
    first = took[next(iter(ways))]
    print("| way | seconds | times faster than the first |\n|---|---|---|")
    for name, own in took.items():
        ratios = [theirs / mine for theirs, mine in zip(first, own, strict=True)]
        print(f"| {name} | {spread(own, 1)} | {spread(ratios, 2)} |")


def seconds(settings: argparse.Namespace, source: Path, options: tuple[str, ...]) -> float:
    """Return how long the study takes with the version that is in ``source``."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.toml"
        file.write_text(STUDY.format(precision=settings.precision, epochs=settings.epochs))
        command = ["study", "run", str(file), "--out", f"{folder}/out", "--data-dir", str(settings.data_dir)]
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "sfumato", *command, *options],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(source)},
        )
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
