"""Robust conformal sets: simulated coverage, and on MNIST on 20 random splits, clean and under attack.

    python benchmarks/conformal.py --data-dir DATA > benchmarks/results/conformal.md
    python benchmarks/conformal.py --data cifar10 --data-dir DATA --checkpoint fastcnn-0.3-at-0.3.safetensors
        --beta 0.3 --images 2000 --radii 0,0.25 >> benchmarks/results/conformal.md

A small network is trained with noise, or a checkpoint is taken; the votes on test images are counted once,
unmoved and moved by a gradient attack on the smoothed classifier. Each split calibrates on one half and
measures on the other.
Beside ours: BinCP with Clopper-Pearson bounds of each input (a union over all of them), and RCP1, one vote.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy import special
from scipy.stats import beta as beta_distribution

from sfumato import SmoothedClassifier, TrainingSettings, load_dataset, load_model, train
from sfumato.statistics.conformal import plan_conformal

VOTES, SPLITS = 100, 20
RUNS = 500
POPULATION = special.ndtri((np.arange(2000) + 0.5) / 2000) * 0.9 + 1.6
COVERAGES = (0.9, 0.95)
BINCP_ERROR = 0.01  # of alpha's share for all Clopper-Pearson bounds together


def attacked(model: torch.nn.Module, x: np.ndarray, y: np.ndarray, radius: float, beta: float) -> np.ndarray:
    """Return the images moved by at most ``radius``: gradient steps on the mean log loss of noisy copies."""
    generator = torch.Generator().manual_seed(0)
    moved = []
    for begin in range(0, len(x), 500):
        start = torch.from_numpy(x[begin : begin + 500])
        labels = torch.from_numpy(y[begin : begin + 500]).repeat(4)
        delta = torch.zeros_like(start)
        for _ in range(8):
            delta.requires_grad_(True)
            noise = beta * torch.randn((4, *start.shape), generator=generator)
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
    """Return the least count of a set where every input's probability is bounded (Clopper-Pearson, union).

    ``radius`` is in units of the noise.
    """
    level = BINCP_ERROR * alpha / (len(calibration) + 1)
    counts = np.arange(votes + 1)
    lower = np.where(counts > 0, beta_distribution.ppf(level, np.maximum(counts, 1), votes - counts + 1), 0.0)
    upper = np.where(
        counts < votes, beta_distribution.ppf(1 - level, counts + 1, np.maximum(votes - counts, 1)), 1
    )
    rank = int(np.floor(alpha * (1 - BINCP_ERROR) * (len(calibration) + 1)))
    worst = special.ndtr(special.ndtri(np.sort(lower[calibration])[rank - 1]) - radius)
    return int(np.flatnonzero(upper >= worst)[0])


def simulation() -> None:
    """Print the coverage of simulated inputs that are moved as far as Neyman and Pearson allow."""
    print("## Simulated, the worst move known\n")
    print(
        "The probability of the true label is Phi(z), z normal with mean 1.6 and deviation 0.9, and is moved "
        f"to Phi(z - R / beta), which a half-space attains. {RUNS:,} calibrations of 999 inputs, the "
        "coverage of a test input computed exactly; asked for: 0.9. *Nearest* is the population of two kinds "
        "of inputs that comes nearest to the bound, for the median count of the calibrations.\n"
    )
    print("| votes | R / beta | coverage (standard error) | nearest |")
    print("|---|---|---|---|")
    for votes in (1, 20, 100, 500):
        for radius in (0.0, 0.25, 0.5, 1.0):
            worst = lambda q, r=radius: special.ndtr(special.ndtri(q) + r) if r else q  # noqa: E731
            plan, generator = plan_conformal(votes, 0.9, worst), np.random.default_rng(votes)
            threshold = functools.cache(lambda k, plan=plan, worst=worst: plan.threshold(k, worst))
            covered, counts = [], []
            for _ in range(RUNS):
                k = plan.calibration_count(
                    generator.binomial(votes, special.ndtr(generator.normal(1.6, 0.9, 999)))
                )
                counts.append(k)
                moved = special.ndtr(POPULATION - radius)
                t = threshold(k)
                covered.append(special.bdtrc(t - 1, votes, moved).mean() if t else 1.0)
            k = int(np.median(counts))
            near = nearest(plan, k, threshold(k), radius)
            error = np.std(covered) / np.sqrt(RUNS)
            print(f"| {votes} | {radius:g} | {np.mean(covered):.4f} ({error:.4f}) | {near} |")


def nearest(plan, k: int, t: int, radius: float) -> str:
    """Return the lowest coverage of a population of two kinds that keeps the calibration's count."""
    if t == 0:
        return "all labels"
    p = special.ndtr(np.linspace(-9, 9, 20_001))
    unmoved = special.bdtrc(k - 1, plan.votes, p)
    moved = special.bdtrc(t - 1, plan.votes, special.ndtr(special.ndtri(p) - radius))
    place = int(np.argmin(moved - plan.slope * unmoved))
    other = 1.0 if unmoved[place] < 1 - plan.error else 0.0
    share = (1 - plan.error - other) / (unmoved[place] - other)
    return f"{share * moved[place] + (1 - share) * other:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--checkpoint", type=Path, help="measure this network, and simulate nothing")
    parser.add_argument("--beta", type=float, default=0.5)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--radii", default="0,0.25,0.5")
    options = parser.parse_args()
    data = load_dataset(options.data, options.data_dir)
    began = time.perf_counter()
    if options.checkpoint:
        model, record = load_model(options.checkpoint)
        told = f"`{options.checkpoint.name}`, trained with alpha = {record.alpha:g}"
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mlp.safetensors"
            settings = TrainingSettings(alpha=options.beta, epochs=options.epochs, architecture="mlp")
            train(data, settings, path, device="cpu")
            model, record = load_model(path)
        trained = time.perf_counter() - began
        told = (
            f"`mlp`, {options.epochs} epochs with alpha = {options.beta:g} ({trained:.0f} s of training on a "
            "busy machine)"
        )
        print("# Robust conformal sets\n")
        print("Made by `python benchmarks/conformal.py --data-dir DATA > benchmarks/results/conformal.md`.\n")
        simulation()
    model.eval()
    accuracy = (
        "" if record.clean_accuracy is None else f", accuracy without noise {record.clean_accuracy:.4f}"
    )
    x, y = data.test.x[: options.images], data.test.y[: options.images]
    radii = [float(radius) for radius in options.radii.split(",")]
    votes, single = counted(model, x, y, radii, options.beta)
    print(f"\n## {data.name}\n")
    print(
        f"The network {told}{accuracy}; beta = {options.beta:g}, {VOTES} votes "
        f"for each of the first {len(x):,} test images. Means over {SPLITS} random splits into two halves, "
        "of calibration and of test. *Lowest* is the lowest coverage of a split. The binomial error of "
        f"one split, of its two halves together, is sqrt(2 alpha (1 - alpha) / {len(x) // 2}): "
        f"{binomial_error(0.1, len(x)):.4f} at 0.9, {binomial_error(0.05, len(x)):.4f} "
        "at 0.95. *Attacked* images are moved by the whole radius in 8 gradient steps through the noise. No "
        "attack shows the worst case, so the true coverage may be lower; the guarantee says by how much at "
        "most. The two columns on the right use the same votes. BinCP and RCP1 take real-valued scores in "
        "their papers, which votes are not; a single vote can only name one class. BinCP: a share of 0.01 of "
        "alpha for all Clopper-Pearson bounds together.\n"
    )
    print_splits(votes, single, y, radii, options.beta)


def binomial_error(alpha: float, images: int) -> float:
    return float(np.sqrt(2 * alpha * (1 - alpha) / (images // 2)))


def counted(
    model: torch.nn.Module, x: np.ndarray, y: np.ndarray, radii: list[float], beta: float
) -> tuple[dict[float, np.ndarray], np.ndarray]:
    """Return the votes on images moved by each radius, and single votes on the unmoved ones."""
    smoothed, place = SmoothedClassifier(model, beta, device="cpu"), np.arange(len(x))
    votes = {0.0: smoothed.votes(x, VOTES, examples=place.tolist())}
    for radius in radii:
        if radius:
            # other noise than the calibration's
            keys = (place + len(x)).tolist()
            votes[radius] = smoothed.votes(attacked(model, x, y, radius, beta), VOTES, examples=keys)
    return votes, smoothed.votes(x, 1, examples=(place + 2 * len(x)).tolist())


def print_splits(
    votes: dict[float, np.ndarray], single: np.ndarray, y: np.ndarray, radii: list[float], beta: float
) -> None:
    """Print coverage and size of the sets, the means over the splits."""
    print(
        "| coverage asked | radius | clean coverage, mean (lowest) | attacked coverage, mean (lowest) | "
        "mean size of the sets | BinCP, bounds of each input | RCP1, one vote |"
    )
    print("|---|---|---|---|---|---|---|")
    for coverage in COVERAGES:
        for radius in radii:
            worst = lambda q, r=radius / beta: special.ndtr(special.ndtri(q) + r) if r else q  # noqa: E731
            plan, one = (plan_conformal(m, coverage, worst) for m in (VOTES, 1))
            clean, moved, size, theirs, single_size = [], [], [], [], []
            for split in range(SPLITS):
                order = np.random.default_rng(split).permutation(len(y))
                first, second = order[: len(y) // 2], order[len(y) // 2 :]
                true = votes[0.0][first, y[first]]
                t = plan.threshold(plan.calibration_count(true), worst)
                clean.append((votes[0.0][second, y[second]] >= t).mean())
                moved.append((votes[radius][second, y[second]] >= t).mean())
                size.append((votes[0.0][second] >= t).sum(axis=1).mean())
                least = bincp(true, 1 - coverage, VOTES, radius / beta)
                theirs.append((votes[0.0][second] >= least).sum(axis=1).mean())
                k = one.calibration_count(single[first, y[first]])
                single_size.append((single[second] >= one.threshold(k, worst)).sum(axis=1).mean())
            print(
                f"| {coverage:g} | {radius:g} | {np.mean(clean):.4f} ({min(clean):.4f}) | "
                f"{np.mean(moved):.4f} ({min(moved):.4f}) | {np.mean(size):.3f} | {np.mean(theirs):.3f} | "
                f"{np.mean(single_size):.3f} |"
            )


if __name__ == "__main__":
    main()
