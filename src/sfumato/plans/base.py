"""The interface of stopping plans.

A ``Plan`` is a frozen record of settings, fixed before any vote is seen. ``start`` makes a
``PlanRun``, the state for a number of images at once; whoever owns the votes then repeats

    wanted = run.demand()        # votes each image wants next; all zero: finished
    run.update(counts)           # the class counts of exactly those votes

and reads ``run.decisions()``. Votes of one image are independent and identically distributed, and
each is handed over once: a plan cannot look at the same votes twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Int

from sfumato.errors import SettingError, require_count

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
        confidence: probability with which this decision may be relied on; its level is the rest to 1
            (nan for a plan that guarantees nothing).
        plan: name of the plan, settings included.
    """

    prediction: int
    radius: float
    votes: int
    p_lower: float
    p_upper: float
    stopped_by: str
    confidence: float
    plan: str


class PlanRun(Protocol):
    """The state of one plan over a number of images at once."""

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return how many further votes each image wants now; 0 for a finished image."""
        ...

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Take the class counts of exactly the votes last demanded.

        A row may sum to less than was demanded: a vote that named no class (NaN) counts for none.

        Raises:
            SettingError: counts of another shape or type, negative, or more than were demanded; and
                any counts at all when nothing is demanded any more.
        """
        ...

    def decisions(self) -> list[Decision]:
        """Return one decision per image; only to be called when nothing is demanded any more.

        Raises:
            SettingError: votes are still demanded.
        """
        ...


class Plan(Protocol):
    """Settings of a stopping rule, fixed before any vote is seen."""

    @property
    def name(self) -> str:
        """The plan's name and settings as given on the command line, e.g. ``fixed(100,100000)``."""
        ...

    @property
    def least_votes(self) -> int:
        """The votes that every image gets, however easy."""
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

        Raises:
            SettingError: values out of range, labels that are no classes, or a confidence that the
                plan's votes cannot reach.
        """
        ...


def checked_counts(
    counts: Int[np.ndarray, "images classes"], demanded: Int[np.ndarray, " images"], classes: int
) -> Int[np.ndarray, "images classes"]:
    """Return the counts as int64 if they can be the votes demanded.

    >>> checked_counts(np.array([[3, 2]]), np.array([5]), 2)
    array([[3, 2]])

    Raises:
        SettingError: as ``PlanRun.update``.
    """
    counts = np.asarray(counts)
    if counts.shape != (demanded.size, classes):
        raise SettingError(f"counts must have shape ({demanded.size}, {classes}), got {counts.shape}")
    if not np.issubdtype(counts.dtype, np.integer):
        raise SettingError(f"counts must be whole numbers, got an array of {counts.dtype}")
    if not demanded.any():
        raise SettingError("votes were handed over although none are demanded any more")
    if counts.size and counts.min() < 0:
        raise SettingError(f"counts must be at least 0, got {counts.min()}")
    counts = counts.astype(np.int64, copy=False)
    excess = counts.sum(axis=1) - demanded
    if excess.size and excess.max() > 0:
        image = int(np.argmax(excess))
        given = int(counts[image].sum())
        raise SettingError(f"image {image} has {given} votes, more than the {demanded[image]} demanded")
    return counts


def require_finished(demanded: Int[np.ndarray, " images"]) -> None:
    """Refuse to conclude while votes are demanded.

    Raises:
        SettingError: votes are still demanded.
    """
    waiting = int(np.count_nonzero(demanded))
    if waiting:
        raise SettingError(f"decisions are not final: {waiting} images still demand votes")


def checked_problem(images: int, classes: int, labels: Int[np.ndarray, " images"] | None) -> None:
    """Check what every plan is started with.

    Raises:
        SettingError: no classes, a negative number of images, or labels that are no classes.
    """
    require_count("images", images, minimum=0)
    require_count("classes", classes, minimum=2)
    if labels is None:
        return
    labels = np.asarray(labels)
    if labels.shape != (images,) or not np.issubdtype(labels.dtype, np.integer):
        raise SettingError(f"labels must be {images} whole numbers, got {labels.shape} of {labels.dtype}")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise SettingError(f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}")


def leader_and_rival(
    counts: Int[np.ndarray, "images classes"],
) -> tuple[Int[np.ndarray, " images"], Int[np.ndarray, " images"]]:
    """Return each row's most voted class and the most voted of the others; ties to the smaller index.

    >>> leader_and_rival(np.array([[3, 5, 5]]))
    (array([1]), array([2]))
    """
    leader = np.argmax(counts, axis=1)
    rest = counts.copy()
    rest[np.arange(counts.shape[0]), leader] = -1
    return leader, np.argmax(rest, axis=1)


def votes_saved(votes: Sequence[int], against: int = 100_100) -> float:
    """Return how many times fewer votes were spent than ``against`` for each image.

    ``votes`` are each image's; ``against`` defaults to the n0 + n = 100,100 of Cohen et al. 2019.

    >>> votes_saved([1001, 3003])
    50.0

    Raises:
        SettingError: no votes.
    """
    if not sum(votes):
        raise SettingError("votes_saved needs at least one vote, got none")
    return against * len(votes) / sum(votes)
