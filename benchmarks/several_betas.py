"""Votes of one network at several betas: noise drawn once for all of them against once for each.

    python benchmarks/several_betas.py MODEL.safetensors --data-dir DIR --betas 0.3 0.5 0.7 --precision bf16

Both ways give the same rows, which is checked. One thread; times are of the processor. In each round both
ways run in turn, in reverse order every other round; ratios are of one round. Sequential votes stop earlier
where an image is easy, so that the largest beta wants many votes that no other one wants; ``--rule fixed``
counts all of them at each beta.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from sfumato import Fixed, load_dataset, load_model
from sfumato.plans.early_vote import EarlyVote
from sfumato.smoothing.risk import vote_on, vote_on_each
from sfumato.smoothing.smoothed import Smoothed
from spreads import spread


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--betas", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    parser.add_argument("--precision", choices=("float32", "bf16"), default="bf16")
    parser.add_argument("--rule", choices=("sequential", "fixed"), default="sequential")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    test = load_dataset(settings.data, settings.data_dir).test.part(slice(settings.images))
    model = load_model(settings.model)[0]
    voters = [
        Smoothed(model, beta, device="cpu", precision=settings.precision, batch_size=1024)
        for beta in settings.betas
    ]
    plan = EarlyVote(100, 1e-3) if settings.rule == "sequential" else Fixed(1, 99)
    options = plan, test.x, test.y, range(len(test))
    ways = {
        "once for each": lambda: [vote_on(voter, *options, together=2_000) for voter in voters],
        "once for all": lambda: vote_on_each(voters, *options, together=2_000),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    rows = {}
    for number in range(settings.rounds + 1):
        for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
            began = time.process_time()
            rows[name] = ways[name]()
            if number:  # the first round warms up
                took[name].append(time.process_time() - began)
    first, second = rows.values()
    if not all(map(np.array_equal, first, second)):
        raise SystemExit("the two ways give other rows")
    votes = sum(int(one[:, 3].sum()) for one in first)
    print(f"{settings.rule}, {settings.precision}, {votes:,} votes:", end=" ")
    each, once = took.values()
    for name, seconds in took.items():
        print(f"{name} {spread([1e6 * one / votes for one in seconds], 1)} us per vote", end="; ")
    print(f"times faster: {spread([a / b for a, b in zip(each, once, strict=True)], 2)}")


if __name__ == "__main__":
    main()
