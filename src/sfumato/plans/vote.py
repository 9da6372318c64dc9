"""Exactly the majority of n votes, stopped as soon as the rest cannot change it.

No guarantee is made about the smoothed classifier: this is the empirical majority, for risk estimates that
need exactly the prediction of n votes. Curtailment (Jennison & Turnbull 1999, sec. 10.2) demands exactly the
votes after which a decision is first possible, so none is spent past the deciding one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Int

from sfumato.errors import require_count
from sfumato.plans.base import ABSTAIN, Decision, Plan, Run, leader_and_rival


@dataclass(frozen=True)
class Vote(Plan):
    """The majority class of n votes, without a guarantee; ties to the smallest class index.

    The prediction is the same as that of all n votes, always. ``chunk`` is the least number of votes
    asked for at a time: 1 spends the fewest, more votes at a time need fewer rounds. If no vote names
    a class the prediction is ``ABSTAIN``.

    >>> from sfumato.noise import Gaussian
    >>> run = Vote(100).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    >>> run.demand()
    array([50])
    >>> run.update(np.array([[50, 0]])); run.decisions()[0].prediction, run.decisions()[0].votes
    (0, 50)

    Raises:
        SettingError: counts below 1.
    """

    n: int
    chunk: int = 1
    method: ClassVar[str] = "vote"
    question: ClassVar[tuple[str, ...]] = ("n",)
    usage: ClassVar[str] = "vote(n)"
    states: ClassVar[Literal["nothing"]] = "nothing"

    def __post_init__(self) -> None:
        """Refuse counts below 1."""
        require_count("n", self.n)
        require_count("chunk", self.chunk)

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return min(self.n, max(self.n // 2, self.chunk))

    def next(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return the fewest votes after which each image can be decided, 0 once it is."""
        leader, rival = leader_and_rival(run.counts)
        rows = np.arange(run.images)
        remaining = self.n - run.votes
        lead = run.counts[rows, leader] - run.counts[rows, rival]
        # The leader is beyond reach when lead > remaining, or lead = remaining and the tie is its own.
        # Only the highest rival, of equals the one with the smallest index, has to be looked at.
        missing = remaining - lead + (leader > rival)
        # Each vote for the leader shrinks what is missing by two.
        wanted = np.where(missing > 0, np.maximum(-(-missing // 2), self.chunk), 0)
        return np.asarray(np.minimum(wanted, remaining))

    def predictions(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return the majority of each image's n votes."""
        return np.where(run.counts.any(axis=1), run.counts.argmax(axis=1), ABSTAIN)

    def conclude(self, run: Run, image: int) -> Decision:
        """Return the majority of the n votes."""
        leader = int(np.argmax(run.counts[image]))
        return run.decide(
            image,
            leader if run.counts[image, leader] else ABSTAIN,
            "all votes" if run.votes[image] == self.n else "decided",
        )
