"""Cohen et al.'s procedure: n0 votes select the class, n fresh votes bound its probability.

Source: Cohen, Rosenfeld & Kolter 2019, CERTIFY. The selection votes are never reused for the bound,
which is what makes the plain Clopper-Pearson level valid for any number of classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from sfumato.errors import SettingError, require_count, require_open_unit, require_positive
from sfumato.plans.base import (
    ABSTAIN,
    Decision,
    checked_counts,
    checked_problem,
    require_finished,
)
from sfumato.statistics.binomial import (
    gaussian_radius,
    one_minus_rounded_down,
    unanimous_trials,
    upper_failure_probability,
)


def require_reachable(n: int, confidence: float) -> None:
    """Refuse a number of votes with which not even a unanimous vote beats p_A = 1/2.

    Raises:
        SettingError: naming the number of votes that would do.
    """
    needed = unanimous_trials(0.5, 1.0 - confidence)
    while upper_failure_probability(needed, needed, confidence) >= 0.5:
        needed += 1
    if n < needed:
        raise SettingError(f"n must be at least {needed} votes for confidence {confidence}, got {n}")


@dataclass(frozen=True)
class Fixed:
    """n0 selection votes, then n estimation votes.

    With probability at least ``confidence`` over the noise, the smoothed classifier returns the
    predicted class everywhere within the radius, for each image that is not abstained on.

    >>> run = Fixed(n0=100, n=1000).start(1, 2, beta=0.5, confidence=0.999)
    >>> run.demand()
    array([100])
    >>> run.update(np.array([[95, 5]])); run.demand()
    array([1000])
    >>> run.update(np.array([[990, 10]])); round(run.decisions()[0].radius, 4)
    0.989
    """

    n0: int = 100
    n: int = 100_000

    def __post_init__(self) -> None:
        """Refuse counts below 1."""
        require_count("n0", self.n0)
        require_count("n", self.n)

    @property
    def name(self) -> str:
        """The plan as written on the command line."""
        return f"fixed({self.n0},{self.n})"

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.n0 + self.n

    def start(
        self,
        images: int,
        classes: int,
        *,
        beta: float,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> FixedRun:
        """Return the state before the first vote; see ``Plan.start``. Labels are not used."""
        require_positive("beta", beta)
        require_open_unit("confidence", confidence)
        checked_problem(images, classes, labels)
        require_reachable(self.n, confidence)
        return FixedRun(self, images, classes, beta, confidence)


class FixedRun:
    """The two stages of ``Fixed`` for a number of images."""

    def __init__(self, plan: Fixed, images: int, classes: int, beta: float, confidence: float) -> None:
        self._plan = plan
        self._images = images
        self._classes = classes
        self._beta = beta
        self._confidence = confidence
        self._selected: Int[np.ndarray, " images"] | None = None
        self._successes: Int[np.ndarray, " images"] | None = None

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return n0 for every image at first, then n, then 0."""
        if self._selected is None:
            wanted = self._plan.n0
        elif self._successes is None:
            wanted = self._plan.n
        else:
            wanted = 0
        return np.full(self._images, wanted, dtype=np.int64)

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Select the class from the first counts; take its count from the second."""
        counts = checked_counts(counts, self.demand(), self._classes)
        if self._selected is None:
            self._selected = np.argmax(counts, axis=1)
        else:
            self._successes = counts[np.arange(self._images), self._selected]

    def decisions(self) -> list[Decision]:
        """Return Cohen et al.'s certificate for each image."""
        require_finished(self.demand())
        assert self._selected is not None
        assert self._successes is not None
        return [self._decision(int(c), int(k)) for c, k in zip(self._selected, self._successes, strict=True)]

    def _decision(self, selected: int, successes: int) -> Decision:
        q_upper = upper_failure_probability(successes, self._plan.n, self._confidence)
        certified = q_upper < 0.5
        return Decision(
            prediction=selected if certified else ABSTAIN,
            radius=gaussian_radius(q_upper, self._beta) if certified else 0.0,
            votes=self._plan.n0 + self._plan.n,
            p_lower=one_minus_rounded_down(q_upper),
            p_upper=q_upper,
            stopped_by="all votes",
            confidence=self._confidence,
            plan=self._plan.name,
        )
