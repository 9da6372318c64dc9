"""Votes as the networks behind Cohen et al.'s published results would cast them.

The published files give one certified radius per image. It is turned back into the count behind it, the
count into a probability of the leading class (a draw from its Jeffreys posterior), and the rest of
the probability is shared among the other classes. What is assumed beyond the data:

* files were made with n = 100,000 at one-sided level 0.01 (0.001 for CIFAR-10 sigma 0.12), which is
  what their largest radii say;
* radii at the ceiling (at most two failures) come from an exponential tail in z of mean 0.8;
* images abstained on have z = Phi^-1(p) below 0 with linearly falling density down to -1.2;
* the runner-up has a share w of 1 - p, w ~ Beta(5, 2) for CIFAR-10, Beta(3, 3) for ImageNet, and
  eight more classes share what is left;
* the true class is the runner-up where the prediction was wrong, and either of the two leading classes
  with equal chance where the published run abstained.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special, stats

PUBLISHED_N = 100_000
CLASSES = 10
LOWEST_Z = -1.2
FILES = {
    ("CIFAR-10", 0.25): "cifar10_resnet110_noise_0.25_test_sigma_0.25.tsv",
    ("CIFAR-10", 0.50): "cifar10_resnet110_noise_0.50_test_sigma_0.50.tsv",
    ("CIFAR-10", 1.00): "cifar10_resnet110_noise_1.00_test_sigma_1.00.tsv",
    ("ImageNet", 0.25): "imagenet_resnet50_noise_0.25_test_sigma_0.25.tsv",
    ("ImageNet", 0.50): "imagenet_resnet50_noise_0.50_test_sigma_0.50.tsv",
    ("ImageNet", 1.00): "imagenet_resnet50_noise_1.00_test_sigma_1.00.tsv",
}
# The radii of Cohen et al.'s tables that the noise can reach.
USUAL_RADII = {
    ("CIFAR-10", 0.25): (0.25, 0.5, 0.75),
    ("CIFAR-10", 0.50): (0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
    ("CIFAR-10", 1.00): (0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
    ("ImageNet", 0.25): (0.5,),
    ("ImageNet", 0.50): (0.5, 1.0, 1.5),
    ("ImageNet", 1.00): (0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
}


@dataclass(frozen=True)
class Population:
    """Simulated images: class probabilities under the noise, and the true classes."""

    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def leading(self) -> np.ndarray:
        """Probability of class 0, the one predicted in the published run."""
        return self.probabilities[:, 0]

    @property
    def correct(self) -> np.ndarray:
        """Whether class 0 is the true one."""
        return self.labels == 0


def load(reference: Path, data: str, sigma: float, repeats: int, seed: int) -> Population:
    """Return ``repeats`` independent draws of each published image."""
    share = (5, 2) if data == "CIFAR-10" else (3, 3)
    return load_table(
        reference / FILES[data, sigma], sigma, 0.01, share, np.random.default_rng(seed), repeats
    )


def load_table(
    path: Path,
    sigma: float,
    level: float,
    beta: tuple[float, float],
    generator: np.random.Generator,
    repeats: int = 1,
    every: int = 1,
) -> Population:
    """Return draws of every ``every``-th image of a table made at this one-sided level.

    The runner-up's share of 1 - p is Beta-distributed with the parameters ``beta``.
    """
    with path.open() as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))[::every] * repeats
    radius = np.array([float(row["radius"]) for row in rows])
    abstained = np.array([int(row["predict"]) < 0 for row in rows])
    correct = np.array([int(row["correct"]) == 1 for row in rows])
    z = _latent_z(radius / sigma, abstained, level, generator)
    p, q = special.ndtr(z), special.ndtr(-z)
    share = generator.beta(*beta, size=p.size)
    second = np.minimum(p, q * share)
    rest = np.repeat(((q - second) / (CLASSES - 2))[:, None], CLASSES - 2, axis=1)
    probabilities = np.column_stack([p, second, rest])
    return Population(
        probabilities, np.where(correct | (abstained & (generator.uniform(size=p.size) < 0.5)), 0, 1)
    )


def _latent_z(
    z_lower: np.ndarray, abstained: np.ndarray, level: float, generator: np.random.Generator
) -> np.ndarray:
    failures = np.arange(PUBLISHED_N)
    q_upper = special.betainccinv(failures + 1, PUBLISHED_N - failures, level)
    published = -special.ndtri(q_upper)
    count = np.clip(np.searchsorted(-published, -(z_lower + 5e-4)), 0, PUBLISHED_N - 1)
    posterior = generator.beta(count + 0.5, PUBLISHED_N - count + 0.5)
    z = -special.ndtri(posterior)
    saturated = count <= 2
    grid = np.linspace(2.5, 9.0, 2000)
    for k in range(3):
        rows = saturated & (count == k)
        weight = stats.binom.pmf(k, PUBLISHED_N, special.ndtr(-grid)) * np.exp(-grid / 0.8)
        z[rows] = generator.choice(grid, size=int(rows.sum()), p=weight / weight.sum())
    below = LOWEST_Z * (1.0 - np.sqrt(generator.uniform(size=z.size)))
    return np.where(abstained, below, z)


def vote(run, probabilities: np.ndarray, generator: np.random.Generator) -> list:
    """Feed a plan's run with simulated votes until it demands no more, and return its decisions."""
    while (wanted := run.demand()).any():
        rows = np.flatnonzero(wanted)
        counts = np.zeros(probabilities.shape, dtype=np.int64)
        counts[rows] = generator.multinomial(wanted[rows], probabilities[rows])
        run.update(counts)
    return run.decisions()


def fixed_certified(population: Population, z0: float, confidence: float) -> float:
    """Return the exact expected certified accuracy of n = 100,000 votes at radius z0 * sigma."""
    failures = np.arange(PUBLISHED_N // 2 + 1)
    q_upper = special.betainccinv(failures + 1, PUBLISHED_N - failures, 1.0 - confidence)
    most = int(np.searchsorted(q_upper, special.ndtr(-z0), side="right")) - 1
    certified = stats.binom.cdf(most, PUBLISHED_N, 1.0 - population.leading)
    return float(np.mean(certified * population.correct))
