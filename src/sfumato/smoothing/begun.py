"""Runs of plans that are under way: what they want is counted together and handed over."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from sfumato.plans import Run
from sfumato.smoothing.voting import VoteCounter, Wanted, count_together

Group = tuple[torch.Tensor | np.ndarray, Sequence[int] | None, Int[np.ndarray, " images"] | None]
"""Images, their numbers and their known labels, as of ``Smoothed.run``."""


@dataclass
class Begun:
    """A group of images that is voted on.

    Attributes:
        counter: what counts the votes.
        images, keys: on the device, and the keys of their noise.
        run: of the plan.
        seconds: that its votes took.
    """

    counter: VoteCounter
    images: torch.Tensor
    keys: Int[np.ndarray, " images"]
    run: Run
    seconds: float = 0.0

    @property
    def wanting(self) -> int:
        """How many images want votes."""
        return int(np.count_nonzero(self.run.demand()))


def count_groups(begun: Sequence[Begun]) -> None:
    """Count the votes that the runs of one counter on several groups want now, and hand them over."""
    wanted = [one.run.demand() for one in begun]
    started = time.perf_counter()
    counts = begun[0].counter.count(
        begun[0].images if len(begun) == 1 else torch.cat([one.images for one in begun]),
        np.concatenate([one.keys for one in begun]),
        np.concatenate([one.run.votes for one in begun]),
        np.concatenate(wanted),
    )
    per_vote = (time.perf_counter() - started) / max(1, sum(int(votes.sum()) for votes in wanted))
    ends = np.cumsum([one.run.images for one in begun])[:-1]
    for one, votes, of_one in zip(begun, wanted, np.split(counts, ends), strict=True):
        one.run.update(of_one)
        # by its share of the votes
        one.seconds += per_vote * int(votes.sum())


def finish_together(begun: Sequence[Begun]) -> None:
    """Count all that the runs of several counters on the same images want, until all of them are finished."""
    images, keys = begun[0].images, begun[0].keys
    while wanting := [one for one in begun if one.wanting]:
        wanted = [Wanted(one.counter, one.run.votes, one.run.demand()) for one in wanting]
        for one, counts in zip(wanting, count_together(images, keys, wanted), strict=True):
            one.run.update(counts)
