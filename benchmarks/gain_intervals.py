"""Coverage and width of the interval of a gain, on simulated studies whose truth is known.

    python benchmarks/gain_intervals.py [--repeats 2000]

A study has eight pairs of noises; the difficulty of an image is common to all networks, each network adds its
own. Three truths: all pairs tie; the best ones lie close together; one pair leads. The interval is the one of
``statistics.compare.selected_gain``, at 95 %, beside the one of the versions before: both halves compared
apart, each at half of the error, with products of Clopper-Pearson intervals. A second table has two fixed
networks: ``paired_difference`` beside the interval of the versions before, and Newcombe's of 1998 (his
method 10).
"""

from __future__ import annotations

import argparse

import numpy as np
from jaxtyping import Bool
from scipy import stats

from sfumato.statistics.binomial import two_sided_interval
from sfumato.statistics.compare import paired_difference, selected_gain

IMAGES = (400, 800, 2000, 10_000)
RUNS = (1, 2, 3)  # training seeds
TRUTHS = {
    "tie": (0.15,) * 8,
    "close": (0.24, 0.20, 0.17, 0.155, 0.15, 0.15, 0.16, 0.17),
    "clear": (0.30, 0.25, 0.20, 0.15, 0.08, 0.15, 0.18, 0.20),
}
RULE = 6  # the place of alpha = beta
CONFIDENCE = 0.95


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    print(
        "| truth | images | seeds | coverage | width | p <= .05 | p and interval agree | before: coverage "
        "| width |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for truth, rates in TRUTHS.items():
        for images in IMAGES:
            for runs in RUNS:
                print(gains(rng, truth, rates, images, runs, repeats), flush=True)
    print(
        "\n| rates | images | seeds | coverage | width | before: coverage | width | Newcombe: coverage "
        "| width |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for rates in ((0.2, 0.15), (0.12, 0.1), (0.04, 0.01)):
        for images in IMAGES:
            for runs in RUNS:
                print(differences(rng, rates, images, runs, repeats), flush=True)


def study(
    rng: np.random.Generator, rates: tuple[float, ...], images: int, runs: int
) -> Bool[np.ndarray, "runs pairs images"]:
    """Return which images are lost: three in ten for reasons of each network, the others by difficulty."""
    own = rng.random((runs, len(rates), images))
    score = np.where(rng.random(own.shape) < 0.3, own, rng.random(images))
    return score < np.asarray(rates)[:, np.newaxis]


def gains(
    rng: np.random.Generator, truth: str, rates: tuple[float, ...], images: int, runs: int, repeats: int
) -> str:
    """Return the row of one truth."""
    covered, before, small, agree = 0, 0, 0, 0
    widths, widths_before = [], []
    for index in range(repeats):
        lost = study(rng, rates, images, runs)
        found = selected_gain(lost, [RULE], confidence=CONFIDENCE, seed=index)
        true = rates[RULE] - np.mean([rates[pick] for pick in found.selected])
        gain = found.gain
        covered += gain.low <= true + 1e-12 and true - 1e-12 <= gain.high
        small += gain.p_value <= 0.05
        agree += (gain.p_value <= 0.05) == (not gain.low <= 0 <= gain.high)
        widths.append(gain.high - gain.low)
        low, high = gain_before(lost, found.selected, index)
        before += low <= true + 1e-12 and true - 1e-12 <= high
        widths_before.append(high - low)
    return (
        f"| {truth} | {images:,} | {runs} | {100 * covered / repeats:.1f} % | {100 * np.mean(widths):.2f} "
        f"| {100 * small / repeats:.1f} % | {100 * agree / repeats:.1f} % | {100 * before / repeats:.1f} % "
        f"| {100 * np.mean(widths_before):.2f} |"
    )


def gain_before(
    lost: Bool[np.ndarray, "runs pairs images"], selected: tuple[int, int], seed: int
) -> tuple[float, float]:
    """Return the interval of the versions before, at the same halves."""
    images = lost.shape[2]
    order = np.random.default_rng(seed).permutation(images)
    bounds = []
    for pick, report in zip(selected, (order[images // 2 :], order[: images // 2]), strict=True):
        parts = difference_before(
            lost[:, RULE][:, report], lost[:, pick][:, report], (1.0 - CONFIDENCE) / 2.0
        )
        bounds.append((0.0, 0.0) if pick == RULE else parts)
    low, high = np.mean(bounds, axis=0)
    return float(low), float(high)


def difference_before(
    first: Bool[np.ndarray, "runs images"], second: Bool[np.ndarray, "runs images"], error: float
) -> tuple[float, float]:
    """Return the interval of the versions before of how much more the first of two networks loses."""
    more = first.sum(axis=0).astype(int) - second.sum(axis=0)
    share, levels = error / len(first), range(1, len(first) + 1)
    parts = [
        product_interval(int((more >= k).sum()), int((more <= -k).sum()), more.size, share) for k in levels
    ]
    low, high = np.mean(parts, axis=0)
    return float(low), float(high)


def product_interval(above: int, below: int, images: int, error: float) -> tuple[float, float]:
    """Return P(above) - P(below) = P(either) (2 P(above | either) - 1), each by Clopper and Pearson."""
    rarest, most = two_sided_interval(above + below, images, 1.0 - 0.1 * error)
    if above + below == 0:
        return -most, most
    low, high = (2 * p - 1 for p in two_sided_interval(above, above + below, 1.0 - 0.9 * error))
    return low * (rarest if low > 0 else most), high * (most if high > 0 else rarest)


def differences(
    rng: np.random.Generator, rates: tuple[float, float], images: int, runs: int, repeats: int
) -> str:
    """Return the row of two fixed networks."""
    covered, before, theirs = 0, 0, 0
    widths, wide, their_widths = [], [], []
    for _ in range(repeats):
        lost = study(rng, rates, images, runs)
        found = paired_difference(lost[:, 0], lost[:, 1], confidence=CONFIDENCE)
        covered += found.low <= rates[0] - rates[1] <= found.high
        widths.append(found.high - found.low)
        low, high = difference_before(lost[:, 0], lost[:, 1], 1.0 - CONFIDENCE)
        before += low <= rates[0] - rates[1] <= high
        wide.append(high - low)
        if runs == 1:
            low, high = newcombe(lost[0, 0], lost[0, 1])
            theirs += low <= rates[0] - rates[1] <= high
            their_widths.append(high - low)
    beside = f"{100 * theirs / repeats:.1f} % | {100 * np.mean(their_widths):.2f}" if runs == 1 else " | "
    return (
        f"| {rates[0]:g}, {rates[1]:g} | {images:,} | {runs} | {100 * covered / repeats:.1f} % "
        f"| {100 * np.mean(widths):.2f} | {100 * before / repeats:.1f} % | {100 * np.mean(wide):.2f} "
        f"| {beside} |"
    )


def newcombe(first: Bool[np.ndarray, " images"], second: Bool[np.ndarray, " images"]) -> tuple[float, float]:
    """Return Newcombe's interval of the difference of two paired rates (1998, method 10)."""
    images = first.size
    intervals = [
        stats.binomtest(int(x.sum()), images).proportion_ci(CONFIDENCE, "wilson") for x in (first, second)
    ]
    (l1, u1), (l2, u2) = ((float(found.low), float(found.high)) for found in intervals)
    p1, p2 = float(first.mean()), float(second.mean())
    a, b = int((first & second).sum()), int((first & ~second).sum())
    c = int((second & ~first).sum())
    d = images - a - b - c
    excess = a * d - b * c
    product = float(a + b) * (c + d) * (a + c) * (b + d)
    phi = (max(excess - images / 2, 0) if excess > 0 else excess) / np.sqrt(product) if product else 0.0
    low = np.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = np.sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2)
    return p1 - p2 - float(low), p1 - p2 + float(high)


if __name__ == "__main__":
    main()
