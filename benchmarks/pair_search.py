r"""How far the pair that a search of few trainings ends with is from the best of the grid.

Digits networks are trained on a grid of alphas and seeds, and their votes counted at every beta; an image
counts as certified where the share of votes for its label would certify the radius. A repetition resamples
the test images and draws the seed of each training; between the grid's alphas the losses are interpolated.
The regret of a search is the certified accuracy, on all images and the mean of the seeds, of the best pair
of the grid minus that of the pair it ends with: the best measured. Rivals spend the same trainings evenly,
or on alpha = beta.

    python benchmarks/pair_search.py --cache digits-votes.npz
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import ndtr

from sfumato import TrainingSettings, load_dataset, load_model, train
from sfumato.answers.pair_search import PairSearch

ALPHAS = np.array([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.2, 1.5, 1.8])
BETAS = np.array([0.1, 0.2, 0.3, 0.45, 0.6, 0.9])
SEEDS = 2
VOTES = 200


def counted_votes(cache: Path) -> np.ndarray:
    """Return the share of votes for the label, (seeds, alphas, betas, images); trains if need be."""
    if cache.exists():
        return np.load(cache)["share"]
    data = load_dataset("digits")
    x, y = torch.from_numpy(data.test.x), torch.from_numpy(np.asarray(data.test.y))
    share = np.zeros((SEEDS, len(ALPHAS), len(BETAS), len(y)), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for seed, a in np.ndindex(SEEDS, len(ALPHAS)):
            path = Path(folder) / f"{seed}-{a}.safetensors"
            settings = TrainingSettings(alpha=float(ALPHAS[a]), seed=seed, epochs=20, batch_size=64)
            train(data, settings, path, device="cpu")
            model = load_model(path)[0].eval()
            for b, beta in enumerate(BETAS):
                # the same noise for every network
                generator = torch.Generator().manual_seed(b)
                with torch.no_grad():
                    for _ in range(VOTES):
                        noisy = x + float(beta) * torch.randn(x.shape, generator=generator)
                        share[seed, a, b] += (model(noisy).argmax(1) == y).numpy() / VOTES
    np.savez_compressed(cache, share=share)
    return share


class World:
    """One repetition at one radius: trainings are read from the grid."""

    def __init__(self, share: np.ndarray, radius: float, repetition: int) -> None:
        needed = ndtr(radius / BETAS)
        able = needed < 1.0 - 1.0 / VOTES
        self.betas = tuple(float(beta) for beta in BETAS[able])
        self._lost = share[:, :, able] < np.maximum(needed[able], 0.5 + 1e-9)[:, None]
        self.truth = 1.0 - self._lost.mean(axis=(0, 3))
        self._generator = np.random.default_rng(repetition)
        images = share.shape[-1]
        self.images = images
        self._picked = self._generator.integers(0, images, images)

    def between(self, alpha: float, values: np.ndarray) -> np.ndarray:
        """Return the values (alphas, betas) at alpha."""
        u, grid = np.log1p(alpha / BETAS[0]), np.log1p(ALPHAS / BETAS[0])
        return np.array([np.interp(u, grid, column) for column in values.T])

    def train(self, alpha: float) -> np.ndarray:
        """Return how many images a training loses at each beta."""
        seed = self._generator.integers(len(self._lost))
        return np.rint(self.between(alpha, self._lost[seed][..., self._picked].sum(axis=-1)))

    def regret(self, points: list[tuple[float, np.ndarray]]) -> float:
        """Return the regret of the best pair measured."""
        alpha, lost = min(points, key=lambda point: point[1].min())
        return float(self.truth.max() - self.between(alpha, self.truth)[lost.argmin()])


def searched(world: World, radius: float, budget: int) -> list[tuple[float, np.ndarray]]:
    search, points = PairSearch(radius, world.betas, budget), []
    while not search.finished:
        alpha = search.propose()
        lost = world.train(alpha)
        search.tell(alpha, int(lost.min()), world.images)
        points.append((alpha, lost))
    return points


def even(world: World, radius: float, budget: int) -> list[tuple[float, np.ndarray]]:
    alphas = np.expm1(np.linspace(0, np.log1p(2 * world.betas[-1] / BETAS[0]), budget)) * BETAS[0]
    return [(float(alpha), world.train(float(alpha))) for alpha in alphas]


def same(world: World, radius: float, budget: int) -> list[tuple[float, np.ndarray]]:
    """Train alpha = beta at every beta of the grid that can certify, and smooth with that beta alone."""
    found = []
    for row, beta in enumerate(world.betas):
        lost = np.full(len(world.betas), np.inf)
        lost[row] = world.train(beta)[row]
        found.append((beta, lost))
    return found


Method = Callable[[World, float, int], list[tuple[float, np.ndarray]]]
METHODS: dict[str, Method] = {"search": searched, "even grid": even, "alpha = beta": same}


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path("digits-votes.npz"))
    parser.add_argument("--budget", type=int, default=6)
    parser.add_argument("--repetitions", type=int, default=40)
    settings = parser.parse_args()
    share = counted_votes(settings.cache)
    print(
        "| radius | best pair of the grid | its accuracy | SE | method | mean regret | within 1 SE | worst |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for radius in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0):
        for name, method in METHODS.items():
            worlds = [World(share, radius, repetition) for repetition in range(settings.repetitions)]
            regrets = np.array([world.regret(method(world, radius, settings.budget)) for world in worlds])
            truth = worlds[0].truth
            a, b = np.unravel_index(truth.argmax(), truth.shape)
            error = (truth.max() * (1 - truth.max()) / worlds[0].images) ** 0.5
            print(
                f"| {radius:g} | {ALPHAS[a]:g}, {worlds[0].betas[b]:g} | {truth.max():.3f} | {error:.3f} | "
                f"{name} | {regrets.mean():.4f} | {(regrets <= error).mean():.2f} | {regrets.max():.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
