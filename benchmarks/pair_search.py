r"""How far the pair that a search of few trainings ends with is from the best of the grid.

Networks are trained on a grid of alphas. Their votes are counted at every beta: an image counts as certified
where the share of votes for its label would certify the radius. Without ``--study`` these are digits networks
of two training seeds, trained here; with it, the networks in the folder of a study. With ``--certificates``
the study's own certificates say what is certified.

A repetition resamples the test images and draws the seed of each training. Between the grid's alphas the
losses are interpolated, and beyond them they stay what they are at the last. The regret of a search is the
certified accuracy, on all images and the mean of the seeds, of the best pair of the grid minus that of the
pair it ends with: the best measured. Rivals spend the same trainings evenly, or on alpha = beta.

    python benchmarks/pair_search.py --cache digits-votes.npz
    python benchmarks/pair_search.py --study mnist --cache mnist-votes.npz --radii 0.5 1
    python benchmarks/pair_search.py --study mnist --certificates --radii 0.5
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import ndtr
from torch import nn

from sfumato import TrainingSettings, load_dataset, load_model, load_results, read_design, train
from sfumato.answers.best_pair import comparable_losses
from sfumato.answers.objective import CertifiedAccuracy
from sfumato.answers.pair_search import PairSearch
from sfumato.datasets import Split
from sfumato.studies.todo import study_data

ALPHAS = (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.2, 1.5, 1.8)
BETAS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.9)
SEEDS = 2
RADII = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Networks:
    """What votes are counted with.

    Attributes:
        trained: alpha, training seed and network.
        test: the test images.
        betas: smoothing noises, increasing.
        bf16: whether the networks are run under autocast.
    """

    trained: list[tuple[float, int, nn.Module]]
    test: Split
    betas: tuple[float, ...]
    bf16: bool


@dataclass(frozen=True)
class Grid:
    """What is lost at every pair of a grid, at one radius.

    Attributes:
        alphas, betas: training and smoothing noises, increasing; betas that can certify the radius.
        scale: losses are interpolated over log(1 + alpha / scale).
        lost: whether each image is lost.
    """

    alphas: Float[np.ndarray, " alphas"]
    betas: tuple[float, ...]
    scale: float
    lost: Bool[np.ndarray, "seeds alphas betas images"]


def digits_networks() -> Networks:
    """Return networks trained on digits."""
    data = load_dataset("digits")
    trained = []
    with tempfile.TemporaryDirectory() as folder:
        for seed, alpha in np.ndindex(SEEDS, len(ALPHAS)):
            path = Path(folder) / f"{seed}-{alpha}.safetensors"
            settings = TrainingSettings(alpha=ALPHAS[alpha], seed=seed, epochs=20, batch_size=64)
            train(data, settings, path, device="cpu")
            trained.append((ALPHAS[alpha], seed, load_model(path)[0]))
    return Networks(trained, data.test, BETAS, bf16=False)


def study_networks(folder: Path, images: int) -> Networks:
    """Return the networks of a study and its first test images."""
    design = read_design(folder / "study.toml")
    trained = []
    for path in sorted((folder / "models").glob("*.safetensors")):
        model, record = load_model(path)
        trained.append((record.training["alpha"], record.training["seed"], model))
    test = study_data(design).test
    first = Split(test.x[:images], test.y[:images])
    return Networks(trained, first, design.grid.beta, design.votes.precision == "bf16")


@torch.no_grad()
def count_votes(networks: Networks, votes: int, cache: Path) -> None:
    """Write the share of votes for the label, (seeds, alphas, betas, images), to ``cache``."""
    alphas, seeds = (sorted({row[place] for row in networks.trained}) for place in (0, 1))
    x, y = torch.from_numpy(networks.test.x), torch.from_numpy(np.asarray(networks.test.y))
    hits = np.zeros((len(seeds), len(alphas), len(networks.betas), len(y)), np.int64)
    for b, beta in enumerate(networks.betas):
        # the same noise for every network
        generator = torch.Generator().manual_seed(b)
        for _ in range(votes):
            noisy = x + float(beta) * torch.randn(x.shape, generator=generator)
            for alpha, seed, model in networks.trained:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=networks.bf16):
                    found = model(noisy).argmax(1)
                hits[seeds.index(seed), alphas.index(alpha), b] += (found == y).numpy()
    share = (hits / votes).astype(np.float32)
    np.savez_compressed(cache, share=share, alphas=alphas, betas=networks.betas, votes=votes)


def counted(cache: Path, radius: float) -> Grid:
    """Return what is lost by the counted votes."""
    kept = np.load(cache)
    needed = ndtr(radius / kept["betas"])
    able = needed < 1.0 - 1.0 / kept["votes"]
    lost = kept["share"][:, :, able] < np.maximum(needed[able], 0.5 + 1e-9)[:, None]
    return Grid(kept["alphas"], tuple(map(float, kept["betas"][able])), float(kept["betas"][0]), lost)


def certified(folder: Path, radius: float) -> Grid:
    """Return what is lost by the certificates of a study."""
    found = comparable_losses(load_results(folder), CertifiedAccuracy(radius))
    alphas, betas = (sorted({pair[place] for pair in found.pairs}) for place in (0, 1))
    lost = np.array(
        [found.lost[:, found.pairs.index((alpha, beta))] for alpha in alphas for beta in betas]
    ).reshape(len(alphas), len(betas), len(found.seeds), -1)
    return Grid(np.array(alphas), tuple(betas), betas[0], lost.transpose(2, 0, 1, 3))


class World:
    """One repetition: trainings are read from the grid."""

    def __init__(self, grid: Grid, repetition: int) -> None:
        self.betas, self.scale, self.images = grid.betas, grid.scale, grid.lost.shape[-1]
        self.truth = 1.0 - grid.lost.mean(axis=(0, 3))
        self._grid = grid
        self._generator = np.random.default_rng(repetition)
        self._picked = self._generator.integers(0, self.images, self.images)

    def between(self, alpha: float, values: np.ndarray) -> np.ndarray:
        """Return the values (alphas, betas) at alpha."""
        u, known = np.log1p(alpha / self.scale), np.log1p(self._grid.alphas / self.scale)
        return np.array([np.interp(u, known, column) for column in values.T])

    def train(self, alpha: float) -> np.ndarray:
        """Return how many images a training loses at each beta."""
        seed = self._generator.integers(len(self._grid.lost))
        return np.rint(self.between(alpha, self._grid.lost[seed][..., self._picked].sum(axis=-1)))

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
    alphas = np.expm1(np.linspace(0, np.log1p(2 * world.betas[-1] / world.scale), budget)) * world.scale
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
    parser.add_argument("--study", type=Path)
    parser.add_argument("--certificates", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("digits-votes.npz"))
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--votes", type=int, default=200)
    parser.add_argument("--radii", type=float, nargs="+", default=RADII)
    parser.add_argument("--budget", type=int, default=6)
    parser.add_argument("--repetitions", type=int, default=40)
    settings = parser.parse_args()
    if not settings.certificates and not settings.cache.exists():
        networks = study_networks(settings.study, settings.images) if settings.study else digits_networks()
        count_votes(networks, settings.votes, settings.cache)
    print(
        "| radius | best pair of the grid | its accuracy | SE | method | mean regret | within 1 SE | worst |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for radius in settings.radii:
        known = settings.certificates
        grid = certified(settings.study, radius) if known else counted(settings.cache, radius)
        report(grid, radius, settings.budget, settings.repetitions)


def report(grid: Grid, radius: float, budget: int, repetitions: int) -> None:
    """Print the rows of one radius."""
    truth = World(grid, 0).truth
    a, b = np.unravel_index(truth.argmax(), truth.shape)
    error = (truth.max() * (1 - truth.max()) / grid.lost.shape[-1]) ** 0.5
    for name, method in METHODS.items():
        worlds = [World(grid, repetition) for repetition in range(repetitions)]
        regrets = np.array([world.regret(method(world, radius, budget)) for world in worlds])
        print(
            f"| {radius:g} | {grid.alphas[a]:g}, {grid.betas[b]:g} | {truth.max():.3f} | {error:.3f} | "
            f"{name} | {regrets.mean():.4f} | {(regrets <= error).mean():.2f} | {regrets.max():.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
