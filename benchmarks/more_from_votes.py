"""What else the same votes certify: top-k, radii asked later, intervals of a regression, a scale per feature.

    sfumato train --data mnist --data-dir DIR --alpha 0.5 --model mlp --epochs 5 --out mlp.safetensors
    python benchmarks/more_from_votes.py mlp.safetensors --data-dir DIR

Top-k and the radii asked later are measured on MNIST. The regression is scikit-learn's diabetes table and the
table with a unit for each feature its breast cancer one; on both, a small network is trained under noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import nn

from sfumato import (
    AnisotropicGaussian,
    Certificates,
    Gaussian,
    MedianSmoothed,
    SmoothedClassifier,
    at_radii,
    load_dataset,
    load_model,
)

RADII = (0.0, 0.25, 0.5, 0.75, 1.0)
LATER = (0.25, 0.75)
STEPS = 1500
MOVES, DRAWS = 3, 2_000


def main() -> None:
    """Print the four tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--beta", type=float, default=0.5)
    parser.add_argument("--images", type=int, default=300)
    settings = parser.parse_args()
    few = load_dataset("mnist", settings.data_dir).test.part(slice(settings.images))
    smoothed = SmoothedClassifier(load_model(settings.model)[0], settings.beta)
    top_k(smoothed, few.x, few.y)
    asked_later(smoothed, few.x, few.y)
    regression()
    scales()


def top_k(smoothed: SmoothedClassifier, x: np.ndarray, y: np.ndarray) -> None:
    """Print certified accuracy of the label among the first k, from as many votes as the first one's."""
    print(f"## Top k\n\n| certified at R | {' | '.join(map(str, RADII))} |\n|---|{'---|' * len(RADII)}")
    for plan in ("fixed(100,5000)", "top_k(2,100,5000)", "top_k(3,100,5000)"):
        found = smoothed.certify(x, plan, labels=y, known_labels=None if plan[0] == "f" else y)
        print(f"| `{plan}` | {shares(found, RADII)} |")


def asked_later(smoothed: SmoothedClassifier, x: np.ndarray, y: np.ndarray) -> None:
    """Print certified accuracy at radii that a finished run was not asked for, and in a run of their own."""
    first = smoothed.certify(x, "curve(0.5,1.0)", labels=y)
    later = at_radii(first, LATER, noise=Gaussian(smoothed.beta))
    own = smoothed.certify(x, "curve(0.25,0.5,0.75,1.0)", labels=y)
    print(f"\n## Radii asked later\n\n| | {' | '.join(map(str, RADII[1:]))} |\n|---|{'---|' * 4}")
    for name, rows in (("as asked", first), ("two radii later", later), ("a run of its own", own)):
        print(f"| {name} | {shares(rows, RADII[1:])} |")


def shares(rows: Certificates, radii: Sequence[float]) -> str:
    """Return the cells of a row: the share of images certified at each radius, asked for or not."""
    found = (np.mean([row.correct and row.radius >= radius for row in rows]) for radius in radii)
    return " | ".join(f"{share:.3f}" for share in found)


def regression() -> None:
    """Print how wide certified intervals are, and how many moved inputs have a median outside."""
    table = load_diabetes()
    x = torch.tensor(table.data / table.data.std(axis=0), dtype=torch.float32)
    y = torch.tensor(table.target[:, None], dtype=torch.float32)
    mean, deviation = y[:342].mean(), y[:342].std()
    model = trained(x[:342], (y[:342] - mean) / deviation, nn.MSELoss(), 1, torch.ones(x.shape[1]), 0.25)
    smoothed = MedianSmoothed(model, beta=0.25)
    print(
        "\n## Regression\n\n| R | error of the median | width of the interval | median outside when moved |"
    )
    print("|---|---|---|---|")
    generator = torch.Generator().manual_seed(0)
    test = x[342:]
    for radius in (0.1, 0.25, 0.5):
        found = smoothed.certify(test, radius=radius, n=DRAWS)
        error = np.abs(np.asarray(found.median) * float(deviation) + float(mean) - y[342:].numpy()).mean()
        width = float(deviation) * np.mean(np.asarray(found.upper) - np.asarray(found.lower))
        outside = 0
        for _ in range(MOVES):
            inputs = test.clone().requires_grad_()
            (slope,) = torch.autograd.grad(model(inputs).sum(), inputs)
            move = slope * torch.randn(len(test), 1, generator=generator).sign()
            move += 0.3 * slope.norm(dim=1, keepdim=True) * torch.randn(test.shape, generator=generator)
            moved = test + radius * move / move.norm(dim=1, keepdim=True)
            middle = np.asarray(smoothed.certify(moved, radius=0.0, n=DRAWS).median)
            outside += int(((middle < found.lower) | (middle > found.upper)).sum())
        print(f"| {radius} | {error:.1f} | {width:.1f} | {outside} of {MOVES * len(test)} |")


def scales() -> None:
    """Print certified accuracy of one noise for all features, and of one with a scale for each."""
    table = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(table.data))
    x, y = torch.tensor(table.data[order], dtype=torch.float32), torch.tensor(table.target[order])
    deviations = x[:400].std(dim=0)
    print("\n## A scale for each feature\n\n| noise | accuracy | certified ellipsoid: median half axes |")
    print("|---|---|---|")
    same = torch.full_like(deviations, float(deviations.log().mean().exp()))
    for name, each in (("one scale for all", same), ("the deviation of each", deviations)):
        model = trained(x[:400], y[:400], nn.CrossEntropyLoss(), 2, each, 0.5)
        noise = AnisotropicGaussian(0.5, scales=tuple(each.tolist()))
        found = SmoothedClassifier(model, noise=noise).certify(
            x[400:], "fixed(100,5000)", labels=y[400:].numpy()
        )
        right = np.array([row.correct for row in found])
        radius = float(np.median([row.radius for row in found if row.correct]))
        axes = noise.half_axes(radius)
        sizes = ", ".join(f"{table.feature_names[i]} {float(axes[i]):.3g}" for i in (0, 3, 4))
        print(f"| {name} | {right.mean():.3f} | {sizes} |")


def trained(
    x: torch.Tensor, y: torch.Tensor, loss: nn.Module, outputs: int, scale: torch.Tensor, alpha: float
) -> nn.Module:
    """Return a network trained under noise of ``alpha`` times the scales; it standardises its inputs."""
    torch.manual_seed(0)
    noisy = (x.var(dim=0) + (alpha * scale) ** 2).sqrt()

    class Standardised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", x.mean(dim=0))
            self.register_buffer("deviation", noisy)
            self.layers = nn.Sequential(nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, outputs))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.layers((inputs - self.mean) / self.deviation)

    model = Standardised()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(model(x + alpha * scale * torch.randn(x.shape)), y).backward()
        optimizer.step()
    return model.eval()


if __name__ == "__main__":
    main()
