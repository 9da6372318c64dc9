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

import numpy as np
from jaxtyping import Int

from sfumato.errors import SettingError, require_open_unit, require_positive
from sfumato.plans.base import (
    ABSTAIN,
    Decision,
    checked_counts,
    checked_problem,
    leader_and_rival,
    require_finished,
)
from sfumato.plans.grid import RESERVE
from sfumato.plans.names import plan_name
from sfumato.statistics.binomial import unanimous_trials
from sfumato.statistics.cache import cached_boundaries
from sfumato.statistics.sequential import GROWTH, Boundaries, look_schedule


@dataclass(frozen=True)
class Predict:
    """The most probable class, or ``ABSTAIN``.

    With probability at least ``confidence`` over the noise, for each image: the class returned, if any,
    is a most probable class of the base classifier under the noise, which is what the smoothed
    classifier returns. ``n_max`` caps the votes, ``chunk`` is the number of the first votes, ``cost`` the
    number of votes one more answer is worth (efficiency only). No radius is certified.

    >>> run = Predict().start(1, 2, beta=0.5, confidence=0.999)
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

    def __post_init__(self) -> None:
        """Refuse settings no test can be made of."""
        look_schedule(self.n_max, self.chunk)
        require_positive("cost", self.cost)

    @property
    def name(self) -> str:
        """The plan as written on the command line."""
        return plan_name("predict", self, [])

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.chunk

    def start(
        self,
        images: int,
        classes: int,
        *,
        beta: float,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> PredictRun:
        """Return the state before the first vote; see ``Plan.start``. Noise and labels change nothing."""
        require_open_unit("confidence", confidence)
        checked_problem(images, classes, labels)
        level = 1.0 - confidence
        needed = unanimous_trials(0.5, level * RESERVE)
        if needed > self.n_max:
            raise SettingError(
                f"{self.name} needs at least {needed} votes "
                f"at confidence {confidence}, but n_max is {self.n_max}"
            )
        boundaries = cached_boundaries(0.5, level, look_schedule(self.n_max, 1), self.cost)
        return PredictRun(self, boundaries, images, classes, confidence)


class PredictRun:
    """The walks of ``Predict`` for a number of images: one per class."""

    def __init__(
        self, plan: Predict, boundaries: Boundaries, images: int, classes: int, confidence: float
    ) -> None:
        self._plan = plan
        self._confidence = confidence
        looks = np.array(boundaries.looks)
        # For every number m of counted votes: the boundary at the next scheduled number drops a class,
        # the one at the last scheduled number shows that it will hardly ever be dropped.
        numbers = np.arange(plan.n_max + 1)
        self._drop_at = np.array(boundaries.certify)[np.searchsorted(looks, numbers)]
        earlier = np.searchsorted(looks, numbers, side="right") - 1
        self._hopeless_at = np.where(earlier < 0, -1, np.array(boundaries.give_up)[earlier])
        self._counts = np.zeros((images, classes), dtype=np.int64)
        self._against = np.zeros((images, classes), dtype=np.int64)
        self._counted = np.zeros((images, classes), dtype=np.int64)
        self._left = np.ones((images, classes), dtype=bool)
        self._votes = np.zeros(images, dtype=np.int64)
        self._wanted = np.full(images, plan.chunk, dtype=np.int64)
        self._gave_up = np.zeros(images, dtype=bool)

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return one chunk at first, later a tenth of the votes so far; 0 for finished images."""
        return self._wanted.copy()

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Move every walk by the votes of the chunk, with the rivals from before it."""
        counts = checked_counts(counts, self._wanted, self._counts.shape[1])
        rows = np.arange(counts.shape[0])
        leader, runner_up = leader_and_rival(self._counts)
        rival_votes = np.repeat(counts[rows, leader][:, None], counts.shape[1], axis=1)
        rival_votes[rows, leader] = counts[rows, runner_up]
        self._against += rival_votes
        self._counted += rival_votes + counts
        self._counts += counts
        self._votes += self._wanted
        active = self._wanted > 0
        self._left &= self._against < self._drop_at[self._counted]
        self._gave_up |= active & self._hopeless() & (self._left.sum(axis=1) > 1)
        finished = (self._left.sum(axis=1) <= 1) | self._gave_up
        larger = np.round(self._votes * (GROWTH - 1.0)).astype(np.int64)
        wanted = np.minimum(np.maximum(self._plan.chunk, larger), self._plan.n_max - self._votes)
        self._wanted = np.where(active & ~finished, wanted, 0)

    def _hopeless(self) -> np.ndarray:
        """Return which images have a runner-up that stands too well to be dropped within the votes."""
        leader, runner_up = leader_and_rival(self._counts)
        rows = np.arange(leader.size)
        stands = self._against <= self._hopeless_at[self._counted]
        return np.asarray(self._left[rows, runner_up] & stands[rows, runner_up])

    def decisions(self) -> list[Decision]:
        """Return the one class left, or abstention, for each image."""
        require_finished(self._wanted)
        return [self._decision(i) for i in range(self._votes.size)]

    def _decision(self, image: int) -> Decision:
        left = np.flatnonzero(self._left[image])
        unanswered = "gave up" if self._gave_up[image] else "all votes"
        return Decision(
            prediction=int(left[0]) if left.size == 1 else ABSTAIN,
            radius=0.0,
            votes=int(self._votes[image]),
            p_lower=float("nan"),
            p_upper=float("nan"),
            stopped_by="decided" if left.size == 1 else unanswered,
            confidence=self._confidence,
            plan=self._plan.name,
        )
