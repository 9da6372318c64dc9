"""Cohen et al.'s procedure with both class probabilities bounded, where the selection votes favour it.

n0 votes select the class and, from themselves alone, whether the radius will be
beta Phi^-1(p_A) at the full level, or beta/2 (Phi^-1(p_A) - Phi^-1(p_B)) with the level split between
the two bounds (Cohen et al. 2019, Theorem 1). The n fresh votes then give the bounds. Given the
selection votes either certificate has its exact level, so the choice costs nothing; taking the larger
of the two afterwards would not be valid. Prefer it to ``fixed`` when the other classes share what the
leader lacks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from sfumato.errors import require_count, require_open_unit, require_positive
from sfumato.plans.base import (
    ABSTAIN,
    Decision,
    checked_counts,
    checked_problem,
    leader_and_rival,
    require_finished,
)
from sfumato.plans.fixed import require_reachable
from sfumato.statistics.binomial import (
    gaussian_radius,
    gaussian_two_class_radius,
    one_minus_rounded_down,
    two_class_bounds,
    upper_failure_probability,
)


@dataclass(frozen=True)
class FixedTwoClass:
    """n0 selection votes, then n votes that bound one or two classes.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, the
    smoothed classifier returns it everywhere within the returned radius. The same statement as
    ``Fixed`` makes, at the same confidence, about a radius that may be larger.

    >>> run = FixedTwoClass(n0=100, n=1000).start(1, 3, beta=0.5, confidence=0.999)
    >>> run.update(np.array([[60, 20, 20]])); run.update(np.array([[600, 200, 200]]))
    >>> decision = run.decisions()[0]; round(decision.radius, 4), decision.stopped_by
    (0.2032, 'all votes')

    Raises:
        SettingError: counts below 1.
    """

    n0: int = 100
    n: int = 100_000

    def __post_init__(self) -> None:
        """Refuse counts below 1."""
        require_count("n0", self.n0)
        require_count("n", self.n)

    @property
    def name(self) -> str:
        """The plan as written on the command line."""
        return f"two_class({self.n0},{self.n})"

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.n0 + self.n

    def start(
        self,
        images: int,
        classes: int,
        *,
        beta: float,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> FixedTwoClassRun:
        """Return the state before the first vote; see ``Plan.start``. Labels are not used."""
        require_positive("beta", beta)
        require_open_unit("confidence", confidence)
        checked_problem(images, classes, labels)
        require_reachable(self.n, (1.0 + confidence) / 2.0)
        return FixedTwoClassRun(self, images, classes, beta, confidence)


class FixedTwoClassRun:
    """The two stages of ``FixedTwoClass`` for a number of images."""

    def __init__(
        self, plan: FixedTwoClass, images: int, classes: int, beta: float, confidence: float
    ) -> None:
        self._plan = plan
        self._shape = (images, classes)
        self._beta = beta
        self._confidence = confidence
        self._selection: Int[np.ndarray, "images classes"] | None = None
        self._estimation: Int[np.ndarray, "images classes"] | None = None

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return n0 for every image at first, then n, then 0."""
        if self._selection is None:
            wanted = self._plan.n0
        elif self._estimation is None:
            wanted = self._plan.n
        else:
            wanted = 0
        return np.full(self._shape[0], wanted, dtype=np.int64)

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Keep the selection votes apart from the estimation votes."""
        counts = checked_counts(counts, self.demand(), self._shape[1])
        if self._selection is None:
            self._selection = counts
        else:
            self._estimation = counts

    def decisions(self) -> list[Decision]:
        """Return the certificate for each image, of the form its selection votes chose."""
        require_finished(self.demand())
        assert self._selection is not None
        assert self._estimation is not None
        return [
            self._decision(chosen, counted)
            for chosen, counted in zip(self._selection, self._estimation, strict=True)
        ]

    def _bounds(self, leader: int, runner_up: int, two_classes: bool) -> tuple[float, float]:
        if two_classes:
            return two_class_bounds(leader, runner_up, self._plan.n, self._confidence)
        q_upper = upper_failure_probability(leader, self._plan.n, self._confidence)
        return q_upper, q_upper

    def _promises_more(self, selection: Int[np.ndarray, " classes"]) -> bool:
        """Return whether two bounds promise the larger radius, by the selection votes alone.

        The shares of the n0 votes, each class given half a vote more (Jeffreys), are taken as if they
        were the shares of the n votes to come.
        """
        (leader,), (rival,) = leader_and_rival(selection[None, :])
        scale = self._plan.n / (self._plan.n0 + 1.0)
        first = min(self._plan.n, round((int(selection[leader]) + 0.5) * scale))
        second = min(self._plan.n - first, round((int(selection[rival]) + 0.5) * scale))
        one = self._bounds(first, second, two_classes=False)
        two = self._bounds(first, second, two_classes=True)
        return gaussian_two_class_radius(*two, self._beta) > gaussian_two_class_radius(*one, self._beta)

    def _decision(
        self, selection: Int[np.ndarray, " classes"], counts: Int[np.ndarray, " classes"]
    ) -> Decision:
        two_classes = self._promises_more(selection)
        selected = int(np.argmax(selection))
        others = int(np.delete(counts, selected).max())
        q_upper, p_b_upper = self._bounds(int(counts[selected]), others, two_classes)
        if two_classes:
            radius = gaussian_two_class_radius(q_upper, p_b_upper, self._beta)
        else:
            radius = gaussian_radius(q_upper, self._beta)
        return Decision(
            prediction=selected if radius > 0.0 else ABSTAIN,
            radius=radius,
            votes=self._plan.n0 + self._plan.n,
            p_lower=one_minus_rounded_down(q_upper),
            p_upper=p_b_upper,
            stopped_by="all votes",
            confidence=self._confidence,
            plan=self._plan.name,
        )
