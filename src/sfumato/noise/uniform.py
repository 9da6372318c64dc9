"""Uniform noise on a cube, with the L1 certificate of Lee et al. 2019 and Yang et al. 2020.

The cubes around x and x + d, of side 2 lambda, share the part prod_i (1 - |d_i| / (2 lambda)) of each, which
is at least 1 - ||d||_1 / (2 lambda). So no probability under the noise changes by more than
||d||_1 / (2 lambda), and a class A stays ahead of a rival B while ||d||_1 < lambda (p_A - p_B). For moves
along one axis no better radius follows from p_A alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from sfumato.noise.base import Noise
from sfumato.noise.keyed import Stream

if TYPE_CHECKING:
    import torch


class Uniform(Noise):
    """Uniform on [-lambda, lambda] in each coordinate, which certifies L1 radii up to lambda.

    lambda is sqrt(3) times the standard deviation.

    >>> noise = Uniform(0.5)
    >>> round(noise.half_width, 4), round(noise.radius(0.1), 4), round(noise.radius(0.35, 0.24), 4)
    (0.866, 0.6928, 0.3551)
    """

    name: ClassVar[str] = "uniform"
    norm: ClassVar[str] = "L1"

    @property
    def half_width(self) -> float:
        """Return lambda, in the unit of the input."""
        return math.sqrt(3.0) * self.standard_deviation

    def draw(self, out: torch.Tensor, stream: Stream) -> None:
        """Fill the contiguous ``out`` (rows, *shape) from numbers of 53 digits, rounded once."""
        import torch

        uniform = torch.empty(out.shape, dtype=torch.float64, device=out.device)
        stream.uniform(uniform)
        out.copy_(uniform.mul_(2.0).sub_(1.0).mul_(self.half_width))

    def radius(self, q_upper: float, rival_upper: float | None = None) -> float:
        """Return lambda * (1 - q_upper - rival_upper), at least 0.

        Yang et al. 2020, table of L1 radii: 2 lambda (p_A - 1/2), the rival bounded by q_upper.
        """
        rival = q_upper if rival_upper is None else rival_upper
        return float(max(0.0, self.half_width * (1.0 - q_upper - rival)))

    def failure_at(self, radius: float) -> float:
        """Return (lambda - radius) / (2 lambda), at least 0."""
        return max(0.0, (self.half_width - radius) / (2.0 * self.half_width))

    def worst_failure(self, q: Float[np.ndarray, " *many"], radius: float) -> Float[np.ndarray, " *many"]:
        """Return q + radius / (2 lambda), at most 1."""
        return np.asarray(np.minimum(1.0, q + radius / (2.0 * self.half_width))) if radius else q

    def __str__(self) -> str:
        """Return the distribution in a few words."""
        width, deviation = self.half_width, self.standard_deviation
        return f"uniform noise on [-{width:.4g}, {width:.4g}], standard deviation {deviation:g}"
