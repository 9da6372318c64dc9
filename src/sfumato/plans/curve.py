"""The largest radius of a grid that is certified, one pass over the votes for the whole grid.

For each radius r of an increasing grid the class probability is tested against p0(r), below which the
noise does not certify r (p0 = Phi(r / beta) for Gaussian noise; ``Noise.failure_at``), by ``planner``'s
boundaries b_j: a class passes radius r once its count at some look j is at least b_j. A
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

**Theorem (nearly the full level).** The same holds with each radius tested at level (1 - confidence) *
max(p0, 1 - d), d = ``RIVALS`` = 0.001, if the test of the smallest radius r_1 leaves its rivals little
(``leaves_rivals_little``). For 100,000 votes it does from r_1 = 0.05 beta on under Gaussian noise.

*Proof.* Let e = 1 - confidence, g_i be the crossing probability of the test of r_i, p_i its threshold, and
q_1 = 1 - p_1; g_1(q_1) <= d e. If q_1 < d, all levels are e p0 as above. Else r_1 has the level (1 - d) e.
Let A be the class with the largest probability p. If p < p_1, each class must pass r_1, and the sum is at
most e by ``leaves_rivals_little``. If p >= p_1, all others sum to at most 1 - p <= q_1 and must pass r_1; as
g_1 is convex with g_1(0) = 0, they add at most g_1(1 - p) <= (1 - p) g_1(q_1) / q_1. A must pass its
smallest false radius r_i. At level (1 - d) e the sum is at most (1 - d) e + g_1(q_1) <= e. At level e p_i it
is at most e p + (1 - p) d e / q_1 <= e, by the free-selection lemma and d <= q_1.

With the label known, only that class is tested, it is fixed before the votes, and each radius has the
full level 1 - confidence: the first false radius bounds all others, again as there is no gap.
Prefer ``curve`` to ``decide`` for a whole certified-accuracy curve.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Int

from sfumato.errors import SettingError, require_nonnegative, require_positive
from sfumato.plans.base import ABSTAIN, Decision, Plan, Run
from sfumato.statistics.binomial import unanimous_trials
from sfumato.statistics.cache import cached_boundaries
from sfumato.statistics.sequential import MOST_VOTES, RESERVE, RIVALS, leaves_rivals_little, look_schedule

if TYPE_CHECKING:
    from sfumato.noise import Noise

N_MAX = 100_000
CHUNK = 32
# Loses about 0.05 points of certified accuracy against 100,000 votes (benchmarks/statistics_passes.py).
COST = 5e5
_MANY = 10**12


class GridPlan(Plan):
    """What ``Curve`` and ``Decide`` share: the tests of ``asked_radii``, an increasing grid."""

    n_max: int
    chunk: int
    cost: float
    states: ClassVar[Literal["radius"]] = "radius"

    def __post_init__(self) -> None:
        """Refuse settings no test can be made of."""
        look_schedule(self.n_max, self.chunk)
        require_positive("cost", self.cost)

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.chunk

    @property
    def most_votes(self) -> int:
        """The cap of the votes."""
        return self.n_max

    def tests(self, noise: Noise, confidence: float, *, label_known: bool) -> GridTest:
        """Return the tests of the grid under ``noise``, from the cache where they are known.

        Radii that not even ``n_max`` agreeing votes can certify are left out of the tests.

        Raises:
            SettingError: no radius can be certified with ``n_max`` votes; says how many it takes.
        """
        looks = look_schedule(self.n_max, self.chunk)
        q0 = tuple(noise.failure_at(radius) for radius in self.asked_radii)
        levels = [1.0 - confidence] * len(q0) if label_known else self._levels(q0, 1.0 - confidence, looks)
        reachable = 0
        for q, level in zip(q0, levels, strict=True):
            if q == 0.0 or unanimous_trials(q, level * RESERVE) > self.n_max:
                break
            reachable += 1
        if reachable == 0:
            enough = _told(self._enough(q0, levels[0], 1.0 - confidence)) if q0[0] else "infinitely many"
            raise SettingError(
                f"{self.name} needs {enough} votes to certify radius {self.asked_radii[0]:g} at beta "
                f"{noise.standard_deviation:g} ({noise.name}, {noise.norm}) and confidence {confidence}, "
                f"but n_max is {self.n_max}"
            )
        tests = [
            cached_boundaries(q, level, looks, self.cost)
            for q, level in zip(q0[:reachable], levels[:reachable], strict=True)
        ]
        return GridTest(
            self.asked_radii,
            q0,
            reachable,
            np.array(looks, dtype=np.int64),
            np.array([test.certify for test in tests], dtype=np.int64).T,
            np.array([test.give_up for test in tests], dtype=np.int64).T,
        )

    def _levels(self, q0: tuple[float, ...], error: float, looks: tuple[int, ...]) -> list[float]:
        """Return the level of each radius where the votes that test the class choose it, by the theorems."""
        levels = [error * (1.0 - q) for q in q0]
        full = error * (1.0 - RIVALS)
        if levels[0] < full and unanimous_trials(q0[0], full * RESERVE) <= looks[-1]:
            first = cached_boundaries(q0[0], full, looks, self.cost)
            if leaves_rivals_little(first):
                return [max(level, full) for level in levels]
        return levels

    def _enough(self, q0: tuple[float, ...], level: float, error: float) -> int:
        """Return how many votes certify the smallest radius, which has this level with too few of them."""
        fewer = unanimous_trials(q0[0], max(level, error * (1.0 - RIVALS)) * RESERVE)
        if level == error or fewer > MOST_VOTES:  # no plan takes so many, whatever its level
            return fewer
        if self._levels(q0, error, look_schedule(fewer, self.chunk))[0] > level:
            return fewer
        return unanimous_trials(q0[0], level * RESERVE)

    def prepare(self, run: Run) -> _Progress:
        """Return the tests, and that nothing is certified or given up yet."""
        test = self.tests(run.noise, run.confidence, label_known=run.labels is not None)
        return _Progress(
            test,
            active=np.ones(run.images, dtype=bool),
            open=np.full(run.images, test.reachable, dtype=np.int64),
            certified=np.zeros(run.images, dtype=np.int64),
            answer=np.full(run.images, ABSTAIN, dtype=np.int64),
        )

    def next(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return the votes to the next scheduled look, 0 for finished images."""
        progress, looks = run.state, run.state.test.looks
        if run.rounds:
            progress.look(run)
        if run.rounds == looks.size:
            return np.zeros(run.images, dtype=np.int64)
        wanted = int(looks[run.rounds]) - (int(looks[run.rounds - 1]) if run.rounds else 0)
        return np.where(progress.active, wanted, 0)

    def conclude(self, run: Run, image: int) -> Decision:
        """Return the largest certified radius of the grid."""
        progress, test = run.state, run.state.test
        certified = int(progress.certified[image])
        if certified == test.reachable:
            stopped_by = "certified"
        else:
            stopped_by = "gave up" if certified >= progress.open[image] else "all votes"
        return run.decide(
            image,
            int(progress.answer[image]),
            stopped_by,
            radius=test.radii[certified - 1] if certified else 0.0,
            q_upper=test.q0[certified - 1] if certified else 1.0,
        )


@dataclass(frozen=True)
class Curve(GridPlan):
    """The largest certified radius of an increasing grid.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, the
    smoothed classifier returns it everywhere within the returned radius, hence within all smaller
    radii of the grid: the whole curve holds at once. Radii that ``n_max`` agreeing votes cannot
    certify at the given noise are never certified. Labels and the other settings: as ``Decide``.

    >>> from sfumato.noise import Gaussian
    >>> run = Curve((0.25, 0.5)).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    >>> while run.demand().any():
    ...     run.update(run.demand()[:, None] * np.array([[1, 0]]))
    >>> run.decisions()[0].radius, run.decisions()[0].votes
    (0.5, 64)

    Raises:
        SettingError: a grid that is empty, negative or not increasing, and as ``Decide``.
    """

    radii: tuple[float, ...]
    n_max: int = N_MAX
    chunk: int = CHUNK
    cost: float = COST
    method: ClassVar[str] = "curve"
    question: ClassVar[tuple[str, ...]] = ("radii",)
    usage: ClassVar[str] = "curve(r1,r2,...)"

    def __post_init__(self) -> None:
        """Refuse settings no test can be made of."""
        object.__setattr__(self, "radii", tuple(self.radii))
        if not self.radii:
            raise SettingError("radii must name at least one radius, got none")
        for radius in self.radii:
            require_nonnegative("each radius", radius)
        if any(low >= high for low, high in zip(self.radii, self.radii[1:], strict=False)):
            given = ", ".join(f"{radius:g}" for radius in self.radii)
            raise SettingError(f"radii must be strictly increasing, got {given}")
        super().__post_init__()

    @property
    def asked_radii(self) -> tuple[float, ...]:
        """The grid."""
        return self.radii


@dataclass(frozen=True)
class GridTest:
    """The tests of a grid of radii, ready for use: integer boundaries only.

    Attributes:
        radii: the grid, increasing, in the unit of the input.
        q0: 1 - p0 of each radius.
        reachable: how many leading radii the cap can certify at all.
        looks: numbers of votes at which the tests look.
        certify: boundary of look j and radius i.
        give_up: at most this count gives radius i up at look j.
    """

    radii: tuple[float, ...]
    q0: tuple[float, ...]
    reachable: int
    looks: Int[np.ndarray, " looks"]
    certify: Int[np.ndarray, "looks reachable"]
    give_up: Int[np.ndarray, "looks reachable"]


@dataclass
class _Progress:
    """How far each image has come.

    Attributes:
        test: the tests.
        active: images whose voting goes on.
        open: number of leading radii not given up.
        certified: number of leading radii certified for the best class.
        answer: that class.
        passed: radii each class has passed so far; only of images and classes that passed something.
    """

    test: GridTest
    active: Bool[np.ndarray, " images"]
    open: Int[np.ndarray, " images"]
    certified: Int[np.ndarray, " images"]
    answer: Int[np.ndarray, " images"]
    passed: dict[tuple[int, int], Bool[np.ndarray, " reachable"]] = field(default_factory=dict)

    def look(self, run: Run) -> None:
        """Compare the counts with the integer boundaries of this look."""
        rows, test = np.flatnonzero(self.active), self.test
        tested = np.argmax(run.counts[rows], axis=1) if run.labels is None else run.labels[rows]
        score = run.counts[rows, tested]
        self._pass(rows, tested, score[:, None] >= test.certify[run.rounds - 1])
        # A radius is given up when even the leading class has too few votes, and with it all above.
        hopeless = score[:, None] <= test.give_up[run.rounds - 1]
        first = np.where(hopeless.any(axis=1), np.argmax(hopeless, axis=1), test.reachable)
        self.open[rows] = np.minimum(self.open[rows], first)
        self.active[rows] = self.certified[rows] < self.open[rows]

    def _pass(
        self,
        rows: Int[np.ndarray, " rows"],
        tested: Int[np.ndarray, " rows"],
        passes: Bool[np.ndarray, "rows reachable"],
    ) -> None:
        """Note the radii passed at this look.

        Boundaries exceed half of the votes, so only the leading class can pass anything. Only images
        where something new passes are visited one by one: at most once per radius, not per look.
        """
        news = passes & (np.arange(self.test.reachable) >= self.certified[rows][:, None])
        other = (tested != self.answer[rows]) & passes.any(axis=1)
        for i in np.flatnonzero(news.any(axis=1) | other):
            image, candidate = int(rows[i]), int(tested[i])
            passed = self.passed.setdefault((image, candidate), np.zeros(self.test.reachable, dtype=bool))
            passed |= passes[i]
            without_gap = int(np.argmin(passed)) if not passed.all() else passed.size
            if without_gap > self.certified[image]:
                self.certified[image], self.answer[image] = without_gap, candidate


def _told(votes: int) -> str:
    """Return a number of votes, rounded where nobody will ever draw so many.

    >>> _told(1200), _told(2259 * 10**135)
    ('at least 1200', 'about 2e+138')
    """
    return f"at least {votes}" if votes < _MANY else f"about {Decimal(votes):.0e}"
