"""How many votes a run will take, and how long: said before the first vote.

The speed is measured on one of the images, for a moment. How many votes an image gets depends on the image,
so the answer is a range: what the plan spends on the easiest and on the hardest one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

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
    """

    images: int
    least_votes: int
    most_votes: int | None
    votes_per_second: float

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
        """
        most = self.most_votes
        votes = f"{self.least_votes:,}"
        if most != self.least_votes:
            votes += f" to {most:,}" if most is not None else " or more"
        least, largest = self.least_seconds, self.most_seconds
        one = _range(least / self.images, largest / self.images)
        return (
            f"{self.images:,} images with {votes} votes each, {self.votes_per_second:,.0f} votes/s: "
            f"{one} for one image, {_range(least, largest)} for all"
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
    if first.most_seconds < enough:
        return first
    return replace(first, votes_per_second=smoothed.votes_per_second(image, _SECONDS))


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
