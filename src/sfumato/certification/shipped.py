"""Certify images in groups, on any worker.

A recipe names the shared network and says how to smooth it; each worker builds the classifier once and keeps
it for the next task. Images are shared in blocks, so that a node holds only the images that it works on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from sfumato.certification.certificate import Certificate
from sfumato.certification.groups import certified_in_groups, images_together
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.datasets.on_demand import Examples, OnDemand, per_block, pick
from sfumato.devices import arithmetic_threads
from sfumato.execution.base import Done, Executor, Here, Report, Shared, Task
from sfumato.noise import Noise
from sfumato.plans import Plan
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.configuration import Configuration, Network
from sfumato.smoothing.tuning import tuned_configuration

# that of a worker is not known to the driver
_FIRST_CONFIGURATION = Configuration(256)


def certify_images(
    smoothed: SmoothedClassifier,
    plan: Plan,
    x: torch.Tensor | Examples,
    examples: Sequence[int],
    labels: Int[np.ndarray, " images"],
    *,
    confidence: float,
    label_known: bool = False,
) -> Iterator[list[Certificate]]:
    """Yield the rows of one group of images after another, which are voted on together.

    With probability at least ``confidence`` over the noise, for each row that is no abstention, the
    smoothed classifier returns the predicted class everywhere within the radius.
    """
    if len(examples):
        smoothed.check(x[:1], int(labels.max()) + 1)
    known = labels if label_known else None
    for found in certified_in_groups(
        *(smoothed, plan, x, examples, labels), confidence=confidence, known=known
    ):
        yield [certificate.as_written() for certificate in found]


@dataclass(frozen=True)
class Recipe:
    """How to make a smoothed classifier from a shared network.

    Attributes:
        network: the base classifier.
        noise, seed: as of ``SmoothedClassifier``; without noise (beta = 0) it is the network itself.
        device: where the worker computes.
        precision: float32 or bf16.
        shape: of one image.
        votes: about how many each worker counts in the whole job: for many it pays to measure first what is
            fastest on its machine.
        job: a name that all recipes share for which one measurement is enough.
    """

    network: Shared[Network]
    noise: Noise
    seed: int
    device: str
    precision: str
    shape: tuple[int, ...]
    votes: int
    job: str

    def smoothed(self, here: Here) -> SmoothedClassifier:
        """Return the smoothed classifier, made once in each process."""

        def make() -> SmoothedClassifier:
            network = here.value(self.network)
            measure = partial(
                tuned_configuration,
                network,
                self.shape,
                torch.device(self.device),
                votes=self.votes,
                precision=self.precision,
            )
            chosen = here.built(self.job, measure)
            return SmoothedClassifier(
                network, noise=self.noise, seed=self.seed, device=self.device, configuration=chosen
            )

        return here.built(self, make)

    def base(self, here: Here) -> BaseClassifier:
        """Return the network of a recipe without noise as a fixed function, made once in each process."""
        device = torch.device(self.device)
        return here.built(
            self, lambda: BaseClassifier(here.value(self.network), device, precision=self.precision)
        )


def computing_device(here: str, executor: Executor | None) -> str:
    """Return the device that tasks compute on, ``here`` in this process; a driver may have no GPU itself."""
    if executor is None or executor.in_process:
        return here
    return "cuda" if executor.gpus_per_worker else "cpu"


@dataclass(frozen=True)
class Piece:
    """Some images of one shared block: ``rows`` of it."""

    block: Shared[Examples]
    rows: Int[np.ndarray, " images"]


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

    def images(self, here: Here) -> Examples:
        """Return the images of the pieces, copied; those that are read on demand are one block, unread."""
        parts = [pick(here.value(piece.block), piece.rows) for piece in self.pieces]
        arrays = [part for part in parts if not isinstance(part, OnDemand)]
        return np.concatenate(arrays) if len(arrays) == len(parts) else parts[0]

    def task(
        self,
        name: str,
        function: Callable[..., Any],
        options: tuple[Any, ...],
        then: Callable[[Done], None],
        on_report: Report = lambda value: None,
        networks: tuple[Shared[Network], ...] = (),
    ) -> Task:
        """Return the task that calls ``function(here, self, *options)``; it needs these networks as well."""
        blocks = (piece.block for piece in self.pieces)
        needs: tuple[Shared[Any], ...] = (self.recipe.network, *networks, *blocks)
        return Task(name, function, (self, *options), then, on_report, needs, self.threads or 1)


class ImageShelf:
    """Images shared in blocks, each when it is first asked for.

    Images that are read on demand are one block: workers read the files themselves.
    """

    def __init__(self, executor: Executor, x: Examples) -> None:
        self._executor, self._x = executor, x
        self._size = len(x) if isinstance(x, OnDemand) else per_block(x)
        self._blocks: dict[int, Shared[Any]] = {}

    def _pieces(self, examples: Sequence[int]) -> tuple[Piece, ...]:
        wanted = np.asarray(examples, dtype=np.int64)
        numbers = wanted // self._size
        return tuple(
            Piece(self._block(int(number)), wanted[numbers == number] - number * self._size)
            for number in np.unique(numbers)
        )

    def voting(self, recipe: Recipe, examples: Sequence[int], y: Int[np.ndarray, " all_images"]) -> Voting:
        """Return the images with these increasing indices to be voted on; ``y`` are the labels of all."""
        labels, threads = y[list(examples)], self._executor.cpus_per_worker
        return Voting(recipe, self._pieces(examples), tuple(examples), labels, threads)

    def _block(self, number: int) -> Shared[Any]:
        if number not in self._blocks:
            part = pick(self._x, slice(number * self._size, (number + 1) * self._size))
            self._blocks[number] = self._executor.share(f"block {number} of the images", part)
        return self._blocks[number]


@dataclass(frozen=True)
class Counted:
    """What came of some images: a row or a certificate of each, votes in all, and how many were NaN."""

    rows: Any
    votes: int
    invalid: int

    @property
    def images(self) -> int:
        """The number of images."""
        return len(self.rows)


def first_size(plan: Plan) -> int:
    """Return how many images the first task gets; the time for one image is not known yet."""
    return images_together(plan, _FIRST_CONFIGURATION)


def certify(here: Here, voting: Voting, plan: Plan, confidence: float, label_known: bool = False) -> Counted:
    """Return the certificates of the images; each group of them is reported as it is found.

    With probability at least ``confidence`` over the noise, for each one that is no abstention, the
    smoothed classifier returns the predicted class everywhere within the radius.
    """
    with arithmetic_threads(voting.threads):
        smoothed = voting.recipe.smoothed(here)
        before = smoothed.profile.invalid
        found: list[Certificate] = []
        for group in certify_images(
            smoothed,
            plan,
            voting.images(here),
            voting.examples,
            voting.labels,
            confidence=confidence,
            label_known=label_known,
        ):
            here.report(group)
            found += group
        votes = sum(certificate.votes or 0 for certificate in found)
        return Counted(found, votes, smoothed.profile.invalid - before)
