"""The batches of one worker: noisy copies are gathered, classified, and counted for their images."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int

from sfumato.smoothing.base_classifier import INVALID, BaseClassifier

# Near ties are decided together, this many at a time: one by one, each would cost a forward pass.
_NEAR_TIES = 64
# A copy that is decided later, and how many columns of a tally count no class: invalid copies, and these.
_LATE = INVALID - 1
_OTHER_COLUMNS = 2


@dataclass
class Profile:
    """Where the time of counting went, in seconds of wall-clock time: the mean over the workers that counted.

    On a GPU these are the times of the host, which sends work and hardly waits for it.

    Attributes:
        noise: drawing noise and adding it to the images.
        forward: the network, near ties included.
        reduction: from the classes of noisy copies to counts.
        idle: waiting for other workers to end.
        votes: votes counted.
        invalid: votes for which the model returned NaN.
        near_ties: votes decided by the second computation.
    """

    noise: float = 0.0
    forward: float = 0.0
    reduction: float = 0.0
    idle: float = 0.0
    votes: int = 0
    invalid: int = 0
    near_ties: int = 0

    @property
    def busy(self) -> float:
        """Seconds of work."""
        return self.noise + self.forward + self.reduction


class _Passed(NamedTuple):
    """A batch that was sent through the network: its copies, their images, and which are near ties."""

    copies: torch.Tensor
    slots: torch.Tensor
    close: Callable[[], Bool[np.ndarray, " copies"]]


class Batches:
    """Gathers one counter's noisy copies and passes them through its network, ``size`` at a time.

    Attributes:
        profile: where the time went.
    """

    def __init__(
        self,
        classifier: BaseClassifier,
        classify: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
        images: torch.Tensor,
        num_classes: int,
        size: int,
    ) -> None:
        self._classifier, self._classify = classifier, classify
        self._tally = torch.zeros(
            len(images), num_classes + _OTHER_COLUMNS, dtype=torch.int64, device=images.device
        )
        # while a device computes one batch, the next one is sent to another place
        in_flight = 1 if images.device.type == "cpu" else 2
        self._places = deque(
            torch.empty((size, *images.shape[1:]), device=images.device) for _ in range(in_flight)
        )
        self._filled = 0
        self._slots: list[torch.Tensor] = []
        self._passing: deque[_Passed] = deque()
        self._late = _Late()
        self.profile = Profile()

    @property
    def room(self) -> int:
        """How many copies the batch that is being filled still takes."""
        return len(self._places[0]) - self._filled

    def next_copies(self, count: int) -> torch.Tensor:
        """Return where the next ``count`` copies of the batch are to be written."""
        return self._places[0][self._filled : self._filled + count]

    def add(self, slots: torch.Tensor) -> None:
        """Take the copies just written, which are of these images; a full batch is classified."""
        self._slots.append(slots)
        self._filled += len(slots)
        if not self.room:
            self._pass()

    def finish(self) -> tuple[torch.Tensor, Profile]:
        """Classify what is left; return the counts, with a last column for invalid votes, and the profile."""
        if self._filled:
            self._pass()
        while self._passing:
            self._late.take(self._passing.popleft())
        self._decide_late()
        return self._tally[:, :-1], self.profile

    def _pass(self) -> None:
        began = time.perf_counter()
        copies = self._places[0][: self._filled]
        slots = self._slots[0] if len(self._slots) == 1 else torch.cat(self._slots)
        winners, close = self._classify(copies)
        self._passing.append(_Passed(copies, slots, _fetched(close)))
        passed = time.perf_counter()
        _add(self._tally, slots, winners.masked_fill(close, _LATE))
        if len(self._passing) == len(self._places):
            self._late.take(self._passing.popleft())
        self.profile.forward += passed - began
        self.profile.reduction += time.perf_counter() - passed
        self._places.rotate(-1)
        self._filled, self._slots = 0, []
        if len(self._late) >= _NEAR_TIES:
            self._decide_late()

    def _decide_late(self) -> None:
        """Add the near ties set aside to the counts, and forget them."""
        if len(self._late):
            began = time.perf_counter()
            self.profile.near_ties += len(self._late)
            copies, slots = self._late.all()
            _add(self._tally, slots, self._classifier.near_tie_classes(copies))
            self.profile.forward += time.perf_counter() - began


class _Late:
    """Near ties set aside, to be decided together."""

    def __init__(self) -> None:
        self._copies: list[torch.Tensor] = []
        self._slots: list[torch.Tensor] = []

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    def take(self, passed: _Passed) -> None:
        """Keep the near ties of a batch."""
        found = np.flatnonzero(passed.close())
        if found.size:
            rows = sent(found, passed.copies.device)
            self._copies.append(passed.copies.index_select(0, rows))
            self._slots.append(passed.slots.index_select(0, rows))

    def all(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return copies and images of all that were kept, and forget them."""
        found = torch.cat(self._copies), torch.cat(self._slots)
        self._copies, self._slots = [], []
        return found


def sent(numbers: Int[np.ndarray, " numbers"], device: torch.device) -> torch.Tensor:
    """Return whole numbers on the device, without waiting for it."""
    return torch.from_numpy(numbers).to(device, non_blocking=True)


def _fetched(close: torch.Tensor) -> Callable[[], Bool[np.ndarray, " copies"]]:
    """Return what says which copies are near ties: it waits for this batch, not for those sent after it."""
    if close.device.type == "cpu":
        return close.numpy
    here = torch.empty(close.shape, dtype=torch.bool, pin_memory=True)
    here.copy_(close, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()

    def wait_for_it() -> Bool[np.ndarray, " copies"]:
        done.synchronize()
        return here.numpy()

    return wait_for_it


def _add(tally: torch.Tensor, slots: torch.Tensor, winners: torch.Tensor) -> None:
    """Add one vote per row; those of no class go to the columns behind the classes."""
    width = tally.shape[1]
    columns = torch.where(winners < 0, width - _OTHER_COLUMNS - 1 - winners, winners)
    tally.view(-1).scatter_add_(0, slots * width + columns, torch.ones_like(slots))
