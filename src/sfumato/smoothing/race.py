"""Which of two ways of computing is faster, on a machine that others use at the same time.

The two take turns in short samples, and the median of how many times faster one is than its neighbour in time
decides: a busy stretch slows down both neighbours alike, whatever it does, and few pairs lie across its ends.
(The best sample of each is a worse judge: one short quiet moment can fall to either.) Sampling goes on while
the quartiles leave open which is faster.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass

# What is not faster by this factor is not worth the change.
WORTHWHILE = 1.03
LEAST_ROUNDS = 4
MOST_ROUNDS = 12
# Ratios that agree to this share, quartile to quartile, are as good as they get.
STEADY = 0.02

Sample = Callable[[], float]
"""Measures for a moment and returns votes per second; 0 where it cannot be done."""


@dataclass(frozen=True)
class Race:
    """What was measured of a challenger against what is in use.

    Attributes:
        present, challenger: votes per second in short samples, taken in turns: present first.
    """

    present: tuple[float, ...]
    challenger: tuple[float, ...]

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """How many times faster the challenger is, over all neighbours in time.

        >>> Race((100.0, 50.0, 50.0), (120.0, 60.0, 60.0)).quartiles
        (1.2, 1.2, 1.2)
        """
        neighbours = itertools.chain(
            zip(self.present, self.challenger, strict=True),
            zip(self.present[1:], self.challenger, strict=False),
        )
        ratios = sorted(challenger / present for present, challenger in neighbours)
        quarter = len(ratios) // 4
        return ratios[quarter], statistics.median(ratios), ratios[-1 - quarter]

    @property
    def ratio(self) -> float:
        """How many times faster the challenger is: the median."""
        return self.quartiles[1]

    @property
    def won(self) -> bool:
        """Whether the challenger is faster by enough to be worth the change."""
        return self.ratio >= WORTHWHILE

    @property
    def close(self) -> bool:
        """Whether the samples leave open which is faster."""
        lower, _, upper = self.quartiles
        return lower < WORTHWHILE <= upper and upper > (1 + STEADY) * lower


def race(present: Sample, challenger: Sample, seconds_left: Callable[[], float]) -> Race:
    """Return the race between what is in use and a challenger; at least one sample of each is taken.

    No further round is begun for which the last one leaves no time.

    >>> from itertools import repeat
    >>> found = race(repeat(100.0).__next__, repeat(130.0).__next__, lambda: 9.0)
    >>> found.won, found.close, len(found.present)
    (True, False, 4)
    """
    found, left = Race((), ()), seconds_left()
    while True:
        found = Race((*found.present, present()), (*found.challenger, challenger()))
        rounds = len(found.present)
        before, left = left, seconds_left()
        out_of_time = left <= max(0.0, before - left)
        over = rounds >= MOST_ROUNDS or out_of_time or found.challenger[-1] <= 0
        if over or (rounds >= LEAST_ROUNDS and not found.close):
            return found
