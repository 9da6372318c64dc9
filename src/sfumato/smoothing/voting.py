"""Counting votes: class counts of the base classifier over noisy copies of images.

The noise of an example is one endless sequence of rows, keyed by (seed, example), a row for a vote. What is
counted for an image is therefore a function of its key and of which votes are asked for, and of nothing else:
batches are filled across chunks and images in whatever way suits the hardware, by as many workers as
there are. Each worker holds one batch of noisy copies, so memory does not grow with the number of
votes; only counts leave it.
"""

from __future__ import annotations

import itertools
import operator
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Int

from sfumato.errors import SettingError, require_count
from sfumato.noise import Noise, Span, Stream, Use
from sfumato.noise.keyed import CHUNK
from sfumato.smoothing.base_classifier import INVALID, BaseClassifier
from sfumato.smoothing.configuration import Configuration
from sfumato.smoothing.full_precision import full_precision

# Near ties are decided together, this many at a time: one by one, each would cost a forward pass.
_NEAR_TIES = 64


@dataclass
class Profile:
    """Where the time of counting went, in seconds of wall-clock time: the mean over the workers that counted.

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


_Piece = tuple[int, int, int]  # image, first vote, number of votes: all of one chunk
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
        tally = torch.zeros(len(images), self.num_classes + 1, dtype=torch.int64, device=images.device)
        profile = Profile()
        batch = torch.empty((size, *images.shape[1:]), device=images.device)
        late_copies: list[torch.Tensor] = []
        late_slots: list[torch.Tensor] = []
        while (pieces := batches.next()) is not None:
            began = time.perf_counter()
            filled, sizes = 0, [rows for _, _, rows in pieces]
            slots = torch.tensor([slot for slot, _, _ in pieces], device=images.device)
            slots = slots.repeat_interleave(torch.tensor(sizes, device=images.device))
            joined = [(slot, list(part)) for slot, part in itertools.groupby(pieces, operator.itemgetter(0))]
            spans = [
                Span(int(examples[slot]), part[0][1], sum(rows for _, _, rows in part))
                for slot, part in joined
            ]
            self._noise.draw(batch[: sum(sizes)], Stream(self._use, self._seed, *spans))
            for (slot, _), span in zip(joined, spans, strict=True):
                # noise is drawn in full and added on its own: two roundings, the same in every batch
                batch[filled : filled + span.rows].add_(images[slot])
                filled += span.rows
            self._noise.settle(batch[:filled])
            drawn = time.perf_counter()
            winners, close = self._classes(batch[:filled])
            passed = time.perf_counter()
            if close.any():
                late_copies.append(batch[:filled][close])
                late_slots.append(slots[close])
            _add(tally, slots[~close], winners[~close])
            profile.noise += drawn - began
            profile.forward += passed - drawn
            profile.reduction += time.perf_counter() - passed
            if sum(map(len, late_slots)) >= _NEAR_TIES:
                self._decide_late(tally, late_copies, late_slots, profile)
        self._decide_late(tally, late_copies, late_slots, profile)
        return tally, profile

    def _decide_late(
        self, tally: torch.Tensor, copies: list[torch.Tensor], slots: list[torch.Tensor], profile: Profile
    ) -> None:
        """Add the near ties set aside to the counts, and forget them."""
        if copies:
            began = time.perf_counter()
            _add(tally, torch.cat(slots), self._classifier.near_tie_classes(torch.cat(copies)))
            profile.near_ties += sum(map(len, slots))
            profile.forward += time.perf_counter() - began
        copies.clear()
        slots.clear()

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
    """Yield batches of pieces, up to ``size`` votes each, no chunk divided between two where it fits in one.

    A device that draws whole chunks would draw a divided one twice.
    """
    batch: list[_Piece] = []
    filled = 0
    for slot in range(len(votes)):
        vote, stop = int(first[slot]), int(first[slot] + votes[slot])
        while vote < stop:
            rows = min(CHUNK - vote % CHUNK, stop - vote, size)
            if filled + rows > size:
                yield batch
                batch, filled = [], 0
            batch.append((slot, vote, rows))
            vote, filled = vote + rows, filled + rows
    if batch:
        yield batch


def _add(tally: torch.Tensor, slots: torch.Tensor, winners: torch.Tensor) -> None:
    """Add one vote per row; invalid ones go to the last column."""
    width = tally.shape[1]
    columns = torch.where(winners == INVALID, width - 1, winners)
    tally += torch.bincount(slots * width + columns, minlength=tally.numel()).view_as(tally)
