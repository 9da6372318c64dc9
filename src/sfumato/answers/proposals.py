"""What every search has in common: which training noises it may propose, and what is left of its budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from sfumato.errors import SettingError, require_nonnegative


class Proposals(ABC):
    """Proposes one training noise after the other; tell the result of each before the next.

    Args:
        candidates: training noises that may be proposed, increasing.
        budget: how many proposals may be trained; points told that were not proposed are free.
        step: between the candidates.
    """

    when_finished: ClassVar[str] = ""
    """What one who asks for more is told to do."""

    def __init__(self, candidates: Float[np.ndarray, " candidates"], budget: int, step: float) -> None:
        self.budget = budget
        self.step = step
        self._candidates = candidates
        # what was counted at an alpha, and of how many
        self._points: dict[float, tuple[int, int]] = {}
        self._proposed: float | None = None
        self._spent = 0

    @property
    def finished(self) -> bool:
        """Whether the budget is spent, or every alpha of the range is known."""
        return self._spent >= self.budget or not len(self._open)

    @property
    def spent(self) -> int:
        """How much of the budget is spent: proposals whose result has been told."""
        return self._spent

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest alpha that can be proposed."""
        return float(self._candidates[0]), float(self._candidates[-1])

    @abstractmethod
    def informs(self, alpha: float) -> bool:
        """Return whether a result at ``alpha`` would say something about the best one."""

    def propose(self) -> float:
        """Return the alpha to train next, the same until a result at it has been told.

        Raises:
            SettingError: the search is finished.
        """
        if self.finished:
            raise SettingError(
                f"the budget of {self.budget} trainings is spent, or no alpha between {self.range[0]:g} and "
                f"{self.range[1]:g} is left{self.when_finished}"
            )
        if self._proposed is None:
            self._proposed = self._next()
        return self._proposed

    def resume(self, alpha: float) -> None:
        """Make ``alpha`` the current proposal, as it was in an interrupted search.

        Raises:
            SettingError: a negative alpha.
        """
        self._proposed = require_nonnegative("alpha", alpha)

    def _keep(self, alpha: float, counted: int, of: int) -> None:
        """Keep what was counted at ``alpha``; if it was proposed, that much of the budget is spent."""
        self._points[alpha] = (int(counted), int(of))
        if alpha == self._proposed:
            self._spent += 1
            self._proposed = None

    @property
    def _open(self) -> Float[np.ndarray, " candidates"]:
        """Candidates with no measured alpha within half a step."""
        if not self._points:
            return self._candidates
        known = np.array(sorted(self._points))
        gap = np.abs(self._candidates[:, None] - known[None, :]).min(axis=1)
        return np.asarray(self._candidates[gap > 0.499 * self.step])

    @abstractmethod
    def _next(self) -> float:
        """Return which of the candidates that are open is worth most."""
