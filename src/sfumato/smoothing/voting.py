"""Counting votes: class counts of the base classifier over noisy copies of images.

The noise of an example is one endless sequence of rows, keyed by (seed, example), a row for a vote. What is
counted for an image is therefore a function of its key and of which votes are asked for, and of nothing else:
batches are filled across chunks and images in whatever way suits the hardware, by as many workers as
there are. Each worker holds one batch of noisy copies, so memory does not grow with the number of
votes; only counts leave it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int

from sfumato.errors import SettingError, require_count
from sfumato.noise import Noise, Span, Stream, Use, draw_each
from sfumato.noise.keyed import CHUNK
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.batches import Batches, Profile, sent
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.full_precision import full_precision

# On a CPU images are added to their noise one by one if each has this many copies in the batch; fewer copies
# of more images are gathered as far as they fit into the processor's cache (4 copies of each: 5 % less time).
_ROWS_OF_A_PIECE = 8
_GATHERED = 2**20

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
        self.noise, self.num_classes = noise, num_classes
        self.seed, self.use = require_count("seed", seed, minimum=0), use
        self._classifier = classifier
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
        (counts,) = count_together(images, examples, [Wanted(self, first, votes)])
        return counts

    @property
    def has_threads(self) -> bool:
        """Whether threads are there from an earlier count."""
        return self._pool is not None

    def most_workers(self) -> int:
        """Return how many threads may count."""
        return self._workers if self._workers > 1 and self._classifier.runs_in_threads() else 1

    def batch_size(self, votes: int, workers: int) -> int:
        """Return how many copies a batch has where so many workers count so many votes."""
        # few votes are shared out as well
        return min(self._batch_size, max(CHUNK, -(-votes // workers)))

    def batches(self, images: torch.Tensor, size: int) -> Batches:
        """Return what gathers copies of these images for one worker."""
        return Batches(self._classifier, self._classes, images, self.num_classes, size)

    def in_threads(
        self, workers: int, work: Callable[[], list[_Tally]], shared: _Shared
    ) -> list[list[_Tally]]:
        """Let several threads work, each with one thread of arithmetic; wait for all of them."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, "votes")

        def work_with_one_thread() -> list[_Tally]:
            torch.set_num_threads(1)
            return work()

        threads = torch.get_num_threads()
        futures = [self._pool.submit(work_with_one_thread) for _ in range(workers)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # after a failure or Ctrl-C the others shall not go on to the end
            shared.close()
            wait(futures)
            # a thread's number of arithmetic threads is its own, but MKL keeps one for the whole process
            torch.set_num_threads(threads)
        return [future.result() for future in futures]

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


class Wanted(NamedTuple):
    """Votes ``first[i] .. first[i] + votes[i] - 1`` of each image, to be counted by ``counter``."""

    counter: VoteCounter
    first: Int[np.ndarray, " images"]
    votes: Int[np.ndarray, " images"]


def count_together(
    images: torch.Tensor, examples: Int[np.ndarray, " images"], wanted: Sequence[Wanted]
) -> list[Int[np.ndarray, "images classes"]]:
    """Return what each counter would count alone of the same images, as ``VoteCounter.count`` says.

    Gaussian noise is drawn once for all counters that want the same votes of an image: it takes half of the
    time of a small network. Each counter has batches of its own.

    Raises:
        SettingError: a negative number of votes; counters of other seeds or uses than the first one.
        SfumatoError: a forward pass failed.
    """
    counters = [one.counter for one in wanted]
    lead = counters[0]
    if any((counter.seed, counter.use) != (lead.seed, lead.use) for counter in counters):
        raise SettingError("counters that count together have one seed and one use of noise")
    if any(int(one.votes.min(initial=0)) < 0 or int(one.first.min(initial=0)) < 0 for one in wanted):
        raise SettingError("first and votes must be at least 0 for every image")
    totals = [int(one.votes.sum()) for one in wanted]
    most = min(counter.most_workers() for counter in counters)
    sizes = [counter.batch_size(total, most) for counter, total in zip(counters, totals, strict=True)]
    needed = max(-(-total // size) for total, size in zip(totals, sizes, strict=True))
    workers = max(1, min(most, needed))
    shared = _Shared(_runs(wanted))
    work = partial(_work, images, examples, counters, sizes, shared)
    started = time.perf_counter()
    with full_precision(images.device):
        if workers == 1:
            tallies = [work()]
        else:
            # one pool serves whichever counters still count
            pool = next((counter for counter in counters if counter.has_threads), lead)
            tallies = pool.in_threads(workers, work, shared)
    wall = time.perf_counter() - started
    found = []
    for number, (counter, total) in enumerate(zip(counters, totals, strict=True)):
        counts = torch.zeros(len(images), counter.num_classes + 1, dtype=torch.int64)
        for of_worker in tallies:
            tally, profile = of_worker[number]
            counts += tally.cpu()
            idle = (wall - sum(each.busy for _, each in of_worker)) / len(counters)
            _add_times(counter.profile, profile, idle, workers)
        counter.profile.votes += total
        counter.profile.invalid += int(counts[:, -1].sum())
        found.append(counts[:, :-1].numpy())
    return found


def _add_times(profile: Profile, of_one: Profile, idle: float, workers: int) -> None:
    """Add the times of one of ``workers`` workers."""
    profile.noise += of_one.noise / workers
    profile.forward += of_one.forward / workers
    profile.reduction += of_one.reduction / workers
    profile.idle += idle / workers
    profile.near_ties += of_one.near_ties


def _work(
    images: torch.Tensor,
    examples: Int[np.ndarray, " images"],
    counters: Sequence[VoteCounter],
    sizes: Sequence[int],
    shared: _Shared,
) -> list[_Tally]:
    """Count votes until none are left; return for each counter what came of it."""
    batches = [counter.batches(images, size) for counter, size in zip(counters, sizes, strict=True)]
    while (taken := shared.next(lambda some: min(batches[number].room for number in some))) is not None:
        numbers, pieces = taken
        began = time.perf_counter()
        slots = _slots(pieces, images.device)
        filled = [batches[number] for number in numbers]
        copies = [batch.next_copies(len(slots)) for batch in filled]
        _fill(copies, slots, pieces, images, examples, [counters[number] for number in numbers])
        seconds = (time.perf_counter() - began) / len(numbers)
        for batch in filled:
            batch.profile.noise += seconds
            batch.add(slots)
    return [batch.finish() for batch in batches]


def _fill(
    many: Sequence[torch.Tensor],
    slots: torch.Tensor,
    pieces: list[_Piece],
    images: torch.Tensor,
    examples: Int[np.ndarray, " images"],
    counters: Sequence[VoteCounter],
) -> None:
    """Make the noisy copies of these pieces, in one place for each counter."""
    spans = [Span(int(examples[slot]), first, rows) for slot, first, rows in pieces]
    noises = [counter.noise for counter in counters]
    draw_each(noises, many, Stream(counters[0].use, counters[0].seed, *spans))
    # noise is drawn in full and added on its own: two roundings, the same in every batch
    few = len(pieces) * _ROWS_OF_A_PIECE <= len(slots) or many[0].numel() > _GATHERED
    if images.device.type == "cpu" and few:
        for copies in many:
            filled = 0
            for slot, _, rows in pieces:
                copies[filled : filled + rows].add_(images[slot])
                filled += rows
    else:
        gathered = images.index_select(0, slots)
        for copies in many:
            copies.add_(gathered)
    for noise, copies in zip(noises, many, strict=True):
        noise.settle(copies)


def _slots(pieces: list[_Piece], device: torch.device) -> torch.Tensor:
    """Return the image of each noisy copy."""
    images, _, rows = np.array(pieces, dtype=np.int64).T
    return sent(np.repeat(images, rows), device)


_Run = tuple[tuple[int, ...], deque[_Piece]]  # votes, and the numbers of the counters that want them


def _runs(wanted: Sequence[Wanted]) -> list[_Run]:
    """Return all votes to be counted: together those that the same counters want."""
    runs: dict[tuple[int, ...], deque[_Piece]] = {}
    first = np.stack([one.first for one in wanted], axis=1).tolist()
    votes = np.stack([one.votes for one in wanted], axis=1).tolist()
    for slot, (begins, counts) in enumerate(zip(first, votes, strict=True)):
        alike: dict[tuple[int, int], tuple[int, ...]] = {}
        for number, (begin, count) in enumerate(zip(begins, counts, strict=True)):
            if count:
                alike[begin, count] = (*alike.get((begin, count), ()), number)
        for (begin, count), numbers in alike.items():
            runs.setdefault(numbers, deque()).append((slot, begin, count))
    # where most counters draw together first, their batches stay in step for longest
    return sorted(runs.items(), key=lambda run: -len(run[0]))


class _Shared:
    """The votes still to be counted, handed out to whichever worker asks next."""

    def __init__(self, runs: list[_Run]) -> None:
        self._runs = deque(runs)
        self._lock = threading.Lock()

    def next(self, room: Callable[[tuple[int, ...]], int]) -> tuple[tuple[int, ...], list[_Piece]] | None:
        """Return the next votes and who wants them, as many as ``room`` says; None when there are none."""
        with self._lock:
            if not self._runs:
                return None
            numbers, pieces = self._runs[0]
            left, taken = room(numbers), []
            while pieces and left:
                slot, first, rows = pieces.popleft()
                now = min(rows, left)
                taken.append((slot, first, now))
                left -= now
                if rows > now:
                    pieces.appendleft((slot, first + now, rows - now))
            if not pieces:
                self._runs.popleft()
            return numbers, taken

    def close(self) -> None:
        """Hand out no more."""
        with self._lock:
            self._runs.clear()
