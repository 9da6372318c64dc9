"""What a router among networks and noises gains, and what it costs in votes.

    python benchmarks/routing.py mnist --data-dir DIR --pairs 0.5,0.25 0.75,0.5 1.5,0.75 --router 1,0.75

One network is trained for each pair alpha,beta; the last 5,000 training images are held out, and the router
learns from them which expert certifies an image farthest. Then the first test images are certified by each
expert alone and by the routed classifier. *Best for each image* is what a router would reach that is always
right and whose own radius never limits: it chooses by the result, so it is no certificate of anything.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from sfumato import (
    Certificates,
    Dataset,
    RoutedClassifier,
    SmoothedClassifier,
    Split,
    TrainingSettings,
    largest_radius,
    load_dataset,
    load_model,
    train,
)

HELD_OUT = 5000
LEARNED_FROM = "fixed(10,500)"
CERTIFIED_BY = "fixed(100,5000)"
CONFIDENCE = 0.999


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--architecture", default="mlp")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pairs", nargs="+", required=True, help="alpha,beta of each expert")
    parser.add_argument("--router", required=True, help="alpha,beta")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--radii", type=float, nargs="+", default=[0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0])
    options = parser.parse_args()
    data = load_dataset(options.data, options.data_dir)
    rest = len(data.train) - HELD_OUT
    ours = replace(data, train=data.train.part(slice(rest)))
    held_out = data.train.part(slice(rest, None))

    def smoothed(on: Dataset, pair: str, epochs: int) -> SmoothedClassifier:
        alpha, beta = map(float, pair.split(","))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            train(on, TrainingSettings(architecture=options.architecture, alpha=alpha, epochs=epochs), path)
            return SmoothedClassifier(load_model(path)[0], beta=beta)

    experts = [smoothed(ours, pair, options.epochs) for pair in options.pairs]
    # the router must not learn from the noise that it is certified with
    numbers = range(10**9, 10**9 + len(held_out))
    tried = [e.certify(held_out.x, LEARNED_FROM, labels=held_out.y, examples=numbers) for e in experts]
    farthest = largest_radius(tried)
    choices = Split(held_out.x, farthest)
    # as many steps as the experts had
    epochs = options.epochs * max(1, rest // HELD_OUT) // 2
    router = smoothed(
        replace(data, train=choices, test=choices, class_names=tuple(options.pairs)), options.router, epochs
    )

    few = data.test.part(slice(options.images))
    alone = [e.certify(few.x, CERTIFIED_BY, labels=few.y, confidence=CONFIDENCE) for e in experts]
    routed = RoutedClassifier(router, experts).certify(
        few.x, CERTIFIED_BY, labels=few.y, confidence=CONFIDENCE
    )
    learned = np.bincount(farthest, minlength=len(experts)).tolist()
    chosen = np.bincount([row.predict + 1 for row in routed.router], minlength=len(experts) + 1).tolist()
    print(f"{data.name}, {options.architecture}, {options.epochs} epochs, router {options.router}.", end=" ")
    print(f"Experts of the {HELD_OUT:,} images: {learned}; chosen: {chosen[1:]}, no choice: {chosen[0]}.\n")
    print_table(options.pairs, alone, routed.routed, options.radii)


def print_table(
    names: Sequence[str], alone: Sequence[Certificates], routed: Certificates, radii: Sequence[float]
) -> None:
    """Print certified accuracy at each radius, and the gain of routing over the best expert there."""
    columns = ["R", *names, "best for each image", "routed", "routed against the best expert there"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for radius in radii:
        right = np.array([_right(rows, radius) for rows in alone])
        ours, best = _right(routed, radius), right[right.mean(axis=1).argmax()]
        gained, lost = int((ours & ~best).sum()), int((best & ~ours).sum())
        p_value = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        cells = [f"{radius:g}", *(f"{one.mean():.3f}" for one in right), f"{right.any(axis=0).mean():.3f}"]
        print(
            f"| {' | '.join(cells)} | {ours.mean():.3f} | {gained} gained, {lost} lost, p = {p_value:.2g} |"
        )
    votes = [f"{np.mean([row.votes or 0 for row in rows]):,.0f}" for rows in (*alone, routed)]
    print(f"| votes per image | {' | '.join(votes[:-1])} | | {votes[-1]} | |")


def _right(rows: Certificates, radius: float) -> np.ndarray:
    return np.array([row.correct and row.radius >= radius for row in rows])


if __name__ == "__main__":
    main()
