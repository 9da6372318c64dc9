"""PyTorch operators for each 1,024 votes, counted by the CPU profiler, in this version and in another one.

    git worktree add /tmp/former COMMIT
    python benchmarks/operators.py --former /tmp/former/src

A network of two linear layers on 784 numbers, float32, one thread, one batch; operators that others call
are counted too. What PyTorch does not see, as numbers drawn by NumPy, is not counted. On a GPU each of
them is at least one launch. Those whose result the host reads at once (a number, a truth value, the places
that are not zero) make it wait there: they are counted for each batch, from four batches against one. Copies
from a device to the host are none on a CPU and not among them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent / "src"
VOTES = 1024
IMAGES = (1, 32, 1024)
BATCHES = 4
READ = tuple(f"aten::{name}" for name in ("_local_scalar_dense", "nonzero", "is_nonzero", "equal"))


def main() -> None:
    """Print a row for each number of images that share the votes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--former", type=Path, help="folder of the other version that holds sfumato")
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.count:
        print(json.dumps(counts()))
        return
    versions = {"now": HERE} if settings.former is None else {"before": settings.former, "now": HERE}
    found = {name: asked(source) for name, source in versions.items()}
    columns = [*versions, *(f"read by the host in a batch, {name}" for name in versions)]
    print(f"| images | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for number, images in enumerate(IMAGES):
        cells = [f"{of_one[number][part]:g}" for part in (0, 1) for of_one in found.values()]
        print(f"| {images:,} | {' | '.join(cells)} |")


def asked(source: Path) -> list[tuple[int, float]]:
    """Return the counts of the version that is in ``source``."""
    command = [sys.executable, __file__, "--count"]
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: list[tuple[int, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def counts() -> list[tuple[int, float]]:
    """Return for 1, 32 and 1,024 images the operators of 1,024 votes in a batch, and what is read in each."""
    import torch
    from torch import nn
    from torch.profiler import ProfilerActivity, profile

    from sfumato import SmoothedClassifier

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
    found = []
    for images in IMAGES:
        x = torch.rand(images, 1, 28, 28)
        smoothed = SmoothedClassifier(model, 0.5, device="cpu", batch_size=VOTES)
        for _ in range(40):  # some batches are checked against their images alone; the counted ones are not
            smoothed.votes(x, VOTES // images)
        seen = []
        for batches in (1, BATCHES):
            with profile(activities=[ProfilerActivity.CPU]) as profiled:
                smoothed.votes(x, batches * VOTES // images)
            seen.append({event.key: event.count for event in profiled.key_averages()})
        operators = sum(count for key, count in seen[0].items() if key.startswith("aten::"))
        read = [sum(one.get(key, 0) for key in READ) for one in seen]
        found.append((operators, (read[1] - read[0]) / (BATCHES - 1)))
    return found


if __name__ == "__main__":
    main()
