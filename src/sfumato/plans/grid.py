"""The run behind ``decide`` and ``curve``: one exact sequential test per radius, on the same votes.

For each radius r of an increasing grid the class probability is tested against p0 = Phi(r / beta) by
``planner``'s boundaries b_j: a class passes radius r once its count at some look j is at least b_j. A
class is certified at the largest radius below which it has passed without a gap, and the class
certified furthest is returned. No votes are set apart to select the class.

**Theorem.** With each radius tested at level (1 - confidence) * p0(r), and p0 >= 1/2 (every r >= 0), the
probability that any class is certified at any radius of the grid where it is not entitled to it
(p_c < p0(r)) is at most 1 - confidence, for any number of classes and radii, whatever rule stops the
voting.

*Proof.* For class c let r* be the smallest radius of the grid with p0(r*) > p_c. To be certified at any
radius it is not entitled to, c must have passed r*, since there is no gap. By the free-selection lemma
(``statistics.sequential``), whose condition the boundaries meet, that has probability at most
g(p_c) <= p_c g(p0) / p0 <= p_c (1 - confidence). Sum over the classes: sum_c p_c <= 1. Stopping earlier
only removes chances to pass.

With the label known, only that class is tested, it is fixed before the votes, and each radius has the
full level 1 - confidence: the first false radius bounds all others, again as there is no gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy import special

from sfumato.errors import SettingError, require_open_unit, require_positive
from sfumato.plans.base import (
    ABSTAIN,
    Decision,
    checked_counts,
    checked_problem,
    require_finished,
)
from sfumato.statistics.binomial import one_minus_rounded_down, unanimous_trials
from sfumato.statistics.cache import cached_boundaries
from sfumato.statistics.sequential import look_schedule

N_MAX = 100_000
CHUNK = 32
# Loses about 0.05 points of certified accuracy against 100,000 votes (benchmarks/statistics_passes.py).
COST = 5e5
# The boundaries keep a billionth of the level in reserve against rounding.
RESERVE = 1.0 - 2e-9


@dataclass(frozen=True)
class GridTest:
    """The tests of a grid of radii, ready for use: integer boundaries only.

    Attributes:
        name: the plan's name.
        confidence: of each image's decision.
        radii: the grid, increasing, in the unit of beta.
        q0: 1 - p0 of each radius.
        reachable: how many leading radii the cap can certify at all.
        looks: numbers of votes at which the tests look.
        certify: boundary of look j and radius i.
        give_up: at most this count gives radius i up at look j.
    """

    name: str
    confidence: float
    radii: tuple[float, ...]
    q0: tuple[float, ...]
    reachable: int
    looks: Int[np.ndarray, " looks"]
    certify: Int[np.ndarray, "looks reachable"]
    give_up: Int[np.ndarray, "looks reachable"]


def plan_grid(
    name: str,
    radii: tuple[float, ...],
    *,
    n_max: int,
    chunk: int,
    cost: float,
    beta: float,
    confidence: float,
    label_known: bool,
) -> GridTest:
    """Return the tests of ``radii`` at noise ``beta``, from the cache where they are known.

    Radii that not even ``n_max`` agreeing votes can certify are left out of the tests.

    Raises:
        SettingError: no radius can be certified with ``n_max`` votes; says how many it takes.
    """
    require_positive("beta", beta)
    require_open_unit("confidence", confidence)
    looks = look_schedule(n_max, chunk)
    q0 = tuple(float(special.ndtr(-r / beta)) for r in radii)
    levels = [(1.0 - confidence) * (1.0 if label_known else 1.0 - q) for q in q0]
    reachable = 0
    for q, level in zip(q0, levels, strict=True):
        if q == 0.0 or unanimous_trials(q, level * RESERVE) > n_max:
            break
        reachable += 1
    if reachable == 0:
        enough = f"at least {unanimous_trials(q0[0], levels[0] * RESERVE)}" if q0[0] else "infinitely many"
        raise SettingError(
            f"{name} needs {enough} votes to certify radius {radii[0]:g} "
            f"at beta {beta:g} and confidence {confidence}, but n_max is {n_max}"
        )
    tests = [
        cached_boundaries(q, level, looks, cost)
        for q, level in zip(q0[:reachable], levels[:reachable], strict=True)
    ]
    return GridTest(
        name,
        confidence,
        radii,
        q0,
        reachable,
        np.array(looks, dtype=np.int64),
        np.array([test.certify for test in tests], dtype=np.int64).T,
        np.array([test.give_up for test in tests], dtype=np.int64).T,
    )


class GridRun:
    """The state of a ``GridTest`` over a number of images."""

    def __init__(
        self, test: GridTest, images: int, classes: int, labels: Int[np.ndarray, " images"] | None
    ) -> None:
        checked_problem(images, classes, labels)
        self._test = test
        self._classes = classes
        self._labels = None if labels is None else np.asarray(labels, dtype=np.int64)
        self._look = 0
        self._counts = np.zeros((images, classes), dtype=np.int64)
        self._votes = np.zeros(images, dtype=np.int64)
        self._active = np.ones(images, dtype=bool)
        # Number of leading radii not given up; of leading radii certified for the best class; that class.
        self._open = np.full(images, test.reachable, dtype=np.int64)
        self._certified = np.zeros(images, dtype=np.int64)
        self._class = np.full(images, ABSTAIN, dtype=np.int64)
        # Radii each class has passed so far; only rows of images that passed something are kept.
        self._passed: dict[tuple[int, int], Bool[np.ndarray, " reachable"]] = {}

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return the votes to the next scheduled look, 0 for finished images."""
        if not self._active.any():
            return np.zeros(self._active.size, dtype=np.int64)
        looks = self._test.looks
        wanted = int(looks[self._look]) - (int(looks[self._look - 1]) if self._look else 0)
        return np.where(self._active, wanted, 0)

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Add the votes and compare with the integer boundaries of this look."""
        demanded = self.demand()
        counts = checked_counts(counts, demanded, self._classes)
        self._counts += counts
        self._votes += demanded
        rows = np.flatnonzero(self._active)
        tested = np.argmax(self._counts[rows], axis=1) if self._labels is None else self._labels[rows]
        score = self._counts[rows, tested]
        self._pass(rows, tested, score)
        # A radius is given up when even the leading class has too few votes, and with it all above.
        hopeless = score[:, None] <= self._test.give_up[self._look]
        first = np.where(hopeless.any(axis=1), np.argmax(hopeless, axis=1), self._test.reachable)
        self._open[rows] = np.minimum(self._open[rows], first)
        self._look += 1
        if self._look == self._test.looks.size:
            self._active[rows] = False
        else:
            self._active[rows] = self._certified[rows] < self._open[rows]

    def _pass(
        self,
        rows: Int[np.ndarray, " rows"],
        tested: Int[np.ndarray, " rows"],
        score: Int[np.ndarray, " rows"],
    ) -> None:
        """Note the radii passed at this look.

        Boundaries exceed half of the votes, so only the leading class can pass anything. Only images
        where something new passes are visited one by one: at most once per radius, not per look.
        """
        boundaries = self._test.certify[self._look]
        passes = score[:, None] >= boundaries
        news = passes & (np.arange(self._test.reachable) >= self._certified[rows][:, None])
        other = (tested != self._class[rows]) & passes.any(axis=1)
        for i in np.flatnonzero(news.any(axis=1) | other):
            image, candidate = int(rows[i]), int(tested[i])
            passed = self._passed.setdefault((image, candidate), np.zeros(self._test.reachable, dtype=bool))
            passed |= passes[i]
            without_gap = int(np.argmin(passed)) if not passed.all() else passed.size
            if without_gap > self._certified[image]:
                self._certified[image], self._class[image] = without_gap, candidate

    def decisions(self) -> list[Decision]:
        """Return the largest certified radius of the grid for each image."""
        require_finished(self.demand())
        return [self._decision(i) for i in range(self._active.size)]

    def _decision(self, image: int) -> Decision:
        test = self._test
        certified = int(self._certified[image])
        q_upper = test.q0[certified - 1] if certified else 1.0
        if certified == test.reachable:
            stopped_by = "certified"
        elif certified >= self._open[image]:
            stopped_by = "gave up"
        else:
            stopped_by = "all votes"
        return Decision(
            prediction=int(self._class[image]) if certified else ABSTAIN,
            radius=test.radii[certified - 1] if certified else 0.0,
            votes=int(self._votes[image]),
            p_lower=one_minus_rounded_down(q_upper),
            p_upper=q_upper,
            stopped_by=stopped_by,
            confidence=test.confidence,
            plan=test.name,
        )
