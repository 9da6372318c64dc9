"""Votes until the certified radius is about what the cap would give, then no more.

A pilot selects the class and plans the number n of fresh votes; their plain Clopper-Pearson bound is
the certificate. The pilot is never pooled into the bound: class and n are functions of the pilot alone,
so given the pilot the bound has its exact level, for any number of classes. Prefer it to ``curve`` when
radii themselves are wanted (average certified radius) rather than a table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from sfumato.errors import SettingError, require_count, require_open_unit
from sfumato.plans.base import ABSTAIN, Decision, Plan, Run
from sfumato.plans.fixed import require_reachable
from sfumato.statistics.binomial import upper_failure_probability

if TYPE_CHECKING:
    from sfumato.noise import Noise

# A pilot below this share of the votes it plans is enlarged, by this factor.
PILOT_SHARE = 0.03
PILOT_GROWTH = 4
# Radii that differ by less than this (in the unit of beta) are not worth votes, whatever eps says.
LARGEST_FLOOR = 0.05


@dataclass(frozen=True)
class Precision(Plan):
    """A certified radius within about a share ``eps`` of what ``n_max`` votes would certify.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, the
    smoothed classifier returns it everywhere within the returned radius. The precision is planned from
    the pilot, not guaranteed: on average over the pilot's posterior the radius loses at most ``eps`` of
    what ``n_max`` votes would give, or min(eps, 0.05) beta where that is more. Images whose radius
    would be below that are abstained on after the pilot.

    >>> from sfumato.noise import Gaussian
    >>> run = Precision(0.05).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    >>> run.update(np.array([[120, 8]])); run.demand()
    array([4174])

    Raises:
        SettingError: eps outside (0, 1), a pilot or cap below 1, a cap below the pilot.
    """

    eps: float
    n_max: int = 100_000
    pilot: int = 128
    method: ClassVar[str] = "precision"
    question: ClassVar[tuple[str, ...]] = ("eps",)
    usage: ClassVar[str] = "precision(eps)"
    states: ClassVar[Literal["radius"]] = "radius"

    def __post_init__(self) -> None:
        """Refuse settings no votes can be planned with."""
        require_open_unit("eps", self.eps)
        require_count("pilot", self.pilot)
        require_count("n_max", self.n_max)
        if self.n_max < self.pilot:
            raise SettingError(f"n_max must be at least the pilot of {self.pilot} votes, got {self.n_max}")

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.pilot

    @property
    def most_votes(self) -> int:
        """The largest pilot and the most votes that bound the class."""
        return max(self.pilot, int(PILOT_GROWTH * PILOT_SHARE * self.n_max)) + self.n_max

    @property
    def bounding_votes(self) -> int:
        """The most votes that bound the class."""
        return self.n_max

    def prepare(self, run: Run) -> _Stage:
        """Return the pilot's beginning. Labels are not used."""
        require_reachable(self.n_max, run.confidence)
        return _Stage(
            forecast(self.n_max, run.confidence, replace(run.noise.forecaster(), standard_deviation=1.0)),
            np.ones(run.images, dtype=bool),
            np.full(run.images, ABSTAIN, dtype=np.int64),
            np.zeros(run.images, dtype=np.int64),
            np.zeros(run.images, dtype=np.int64),
        )

    def next(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return the votes of the pilot, of its enlargement, or the planned fresh votes; then 0."""
        if run.rounds == 0:
            return np.full(run.images, self.pilot, dtype=np.int64)
        wanted = np.zeros(run.images, dtype=np.int64)
        piloting = np.flatnonzero(run.state.piloting)
        wanted[piloting] = self._planned(run, piloting)
        return wanted

    def _planned(self, run: Run, rows: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
        """Decide, from the pilot alone, on more pilot votes, on fresh votes, or to abstain."""
        state: _Stage = run.state
        forecast, eps = state.forecast, self.eps
        leader = np.argmax(run.counts[rows], axis=1)
        successes = run.counts[rows, leader]
        failures = run.votes[rows] - successes
        log_weight = np.outer(successes, np.log(forecast.p)) + np.outer(failures, np.log(forecast.q))
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        expected = (weight @ forecast.radius) / weight.sum(axis=1, keepdims=True)
        best = expected[:, -1]
        floor = min(eps, LARGEST_FLOOR)
        enough = expected >= np.minimum((1.0 - eps) * best, best - floor)[:, None]
        planned = forecast.votes[np.argmax(enough, axis=1)]
        hopeless = best <= floor
        larger = ~hopeless & (run.votes[rows] < PILOT_SHARE * planned)
        ready = ~hopeless & ~larger
        state.selected[rows[ready]] = leader[ready]
        state.pilot[rows[ready]] = successes[ready]
        state.planned[rows[ready]] = planned[ready]
        state.piloting[rows[~larger]] = False
        return np.asarray(np.where(larger, (PILOT_GROWTH - 1) * run.votes[rows], state.planned[rows]))

    def conclude(self, run: Run, image: int) -> Decision:
        """Return the certificate from the fresh votes."""
        state: _Stage = run.state
        selected, fresh = int(state.selected[image]), int(state.planned[image])
        if fresh == 0:
            return run.certify(image, ABSTAIN, "gave up", 1.0)
        successes = int(run.counts[image, selected] - state.pilot[image])
        q_upper = upper_failure_probability(successes, fresh, run.confidence)
        return run.certify(image, selected, "all votes" if fresh == self.n_max else "precise", q_upper)


@dataclass(frozen=True)
class Forecast:
    """What n votes are expected to certify, in units of beta.

    Attributes:
        p, q: success and failure probability of each atom of the prior.
        votes: numbers of votes considered, increasing to the cap.
        radius: expected certified radius for each atom and number of votes.
    """

    p: Float[np.ndarray, " atoms"]
    q: Float[np.ndarray, " atoms"]
    votes: Int[np.ndarray, " sizes"]
    radius: Float[np.ndarray, "atoms sizes"]


@dataclass
class _Stage:
    """Where each image stands.

    Attributes:
        forecast: what votes are expected to certify under the noise.
        piloting: whether the pilot goes on.
        selected: the class that the pilot selected; ``ABSTAIN`` before.
        pilot: its votes in the pilot, which never enter the bound.
        planned: fresh votes; 0 before, and where the pilot gave up.
    """

    forecast: Forecast
    piloting: Bool[np.ndarray, " images"]
    selected: Int[np.ndarray, " images"]
    pilot: Int[np.ndarray, " images"]
    planned: Int[np.ndarray, " images"]


@lru_cache(maxsize=32)
def forecast(n_max: int, confidence: float, noise: Noise) -> Forecast:
    """Return what up to ``n_max`` votes are expected to certify under ``noise``, of beta 1."""
    # A flat prior of z = Phi^-1(p); the certificate does not depend on it.
    z = np.linspace(-1.2, 5.0, 249)
    p, q = special.ndtr(z), special.ndtr(-z)
    votes = np.unique(np.append(np.geomspace(8, n_max, 200).astype(np.int64), n_max))
    successes = np.outer(p, votes)
    q_upper = special.betainccinv(votes - successes + 1.0, successes, 1.0 - confidence)
    return Forecast(p, q, votes, np.vectorize(noise.radius)(q_upper))
