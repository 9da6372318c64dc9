"""A race of contenders over the same images: who is beaten drops out and costs nothing more.

Each image is lost or not by each contender (the 0/1 loss of an objective). For a contender i and a rival k
the images that exactly one of them loses are counted one after the other: k wins those that i loses. If i
is at least as good as k, each such image is a win of k with probability at most 1/2 whatever came before,
so the wins lie below a fair random walk, which reaches the exact boundary of ``statistics.planner`` with
p0 = 1/2 with probability at most the level it was planned at. A contender drops out as soon as some rival
reaches the boundary against it. With the level divided by the number of rivals, the truly best contender
drops out with probability at most the level, however long the race lasts and whenever it is looked at.
The images must be in random order, independent draws of one population: that is whom it speaks of.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from sfumato.errors import SettingError, require_count, require_open_unit
from sfumato.statistics.binomial import unanimous_trials
from sfumato.statistics.cache import cached_boundaries
from sfumato.statistics.sequential import RESERVE, look_schedule

_COST = 1e4  # how many images one more contender out of the race is worth: efficiency only


class Race:
    """A race over at most ``images`` images; the best of all drops out with probability at most ``level``.

    >>> race = Race(contenders=2, images=1000, level=0.01)
    >>> race.add(np.array([[True] * 20, [False] * 20]))
    >>> race.running
    array([False,  True])

    Attributes:
        running: which contenders are still in the race.
        seen: how many images every one of them has run over.

    Raises:
        SettingError: fewer than one contender or image, a level outside (0, 1).
    """

    def __init__(self, contenders: int, images: int, level: float = 1e-3) -> None:
        require_count("contenders", contenders)
        require_count("images", images)
        share = require_open_unit("level", level) / max(contenders - 1, 1)
        self.running: Bool[np.ndarray, " contenders"] = np.ones(contenders, dtype=bool)
        self.seen = 0
        self._images = images
        # wins[i, k]: images that i loses and k does not
        self._wins = np.zeros((contenders, contenders), dtype=np.int64)
        self._beaten_at = _beaten_at(images, share)

    def add(self, lost: Bool[np.ndarray, "contenders images"]) -> None:
        """Let the contenders run over more images; the rows of those out of the race are not looked at.

        Raises:
            SettingError: another number of contenders, or more images than the race was planned for.
        """
        if lost.shape[0] != len(self.running) or self.seen + lost.shape[1] > self._images:
            raise SettingError(
                f"the race has {len(self.running)} contenders and {self._images - self.seen} images left, "
                f"got losses of shape {lost.shape}"
            )
        rows = np.flatnonzero(self.running)
        losses = lost[rows].astype(np.int64)
        self._wins[np.ix_(rows, rows)] += losses @ (1 - losses).T
        self.seen += lost.shape[1]
        wins = self._wins[np.ix_(rows, rows)]
        beaten = (wins >= self._beaten_at[wins + wins.T]).any(axis=1)
        self.running[rows[beaten]] = False


def _beaten_at(images: int, level: float) -> Int[np.ndarray, " numbers"]:
    """Return for every number of images that one of two loses the wins at which the other is beaten.

    Wins are seen after whole batches only. As they never decrease, who has reached the boundary of the
    next scheduled number early would reach it there as well: that number is compared with.
    """
    if unanimous_trials(0.5, level * RESERVE) > images:
        return np.full(images + 1, images + 1)
    boundaries = cached_boundaries(0.5, level, look_schedule(images, 1), _COST)
    looks, certify = np.array(boundaries.looks), np.array(boundaries.certify, dtype=np.int64)
    found: Int[np.ndarray, " numbers"] = certify[np.searchsorted(looks, np.arange(images + 1))]
    return found
