"""Cohen et al.'s procedure with both class probabilities bounded, where the selection votes favour it.

n0 votes select the class and, from themselves alone, whether the radius will follow from p_A at the full
level, or from p_A and p_B with the level split between the two bounds (for Gaussian noise, Cohen et al.
2019, Theorem 1: beta Phi^-1(p_A), or beta/2 (Phi^-1(p_A) - Phi^-1(p_B))). The n fresh votes then give
the bounds. Given the selection votes either certificate has its exact level, so the choice costs nothing;
taking the larger of the two afterwards would not be valid. Prefer it to ``fixed`` when the other classes
share what the leader lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from sfumato.plans.base import Decision, Run, leader_and_rival
from sfumato.plans.fixed import Fixed, require_reachable
from sfumato.statistics.binomial import two_class_bounds, upper_failure_probability


@dataclass(frozen=True)
class FixedTwoClass(Fixed):
    """n0 selection votes, then n votes that bound one or two classes.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, the
    smoothed classifier returns it everywhere within the returned radius. The same statement as
    ``Fixed`` makes, at the same confidence, about a radius that may be larger.

    >>> from sfumato.noise import Gaussian
    >>> run = FixedTwoClass(n0=100, n=1000).start(1, 3, noise=Gaussian(0.5), confidence=0.999)
    >>> run.update(np.array([[60, 20, 20]])); run.update(np.array([[600, 200, 200]]))
    >>> decision = run.decisions()[0]; round(decision.radius, 4), decision.stopped_by
    (0.2032, 'all votes')

    Raises:
        SettingError: counts below 1.
    """

    method: ClassVar[str] = "two_class"
    usage: ClassVar[str] = "two_class(n0,n)"

    def prepare(self, run: Run) -> Any:
        """Refuse a confidence out of reach of half of the error. Labels are not used."""
        require_reachable(self.n, (1.0 + run.confidence) / 2.0)

    def conclude(self, run: Run, image: int) -> Decision:
        """Return the certificate of the form that the selection votes chose."""
        selection, counts = run.first_counts[image], run.fresh[image]
        two_classes = self._promises_more(run, selection)
        selected = int(np.argmax(selection))
        others = int(np.delete(counts, selected).max())
        bounds = self._bounds(run, int(counts[selected]), others, two_classes)
        return run.certify(image, selected, "all votes", *bounds)

    def _bounds(self, run: Run, leader: int, rival: int, two_classes: bool) -> tuple[float, float]:
        if two_classes:
            return two_class_bounds(leader, rival, self.n, run.confidence)
        q_upper = upper_failure_probability(leader, self.n, run.confidence)
        return q_upper, q_upper

    def _promises_more(self, run: Run, selection: Int[np.ndarray, " classes"]) -> bool:
        """Return whether two bounds promise the larger radius, by the selection votes alone.

        The shares of the n0 votes, each class given half a vote more (Jeffreys), are taken as if they
        were the shares of the n votes to come.
        """
        (leader,), (rival,) = leader_and_rival(selection[None, :])
        scale = self.n / (self.n0 + 1.0)
        first = min(self.n, round((int(selection[leader]) + 0.5) * scale))
        second = min(self.n - first, round((int(selection[rival]) + 0.5) * scale))
        one = self._bounds(run, first, second, two_classes=False)
        two = self._bounds(run, first, second, two_classes=True)
        return run.noise.radius(*two) > run.noise.radius(*one)
