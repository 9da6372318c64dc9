"""The most probable class under the noise, or abstention: sequential elimination.

For each class c the hypothesis "c is a most probable class" is tested by a walk: while the walk of c
counts, each vote for c's rival is a success, each vote for c a failure, other votes are ignored; the
rival is the most voted class other than c *before* the votes that are counted. If c is a most probable
class, each counted vote is a success with probability at most 1/2 whatever came before, so the walk
lies stochastically below a fair one, and it reaches the exact boundary of ``planner`` with p0 = 1/2 with
probability at most 1 - confidence. A class is dropped at the boundary; the last one left is returned.
The answer is wrong only if a most probable class was dropped: no correction for the number of
classes, nor the factor 2 of Hung & Fithian 2019 (which PREDICT of Cohen et al. 2019 uses).

The counts of a walk are seen at the ends of chunks, not after each counted vote. As successes never
decrease, a walk that has reached the boundary of the next scheduled number of votes early would also
reach it there: comparing with the boundary of the next scheduled number keeps the exact level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from sfumato.errors import SettingError, require_positive
from sfumato.plans.base import ABSTAIN, Decision, Plan, Run, leader_and_rival
from sfumato.statistics.binomial import unanimous_trials
from sfumato.statistics.cache import cached_boundaries
from sfumato.statistics.sequential import GROWTH, RESERVE, look_schedule


@dataclass(frozen=True)
class Predict(Plan):
    """The most probable class, or ``ABSTAIN``.

    With probability at least ``confidence`` over the noise, for each image: the class returned, if any, is a
    most probable class of the base classifier under the noise, which is what the smoothed classifier returns.
    ``n_max`` caps the votes, ``chunk`` is the number of the first votes, ``cost`` is how many votes may be
    spent for one answer more: it changes the number of votes, not the guarantee. No radius is certified.

    >>> from sfumato.noise import Gaussian
    >>> run = Predict().start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    >>> while run.demand().any():
    ...     run.update(run.demand()[:, None] * np.array([[1, 0]]))
    >>> run.decisions()[0].prediction, run.decisions()[0].votes
    (0, 32)

    Raises:
        SettingError: a cap below the first chunk or above 10^7, a cost that is not positive.
    """

    n_max: int = 10_000
    chunk: int = 32
    cost: float = 1e5
    method: ClassVar[str] = "predict"
    usage: ClassVar[str] = "predict()"
    states: ClassVar[Literal["class"]] = "class"

    def __post_init__(self) -> None:
        """Refuse settings no test can be made of."""
        look_schedule(self.n_max, self.chunk)
        require_positive("cost", self.cost)

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.chunk

    @property
    def most_votes(self) -> int:
        """The cap of the votes."""
        return self.n_max

    def prepare(self, run: Run) -> _Walks:
        """Return the walks before the first vote. Noise and labels change nothing."""
        level = 1.0 - run.confidence
        needed = unanimous_trials(0.5, level * RESERVE)
        if needed > self.n_max:
            raise SettingError(
                f"{self.name} needs at least {needed} votes "
                f"at confidence {run.confidence}, but n_max is {self.n_max}"
            )
        boundaries = cached_boundaries(0.5, level, look_schedule(self.n_max, 1), self.cost)
        looks, numbers = np.array(boundaries.looks), np.arange(self.n_max + 1)
        earlier = np.searchsorted(looks, numbers, side="right") - 1
        return _Walks(
            drop_at=np.array(boundaries.certify)[np.searchsorted(looks, numbers)],
            hopeless_at=np.where(earlier < 0, -1, np.array(boundaries.give_up)[earlier]),
            against=np.zeros((run.images, run.classes), dtype=np.int64),
            counted=np.zeros((run.images, run.classes), dtype=np.int64),
            left=np.ones((run.images, run.classes), dtype=bool),
            active=np.ones(run.images, dtype=bool),
            gave_up=np.zeros(run.images, dtype=bool),
        )

    def next(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return one chunk at first, later a tenth of the votes so far; 0 for finished images."""
        if run.rounds:
            run.state.move(run)
        larger = np.round(run.votes * (GROWTH - 1.0)).astype(np.int64)
        wanted = np.minimum(np.maximum(self.chunk, larger), self.n_max - run.votes)
        run.state.active &= wanted > 0
        return np.where(run.state.active, wanted, 0)

    def conclude(self, run: Run, image: int) -> Decision:
        """Return the one class left, or abstention."""
        left = np.flatnonzero(run.state.left[image])
        if left.size == 1:
            return run.decide(image, int(left[0]), "decided")
        return run.decide(image, ABSTAIN, "gave up" if run.state.gave_up[image] else "all votes")


@dataclass
class _Walks:
    """The walks of every image, one per class.

    Attributes:
        drop_at: for every number m of counted votes, the boundary at the next scheduled number, at which a
            class is dropped.
        hopeless_at: the one at the last scheduled number, which shows that it will hardly ever be dropped.
        against: votes for the class's rival among those counted.
        counted: votes counted.
        left: classes not dropped.
        active: images whose voting goes on.
        gave_up: images given up.
    """

    drop_at: Int[np.ndarray, " numbers"]
    hopeless_at: Int[np.ndarray, " numbers"]
    against: Int[np.ndarray, "images classes"]
    counted: Int[np.ndarray, "images classes"]
    left: Bool[np.ndarray, "images classes"]
    active: Bool[np.ndarray, " images"]
    gave_up: Bool[np.ndarray, " images"]

    def move(self, run: Run) -> None:
        """Move every walk by the votes of the chunk, with the rivals from before it."""
        rows = np.arange(run.images)
        leader, runner_up = leader_and_rival(run.counts - run.fresh)
        rival_votes = np.repeat(run.fresh[rows, leader][:, None], run.classes, axis=1)
        rival_votes[rows, leader] = run.fresh[rows, runner_up]
        self.against += rival_votes
        self.counted += rival_votes + run.fresh
        self.left &= self.against < self.drop_at[self.counted]
        # given up where the runner-up stands too well to be dropped within the votes
        _, second = leader_and_rival(run.counts)
        hopeless = self.left[rows, second] & (self.against <= self.hopeless_at[self.counted])[rows, second]
        self.gave_up |= self.active & hopeless & (self.left.sum(axis=1) > 1)
        self.active &= (self.left.sum(axis=1) > 1) & ~self.gave_up
