"""Robust conformal sets on MNIST: coverage and size on 20 random splits, clean and under attack.

    python benchmarks/conformal.py --data-dir DATA > benchmarks/results/conformal.md

A small network is trained with noise; the votes on the 10,000 test images are counted once, unmoved and moved
by a gradient attack on the smoothed classifier. Each split calibrates on one half and measures on the other.
Beside ours: BinCP with Clopper-Pearson bounds of each input (a union over all of them), and RCP1, one vote.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy import special
from scipy.stats import beta as beta_distribution

from sfumato import SmoothedClassifier, TrainingSettings, load_dataset, load_model, train
from sfumato.statistics.conformal import plan_conformal

BETA, VOTES, SPLITS = 0.5, 100, 20
RADII = (0.0, 0.25, 0.5)
COVERAGES = (0.9, 0.95)
BINCP_ERROR = 0.01  # of alpha's share for all Clopper-Pearson bounds together


def attacked(model: torch.nn.Module, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Return the images moved by at most ``radius``: gradient steps on the mean log loss of noisy copies."""
    generator = torch.Generator().manual_seed(0)
    moved = []
    for begin in range(0, len(x), 500):
        start = torch.from_numpy(x[begin : begin + 500])
        labels = torch.from_numpy(y[begin : begin + 500]).repeat(4)
        delta = torch.zeros_like(start)
        for _ in range(8):
            delta.requires_grad_(True)
            noise = BETA * torch.randn((4, *start.shape), generator=generator)
            logits = model((start + delta + noise).flatten(0, 1))
            loss = torch.nn.functional.cross_entropy(logits, labels)
            (gradient,) = torch.autograd.grad(loss, delta)
            step = gradient / gradient.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
            delta = (delta + radius / 3 * step).detach()
            length = delta.flatten(1).norm(dim=1).clamp(min=1e-12)
            # a hair inside, for rounding
            delta = delta * torch.clamp(radius * (1 - 1e-6) / length, max=1.0)[:, None, None, None]
        moved.append((start + delta).numpy())
    return np.concatenate(moved)


def bincp(calibration: np.ndarray, alpha: float, votes: int, radius: float) -> int:
    """Return the least count of a set where every input's probability is bounded (Clopper-Pearson, union)."""
    level = BINCP_ERROR * alpha / (len(calibration) + 1)
    counts = np.arange(votes + 1)
    lower = np.where(counts > 0, beta_distribution.ppf(level, np.maximum(counts, 1), votes - counts + 1), 0.0)
    upper = np.where(
        counts < votes, beta_distribution.ppf(1 - level, counts + 1, np.maximum(votes - counts, 1)), 1
    )
    rank = int(np.floor(alpha * (1 - BINCP_ERROR) * (len(calibration) + 1)))
    worst = special.ndtr(special.ndtri(np.sort(lower[calibration])[rank - 1]) - radius / BETA)
    return int(np.flatnonzero(upper >= worst)[0])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    data = load_dataset("mnist", options.data_dir)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlp.safetensors"
        settings = TrainingSettings(alpha=BETA, epochs=options.epochs, architecture="mlp")
        train(data, settings, path, device="cpu")
        model, record = load_model(path)
    model.eval()
    trained = time.perf_counter() - began
    x, y = data.test.x, data.test.y
    smoothed = SmoothedClassifier(model, BETA, device="cpu")
    place = np.arange(len(x))
    votes = {0.0: smoothed.votes(x, VOTES, examples=place.tolist())}
    for radius in RADII[1:]:
        # other noise than the calibration's
        keys = (place + len(x)).tolist()
        votes[radius] = smoothed.votes(attacked(model, x, y, radius), VOTES, examples=keys)
    single = smoothed.votes(x, 1, examples=(place + 2 * len(x)).tolist())
    print("# Robust conformal sets on MNIST\n")
    print("Made by `python benchmarks/conformal.py --data-dir DATA > benchmarks/results/conformal.md`.\n")
    print(
        f"The network `mlp`, {options.epochs} epochs with alpha = {BETA:g} ({trained:.0f} s of training on one"
    )
    print(
        f"busy core), accuracy without noise {record.clean_accuracy:.4f}; beta = {BETA:g}, {VOTES} votes for each"
    )
    print(
        f"of the 10,000 test images. Means over {SPLITS} random splits into 5,000 images of calibration and"
    )
    print(
        "5,000 of test. *Lowest* is the lowest coverage of a split. The binomial error of one split, of the"
    )
    print(
        "calibration and of the test together, is sqrt(2 alpha (1 - alpha) / 5000): 0.0060 at 0.9, 0.0044 at"
    )
    print(
        "0.95. *Attacked* images are moved by the whole radius with 8 gradient steps through the noise: an upper"
    )
    print("bound of the worst-case coverage, which the guarantee bounds from below.\n")
    print(
        "| coverage asked | radius | clean coverage, mean (lowest) | attacked coverage, mean (lowest) | "
        "mean size of the sets | BinCP, bounds of each input | RCP1, one vote |"
    )
    print("|---|---|---|---|---|---|---|")
    for coverage in COVERAGES:
        for radius in RADII:
            worst = lambda q, r=radius: special.ndtr(special.ndtri(q) + r / BETA) if r else q  # noqa: E731
            plan, one = (plan_conformal(m, coverage, worst) for m in (VOTES, 1))
            clean, moved, size, theirs, single_size = [], [], [], [], []
            for split in range(SPLITS):
                order = np.random.default_rng(split).permutation(len(x))
                first, second = order[:5000], order[5000:]
                true = votes[0.0][first, y[first]]
                t = plan.threshold(plan.calibration_count(true), worst)
                clean.append((votes[0.0][second, y[second]] >= t).mean())
                moved.append((votes[radius][second, y[second]] >= t).mean())
                size.append((votes[0.0][second] >= t).sum(axis=1).mean())
                least = bincp(true, 1 - coverage, VOTES, radius)
                theirs.append((votes[0.0][second] >= least).sum(axis=1).mean())
                k = one.calibration_count(single[first, y[first]])
                single_size.append((single[second] >= one.threshold(k, worst)).sum(axis=1).mean())
            print(
                f"| {coverage:g} | {radius:g} | {np.mean(clean):.4f} ({min(clean):.4f}) | {np.mean(moved):.4f} "
                f"({min(moved):.4f}) | {np.mean(size):.3f} | {np.mean(theirs):.3f} | {np.mean(single_size):.3f} |"
            )


if __name__ == "__main__":
    main()
