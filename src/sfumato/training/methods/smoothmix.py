"""SmoothMix: mixing an image with an unrestricted adversarial one (Jeong et al. 2021, section 3)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, PrivateAttr

from sfumato.settings import Count
from sfumato.training.methods.base import Method, logits_of_copies, noise_copies

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import nn

    from sfumato.noise import Noise, Stream

_MIXING = 2
"""The part of the stream of noise that the mixing weights come from."""


class SmoothMix(Method):
    """Cross-entropy on noisy copies, and mixtures with an adversarial image trained towards uncertainty.

    An attack of ``steps`` steps of length ``step_size`` maximises the loss of the mean prediction. Each image
    is mixed with its adversarial one, which has a weight w uniform in [0, 1/2]; the target is the mean
    prediction mixed with the uniform one, by the same weight. Where the mean prediction is right, the loss
    adds eta KL(target || prediction on the mixture). With ``one_step_adversary`` the attack's first step
    takes the place of the image. ``draws`` (``steps`` + 2) passes forward and backward for each image.
    Published with a step size of .5, 1 and 2 at sigma .25, .5 and 1, and the one-step adversary at the last
    two.
    """

    name: ClassVar[str] = "smoothmix"

    draws: Count = Field(default=2, description="noisy copies of each image per step")
    steps: Count = Field(default=4, description="steps of the attack")
    step_size: float = Field(
        default=1.0, gt=0, description="length of a step, input units, alpha in the paper"
    )
    eta: float = Field(default=5.0, ge=0, description="weight of the mixtures")
    one_step_adversary: bool = Field(default=True, description="start from the attack's first step")
    warmup: Count = Field(default=10, description="epochs over which eta and the first step rise")
    _risen: float = PrivateAttr(default=1.0)

    def at_epoch(self, epoch: int) -> Self:
        """Return the method as it is in this epoch: eta and the first step rise linearly."""
        risen = min(1.0, (epoch + 1) / self.warmup)
        method = self.model_copy(update={"eta": self.eta * risen})
        method._risen = risen
        return method

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

        other = stream.part(_MIXING)
        weight = torch.empty(len(x), 1, dtype=x.dtype, device=x.device)
        other.uniform(weight)
        weight = weight / 2
        noises = noise_copies(x, self.draws, noise, stream)
        x, far = self._attacked(model, x, y, noises)
        logits = logits_of_copies(model, x, noises)
        mean = logits.softmax(2).mean(0)
        target = torch.lerp(mean, torch.full_like(mean, 1 / mean.shape[1]), weight)
        mixture = torch.lerp(x, far, weight.view(-1, *[1] * (x.dim() - 1)))
        logs = logits_of_copies(model, mixture, noises).log_softmax(2)
        divergence: torch.Tensor = (torch.special.xlogy(target, target) - target * logs.mean(0)).sum(1)
        right = mean.argmax(1) == y
        cross_entropy = functional.cross_entropy(logits.flatten(0, 1), y.repeat(self.draws))
        return cross_entropy + self.eta * (right * divergence).mean()

    def _attacked(
        self, model: nn.Module, x: torch.Tensor, y: torch.Tensor, noises: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return where the mixtures begin and where they lead."""
        from torch.nn import functional

        from sfumato.training.methods.adversary import evaluation_mode, log_mean_probabilities, pgd, projected

        def losses(inputs: torch.Tensor) -> torch.Tensor:
            return functional.nll_loss(log_mean_probabilities(model, inputs, noises), y, reduction="none")

        with evaluation_mode(model):
            near = pgd(losses, x, epsilon=math.inf, steps=1, step_size=self.step_size)
            far = pgd(losses, near, epsilon=math.inf, steps=self.steps - 1, step_size=self.step_size)
        if not self.one_step_adversary:
            return x, far
        return x + projected(near - x, self._risen * self.step_size), far

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes for each training image and step."""
        return self.draws * (self.steps + 2), self.draws * (self.steps + 2)
