"""Consistency regularisation (Jeong & Shin 2020, eq. 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from sfumato.training.methods.base import Method, logits_of_copies, noise_copies

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import nn

    from sfumato.noise import Noise, Stream


class Consistency(Method):
    """Cross-entropy on ``draws`` noisy copies of each image, whose predictions are drawn together.

    The loss is the mean over the copies of CE + lambda KL(mean prediction || prediction), plus eta times
    the entropy of the mean prediction. ``draws`` passes forward and backward for each image. Published with
    lambda 20 at sigma .25 and 10 at .5 and 1.
    """

    name: ClassVar[str] = "consistency"

    draws: Annotated[int, Field(ge=2)] = Field(default=2, description="noisy copies of each image per step")
    lbd: float = Field(
        default=10.0, ge=0, description="weight of what the method adds to cross-entropy, lambda"
    )
    eta: float = Field(default=0.5, ge=0, description="weight of the entropy")

    def loss(
        self,
        model: nn.Module,
        x: Float[torch.Tensor, "batch *shape"],
        y: Int[torch.Tensor, " batch"],
        noise: Noise,
        stream: Stream,
    ) -> Float[torch.Tensor, ""]:
        """Return the loss of the batch."""
        import torch
        from torch.nn import functional

        logits = logits_of_copies(model, x, noise_copies(x, self.draws, noise, stream))
        logs = logits.log_softmax(2)
        mean = logs.exp().mean(0)
        entropy: torch.Tensor = -torch.special.xlogy(mean, mean.clamp(min=1e-20)).sum(1)
        # the mean over the copies of KL(mean || p_i) is the mean cross-entropy less the entropy
        divergence = -(mean * logs.mean(0)).sum(1) - entropy
        cross_entropy = functional.nll_loss(logs.flatten(0, 1), y.repeat(self.draws))
        return cross_entropy + (self.lbd * divergence + self.eta * entropy).mean()

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes for each training image and step."""
        return self.draws, self.draws
