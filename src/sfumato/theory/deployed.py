"""The answer of the exact engines: the region that is deployed after two noises, and its risk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Region = TypeVar("Region")


@dataclass(frozen=True)
class Deployed(Generic[Region]):
    """Training noise alpha and smoothing noise beta applied to a region, each followed by its threshold.

    Attributes:
        alpha: training noise, standard deviation in the region's unit.
        beta: smoothing noise, likewise.
        trained: T_alpha A, the region that the base classifier calls class 1.
        smoothed: T_beta T_alpha A, the region that the smoothed classifier calls class 1.
        risk: Delta(alpha, beta), the measure of the set where it differs from A; at a radius above 0, of the
            set where the label is wrong or not certified at it.
        plain_risk: the same at alpha = 0, the risk without augmentation.
    """

    alpha: float
    beta: float
    trained: Region
    smoothed: Region
    risk: float
    plain_risk: float

    @property
    def benefit(self) -> float:
        """The risk without augmentation less the risk: positive where augmentation helps."""
        return self.plain_risk - self.risk
