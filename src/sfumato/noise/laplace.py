"""Laplace noise, with the L1 certificates of Lecuyer et al. 2019 and Teng et al. 2020.

The density is proportional to exp(-||z||_1 / lambda), so a move of the input by d changes every probability,
and that of its complement, by a factor of at most exp(||d||_1 / lambda). Class A stays ahead of a rival B

- while exp(-r) p_A > exp(r) p_B, that is r < 1/2 log(p_A / p_B) (Lecuyer et al. 2019, pure differential
  privacy), and
- while 1 - exp(r) q > exp(r) p_B, that is r < -log(q + p_B) (Teng et al. 2020),

with r = ||d||_1 / lambda and q = 1 - p_A. Both hold for the same bounds, so the larger radius does. With the
rival bounded by q it is the second, -log(2 q): for moves along one axis no better one follows from p_A alone.
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


class Laplace(Noise):
    """Laplace of scale lambda in each coordinate, which certifies L1 radii.

    lambda is the standard deviation divided by sqrt(2).

    >>> noise = Laplace(0.5)
    >>> round(noise.scale, 4), round(noise.radius(0.1), 4), round(noise.radius(0.35, 0.04), 4)
    (0.3536, 0.569, 0.4929)
    """

    name: ClassVar[str] = "laplace"
    norm: ClassVar[str] = "L1"

    @property
    def scale(self) -> float:
        """Return lambda, in the unit of the input."""
        return self.standard_deviation / math.sqrt(2.0)

    def draw(self, out: torch.Tensor, stream: Stream) -> None:
        """Fill the contiguous ``out`` (rows, *shape): differences of two exponential variables.

        They are taken in float64, from uniform numbers with all of their tail, and rounded once.
        """
        import torch

        other = stream.part(1)
        one, two = (torch.empty(out.shape, dtype=torch.float64, device=out.device) for _ in range(2))
        stream.uniform(one)
        other.uniform(two)
        out.copy_(two.log_().sub_(one.log_()).mul_(self.scale))

    def radius(self, q_upper: float, rival_upper: float | None = None) -> float:
        """Return lambda * max(-log(q + rival), 1/2 log((1 - q) / rival)), at least 0.

        The rival bounded by q_upper, this is lambda * log(1 / (2 q)).
        """
        rival = q_upper if rival_upper is None else rival_upper
        if not q_upper + rival < 1.0:
            return 0.0
        if rival == 0.0:
            return math.inf
        by_ratio = 0.5 * (math.log1p(-q_upper) - math.log(rival))
        return self.scale * max(-math.log(q_upper + rival), by_ratio)

    def failure_at(self, radius: float) -> float:
        """Return exp(-radius / lambda) / 2."""
        return 0.5 * math.exp(-radius / self.scale)

    def worst_failure(self, q: Float[np.ndarray, " *many"], radius: float) -> Float[np.ndarray, " *many"]:
        """Return the smaller of e^r q and 1 - e^-r (1 - q), with r = radius / lambda."""
        return (
            np.asarray(
                np.minimum(
                    np.exp(radius / self.scale) * q,
                    -np.expm1(-radius / self.scale) + np.exp(-radius / self.scale) * q,
                )
            )
            if radius
            else q
        )

    def __str__(self) -> str:
        """Return the distribution in a few words."""
        return f"Laplace noise of scale {self.scale:.4g}, standard deviation {self.standard_deviation:g}"
