"""Exactly the majority of n votes, stopped as soon as the rest cannot change it.

No guarantee is made about the smoothed classifier: this is the empirical majority, for risk estimates
that need the very prediction of n votes. Curtailment (Jennison & Turnbull 1999, sec. 10.2) demands
exactly the votes after which a decision is first possible, so none is spent past the deciding one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from sfumato.errors import require_count
from sfumato.plans.base import (
    ABSTAIN,
    Decision,
    checked_counts,
    checked_problem,
    leader_and_rival,
    require_finished,
)
from sfumato.plans.names import plan_name


@dataclass(frozen=True)
class Vote:
    """The majority class of n votes, ties to the smallest class index.

    The prediction is the same as that of all n votes, always. ``chunk`` is the least number of votes
    asked for at a time: 1 spends the fewest, more votes at a time need fewer rounds. If no vote names
    a class the prediction is ``ABSTAIN``.

    >>> run = Vote(100).start(1, 2, beta=0.5, confidence=0.999)
    >>> run.demand()
    array([50])
    >>> run.update(np.array([[50, 0]])); run.decisions()[0].prediction, run.decisions()[0].votes
    (0, 50)

    Raises:
        SettingError: counts below 1.
    """

    n: int
    chunk: int = 1

    def __post_init__(self) -> None:
        """Refuse counts below 1."""
        require_count("n", self.n)
        require_count("chunk", self.chunk)

    @property
    def name(self) -> str:
        """The plan as written on the command line."""
        return plan_name("vote", self, [self.n])

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.n // 2

    def start(
        self,
        images: int,
        classes: int,
        *,
        beta: float,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> VoteRun:
        """Return the state before the first vote; noise, confidence and labels change nothing here."""
        checked_problem(images, classes, labels)
        return VoteRun(self, images, classes)


class VoteRun:
    """The counts of ``Vote`` for a number of images."""

    def __init__(self, plan: Vote, images: int, classes: int) -> None:
        self._plan = plan
        self._counts = np.zeros((images, classes), dtype=np.int64)
        self._votes = np.zeros(images, dtype=np.int64)

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return the fewest votes after which each image can be decided, 0 once it is."""
        leader, rival = leader_and_rival(self._counts)
        rows = np.arange(leader.size)
        remaining = self._plan.n - self._votes
        lead = self._counts[rows, leader] - self._counts[rows, rival]
        # The leader is beyond reach when lead > remaining, or lead = remaining and the tie is its own.
        # Only the highest rival, of equals the one with the smallest index, has to be looked at.
        missing = remaining - lead + (leader > rival)
        # Each vote for the leader shrinks what is missing by two.
        wanted = np.where(missing > 0, np.maximum(-(-missing // 2), self._plan.chunk), 0)
        return np.asarray(np.minimum(wanted, remaining))

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Add the votes."""
        demanded = self.demand()
        self._counts += checked_counts(counts, demanded, self._counts.shape[1])
        self._votes += demanded

    def decisions(self) -> list[Decision]:
        """Return the majority of the n votes for each image."""
        require_finished(self.demand())
        leaders = np.argmax(self._counts, axis=1)
        return [self._decision(i, int(leader)) for i, leader in enumerate(leaders)]

    def _decision(self, image: int, leader: int) -> Decision:
        votes = int(self._votes[image])
        return Decision(
            prediction=leader if self._counts[image, leader] else ABSTAIN,
            radius=0.0,
            votes=votes,
            p_lower=float("nan"),
            p_upper=float("nan"),
            stopped_by="all votes" if votes == self._plan.n else "decided",
            confidence=float("nan"),
            plan=self._plan.name,
        )
