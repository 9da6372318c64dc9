"""Counting votes: class counts of the base classifier over noisy copies of images.

The noise of an example is one endless sequence of rows, keyed by (seed, example), a row for a vote. What is
counted for an image is therefore a function of its key and of which votes are asked for, and of nothing else:
batches are filled across chunks and images in whatever way suits the hardware, by as many workers as
there are. Each worker holds one batch of noisy copies, so memory does not grow with the number of
votes; only counts leave it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int

from sfumato.errors import SettingError, require_count
from sfumato.noise import Noise, Span, Stream, Use
from sfumato.noise.keyed import CHUNK
from sfumato.smoothing.base_classifier import INVALID, BaseClassifier
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.full_precision import full_precision

# Near ties are decided together, this many at a time: one by one, each would cost a forward pass.
_NEAR_TIES = 64
# On a CPU images are added to their noise one by one if each has this many copies in the batch; fewer copies
# of more images are gathered as far as they fit into the processor's cache (4 copies of each: 5 % less time).
_ROWS_OF_A_PIECE = 8
_GATHERED = 2**20
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


_Piece = tuple[int, int, int]  # image, first vote, number of votes
_Tally = tuple[torch.Tensor, Profile]  # what one worker counted, and where its time went


class VoteCounter:
    """Counts votes under one noise, in batches of up to ``configuration.batch_size`` noisy copies.

    Attributes:
        num_classes: how many the classifier returns.
        profile: where the time of all votes so far went.
    """

    def __init__(
        self,
        classifier: BaseClassifier,
        noise: Noise,
        num_classes: int,
        configuration: Configuration,
        *,
        seed: int,
        use: Use = Use.VOTES,
    ) -> None:
        self._classifier = classifier
        self._noise = noise
        self.num_classes = num_classes
        self._seed = require_count("seed", seed, minimum=0)
        self._use = use
        self._batch_size = configuration.batch_size
        self._workers = configuration.workers
        self._pool: ThreadPoolExecutor | None = None
        self.profile = Profile()

    def count(
        self,
        images: torch.Tensor,
        examples: Int[np.ndarray, " images"],
        first: Int[np.ndarray, " images"],
        votes: Int[np.ndarray, " images"],
    ) -> Int[np.ndarray, "images classes"]:
        """Return the class counts of votes ``first[i] .. first[i] + votes[i] - 1`` of each image.

        ``images`` is (images, *shape) on the classifier's device; ``examples`` are the keys of their
        noise. Votes for which the model returns NaN are counted for no class.

        Raises:
            SettingError: a negative number of votes.
            SfumatoError: the forward pass failed.
        """
        if int(votes.min(initial=0)) < 0 or int(first.min(initial=0)) < 0:
            raise SettingError("first and votes must be at least 0 for every image")
        total = int(votes.sum())
        most = self._workers if self._workers > 1 and self._classifier.runs_in_threads() else 1
        # few votes are shared out as well
        size = min(self._batch_size, max(CHUNK, -(-total // most)))
        batches = _Shared(_batches(first, votes, size))
        workers = min(most, -(-total // size)) if total else 1
        work = partial(self._work, images, examples, batches, size)
        started = time.perf_counter()
        with full_precision(images.device):
            tallies = [work()] if workers == 1 else self._in_threads(workers, work, batches)
        wall = time.perf_counter() - started
        counts = torch.zeros(len(images), self.num_classes + 1, dtype=torch.int64)
        for tally, profile in tallies:
            counts += tally.cpu()
            self._add_times(profile, wall, workers)
        self.profile.votes += total
        self.profile.invalid += int(counts[:, -1].sum())
        return counts[:, :-1].numpy()

    def _add_times(self, of_one: Profile, wall: float, workers: int) -> None:
        """Add the times of one of ``workers`` workers; together they took ``wall`` seconds."""
        self.profile.noise += of_one.noise / workers
        self.profile.forward += of_one.forward / workers
        self.profile.reduction += of_one.reduction / workers
        self.profile.idle += (wall - of_one.noise - of_one.forward - of_one.reduction) / workers
        self.profile.near_ties += of_one.near_ties

    def _in_threads(self, workers: int, work: Callable[[], _Tally], batches: _Shared) -> list[_Tally]:
        """Let several threads work, each with one thread of arithmetic; wait for all of them."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, "votes")

        def work_with_one_thread() -> _Tally:
            torch.set_num_threads(1)
            return work()

        threads = torch.get_num_threads()
        futures = [self._pool.submit(work_with_one_thread) for _ in range(workers)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # after a failure or Ctrl-C the others shall not go on to the end
            batches.close()
            wait(futures)
            # a thread's number of arithmetic threads is its own, but MKL keeps one for the whole process
            torch.set_num_threads(threads)
        return [future.result() for future in futures]

    def _work(
        self, images: torch.Tensor, examples: Int[np.ndarray, " images"], batches: _Shared, size: int
    ) -> _Tally:
        """Count batches until none are left; return counts with a last column for invalid votes."""
        device = images.device
        tally = torch.zeros(len(images), self.num_classes + _OTHER_COLUMNS, dtype=torch.int64, device=device)
        profile, late = Profile(), _Late()
        # while a device computes one batch, the next one is sent to another place
        places = [torch.empty((size, *images.shape[1:]), device=device) for _ in range(_in_flight(device))]
        passing: deque[_Passed] = deque()
        for place, pieces in zip(itertools.cycle(places), iter(batches.next, None), strict=False):
            began = time.perf_counter()
            slots = _slots(pieces, device)
            copies = place[: len(slots)]
            self._fill(copies, slots, pieces, images, examples)
            drawn = time.perf_counter()
            winners, close = self._classes(copies)
            passing.append(_Passed(copies, slots, _fetched(close)))
            passed = time.perf_counter()
            _add(tally, slots, winners.masked_fill(close, _LATE))
            profile.noise += drawn - began
            profile.forward += passed - drawn
            if len(passing) == len(places):
                late.take(passing.popleft())
            profile.reduction += time.perf_counter() - passed
            if len(late) >= _NEAR_TIES:
                self._decide_late(tally, late, profile)
        for one in passing:
            late.take(one)
        self._decide_late(tally, late, profile)
        return tally[:, :-1], profile

    def _fill(
        self,
        copies: torch.Tensor,
        slots: torch.Tensor,
        pieces: list[_Piece],
        images: torch.Tensor,
        examples: Int[np.ndarray, " images"],
    ) -> None:
        """Make the noisy copies of these pieces."""
        spans = [Span(int(examples[slot]), first, rows) for slot, first, rows in pieces]
        self._noise.draw(copies, Stream(self._use, self._seed, *spans))
        # noise is drawn in full and added on its own: two roundings, the same in every batch
        few = len(pieces) * _ROWS_OF_A_PIECE <= len(copies) or copies.numel() > _GATHERED
        if copies.device.type == "cpu" and few:
            filled = 0
            for slot, _, rows in pieces:
                copies[filled : filled + rows].add_(images[slot])
                filled += rows
        else:
            copies.add_(images.index_select(0, slots))
        self._noise.settle(copies)

    def _decide_late(self, tally: torch.Tensor, late: _Late, profile: Profile) -> None:
        """Add the near ties set aside to the counts, and forget them."""
        if len(late):
            began = time.perf_counter()
            profile.near_ties += len(late)
            copies, slots = late.all()
            _add(tally, slots, self._classifier.near_tie_classes(copies))
            profile.forward += time.perf_counter() - began

    def _classes(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Classify the batch, in halves where the device has no memory for the whole."""
        try:
            if len(batch) <= self._batch_size:
                return self._classifier.clear_classes(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            self._batch_size = min(self._batch_size, (len(batch) + 1) // 2)
        half = (len(batch) + 1) // 2
        parts = [self._classes(batch[:half]), self._classes(batch[half:])]
        return torch.cat([winners for winners, _ in parts]), torch.cat([close for _, close in parts])


class _Passed(NamedTuple):
    """A batch that was sent through the network: its copies, their images, and which are near ties."""

    copies: torch.Tensor
    slots: torch.Tensor
    close: Callable[[], Bool[np.ndarray, " copies"]]


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
            rows = _sent(found, passed.copies.device)
            self._copies.append(passed.copies.index_select(0, rows))
            self._slots.append(passed.slots.index_select(0, rows))

    def all(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return copies and images of all that were kept, and forget them."""
        found = torch.cat(self._copies), torch.cat(self._slots)
        self._copies, self._slots = [], []
        return found


def _in_flight(device: torch.device) -> int:
    """Return how many batches are under way at a time."""
    return 1 if device.type == "cpu" else 2


def _slots(pieces: list[_Piece], device: torch.device) -> torch.Tensor:
    """Return the image of each noisy copy."""
    images, _, rows = np.array(pieces, dtype=np.int64).T
    return _sent(np.repeat(images, rows), device)


def _sent(numbers: Int[np.ndarray, " numbers"], device: torch.device) -> torch.Tensor:
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


class _Shared:
    """The batches still to be counted, handed out to whichever worker asks next."""

    def __init__(self, batches: Iterator[list[_Piece]]) -> None:
        self._batches = batches
        self._lock = threading.Lock()

    def next(self) -> list[_Piece] | None:
        """Return the next batch, None when there is none."""
        with self._lock:
            return next(self._batches, None)

    def close(self) -> None:
        """Hand out no more."""
        with self._lock:
            self._batches = iter(())


def _batches(
    first: Int[np.ndarray, " images"], votes: Int[np.ndarray, " images"], size: int
) -> Iterator[list[_Piece]]:
    """Yield batches of pieces, of ``size`` votes each but the last."""
    batch: list[_Piece] = []
    filled = 0
    for slot in range(len(votes)):
        vote, stop = int(first[slot]), int(first[slot] + votes[slot])
        while vote < stop:
            rows = min(stop - vote, size - filled)
            batch.append((slot, vote, rows))
            vote, filled = vote + rows, filled + rows
            if filled == size:
                yield batch
                batch, filled = [], 0
    if batch:
        yield batch


def _add(tally: torch.Tensor, slots: torch.Tensor, winners: torch.Tensor) -> None:
    """Add one vote per row; those of no class go to the columns behind the classes."""
    width = tally.shape[1]
    columns = torch.where(winners < 0, width - _OTHER_COLUMNS - 1 - winners, winners)
    tally.view(-1).scatter_add_(0, slots * width + columns, torch.ones_like(slots))
