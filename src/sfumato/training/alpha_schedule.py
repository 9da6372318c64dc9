"""Schedules of the training noise: constant, rising over the epochs, or of another level for each image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from sfumato.noise.base import Noise

if TYPE_CHECKING:
    import torch

    from sfumato.noise.keyed import Stream
    from sfumato.training.settings import AlphaSchedule

_RAMP = 0.5
"""The share of the epochs over which a ramp rises."""
_LEVELS = 4
"""The part of the stream of noise that the levels come from."""


def scheduled(noise: Noise, schedule: AlphaSchedule, start: float, epoch: int, epochs: int) -> Noise:
    """Return the noise of one epoch, counted from 0.

    ``ramp`` rises linearly from ``start`` times the noise's level to the level itself, over the first half of
    the epochs. ``uniform`` draws a level between the two for each row.

    >>> from sfumato.noise import Gaussian
    >>> [scheduled(Gaussian(1.0), "ramp", 0.5, epoch, 8).standard_deviation for epoch in (0, 2, 4)]
    [0.5, 0.75, 1.0]
    """
    if schedule == "ramp":
        share = start + (1.0 - start) * min(1.0, epoch / (_RAMP * epochs))
        return replace(noise, standard_deviation=share * noise.standard_deviation)
    return UniformLevels(noise.standard_deviation, noise, start) if schedule == "uniform" else noise


@dataclass(frozen=True)
class UniformLevels(Noise):
    """A noise of another level in each row: uniform between ``start`` times the level and the level.

    It is for training: it certifies nothing.

    Attributes:
        noise: at the highest level.
        start: the lowest level, as a share of the highest.
    """

    noise: Noise
    start: float
    name: ClassVar[str] = "uniform levels"
    norm: ClassVar[str] = "none"

    def draw(self, out: torch.Tensor, stream: Stream) -> None:
        """Fill the contiguous ``out`` (rows, *shape) with the stream's next rows."""
        level = out.new_empty(len(out), *[1] * (out.dim() - 1))
        levels = stream.part(_LEVELS)
        self.noise.draw(out, stream)
        levels.uniform(level)
        out.mul_(self.start + (1.0 - self.start) * level)

    def radius(self, q_upper: float, rival_upper: float | None = None) -> float:
        """Return 0: nothing is certified."""
        return 0.0

    def failure_at(self, radius: float) -> float:
        """Return 1/2 at radius 0 and 0 beyond: nothing is certified."""
        return 0.5 if radius == 0 else 0.0
