"""Isotropic Gaussian noise N(0, beta^2 I), the noise of Cohen et al. 2019 and of Pal & Sulam 2023."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float
from scipy import special

from sfumato.noise.base import Noise
from sfumato.noise.keyed import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class Gaussian(Noise):
    """N(0, standard_deviation^2 I), which certifies L2 radii.

    >>> import torch
    >>> from sfumato.noise import Span, Use
    >>> Gaussian(0.5).add(torch.zeros(2, 3), Stream(Use.VOTES, 0, Span(7))).shape
    torch.Size([2, 3])
    >>> round(Gaussian(0.5).radius(0.1586552539), 6), round(Gaussian(0.5).radius(0.35, 0.24), 4)
    (0.5, 0.2729)
    """

    name: ClassVar[str] = "gaussian"
    norm: ClassVar[str] = "L2"

    def draw(self, out: torch.Tensor, stream: Stream) -> None:
        """Fill the contiguous ``out`` (rows, *shape) with the stream's next rows.

        With probability at least 1 - 7e-20 for all 150,528 values of an image of 3 x 224 x 224, every value
        is the rounding to ``out``'s type of a number that is within 2^-25 standard deviations of an exactly
        Gaussian one: see ``box_muller``.
        """
        stream.normal(out, self.standard_deviation)

    def radius(self, q_upper: float, rival_upper: float | None = None) -> float:
        """Return beta/2 * (Phi^-1(1 - q_upper) - Phi^-1(rival_upper)), at least 0.

        Cohen et al. 2019, Theorem 1. With the rival bounded by q_upper this is beta * Phi^-1(1 - q_upper).
        """
        rival = q_upper if rival_upper is None else rival_upper
        z = special.ndtri(q_upper) + special.ndtri(rival)
        return float(max(0.0, -self.standard_deviation / 2.0 * z))

    def failure_at(self, radius: float) -> float:
        """Return Phi(-radius / beta)."""
        return float(special.ndtr(-radius / self.standard_deviation))

    def worst_failure(self, q: Float[np.ndarray, " *many"], radius: float) -> Float[np.ndarray, " *many"]:
        """Return Phi(Phi^-1(q) + radius / beta): Neyman & Pearson 1933, attained by a half-space."""
        return np.asarray(special.ndtr(special.ndtri(q) + radius / self.standard_deviation)) if radius else q


def draw_each(noises: Sequence[Noise], outs: Sequence[torch.Tensor], stream: Stream) -> None:
    """Fill each contiguous out (rows, *shape) as its noise alone would from the stream's next rows.

    Gaussian noises are scales of the same numbers, which are drawn once for all of them.
    """
    gaussian = [noise for noise in noises if type(noise) is Gaussian]
    if len(gaussian) == len(noises) > 1:
        stream.normals(outs, [noise.standard_deviation for noise in gaussian])
        return
    for noise, out in zip(noises, outs, strict=True):
        noise.draw(out, stream.part(0))
