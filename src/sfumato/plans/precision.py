"""Votes until the certified radius is about what the cap would give, then no more.

A pilot selects the class and plans the number n of fresh votes; their plain Clopper-Pearson bound is
the certificate. The pilot is never pooled into the bound: class and n are functions of the pilot alone,
so given the pilot the bound has its exact level, for any number of classes. Prefer it to ``curve`` when
radii themselves are wanted (average certified radius) rather than a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from sfumato.errors import SettingError, require_count, require_open_unit, require_positive
from sfumato.plans.base import (
    ABSTAIN,
    Decision,
    checked_counts,
    checked_problem,
    require_finished,
)
from sfumato.plans.fixed import require_reachable
from sfumato.plans.names import plan_name
from sfumato.statistics.binomial import (
    gaussian_radius,
    one_minus_rounded_down,
    upper_failure_probability,
)

# A pilot below this share of the votes it plans is enlarged, by this factor.
PILOT_SHARE = 0.03
PILOT_GROWTH = 4
# Radii that differ by less than this (in the unit of beta) are not worth votes, whatever eps says.
LARGEST_FLOOR = 0.05


@dataclass(frozen=True)
class Precision:
    """A certified radius within about a share ``eps`` of what ``n_max`` votes would certify.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, the
    smoothed classifier returns it everywhere within the returned radius. The precision is planned from
    the pilot, not guaranteed: on average over the pilot's posterior the radius loses at most ``eps`` of
    what ``n_max`` votes would give, or min(eps, 0.05) beta where that is more. Images whose radius
    would be below that are abstained on after the pilot.

    >>> run = Precision(0.05).start(1, 2, beta=0.5, confidence=0.999)
    >>> run.update(np.array([[120, 8]])); run.demand()
    array([4174])

    Raises:
        SettingError: eps outside (0, 1), a pilot or cap below 1, a cap below the pilot.
    """

    eps: float
    n_max: int = 100_000
    pilot: int = 128

    def __post_init__(self) -> None:
        """Refuse settings no votes can be planned with."""
        require_open_unit("eps", self.eps)
        require_count("pilot", self.pilot)
        require_count("n_max", self.n_max)
        if self.n_max < self.pilot:
            raise SettingError(f"n_max must be at least the pilot of {self.pilot} votes, got {self.n_max}")

    @property
    def name(self) -> str:
        """The plan as written on the command line."""
        return plan_name("precision", self, [self.eps])

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.pilot

    def start(
        self,
        images: int,
        classes: int,
        *,
        beta: float,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> PrecisionRun:
        """Return the state before the first vote; see ``Plan.start``. Labels are not used."""
        require_positive("beta", beta)
        require_open_unit("confidence", confidence)
        checked_problem(images, classes, labels)
        require_reachable(self.n_max, confidence)
        return PrecisionRun(self, images, classes, beta, confidence)


@dataclass(frozen=True)
class _Forecast:
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


@lru_cache(maxsize=32)
def _forecast(n_max: int, confidence: float) -> _Forecast:
    # A flat prior of z = Phi^-1(p); the certificate does not depend on it.
    z = np.linspace(-1.2, 5.0, 249)
    p, q = special.ndtr(z), special.ndtr(-z)
    votes = np.unique(np.append(np.geomspace(8, n_max, 200).astype(np.int64), n_max))
    successes = np.outer(p, votes)
    q_upper = special.betainccinv(votes - successes + 1.0, successes, 1.0 - confidence)
    return _Forecast(p, q, votes, np.maximum(0.0, -special.ndtri(q_upper)))


class PrecisionRun:
    """Pilot, planning and fresh votes of ``Precision`` for a number of images."""

    def __init__(self, plan: Precision, images: int, classes: int, beta: float, confidence: float) -> None:
        self._plan = plan
        self._beta = beta
        self._confidence = confidence
        self._forecast = _forecast(plan.n_max, confidence)
        self._pilot = np.zeros((images, classes), dtype=np.int64)
        self._wanted = np.full(images, plan.pilot, dtype=np.int64)
        self._votes = np.zeros(images, dtype=np.int64)
        self._piloting = np.ones(images, dtype=bool)
        self._fresh = np.zeros(images, dtype=np.int64)
        self._class = np.full(images, ABSTAIN, dtype=np.int64)
        self._successes = np.zeros(images, dtype=np.int64)

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return the votes of the pilot, of its enlargement, or the planned fresh votes; then 0."""
        return self._wanted.copy()

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Plan from pilot votes; count the selected class among fresh votes."""
        counts = checked_counts(counts, self._wanted, self._pilot.shape[1])
        self._votes += self._wanted
        estimating = np.flatnonzero(~self._piloting & (self._wanted > 0))
        self._successes[estimating] = counts[estimating, self._class[estimating]]
        self._wanted[estimating] = 0
        piloting = np.flatnonzero(self._piloting)
        self._pilot[piloting] += counts[piloting]
        if piloting.size:
            self._plan_votes(piloting)

    def _plan_votes(self, rows: Int[np.ndarray, " rows"]) -> None:
        """Decide, from the pilot alone, on more pilot votes, on fresh votes, or to abstain."""
        forecast, eps = self._forecast, self._plan.eps
        leader = np.argmax(self._pilot[rows], axis=1)
        successes = self._pilot[rows, leader]
        failures = self._votes[rows] - successes
        log_weight = np.outer(successes, np.log(forecast.p)) + np.outer(failures, np.log(forecast.q))
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        expected = (weight @ forecast.radius) / weight.sum(axis=1, keepdims=True)
        best = expected[:, -1]
        floor = min(eps, LARGEST_FLOOR)
        enough = expected >= np.minimum((1.0 - eps) * best, best - floor)[:, None]
        planned = forecast.votes[np.argmax(enough, axis=1)]
        hopeless = best <= floor
        larger = ~hopeless & (self._votes[rows] < PILOT_SHARE * planned)
        ready = ~hopeless & ~larger
        self._wanted[rows] = np.where(larger, (PILOT_GROWTH - 1) * self._votes[rows], 0)
        self._wanted[rows[ready]] = self._fresh[rows[ready]] = planned[ready]
        self._class[rows[ready]] = leader[ready]
        self._piloting[rows[~larger]] = False

    def decisions(self) -> list[Decision]:
        """Return the certificate from the fresh votes for each image."""
        require_finished(self._wanted)
        return [self._decision(i) for i in range(self._votes.size)]

    def _decision(self, image: int) -> Decision:
        fresh = int(self._fresh[image])
        if fresh == 0:
            q_upper, stopped_by = 1.0, "gave up"
        else:
            q_upper = upper_failure_probability(int(self._successes[image]), fresh, self._confidence)
            stopped_by = "all votes" if fresh == self._plan.n_max else "precise"
        certified = q_upper < 0.5
        return Decision(
            prediction=int(self._class[image]) if certified else ABSTAIN,
            radius=gaussian_radius(q_upper, self._beta) if certified else 0.0,
            votes=int(self._votes[image]),
            p_lower=one_minus_rounded_down(q_upper),
            p_upper=q_upper,
            stopped_by=stopped_by,
            confidence=self._confidence,
            plan=self._plan.name,
        )
