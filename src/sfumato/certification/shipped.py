"""Smoothing on whichever worker the work comes to: the recipe of a classifier, and its images in blocks.

A recipe names the shared network and says how to smooth it; each worker builds the classifier once and
keeps it for the next task. Images are shared in blocks, so that a node holds those that it works on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int

from sfumato.certification.certificate import Certificate
from sfumato.certification.certify_images import certify_images, images_together
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.devices import arithmetic_threads
from sfumato.execution.base import Executor, Report, Shared, built
from sfumato.noise import Gaussian, Noise
from sfumato.plans import Plan
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration, Network
from sfumato.smoothing.tuning import tuned_configuration

_BLOCK_BYTES = 64 * 2**20
# that of a worker is not known to the driver
_FIRST_CONFIGURATION = Configuration(256)


@dataclass(frozen=True)
class Recipe:
    """How to make a smoothed classifier from a shared network.

    Attributes:
        network: the base classifier.
        noise, seed: as of ``SmoothedClassifier``; without noise (beta = 0) it is the network itself.
        device: where the worker computes.
        precision: float32 or bf16.
        shape: of one image.
        votes: about as many each worker counts in the whole job, for which it may pay to measure what is
            fastest on its machine; it decides nothing but the speed.
        job: a name that all recipes share for which one measurement is enough.
        configuration: what is fastest, if known.
    """

    network: Shared[Network]
    noise: Noise
    seed: int
    device: str
    precision: str
    shape: tuple[int, ...]
    votes: int
    job: str
    configuration: Configuration | None = None

    def smoothed(self) -> SmoothedClassifier:
        """Return the smoothed classifier, made once in each process."""
        return built(self, self._smoothed)

    def base(self) -> BaseClassifier:
        """Return the network as a fixed function, made once in each process."""
        return built(
            replace(self, noise=Gaussian(0.0)),
            lambda: BaseClassifier(self.network.value(), torch.device(self.device), precision=self.precision),
        )

    def _smoothed(self) -> SmoothedClassifier:
        network, device = self.network.value(), torch.device(self.device)
        configuration = self.configuration or built(
            self.job,
            partial(
                tuned_configuration, network, self.shape, device, votes=self.votes, precision=self.precision
            ),
        )
        return SmoothedClassifier(
            network, noise=self.noise, seed=self.seed, device=self.device, configuration=configuration
        )


def computing_device(here: str, executor: Executor | None) -> str:
    """Return the device that tasks compute on, ``here`` in this process; a driver may have no GPU itself."""
    if executor is None or executor.in_process:
        return here
    return "cuda" if executor.gpus_per_worker else "cpu"


@dataclass(frozen=True)
class Piece:
    """Some images of one shared block: ``rows`` of it."""

    block: Shared[Float32[np.ndarray, "images *shape"]]
    rows: Int[np.ndarray, " images"]


def gather(pieces: Sequence[Piece]) -> Float32[np.ndarray, "images *shape"]:
    """Return the images of the pieces, copied."""
    return np.concatenate([piece.block.value()[piece.rows] for piece in pieces])


class ImageShelf:
    """Images shared in blocks, each when it is first asked for."""

    def __init__(self, executor: Executor, x: Float32[np.ndarray, "images *shape"]) -> None:
        self._executor, self._x = executor, x
        self._size = max(1, _BLOCK_BYTES // max(1, x[:1].nbytes))
        self._blocks: dict[int, Shared[Any]] = {}

    def pieces(self, examples: Sequence[int]) -> tuple[Piece, ...]:
        """Return where the images with these increasing indices are found."""
        wanted = np.asarray(examples, dtype=np.int64)
        numbers = wanted // self._size
        return tuple(
            Piece(self._block(int(number)), wanted[numbers == number] - number * self._size)
            for number in np.unique(numbers)
        )

    def _block(self, number: int) -> Shared[Any]:
        if number not in self._blocks:
            part = self._x[number * self._size : (number + 1) * self._size]
            self._blocks[number] = self._executor.share(f"block {number} of the images", part)
        return self._blocks[number]


@dataclass(frozen=True)
class Voting:
    """Images to be voted on or certified under one classifier.

    Attributes:
        recipe: of the classifier.
        pieces: the images.
        examples: the keys of their noise.
        labels: their classes.
        threads: of arithmetic; they change the speed only.
    """

    recipe: Recipe
    pieces: tuple[Piece, ...]
    examples: tuple[int, ...]
    labels: Int[np.ndarray, " images"]
    threads: int | None


@dataclass(frozen=True)
class Certified:
    """The certificates of some images, and how many votes were NaN."""

    certificates: list[Certificate]
    invalid: int


def first_size(plan: Plan) -> int:
    """Return how many images the first task gets, when it is not known yet how long one takes."""
    return images_together(plan, _FIRST_CONFIGURATION)


def certify(
    report: Report, voting: Voting, plan: Plan, confidence: float, label_known: bool = False
) -> Certified:
    """Return the certificates of the images; each group of them is reported as it is found.

    With probability at least ``confidence`` over the noise, for each one that is no abstention, the
    smoothed classifier returns the predicted class everywhere within the radius.
    """
    with arithmetic_threads(voting.threads):
        smoothed = voting.recipe.smoothed()
        before = smoothed.profile.invalid
        groups = certify_images(
            smoothed,
            plan,
            gather(voting.pieces),
            voting.examples,
            voting.labels,
            confidence=confidence,
            label_known=label_known,
        )
        found: list[Certificate] = []
        for group in groups:
            report(group)
            found += group
        return Certified(found, smoothed.profile.invalid - before)
