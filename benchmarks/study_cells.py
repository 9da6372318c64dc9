"""Processor time of one cell of a study in this version against another one's, and against full batches.

    git worktree add /tmp/former COMMIT
    python benchmarks/study_cells.py MODEL.safetensors --data-dir DIR --former /tmp/former/src --images 2000

Each version counts in a process of its own, one thread, in the usual configuration. In each round both do
the same images in turn, in reverse order every other round: the cell as a study computes it, then as many
votes in full batches on one image. A ratio is of one round; its median and range over the rounds are printed.
That the rows are the same is checked in every round.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from spreads import spread

HERE = Path(__file__).resolve().parent.parent / "src"


def main() -> None:
    """Run the rounds and print the record as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--former", type=Path, help="folder of the other version that holds sfumato")
    parser.add_argument("--images", type=int, default=2000, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beta", type=float, default=0.5)
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.serve:
        serve(settings)
    else:
        compare(settings)


def serve(settings: argparse.Namespace) -> None:
    """Count what is asked for line by line, in the version that was found first."""
    import numpy as np
    import torch

    from sfumato import SmoothedClassifier, load_dataset, load_model
    from sfumato.plans.early_vote import EarlyVote
    from sfumato.smoothing.risk import vote_on

    torch.set_num_threads(1)
    model, record = load_model(settings.model)
    test = load_dataset(record.data, settings.data_dir).test
    smoothed = SmoothedClassifier(
        model.eval(), settings.beta, seed=0, device="cpu", precision=settings.precision
    )
    # a study's task asks for groups as large as it is
    options = {"together": settings.images} if "together" in inspect.signature(vote_on).parameters else {}
    for line in sys.stdin:
        examples = np.array(json.loads(line))
        began = time.process_time()
        rows = vote_on(
            smoothed, EarlyVote(100), test.x[examples], test.y[examples], examples.tolist(), **options
        )
        cell, votes = time.process_time() - began, int(rows[:, 3].sum())
        began = time.process_time()
        smoothed.votes(test.x[:1], votes)
        full = time.process_time() - began
        digest = hashlib.sha256(rows.tobytes()).hexdigest()
        print(json.dumps({"cell": votes / cell, "full": votes / full, "rows": digest}), flush=True)


def compare(settings: argparse.Namespace) -> None:
    """Let both versions count in turn."""
    versions = {"before": settings.former, "now": HERE}
    asked = [sys.executable, __file__, *sys.argv[1:], "--serve"]
    processes = {
        name: subprocess.Popen(
            asked,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        )
        for name, source in versions.items()
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in versions}

    def count(name: str, examples: range) -> dict[str, float]:
        process = processes[name]
        process.stdin.write(json.dumps(list(examples)) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    for name in versions:
        count(name, range(50))
    for number in range(settings.rounds):
        examples = range(number * settings.images, (number + 1) * settings.images)
        for name in list(versions) if number % 2 else list(versions)[::-1]:
            found[name].append(count(name, examples))
        assert found["before"][-1]["rows"] == found["now"][-1]["rows"], "the rows differ"
    for process in processes.values():
        process.stdin.close()
        process.wait()
    cells = {name: [one["cell"] for one in rates] for name, rates in found.items()}
    shares = {name: [one["cell"] / one["full"] for one in rates] for name, rates in found.items()}
    ratios = [now / before for now, before in zip(cells["now"], cells["before"], strict=True)]
    rates = f"{spread(cells['before'], 0)} | {spread(cells['now'], 0)} | {spread(ratios)}"
    of_full = f"{spread(shares['before'])} | {spread(shares['now'])}"
    print(f"| {settings.model.stem} | {settings.precision} | {rates} | {of_full} |")


if __name__ == "__main__":
    main()
