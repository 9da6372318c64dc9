"""PyTorch operators for each 1,024 votes, counted by the CPU profiler, in this version and in another one.

    git worktree add /tmp/former COMMIT
    python benchmarks/operators.py --former /tmp/former/src

A network of two linear layers on 784 numbers, float32, one thread, one batch; operators that others call
are counted too. What PyTorch does not see, as numbers drawn by NumPy, is not counted. On a GPU each of
them is at least one launch.
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
    print(f"| images | {' | '.join(versions)} |\n|---|{'---|' * len(versions)}")
    for number, images in enumerate(IMAGES):
        print(f"| {images:,} | {' | '.join(str(of_one[number]) for of_one in found.values())} |")


def asked(source: Path) -> list[int]:
    """Return the counts of the version that is in ``source``."""
    command = [sys.executable, __file__, "--count"]
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def counts() -> list[int]:
    """Return the operators of 1,024 votes for 1, 32 and 1,024 images, in one batch each."""
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
        for _ in range(5):  # some batches are checked against their images alone; the counted one is not
            smoothed.votes(x, VOTES // images)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            smoothed.votes(x, VOTES // images)
        found.append(sum(event.count for event in seen.key_averages() if event.key.startswith("aten::")))
    return found


if __name__ == "__main__":
    main()
