"""The interface of stopping plans.

A ``Plan`` is a frozen record of settings, fixed before any vote is seen. ``start`` makes a
``PlanRun``, the state for a number of images at once; whoever owns the votes then repeats

    wanted = run.demand()        # votes each image wants next; all zero: finished
    run.update(counts)           # the class counts of exactly those votes

and reads ``run.decisions()``. Votes of one image are independent and identically distributed, and
each is handed over once: a plan cannot look at the same votes twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Int

ABSTAIN = -1
"""The prediction of an image for which nothing could be concluded."""


@dataclass(frozen=True)
class Decision:
    """What a plan concluded for one image.

    Attributes:
        prediction: class index, or ``ABSTAIN``.
        radius: certified L2 radius in the unit of beta; 0 when abstaining.
        votes: noisy copies spent, selection included.
        p_lower: lower confidence bound of the predicted class's probability under the noise (nan if none).
        p_upper: upper confidence bound of any other class's probability (nan if none).
        stopped_by: what ended the voting, one word or two.
    """

    prediction: int
    radius: float
    votes: int
    p_lower: float
    p_upper: float
    stopped_by: str


class PlanRun(Protocol):
    """The state of one plan over a number of images at once."""

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return how many further votes each image wants now; 0 for a finished image."""
        ...

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Take the class counts of exactly the votes last demanded.

        A row may sum to less than was demanded: a vote that named no class (NaN) counts for none.
        """
        ...

    def decisions(self) -> list[Decision]:
        """Return one decision per image; only to be called when nothing is demanded any more."""
        ...


class Plan(Protocol):
    """Settings of a stopping rule, fixed before any vote is seen."""

    @property
    def name(self) -> str:
        """The plan's name and settings as given on the command line, e.g. ``fixed(100,100000)``."""
        ...

    def start(
        self,
        images: int,
        classes: int,
        *,
        beta: float,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> PlanRun:
        """Return the state before the first vote for ``images`` images.

        ``beta`` is the smoothing noise (standard deviation, input units), ``confidence`` the level
        of each image's guarantee; ``labels``, where given, are the true classes, which a plan made
        for evaluation may use to stop early.
        """
        ...
