"""Whether a class is among the k most probable ones everywhere within a radius.

Source: Jia et al. 2020, Certified Robustness for Top-k Predictions against Adversarial Perturbations via
Randomized Smoothing, Theorem 1. Let p bound the probability of the class from below, and b_1 >= b_2 >= ...
those of the others from above. Where the class is not among the first k, some k others have at least its
probability. The t least probable of these had together at most P_t = b_{k-t+1} + ... + b_k before the move.
Within radius r a probability q rises to at most w(q, r) (``Noise.worst_failure``), and the class falls to no
less than 1 - w(1 - p, r). So the class stays where, for some t in 1 ... k,

    t (1 - w(1 - p, r)) > w(P_t, r).

For k = 1 this is Cohen et al. 2019, Theorem 1. The others share at most q = 1 - p, so P_t <= q t / k in any
case.

**The bounds.** The selection votes choose between two forms, each of the exact level by itself. One bound: p
alone, with P_t = q t / k. All bounds: p at half of the error, and k others at half of it, each at 1 / (2 k):
if the bounds of the k others that are truly largest hold, then the sorted bounds of all others lie above the
sorted probabilities, up to place k. So there is no correction for the number of classes (Jia et al. divide
the error by it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int

from sfumato.errors import SettingError, require_count
from sfumato.plans.base import ABSTAIN, Decision, Plan, Run
from sfumato.statistics.binomial import upper_bound, upper_failure_probability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfumato.noise import Noise

_DOUBLINGS = 60
_RELATIVE = 1e-9


def top_k_radius(noise: Noise, q_upper: float, others: Sequence[float]) -> float:
    """Return the radius within which a class is among the k most probable, 0 where that is not shown.

    ``q_upper`` bounds one minus its probability at the input, ``others`` the k largest of the other classes,
    decreasing. Rounded down.

    >>> from sfumato.noise import Gaussian
    >>> round(top_k_radius(Gaussian(0.5), 0.35, [0.24]), 4), round(Gaussian(0.5).radius(0.35, 0.24), 4)
    (0.2729, 0.2729)
    >>> round(top_k_radius(Gaussian(0.5), 0.7, [0.4, 0.2]), 4)
    0.0793
    """
    k = len(others)
    together = [min(1.0, sum(others[k - t :]), q_upper * t / k) for t in range(1, k + 1)]

    def holds(radius: float) -> bool:
        least = 1.0 - float(noise.worst_failure(np.array(q_upper), radius))
        most = noise.worst_failure(np.array(together), radius)
        return bool((np.arange(1, k + 1) * least > most).any())

    low, high = 0.0, noise.standard_deviation
    if not holds(0.0):
        return 0.0
    for _ in range(_DOUBLINGS):
        if not holds(high):
            break
        low, high = high, 2.0 * high
    while high - low > _RELATIVE * high and high > _RELATIVE * noise.standard_deviation:
        middle = (low + high) / 2.0
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low * (1.0 - _RELATIVE)


@dataclass(frozen=True)
class TopK(Plan):
    """Whether a class is among the ``k`` most probable ones: n0 votes select it, n fresh ones bound.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, it is
    among the ``k`` most probable classes of the base classifier under the noise, everywhere within the
    returned radius. It need not be the first of them. If labels are known, the class is the label, so that
    the share of certified images is the top-k certified accuracy.

    >>> from sfumato.noise import Gaussian
    >>> run = TopK(2, n0=100, n=1000).start(1, 3, noise=Gaussian(0.5), confidence=0.999)
    >>> run.update(np.array([[50, 30, 20]])); run.update(np.array([[500, 300, 200]]))
    >>> round(run.decisions()[0].radius, 4)
    0.1535

    Raises:
        SettingError: counts below 1.
    """

    k: int
    n0: int = 100
    n: int = 100_000
    method: ClassVar[str] = "top_k"
    question: ClassVar[tuple[str, ...]] = ("k", "n0", "n")
    usage: ClassVar[str] = "top_k(k,n0,n)"
    states: ClassVar[Literal["radius"]] = "radius"

    def __post_init__(self) -> None:
        """Refuse counts below 1."""
        for name in ("k", "n0", "n"):
            require_count(name, getattr(self, name))

    @property
    def among(self) -> int:
        """``k``."""
        return self.k

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.n0 + self.n

    @property
    def bounding_votes(self) -> int:
        """The votes that bound the class."""
        return self.n

    def prepare(self, run: Run) -> Any:
        """Refuse a k that says nothing, and a confidence out of reach."""
        if self.k >= run.classes:
            raise SettingError(f"k must be below the number of classes, {run.classes}, got {self.k}")
        q_upper, others = self._bounds(run, self.n, np.zeros(run.classes - 1, dtype=np.int64), one=True)
        if top_k_radius(run.noise, q_upper, others) == 0.0:
            raise SettingError(
                f"n must be larger for confidence {run.confidence}: {self.n} agreeing votes show nothing"
            )

    def next(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return n0 for every image at first, then n, then 0."""
        return np.full(run.images, (self.n0, self.n, 0)[run.rounds], dtype=np.int64)

    def conclude(self, run: Run, image: int) -> Decision:
        """Return the certificate of the form that the selection votes chose."""
        selection, counts = run.first_counts[image], run.fresh[image]
        chosen = int(np.argmax(selection)) if run.labels is None else int(run.labels[image])
        scale = self.n / (self.n0 + 1.0)
        expected = np.minimum(self.n, np.round((selection + 0.5) * scale)).astype(np.int64)
        one, all_ = (self._radius(run, expected, chosen, one=form)[0] for form in (True, False))
        radius, q_upper, kth = self._radius(run, counts, chosen, one=one >= all_)
        return run.decide(
            image,
            chosen if radius > 0.0 else ABSTAIN,
            "all votes",
            radius=radius,
            q_upper=q_upper,
            # any one of the other classes has at most q, the k-th of them at most what the bounds say
            rival_upper=kth if self.k == 1 else None,
        )

    def _radius(
        self, run: Run, counts: Int[np.ndarray, " classes"], chosen: int, *, one: bool
    ) -> tuple[float, float, float]:
        """Return the radius, the bound of 1 - p, and that of the k-th largest other class."""
        q_upper, others = self._bounds(run, int(counts[chosen]), np.delete(counts, chosen), one=one)
        return top_k_radius(run.noise, q_upper, others), q_upper, min(others[-1], q_upper / self.k)

    def _bounds(
        self, run: Run, votes: int, others: Int[np.ndarray, " others"], *, one: bool
    ) -> tuple[float, list[float]]:
        error = 1.0 - run.confidence
        if one:
            q_upper = upper_failure_probability(votes, self.n, run.confidence)
            return q_upper, [q_upper] * self.k
        q_upper = upper_failure_probability(votes, self.n, 1.0 - error / 2.0)
        largest = np.sort(others)[::-1][: self.k].tolist()
        return q_upper, [upper_bound(count, self.n, 1.0 - error / (2.0 * self.k)) for count in largest]
