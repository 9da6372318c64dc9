"""Measures throughput: chooses how large tasks are, and describes each node's rate."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Hashable

from sfumato.execution.base import Done

TASK_SECONDS = 30.0
"""What a task of images is to last: little to lose with a worker, and nothing to schedule."""

_LEAST_SECONDS = 2.0  # a shorter task is not worth its way
_SHORT_SECONDS = 5.0  # what a kill may cost where tasks run in one process
_WINDOW = 120.0  # seconds over which rates are taken
_SHOWN = 4  # nodes named one by one
_MEMORY = 0.5  # weight of all earlier tasks against the last one


class Pace:
    """Learns from every finished task.

    ``slots`` is asked how many tasks run at a time, ``clock`` for the time in seconds.
    """

    def __init__(self, slots: Callable[[], int], clock: Callable[[], float] = time.perf_counter) -> None:
        self._slots, self._clock = slots, clock
        self._per_image: dict[Hashable, float] = {}
        self._recent: deque[tuple[float, str, int, int]] = deque()
        self._began = clock()
        self.votes = 0

    def size(self, kind: Hashable, first: int, left: int) -> int:
        """Return how many images the next task of this kind gets.

        ``first`` until one has been measured; towards the end, when ``left`` images are left to hand out,
        fewer, so that all workers are done at about the same time.
        """
        share = -(-left // (2 * max(1, self._slots())))
        measured = self._per_image.get(kind)
        if measured is None:
            return max(1, min(first, share))
        return max(1, round(_LEAST_SECONDS / measured), min(round(TASK_SECONDS / measured), share))

    def short(self, kind: Hashable, first: int, most: int) -> int:
        """Return how many images a task gets that takes about five seconds: little to lose by a kill.

        At least ``first``, which it is until one has been measured, and at most ``most``.
        """
        measured = self._per_image.get(kind)
        return first if measured is None else max(first, min(most, round(_SHORT_SECONDS / measured)))

    def add(self, kind: Hashable, images: int, votes: int, done: Done) -> None:
        """Learn from a finished task."""
        found = done.seconds / images
        before = self._per_image.get(kind, found)
        self._per_image[kind] = max(1e-9, _MEMORY * before + (1 - _MEMORY) * found)
        self.votes += votes
        self._recent.append((self._clock(), done.node, images, votes))

    def note(self) -> str:
        """Return the rates of the last two minutes and the votes so far, in one line.

        >>> now = iter([0.0, 10.0, 10.0])
        >>> pace = Pace(lambda: 1, clock=lambda: next(now))
        >>> pace.add("risk", images=500, votes=25_000, done=Done(None, "this process", 9.0))
        >>> pace.note()
        '50 images/s, 2,500 votes/s, 25,000 votes'
        """
        now = self._clock()
        while self._recent and self._recent[0][0] < now - _WINDOW:
            self._recent.popleft()
        span = max(1e-9, min(_WINDOW, now - self._began))
        rates: Counter[str] = Counter()
        for _, node, images, _ in self._recent:
            rates[node] += images
        votes = sum(counted for *_, counted in self._recent)
        parts = [
            f"{rates.total() / span:,.0f} images/s",
            f"{votes / span:,.0f} votes/s",
            f"{self.votes:,} votes",
        ]
        nodes = [f"{node} {images / span:,.0f}/s" for node, images in sorted(rates.items())]
        if len(nodes) > _SHOWN:
            slowest, *_, fastest = sorted(rates, key=lambda node: (rates[node], node))
            ends = (f"{node} {rates[node] / span:,.0f}/s" for node in (slowest, fastest))
            nodes = [f"{len(rates)} nodes from {' to '.join(ends)}"]
        return ", ".join(parts + (nodes if len(rates) > 1 else []))
