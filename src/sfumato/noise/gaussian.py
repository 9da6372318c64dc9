"""Isotropic Gaussian noise N(0, scale^2 I), the noise of Cohen et al. 2019 and of Pal & Sulam 2023."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from sfumato.errors import require_nonnegative


@dataclass(frozen=True)
class Gaussian:
    """N(0, scale^2 I); ``scale`` is a standard deviation in the unit of the input.

    >>> generator = torch.Generator().manual_seed(0)
    >>> Gaussian(0.5).add(torch.zeros(2, 3), generator).shape
    torch.Size([2, 3])
    """

    scale: float
    name: ClassVar[str] = "gaussian"
    norm: ClassVar[str] = "L2"

    def __post_init__(self) -> None:
        """Refuse a negative or infinite scale."""
        require_nonnegative("scale", self.scale)

    def add(self, inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return ``inputs`` plus one fresh draw, same shape; scale 0 returns ``inputs`` itself."""
        if self.scale == 0:
            return inputs
        draw = torch.empty_like(inputs).normal_(generator=generator)
        return torch.add(inputs, draw, alpha=self.scale)

    def draw(self, out: torch.Tensor, generator: torch.Generator) -> None:
        """Fill ``out`` with one draw."""
        out.normal_(0.0, self.scale, generator=generator)
