"""The Parzen rule: what training with noise would give a learner with nothing but the data.

Trained on x + N(0, alpha^2 I) without end, a classifier that can represent anything becomes the Bayes rule
of the blurred sample, argmax over classes of sum_i exp(-|z - x_i|^2 / (2 alpha^2)), that is
phi(h_n * p_alpha) on the empirical distribution. It costs no training. A point is left out of its own sum, or
it would be right by definition.

What it predicts, and what not: where alpha is so large that classes melt into each other, real networks lose
too, at nearly the same alpha for every beta (the right branch of Delta over alpha), though not always as late
as this rule. For small alpha it is a nearest-neighbour rule, robust by itself, and a network is not: the left
branch is missing. So it names an upper limit of alpha.

*Erosion* E(s) is the share of points whose own class has less than half of the weight at scale s, *dilation*
D(s) the share where another class has at least half. If noise only erodes a class, or only dilates it, both
at alpha and at beta, then training with noise cannot lower the risk at any beta (master theorem of the theory
page): that is what D = 0, or E = 0, would say.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int

from sfumato.advice.neighbours import squared_distances, squared_norms
from sfumato.advice.points import LabelledPoints
from sfumato.errors import SettingError, require_count, require_nonnegative, require_positive
from sfumato.noise import Gaussian, Span, Stream, Use

DEFAULT_POINTS = 5000
DEFAULT_VOTES = 32
_BLOCK_ENTRIES = 8_000_000


@dataclass(frozen=True)
class Surrogate:
    """The Parzen rule at several alphas, on the points themselves, each left out of its own sum.

    Attributes:
        alphas: increasing.
        wrong: whether the rule's class is not the point's.
        eroded: whether the point's own class has less than half of the weight.
        dilated: whether another class has at least half.
    """

    alphas: tuple[float, ...]
    wrong: Bool[np.ndarray, "alphas points"]
    eroded: Bool[np.ndarray, "alphas points"]
    dilated: Bool[np.ndarray, "alphas points"]

    @property
    def points(self) -> int:
        """How many points were asked."""
        return int(self.wrong.shape[1])

    @property
    def risk(self) -> Float[np.ndarray, " alphas"]:
        """Share of wrong points at each alpha: the predicted right branch, up to its level."""
        return np.asarray(self.wrong.mean(axis=1))

    @property
    def erosion(self) -> Float[np.ndarray, " alphas"]:
        """E(alpha)."""
        return np.asarray(self.eroded.mean(axis=1))

    @property
    def dilation(self) -> Float[np.ndarray, " alphas"]:
        """D(alpha)."""
        return np.asarray(self.dilated.mean(axis=1))

    def harmless_alpha(self) -> float:
        """Return the largest alpha whose risk is within one standard error of the lowest.

        >>> wrong = np.zeros((3, 100), dtype=bool); wrong[2, :9] = wrong[1, :1] = True
        >>> Surrogate((0.1, 0.2, 0.4), wrong, wrong, wrong).harmless_alpha()
        0.1
        """
        return float(self.alphas[_last_within(self.wrong.mean(axis=1), self.points)])

    def harmless_interval(
        self, confidence: float = 0.95, *, draws: int = 1000, seed: int = 0
    ) -> tuple[float, float]:
        """Return the percentile bootstrap interval of ``harmless_alpha`` over points (Efron 1979)."""
        require_count("draws", draws)
        # not keyed noise: the bootstrap's choice of points
        generator = np.random.default_rng(seed)
        weights = generator.multinomial(self.points, np.full(self.points, 1.0 / self.points), size=draws)
        risks = weights @ self.wrong.T / self.points
        found = np.sort([self.alphas[_last_within(risk, self.points)] for risk in risks])
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(found, [tail, 1.0 - tail], method="inverted_cdf")
        return float(low), float(high)

    def rise(self, first: float, second: float) -> tuple[float, float]:
        """Return the risk at ``second`` minus that at ``first``, and its paired standard error.

        Each at the nearest alpha computed.
        """
        a, b = (int(np.argmin(np.abs(np.array(self.alphas) - alpha))) for alpha in (first, second))
        difference = self.wrong[b].astype(np.float64) - self.wrong[a]
        return float(difference.mean()), float(difference.std() / math.sqrt(self.points))

    def cannot_help(self) -> bool:
        """Whether noise only erodes, or only dilates, at every alpha computed."""
        return not self.dilated.any() or not self.eroded.any()


def parzen_surrogate(
    points: LabelledPoints,
    alphas: Sequence[float],
    *,
    most: int = DEFAULT_POINTS,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda points: None,
) -> Surrogate:
    """Return the Parzen rule on at most ``most`` random points, against each other.

    alpha = 0 is its limit, the nearest neighbour. ``on_progress`` is called with the number of points
    just finished.

    >>> from sfumato.advice.points import labelled_points
    >>> points = labelled_points(np.array([[0.0], [0.1], [1.0], [1.1]]), np.array([0, 0, 1, 1]))
    >>> parzen_surrogate(points, [0.0, 0.3]).risk
    array([0., 0.])

    Raises:
        SettingError: alphas that are negative or do not increase.
    """
    checked = _checked_alphas(alphas)
    reference = _reference(points, most, seed)
    squares = squared_norms(reference.x)
    starts = _class_starts(reference.y)
    count = len(reference)
    wrong, eroded, dilated = (np.zeros((len(checked), count), dtype=bool) for _ in range(3))
    step = max(1, _BLOCK_ENTRIES // count)
    for start in range(0, count, step):
        rows = np.arange(start, min(start + step, count))
        distances = squared_distances(reference.x[rows], squares[rows], reference.x, squares)
        distances[np.arange(len(rows)), rows] = np.inf
        distances -= distances.min(axis=1, keepdims=True)
        own = starts.position[rows]
        for k, alpha in enumerate(checked):
            shares = _class_shares(distances, alpha, starts)
            mine = shares[np.arange(len(rows)), own]
            wrong[k, rows] = shares.argmax(axis=1) != own
            eroded[k, rows] = mine < 0.5
            shares[np.arange(len(rows)), own] = 0.0
            dilated[k, rows] = shares.max(axis=1) >= 0.5
        on_progress(len(rows))
    return Surrogate(checked, wrong, eroded, dilated)


def parzen_vote_risk(
    points: LabelledPoints,
    alphas: Sequence[float],
    beta: float,
    *,
    images: int = 500,
    votes: int = DEFAULT_VOTES,
    most: int = DEFAULT_POINTS,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda points: None,
) -> Bool[np.ndarray, "alphas images"]:
    """Return whether the majority of ``votes`` of the Parzen rule at noise ``beta`` is wrong.

    The first ``images`` of the reference points, each left out of its own sums; the same noise for every
    alpha.

    Raises:
        SettingError: alphas that are negative or do not increase, a beta that is not positive.
    """
    checked = _checked_alphas(alphas)
    require_positive("beta", beta)
    require_count("votes", votes)
    reference = _reference(points, most, seed)
    squares = squared_norms(reference.x)
    starts = _class_starts(reference.y)
    # not keyed noise: which points are looked at
    chosen = np.random.default_rng(seed).permutation(len(reference))[:images]
    wrong = np.zeros((len(checked), len(chosen)), dtype=bool)
    for number, point in enumerate(chosen.tolist()):
        noise = torch.empty(votes, reference.x.shape[1])
        Gaussian(beta).draw(noise, Stream(Use.ADVICE, seed, Span(point)))
        copies = reference.x[point] + noise.numpy()
        distances = squared_distances(copies, squared_norms(copies), reference.x, squares)
        distances[:, point] = np.inf
        distances -= distances.min(axis=1, keepdims=True)
        for k, alpha in enumerate(checked):
            classes = _class_shares(distances, alpha, starts).argmax(axis=1)
            majority = int(np.bincount(classes).argmax())
            wrong[k, number] = majority != starts.position[point]
        on_progress(1)
    return wrong


@dataclass(frozen=True)
class _Classes:
    """Where each class begins among the sorted reference points, and the class of each."""

    firsts: Int[np.ndarray, " classes"]
    position: Int[np.ndarray, " points"]


def _reference(points: LabelledPoints, most: int, seed: int) -> LabelledPoints:
    """Return at most ``most`` random points, sorted by class."""
    require_count("points", most, minimum=2)
    # not keyed noise: which points are looked at
    chosen = np.random.default_rng(seed).permutation(len(points))[:most]
    subset = points.subset(chosen)
    return subset.subset(np.argsort(subset.y, kind="stable"))


def _class_starts(y: Int[np.ndarray, " points"]) -> _Classes:
    _, firsts, position = np.unique(y, return_index=True, return_inverse=True)
    return _Classes(firsts, position)


def _class_shares(
    distances: Float32[np.ndarray, "rows points"], alpha: float, classes: _Classes
) -> Float32[np.ndarray, "rows classes"]:
    """Return each class's share of the weight; ``distances`` are squared, above the row's least."""
    if alpha == 0.0:
        weights = (distances == 0.0).astype(np.float32)
    else:
        weights = distances * np.float32(-0.5 / alpha**2)
        np.exp(weights, out=weights)
    sums = np.add.reduceat(weights, classes.firsts, axis=1)
    return np.asarray(sums / sums.sum(axis=1, keepdims=True))


def _checked_alphas(alphas: Sequence[float]) -> tuple[float, ...]:
    checked = tuple(require_nonnegative("alpha", alpha) for alpha in alphas)
    if not checked or any(b <= a for a, b in itertools.pairwise(checked)):
        raise SettingError(f"alphas must increase, got {', '.join(f'{alpha:g}' for alpha in checked)}")
    return checked


def _last_within(risk: Float[np.ndarray, " alphas"], points: int) -> int:
    least = float(risk.min())
    limit = least + math.sqrt(least * (1.0 - least) / points)
    return int(np.flatnonzero(risk <= limit + 1e-12)[-1])
