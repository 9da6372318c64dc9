"""MACER: the certified radius as a loss (Zhai et al. 2020, eqs. 11 to 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from sfumato.settings import Count
from sfumato.training.methods.base import Method, logits_of_copies, noise_copies

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import nn

    from sfumato.noise import Noise, Stream


class Macer(Method):
    """Cross-entropy of the mean prediction over ``draws`` noisy copies, and a hinge on its radius.

    The hinge is lambda sigma/2 max(0, gamma - (Phi^-1(p1) - Phi^-1(p2))) for the two largest mean
    probabilities of images that are classified correctly; their logits are multiplied by an inverse
    temperature, ``beta`` in the paper. sigma is alpha here, whatever the network is smoothed with later.
    ``draws`` passes forward and backward for each image. Published with lambda 12 at sigma .25, 6 at .5 and
    12 at 1, there from epoch 50 on.
    """

    name: ClassVar[str] = "macer"

    draws: Count = Field(default=16, description="noisy copies of each image per step")
    lbd: float = Field(
        default=6.0, ge=0, description="weight of what the method adds to cross-entropy, lambda"
    )
    gamma: float = Field(default=8.0, gt=0, description="margin of the hinge, in units of alpha/2")
    inverse_temperature: float = Field(default=16.0, gt=0, description="multiplies the hinge's logits, beta")
    deferred: int = Field(default=0, ge=0, description="epochs without the hinge at first")

    def at_epoch(self, epoch: int) -> Self:
        """Return the method as it is in this epoch: without the hinge while that is deferred."""
        return self.model_copy(update={"lbd": 0.0}) if epoch < self.deferred else self

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
        loss = functional.nll_loss((logits.softmax(2).mean(0) + 1e-10).log(), y)
        if self.lbd == 0:
            return loss
        (first, second), classes = _largest_two((self.inverse_temperature * logits).softmax(2).mean(0))
        margin = torch.special.ndtri(first) - torch.special.ndtri(second)
        # chosen before the hinge is computed: an infinite margin has no gradient
        chosen = (classes == y) & margin.isfinite() & (margin <= self.gamma)
        hinge: torch.Tensor = (
            self.gamma - torch.special.ndtri(first[chosen]) + torch.special.ndtri(second[chosen])
        )
        return loss + self.lbd * noise.standard_deviation / 2 * hinge.sum() / len(x)

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes for each training image and step."""
        return self.draws, self.draws


def _largest_two(
    shares: Float[torch.Tensor, "batch classes"],
) -> tuple[tuple[torch.Tensor, torch.Tensor], Int[torch.Tensor, " batch"]]:
    """Return the largest and the second largest probability, and the class of the largest."""
    values, classes = shares.topk(2, dim=1)
    return (values[:, 0], values[:, 1]), classes[:, 0]
