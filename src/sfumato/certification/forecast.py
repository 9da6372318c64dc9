"""How many votes a run will take, how long and how much memory: said before the first vote.

The speed is measured on one of the images, for a moment. How many votes an image gets depends on the image,
so the answer is a range: what the plan spends on the easiest and on the hardest one. Memory does not grow
with votes or images, so it is what the process has held at most when the speed has been measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sfumato.devices import peak_gpu_memory, peak_memory
from sfumato.plans import Plan
from sfumato.smoothing.smoothed import Smoothed

LONG_RUN = 60.0
"""Seconds from which on it is worth saying how long a run will take."""

_SECONDS = 0.5
_UNITS = ((60.0, 1.0, "s"), (60.0, 60.0, "min"), (24.0, 3600.0, "h"), (float("inf"), 86400.0, "days"))


@dataclass(frozen=True)
class Forecast:
    """The votes and the time of a run to come.

    Attributes:
        images: to be certified.
        least_votes, most_votes: of one image; ``most_votes`` is None where the plan does not say it.
        votes_per_second: measured.
        memory, gpu_memory: in bytes; None where it is not known, or there is no GPU.
    """

    images: int
    least_votes: int
    most_votes: int | None
    votes_per_second: float
    memory: int | None = None
    gpu_memory: int | None = None

    @property
    def least_seconds(self) -> float:
        """The time if every image is easy."""
        return self.images * self.least_votes / self.votes_per_second

    @property
    def most_seconds(self) -> float:
        """The time if every image is hard; infinite where the plan does not say its most votes."""
        if self.most_votes is None:
            return float("inf")
        return self.images * self.most_votes / self.votes_per_second

    def __str__(self) -> str:
        """Return it in a line.

        >>> print(Forecast(images=500, least_votes=100_100, most_votes=100_100, votes_per_second=20_020.0))
        500 images with 100,100 votes each, 20,020 votes/s: 5.0 s for one image, 42 min for all
        >>> print(Forecast(images=10, least_votes=32, most_votes=100_000, votes_per_second=1000.0))
        10 images with 32 to 100,000 votes each, 1,000 votes/s: 0.0 s to 1.7 min for one image,
        0.3 s to 17 min for all
        >>> str(Forecast(5, 9, 9, 1e3, memory=567 * 10**6, gpu_memory=3 * 10**9)).partition(" for all")[2]
        ', about 567 MB of memory, about 3,000 MB on the GPU'
        """
        most = self.most_votes
        votes = f"{self.least_votes:,}"
        if most != self.least_votes:
            votes += f" to {most:,}" if most is not None else " or more"
        least, largest = self.least_seconds, self.most_seconds
        one = _range(least / self.images, largest / self.images)
        memory = "" if self.memory is None else f", about {self.memory / 1e6:,.0f} MB of memory"
        if self.gpu_memory is not None:
            memory += f", about {self.gpu_memory / 1e6:,.0f} MB on the GPU"
        return (
            f"{self.images:,} images with {votes} votes each, {self.votes_per_second:,.0f} votes/s: "
            f"{one} for one image, {_range(least, largest)} for all{memory}"
        )


def forecast(
    smoothed: Smoothed, plan: Plan, image: np.ndarray, images: int, *, enough: float = 0.0
) -> Forecast:
    """Return the forecast of certifying ``images`` images like ``image`` (1, *shape).

    The votes that are counted to measure the speed are thrown away. A run that is shorter than ``enough``
    seconds by its first batch is not measured any better.

    Raises:
        DataError, ModelError: as ``Smoothed.check``.
    """
    first = Forecast(images, plan.least_votes, plan.most_votes, smoothed.votes_per_second(image, 0.0))
    rate = first.votes_per_second
    if first.most_seconds >= enough:
        rate = smoothed.votes_per_second(image, _SECONDS)
    return replace(
        first, votes_per_second=rate, memory=peak_memory(), gpu_memory=peak_gpu_memory(smoothed.device)
    )


def _range(least: float, most: float) -> str:
    if most == least:
        return written_time(least)
    if most == float("inf"):
        return f"at least {written_time(least)}"
    return f"{written_time(least)} to {written_time(most)}"


def written_time(seconds: float) -> str:
    """Return a duration in the unit that fits it.

    >>> written_time(4.25), written_time(250.0), written_time(9000.0), written_time(200_000.0)
    ('4.2 s', '4.2 min', '2.5 h', '2.3 days')
    """
    size, name = next((part for part in _UNITS if seconds < part[0] * part[1]), _UNITS[-1])[1:]
    found = seconds / size
    return f"{found:.0f} {name}" if found >= 10 else f"{found:.1f} {name}"
