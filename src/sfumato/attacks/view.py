"""A differentiable view of a smoothed classifier, for attacks of one's own or of a library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from sfumato.errors import ModelError, SettingError, require_count
from sfumato.models.classifier import Classifier
from sfumato.noise import Gaussian, Noise, Span, Stream, Use
from sfumato.training.methods.adversary import evaluation_mode
from sfumato.training.methods.base import logits_of_copies

if TYPE_CHECKING:
    from jaxtyping import Float

_SMALLEST_SHARE = 1e-20


class SmoothedView(nn.Module):
    """The logarithms of the smoothed classifier's class shares, with a gradient.

    Votes have no gradient. ``softmax`` takes the mean of the class probabilities over the noise in their
    place (Salman et al. 2019, eq. 6); ``straight-through`` returns the shares of votes, with the gradient of
    that mean. Every call draws new noise. The module's parameters are those of the base classifier.

    Args:
        model: the base classifier, a ``torch.nn.Module``; it is used in evaluation mode.
        beta: smoothing noise, standard deviation in the input's unit.
        draws: noisy copies of each image in a call.
        surrogate: ``softmax`` or ``straight-through``.
        noise: in place of ``beta``, any noise.
        seed: determines all noise.

    >>> view = SmoothedView(nn.Linear(4, 3), beta=0.5, draws=8)
    >>> view(torch.zeros(2, 4)).requires_grad
    True

    Raises:
        ModelError: a black box, which has no gradient.
        SettingError: an unknown surrogate, or draws below 1.
    """

    def __init__(
        self,
        model: nn.Module | Classifier,
        beta: float | None = None,
        *,
        draws: int = 32,
        surrogate: Literal["softmax", "straight-through"] = "softmax",
        noise: Noise | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_surrogate(surrogate)
        if (beta is None) == (noise is None):
            raise SettingError(f"give either beta or noise, got beta {beta} and noise {noise}")
        self.model = differentiable(model)
        self.noise = noise or Gaussian(beta or 0.0)
        self.draws, self.surrogate, self.seed = require_count("draws", draws), surrogate, seed
        self._calls = 0

    def forward(self, x: Float[torch.Tensor, "images *shape"]) -> Float[torch.Tensor, "images classes"]:
        """Return the logarithm of each class's share."""
        drawn = torch.empty((len(x) * self.draws, *x.shape[1:]), dtype=x.dtype, device=x.device)
        self.noise.draw(drawn, Stream(Use.ATTACK, self.seed, Span(2**62 + self._calls)))
        self._calls += 1
        return log_shares(self.model, x, drawn.view(self.draws, *x.shape), self.surrogate)


def require_surrogate(surrogate: str) -> None:
    """Raise SettingError if there is no surrogate of this name."""
    if surrogate not in ("softmax", "straight-through"):
        raise SettingError(f"surrogate must be softmax or straight-through, got {surrogate!r}")


def log_shares(
    model: nn.Module,
    x: Float[torch.Tensor, "images *shape"],
    noises: Float[torch.Tensor, "draws images *shape"],
    surrogate: str,
) -> Float[torch.Tensor, "images classes"]:
    """Return the logarithm of each class's share over the noise, as ``SmoothedView`` describes it."""
    with evaluation_mode(model):
        each = logits_of_copies(model, x, noises).softmax(2)
    mean = each.mean(0)
    if surrogate == "straight-through":
        votes = nn.functional.one_hot(each.argmax(2), each.shape[2]).to(each.dtype).mean(0)
        mean = mean + (votes - mean).detach()
    return mean.clamp(min=_SMALLEST_SHARE).log()


def differentiable(model: object) -> nn.Module:
    """Return the module that gradients can be taken of.

    Raises:
        ModelError: a black box.
    """
    inner = model.model if isinstance(model, Classifier) else model
    if not isinstance(inner, nn.Module):
        name = model.name if isinstance(model, Classifier) else type(model).__name__
        raise ModelError(
            f"{name}: an attack needs gradients, which a black box does not give; hand over a torch.nn.Module"
        )
    return inner
