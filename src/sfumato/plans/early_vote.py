"""The majority of n votes with a stated error: stopped as soon as it is almost certain.

Given how many of the n votes each class will have got, their order is uniformly random (the votes are
exchangeable), whatever the classifier. So the probability that a class which is not the final
majority is far ahead at an early look is hypergeometric, and the error is bounded exactly, with nothing
assumed about the classifier. This is curtailment (``Vote``) made stochastic; the looks' boundaries are
those of a group-sequential test (Jennison & Turnbull 1999, ch. 10) for sampling without replacement.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from sfumato.errors import SettingError, require_count, require_open_unit
from sfumato.plans.base import Decision, Plan, Run, leader_and_rival
from sfumato.plans.vote import Vote

MOST_VOTES = 250
"""The largest n: the exact boundaries of more votes take long to compute."""

_FIRST_LOOK = 16


@dataclass(frozen=True)
class EarlyVote(Plan):
    """The majority class of n votes, ties to the smallest class index, with a small stated error.

    With probability at least 1 - ``error`` over the noise, for each image, the prediction is that of
    all n votes, whatever these are: the statement holds given the counts of all n votes. Looks are
    taken after 16, 32, 64, ... votes; an image also stops where the rest cannot change its majority.

    >>> from sfumato.noise import Gaussian
    >>> run = EarlyVote(100, 0.001).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    >>> run.demand()
    array([16])
    >>> run.update(np.array([[16, 0]])); run.decisions()[0].prediction, run.decisions()[0].votes
    (0, 16)

    Raises:
        SettingError: n below 1 or above 250, an error not strictly between 0 and 1.
    """

    n: int
    error: float = 1e-3
    method: ClassVar[str] = "early_vote"
    question: ClassVar[tuple[str, ...]] = ("n",)
    usage: ClassVar[str] = "early_vote(n)"
    states: ClassVar[Literal["nothing"]] = "nothing"

    def __post_init__(self) -> None:
        """Refuse settings no boundaries can be made of."""
        require_count("n", self.n)
        require_open_unit("error", self.error)
        if self.n > MOST_VOTES:
            raise SettingError(f"n must be at most {MOST_VOTES}, got {self.n}")

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return min(_FIRST_LOOK, max(1, self.n // 2))

    def prepare(self, run: Run) -> Any:
        """Return the looks and the votes needed at each; noise, confidence and labels change nothing."""
        return boundaries(self.n, self.error)

    def next(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return the votes up to the next look, or fewer where they may decide; 0 once decided."""
        looks, needed = run.state
        wanted = Vote(self.n).next(run)
        leader, _ = leader_and_rival(run.counts)
        ahead = run.counts[np.arange(run.images), leader]
        at = np.searchsorted(looks, run.votes)
        looked = np.append(looks, 0)[at] == run.votes
        stopped = looked & (ahead >= np.append(needed, 0)[at]) & (run.votes > 0)
        after = np.searchsorted(looks, run.votes, side="right")
        to_look = np.append(looks, self.n)[after] - run.votes
        return np.asarray(np.where(stopped, 0, np.minimum(wanted, to_look)))

    def predictions(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return the leader of each image."""
        return Vote(self.n).predictions(run)

    def conclude(self, run: Run, image: int) -> Decision:
        """Return the leader."""
        found = Vote(self.n).conclude(run, image)
        return replace(found, stopped_by="far ahead") if found.votes in run.state[0] else found


@functools.lru_cache(maxsize=32)
def boundaries(n: int, error: float) -> tuple[Int[np.ndarray, " looks"], Int[np.ndarray, " looks"]]:
    """Return the looks (numbers of votes) and the votes that a class needs at each to be declared.

    Every look spends the same share of the error on the worst case, a tie of two classes; the shares
    are made smaller in the rare case that ``error_bound`` exceeds the error.

    >>> looks, needed = boundaries(100, 0.001)
    >>> looks.tolist()
    [16, 32, 64]
    """
    count = 0
    while _FIRST_LOOK * 2**count < n:
        count += 1
    looks = np.array([_FIRST_LOOK * 2**i for i in range(count)], dtype=np.int64)
    target = error
    while True:
        needed = _boundaries(n, looks, target)
        if error_bound(n, looks, needed) <= error:
            return looks, needed
        target *= 0.9


def _boundaries(n: int, looks: Int[np.ndarray, " looks"], error: float) -> Int[np.ndarray, " looks"]:
    """Return boundaries that a class with half of the n votes crosses with probability at most ``error``."""
    needed: list[int] = []
    for index in range(len(looks)):
        allowed = error * (index + 1) / len(looks)
        # a boundary above half of the votes, so that two classes never reach it at once
        low, high = int(looks[index]) // 2 + 1, int(looks[index]) + 1
        while low < high:
            middle = (low + high) // 2
            found = crossing_probability(n, looks[: index + 1], np.array([*needed, middle]), n // 2)
            low, high = (low, middle) if found <= allowed else (middle + 1, high)
        needed.append(low)
    return np.array(needed, dtype=np.int64)


def crossing_probability(
    n: int, looks: Int[np.ndarray, " looks"], needed: Int[np.ndarray, " looks"], total: int
) -> float:
    """Return the probability that a class with ``total`` of n votes reaches its boundary at any look."""
    before, crossed = 0, 0.0
    weights: Float[np.ndarray, " counts"] = np.ones(1)
    for look, boundary in zip(looks, needed, strict=True):
        step = int(look) - before
        start = np.arange(weights.size)[:, None]
        gained = np.arange(step + 1)[None, :]
        left = np.maximum(total - start, 0)
        pmf = stats.hypergeom.pmf(gained, n - before, left, step)
        # an impossible start has no weight, but its parameters would give nan
        moved = np.where(weights[:, None] > 0, weights[:, None] * np.nan_to_num(pmf), 0.0)
        weights = np.bincount((start + gained).ravel(), moved.ravel(), minlength=int(look) + 1)
        crossed += float(weights[boundary:].sum())
        weights[boundary:] = 0.0
        before = int(look)
    return crossed


def error_bound(n: int, looks: Int[np.ndarray, " looks"], needed: Int[np.ndarray, " looks"]) -> float:
    """Return an upper bound of the probability that a class other than the majority is declared.

    If the majority has k of the n votes, the others have n - k together and at most k each. With
    h(j) the crossing probability of a class with j votes, their sum of h is at most (n - k) times the
    largest h(j) / j over 1 <= j <= min(k, n - k); the bound is the largest of these over k.
    """
    if not len(looks):
        return 0.0
    totals = np.arange(1, n // 2 + 1)
    rates = np.array([crossing_probability(n, looks, needed, int(total)) for total in totals]) / totals
    largest = np.maximum.accumulate(rates)
    most = np.arange(1, n)  # the majority's votes; with all n there is no other class
    return float(((n - most) * largest[np.minimum(most, n - most) - 1]).max())
