"""Conformal prediction sets from votes, robust to any perturbation whose effect on a probability is bounded.

The score of a label is how many of m noisy copies the network gives this label: K ~ Binomial(m, p), with p
its probability under the noise. Within the radius p falls to no less than c(p), which the noise says
(Neyman & Pearson 1933; Cohen et al. 2019 for Gaussian noise). A label is in the set of a test input where its
count is at least t.

**Theorem.** Let F_k(p) = P(Binomial(m, p) >= k), and let alpha, alpha' and a slope s >= 0 be fixed before
any vote. Let k be the floor(alpha' (n + 1))-th smallest count of the true label over n calibration inputs,
and t such that, for all p in [0, 1],

    F_t(c(p)) >= 1 - alpha + s (F_k(p) - (1 - alpha')).                                             (1)

If calibration and test inputs are exchangeable, and then somebody moves the test input within the radius who
does not know its votes, then the set holds the true label with probability at least 1 - alpha.

*Proof.* Let K be the count that the test input would have unmoved. It is exchangeable with the n others, so
P(K >= k) >= 1 - alpha'. Given the calibration and the test input, K >= k has probability F_k(p), and the
count of the moved input is at least t with probability at least F_t(c(p)), as F_t increases. Take
expectations of (1): its right side becomes 1 - alpha + s (P(K >= k) - (1 - alpha')) >= 1 - alpha.

The error of the votes is inside (1): no bound is taken of each calibration input, and nothing is split
between n + 1 inputs. One vote and the line (1) that touches c are RCP1 (Zargarbashi et al. 2025,
arXiv 2506.16553); many votes with Clopper-Pearson bounds for each input are BinCP (Zargarbashi & Bojchevski
2025, arXiv 2503.05239). The probability is over calibration, test input and noise together: not for each
image or class.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from sfumato.errors import SettingError, require_count, require_open_unit

# (1) is checked in cells of z = Phi^-1(p): its left side at a cell's left end, its right side at the right
# end. Where that is not enough the cell is halved, this often at most.
_GRID = np.concatenate([[-np.inf], np.linspace(-9.0, 9.0, 3001), [np.inf]])
_HALVINGS = 14
_MOST_CELLS = 20_000
_SLACK = 1e-6  # of alpha' and s, for rounding and for the last cells
_SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)  # of alpha, candidates for alpha'
_SLOPES = 5
_PRIOR = special.ndtr(
    np.linspace(-1.2, 5.0, 249)
)  # p of the flat prior of z that ``plans.precision`` has, too

Worst = Callable[[Float[np.ndarray, " *many"]], Float[np.ndarray, " *many"]]
"""From probabilities q = 1 - p to the largest ones within the radius: 1 - c(1 - q)."""


@dataclass(frozen=True)
class ConformalPlan:
    """What is fixed before any vote is seen: the error of the calibration, and the slope of the line (1).

    Attributes:
        votes: m, noisy copies of each input.
        coverage: 1 - alpha.
        error: alpha', at most alpha.
        slope: s.
    """

    votes: int
    coverage: float
    error: float
    slope: float

    def calibration_count(self, counts: Int[np.ndarray, " inputs"]) -> int:
        """Return k: the floor(alpha' (n + 1))-th smallest count, 0 where there are too few inputs for one.

        Raises:
            SettingError: counts that are none of ``votes`` votes.
        """
        given = np.asarray(counts)
        whole = np.issubdtype(given.dtype, np.integer)
        if given.size and not (whole and 0 <= given.min() <= given.max() <= self.votes):
            raise SettingError(f"counts must be whole numbers in 0..{self.votes}, the votes of each input")
        rank = math.floor(self.error * (given.size + 1) * (1.0 + 1e-12))
        return int(np.sort(given)[rank - 1]) if rank else 0

    def threshold(self, k: int, worst: Worst) -> int:
        """Return the largest t that (1) allows for the calibration's k; 0 is the set of all labels."""
        if (
            _changes_nothing(worst)
            and self.slope == 1.0
            and self.error <= (1.0 - self.coverage) * (1.0 + 1e-12)
        ):
            return k  # then (1) holds with equality
        low, high = 0, k  # t = 0 is always allowed, and one above k never helps
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._allowed(middle, k, worst) else (low, middle - 1)
        return low

    def _allowed(self, t: int, k: int, worst: Worst) -> bool:
        """Return whether (1) is shown to hold for all p."""
        left, right = _GRID[:-1], _GRID[1:]
        for _ in range(_HALVINGS):
            at_left = _at_least(t, self.votes, _moved(worst, left))
            if (at_left < self._line(k, left)).any():
                return False
            open_ = at_left < self._line(k, right)
            if not open_.any():
                return True
            if open_.sum() > _MOST_CELLS:
                return False
            left, right = left[open_], right[open_]
            middle = (np.maximum(left, -40.0) + np.minimum(right, 40.0)) / 2.0
            left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
        return False

    def _line(self, k: int, z: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Return the right side of (1)."""
        chance = _at_least(k, self.votes, special.ndtr(-z))
        return np.asarray(self.coverage + self.slope * (chance - (1.0 - self.error)))


def _moved(worst: Worst, z: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Return 1 - c(p)."""
    q = special.ndtr(-z)
    return np.minimum(1.0, np.maximum(q, np.asarray(worst(q), dtype=np.float64)))


def _changes_nothing(worst: Worst) -> bool:
    q = special.ndtr(-_GRID)
    return bool((_moved(worst, _GRID) == q).all())


def _at_least(k: int, votes: int, q: Float[np.ndarray, " *many"]) -> Float[np.ndarray, " *many"]:
    """Return P(Binomial(votes, 1 - q) >= k): at most votes - k failures."""
    if k == 0:
        return np.ones_like(q)
    return np.asarray(special.bdtr(votes - k, votes, q), dtype=np.float64)


def plan_conformal(votes: int, coverage: float, worst: Worst) -> ConformalPlan:
    """Return the plan whose sets are expected to be smallest, chosen without any data.

    Candidates are compared by the threshold that they reach where z = Phi^-1(p) of the true label is flat
    between -1.2 and 5. The theorem holds for each of them.

    >>> plan = plan_conformal(100, 0.9, lambda q: q)  # without a perturbation nothing is lost
    >>> round(plan.error, 6), plan.slope, plan.threshold(37, lambda q: q)
    (0.1, 1.0, 37)

    Raises:
        SettingError: no votes, a coverage outside (0, 1).
    """
    require_count("votes", votes)
    alpha = 1.0 - require_open_unit("coverage", coverage)
    best: tuple[float, ConformalPlan] | None = None
    for plan in _candidates(votes, alpha, worst):
        reached = plan.threshold(_usual_count(plan), worst)
        if best is None or reached > best[0]:
            best = reached, plan
    assert best is not None
    return best[1]


def _usual_count(plan: ConformalPlan) -> int:
    """Return the largest k that a count of the prior reaches with probability 1 - alpha'."""
    return bisect_left(
        range(1, plan.votes + 1),
        True,
        key=lambda k: bool(_at_least(k, plan.votes, 1.0 - _PRIOR).mean() < 1.0 - plan.error),
    )


def _candidates(votes: int, alpha: float, worst: Worst) -> list[ConformalPlan]:
    """Return lines (1) that hold at p = 0 and p = 1, first the one that touches c where c is 1 - alpha.

    With one vote that line is the best there is (RCP1), as c is convex.
    """
    if _changes_nothing(worst):
        return [ConformalPlan(votes, 1.0 - alpha, alpha, 1.0)]
    z = np.linspace(-9.0, 9.0, 180_001)
    q, moved = special.ndtr(-z), _moved(worst, z)
    place = int(np.searchsorted(-moved, -alpha))  # the first p with c(p) >= 1 - alpha
    found = []
    errors = [share * alpha for share in reversed(_SHARES)]
    if 0 < place < q.size - 1:
        slope = float((moved[place - 1] - moved[place + 1]) / (q[place - 1] - q[place + 1]))
        error = float(q[place]) * (1.0 - 1e-3)
        found.append(ConformalPlan(votes, 1.0 - alpha, error, slope))
        errors.append(error)
    for error in errors:
        error *= 1.0 - _SLACK
        least, most = (1.0 - alpha) / (1.0 - error), alpha / error * (1.0 - _SLACK / 2.0)
        slopes = [1.0, *np.geomspace(least * (1.0 + _SLACK / 2.0), most, _SLOPES)] if most > 1.0 else [1.0]
        found += [ConformalPlan(votes, 1.0 - alpha, error, float(slope)) for slope in slopes]
    return found
