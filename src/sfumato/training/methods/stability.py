"""Stability training (Li, Chen, Wang & Carin 2019, after Zheng et al. 2016, eq. 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sfumato.training.methods.base import Method, logits_of_copies, noise_copies

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import nn

    from sfumato.noise import Noise, Stream


class Stability(Method):
    """Cross-entropy on the clean image, and the noisy prediction kept close to the clean one.

    The loss is CE(f(x), y) + lambda H(f(x), f(x + noise)), where H is the cross-entropy of the second
    prediction with the first as its target. Two passes forward and backward for each image.
    """

    name: ClassVar[str] = "stability"

    lbd: float = Field(
        default=2.0, ge=0, description="weight of what the method adds to cross-entropy, lambda"
    )

    def loss(
        self,
        model: nn.Module,
        x: Float[torch.Tensor, "batch *shape"],
        y: Int[torch.Tensor, " batch"],
        noise: Noise,
        stream: Stream,
    ) -> Float[torch.Tensor, ""]:
        """Return the loss of the batch."""
        from torch.nn import functional

        clean = model(x).float()
        noisy = logits_of_copies(model, x, noise_copies(x, 1, noise, stream))[0]
        stability = functional.cross_entropy(noisy, clean.softmax(1))
        return functional.cross_entropy(clean, y) + self.lbd * stability

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes for each training image and step."""
        return 2, 2
