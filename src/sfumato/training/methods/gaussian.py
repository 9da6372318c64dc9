"""Gaussian noise augmentation: cross-entropy on noisy copies, drawn afresh at every step.

Lecuyer et al. 2019 and Cohen et al. 2019 train so with alpha = beta; Pal & Sulam 2023 study which
alpha is best. alpha = 0 is plain training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sfumato.settings import Count
from sfumato.training.methods.base import Method

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import nn

    from sfumato.noise import Noise, Stream


class GaussianAugmentation(Method):
    """Cross-entropy on ``draws`` noisy copies of each image; as many passes forward and backward.

    >>> GaussianAugmentation(draws=2).passes
    (2, 2)
    """

    name: ClassVar[str] = "gaussian"

    draws: Count = Field(default=1, description="noisy copies of each image per step")

    def loss(
        self,
        model: nn.Module,
        x: Float[torch.Tensor, "batch *shape"],
        y: Int[torch.Tensor, " batch"],
        noise: Noise,
        stream: Stream,
    ) -> Float[torch.Tensor, ""]:
        """Return the mean cross-entropy over the noisy copies of the batch."""
        from torch.nn import functional

        copies = 1 if noise.standard_deviation == 0 else self.draws
        noisy = noise.add(x.repeat_interleave(copies, dim=0), stream)
        return functional.cross_entropy(model(noisy).float(), y.repeat_interleave(copies))

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes for each training image and step."""
        return self.draws, self.draws
