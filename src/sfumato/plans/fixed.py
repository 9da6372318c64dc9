"""Cohen et al.'s procedure: n0 votes select the class, n fresh votes bound its probability.

Source: Cohen, Rosenfeld & Kolter 2019, CERTIFY. The selection votes are never reused for the bound,
which is what makes the plain Clopper-Pearson level valid for any number of classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int

from sfumato.errors import SettingError, require_count
from sfumato.plans.base import Decision, Plan, Run
from sfumato.statistics.binomial import unanimous_trials, upper_failure_probability


def require_reachable(n: int, confidence: float) -> None:
    """Refuse a number of votes with which not even a unanimous vote beats p_A = 1/2.

    Raises:
        SettingError: naming the number of votes that would do.
    """
    needed = unanimous_trials(0.5, 1.0 - confidence)
    while upper_failure_probability(needed, needed, confidence) >= 0.5:
        needed += 1
    if n < needed:
        raise SettingError(f"n must be at least {needed} votes for confidence {confidence}, got {n}")


@dataclass(frozen=True)
class Fixed(Plan):
    """n0 selection votes, then n estimation votes (Cohen et al. 2019).

    With probability at least ``confidence`` over the noise, the smoothed classifier returns the
    predicted class everywhere within the radius, for each image that is not abstained on.

    >>> from sfumato.noise import Gaussian
    >>> run = Fixed(n0=100, n=1000).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    >>> run.demand()
    array([100])
    >>> run.update(np.array([[95, 5]])); run.demand()
    array([1000])
    >>> run.update(np.array([[990, 10]])); round(run.decisions()[0].radius, 4)
    0.989
    """

    n0: int = 100
    n: int = 100_000
    method: ClassVar[str] = "fixed"
    question: ClassVar[tuple[str, ...]] = ("n0", "n")
    usage: ClassVar[str] = "fixed(n0,n)"
    states: ClassVar[Literal["radius"]] = "radius"

    def __post_init__(self) -> None:
        """Refuse counts below 1."""
        require_count("n0", self.n0)
        require_count("n", self.n)

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.n0 + self.n

    @property
    def most_votes(self) -> int:
        """The same."""
        return self.n0 + self.n

    @property
    def bounding_votes(self) -> int:
        """The votes that bound the class."""
        return self.n

    def prepare(self, run: Run) -> Any:
        """Refuse a confidence out of reach. Labels are not used."""
        require_reachable(self.n, run.confidence)

    def next(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return n0 for every image at first, then n, then 0."""
        return np.full(run.images, (self.n0, self.n, 0)[run.rounds], dtype=np.int64)

    def conclude(self, run: Run, image: int) -> Decision:
        """Return Cohen et al.'s certificate: the first votes select, the fresh ones bound."""
        selected = int(np.argmax(run.first_counts[image]))
        q_upper = upper_failure_probability(int(run.fresh[image, selected]), self.n, run.confidence)
        return run.certify(image, selected, "all votes", q_upper)
