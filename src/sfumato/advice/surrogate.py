"""The Parzen rule: from which alpha on training noise harms a learner with nothing but the data.

Trained on x + N(0, alpha^2 I) without end, a classifier that can represent anything becomes the Bayes rule of
the blurred sample, argmax over classes of sum_i exp(-|z - x_i|^2 / (2 alpha^2)), that is phi(h_n * p_alpha)
on the empirical distribution. It costs no training. When a point is classified, it is left out of the sum;
otherwise it would be right by definition.

What it predicts, and what not: where alpha is so large that classes melt into each other, real networks lose
too, at nearly the same alpha for every beta (the right branch of Delta over alpha), though not always as late
as this rule. For small alpha it is a nearest-neighbour rule, robust by itself, and a network is not: the left
branch is missing. So it names an upper limit of alpha.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from sfumato.advice.neighbours import squared_distances
from sfumato.advice.one_standard_error import largest_within, resampled_risks
from sfumato.advice.points import LabelledPoints
from sfumato.errors import SettingError, require_nonnegative, require_open_unit

DEFAULT_POINTS = 5000
_DRAWS = 1000
_BLOCK_ENTRIES = 8_000_000


@dataclass(frozen=True)
class Surrogate:
    """The Parzen rule at several alphas, on the points themselves; a point is left out when it is classified.

    Attributes:
        alphas: increasing.
        wrong: whether the rule's class is not the point's.
    """

    alphas: tuple[float, ...]
    wrong: Bool[np.ndarray, "alphas points"]

    @property
    def points(self) -> int:
        """Number of points that were classified."""
        return int(self.wrong.shape[1])

    @property
    def risk(self) -> Float[np.ndarray, " alphas"]:
        """Share of wrong points at each alpha: the predicted right branch, up to its level."""
        return np.asarray(self.wrong.mean(axis=1))

    def harmless_alpha(self) -> float:
        """Return the largest alpha whose risk is within one standard error of the lowest.

        >>> wrong = np.zeros((3, 100), dtype=bool); wrong[2, :9] = wrong[1, :1] = True
        >>> Surrogate((0.1, 0.2, 0.4), wrong).harmless_alpha()
        0.1
        """
        return float(self._harmless(self.risk[None, :])[0])

    def harmless_interval(self, confidence: float = 0.95, *, seed: int = 0) -> tuple[float, float]:
        """Return the percentile bootstrap interval of ``harmless_alpha`` over points (Efron 1979)."""
        tail = (1.0 - require_open_unit("confidence", confidence)) / 2.0
        found = self._harmless(resampled_risks(self.wrong.T, _DRAWS, seed))
        low, high = np.quantile(found, [tail, 1.0 - tail], method="inverted_cdf")
        return float(low), float(high)

    def _harmless(self, risks: Float[np.ndarray, "draws alphas"]) -> Float[np.ndarray, " draws"]:
        lowest = risks.min(axis=1, keepdims=True)
        return largest_within(np.asarray(self.alphas), risks, lowest, self.points)

    def rise(self, first: float, second: float) -> tuple[float, float]:
        """Return the risk at ``second`` minus that at ``first``, and its paired standard error.

        Each at the nearest alpha computed.
        """
        a, b = (int(np.argmin(np.abs(np.array(self.alphas) - alpha))) for alpha in (first, second))
        difference = self.wrong[b].astype(np.float64) - self.wrong[a]
        return float(difference.mean()), float(difference.std() / math.sqrt(self.points))


def parzen_surrogate(
    points: LabelledPoints,
    alphas: Sequence[float],
    *,
    on_progress: Callable[[int], None] = lambda points: None,
) -> Surrogate:
    """Return the errors of the Parzen rule on ``points``; 5,000 points take a minute or less.

    At alpha = 0 the rule is its limit, the nearest neighbour. ``on_progress`` is called with the number of
    points just finished.

    >>> from sfumato.advice.points import labelled_points
    >>> points = labelled_points(np.array([[0.0], [0.1], [1.0], [1.1]]), np.array([0, 0, 1, 1]))
    >>> parzen_surrogate(points, [0.0, 0.3]).risk
    array([0., 0.])

    Raises:
        SettingError: alphas that are negative or do not increase.
    """
    checked = tuple(require_nonnegative("alpha", alpha) for alpha in alphas)
    if not checked or any(b <= a for a, b in itertools.pairwise(checked)):
        raise SettingError(f"alphas must increase, got {', '.join(f'{alpha:g}' for alpha in checked)}")
    order = np.argsort(points.y, kind="stable")
    x, y = points.x[order], points.y[order]
    _, firsts, position = np.unique(y, return_index=True, return_inverse=True)
    count = len(points)
    wrong = np.zeros((len(checked), count), dtype=bool)
    step = max(1, _BLOCK_ENTRIES // count)
    for start in range(0, count, step):
        rows = np.arange(start, min(start + step, count))
        distances = squared_distances(x[rows], x)
        distances[np.arange(len(rows)), rows] = np.inf
        distances -= distances.min(axis=1, keepdims=True)
        nearness = -0.5 * distances.astype(np.float32)
        for k, alpha in enumerate(checked):
            weights = np.exp(nearness / np.float32(alpha**2)) if alpha > 0 else nearness == 0.0
            shares = np.add.reduceat(weights, firsts, axis=1, dtype=np.float32)
            wrong[k, rows] = shares.argmax(axis=1) != position[rows]
        on_progress(len(rows))
    return Surrogate(checked, wrong[:, np.argsort(order)])
