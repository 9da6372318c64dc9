"""One-dimensional phase diagrams: where augmentation helps, over (gap/width, alpha, beta), exactly.

The regions are equal intervals of width 1 with equal gaps. Scaling makes width 1 general: alpha, beta and gap
are in units of the width. The regions after noise come from bracketed roots (``crossings``), not from a grid
of points. Only the axes of the diagram are a grid. There is never a benefit at gaps of at least the width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sfumato.errors import SettingError, require_count
from sfumato.theory.arguments import checked, positive
from sfumato.theory.crossings import threshold_edges

# Benefits below this are rounding: risks are relative to the class and of order 1.
ROUNDING = 1e-12


@dataclass(frozen=True)
class PhaseDiagram:
    """Risks of a family of regions over a grid of gaps and noises, relative to the measure of class 1.

    Attributes:
        gaps: gap/width, in ascending order.
        alphas: training noises, in units of the width.
        betas: smoothing noises, likewise.
        risk: Delta(alpha, beta)/|A|.
        plain_risk: Delta(0, beta)/|A|.
    """

    gaps: Float[np.ndarray, "gaps"]
    alphas: Float[np.ndarray, "alphas"]
    betas: Float[np.ndarray, "betas"]
    risk: Float[np.ndarray, "gaps alphas betas"]
    plain_risk: Float[np.ndarray, "gaps betas"]

    @property
    def benefit(self) -> Float[np.ndarray, "gaps alphas betas"]:
        """Delta(0, beta) - Delta(alpha, beta), relative: positive where augmentation helps."""
        return np.asarray(self.plain_risk[:, None, :] - self.risk)

    @property
    def best_benefit(self) -> Float[np.ndarray, "gaps betas"]:
        """The largest benefit over the alphas, 0 where none helps."""
        return np.asarray(np.maximum(self.benefit.max(axis=1), 0.0))

    @property
    def best_alpha(self) -> Float[np.ndarray, "gaps betas"]:
        """The alpha of the grid with the largest benefit (the smallest of equals), 0 where none helps."""
        helps = self.best_benefit > ROUNDING
        return np.asarray(np.where(helps, self.alphas[self.benefit.argmax(axis=1)], 0.0))

    @property
    def benefit_window(self) -> Float[np.ndarray, "gaps 2"]:
        """For each gap the smallest and the largest beta of the grid where some alpha helps, or NaN."""
        helps = np.asarray(self.best_benefit > ROUNDING)
        low = np.where(helps, self.betas, np.inf).min(axis=1)
        high = np.where(helps, self.betas, -np.inf).max(axis=1)
        return np.where(helps.any(axis=1, keepdims=True), np.column_stack([low, high]), np.nan)


def phase_diagram(
    gaps: ArrayLike,
    alphas: ArrayLike,
    betas: ArrayLike,
    *,
    count: int = 2,
    on_gap: Callable[[], None] = lambda: None,
) -> PhaseDiagram:
    """Return the risks of ``count`` intervals of width 1 with equal gaps, Lebesgue measure.

    The time grows as the number of grid points times ``count`` squared. ``on_gap`` is called after each gap.

    >>> diagram = phase_diagram([0.5, 1.0], [0.38], [1.36])
    >>> diagram.benefit.round(10)[:, 0, 0]
    array([0.60191423, 0.        ])

    Raises:
        SettingError: a gap that is not positive, a negative noise, a count below 1.
    """
    gap = np.atleast_1d(positive("gaps", gaps))
    alpha, beta = (np.atleast_1d(checked(*axis)) for axis in (("alphas", alphas), ("betas", betas)))
    for name, axis in (("gaps", gap), ("alphas", alpha), ("betas", beta)):
        if axis.ndim != 1 or not axis.size:
            raise SettingError(f"{name} must be a list of numbers, got an array of shape {axis.shape}")
    require_count("count", count)
    starts = (np.arange(count) - (count - 1) / 2) * (1 + gap[:, None]) - 0.5
    trained_with = np.concatenate([[0.0], alpha])
    risk = np.empty((gap.size, trained_with.size, beta.size))
    for row, region in enumerate(np.stack([starts, starts + 1.0], axis=2).reshape(gap.size, 2 * count)):
        trained = threshold_edges(np.tile(region, (trained_with.size, 1)), trained_with)
        smoothed = threshold_edges(np.repeat(trained, beta.size, axis=0), np.tile(beta, trained_with.size))
        # Every edge of either region changes whether a point is in exactly one of them.
        edges = np.sort(np.concatenate([np.broadcast_to(region, smoothed.shape), smoothed], axis=1), axis=1)
        risk[row] = (edges[:, 1::2] - edges[:, ::2]).sum(axis=1).reshape(risk.shape[1:]) / count
        on_gap()
    return PhaseDiagram(gap, alpha, beta, risk[:, 1:], risk[:, 0])
