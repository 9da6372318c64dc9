"""L2 attacks within training: where the smoothed classifier is worst close to an image.

Inputs need not be pixels, so nothing is clipped to [0, 1] as the papers' programs do.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from sfumato.training.methods.base import logits_of_copies

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import nn

_SMALLEST_NORM = 1e-12
_SMALLEST_SHARE = 1e-20  # as in the program of Salman et al. 2019
_DDN_LAST_RATE = 0.01


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Let the model be in evaluation mode meanwhile: an attack is no part of a batch norm's statistics."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def log_mean_probabilities(
    model: nn.Module,
    x: Float[torch.Tensor, "batch *shape"],
    noises: Float[torch.Tensor, "draws batch *shape"],
) -> Float[torch.Tensor, "batch classes"]:
    """Return the log of the class probabilities averaged over the noise (Salman et al. 2019, eq. 6)."""
    return logits_of_copies(model, x, noises).softmax(2).mean(0).clamp(min=_SMALLEST_SHARE).log()


def pgd(
    losses: Callable[[torch.Tensor], Float[torch.Tensor, " batch"]],
    x: Float[torch.Tensor, "batch *shape"],
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    start: Float[torch.Tensor, "batch *shape"] | None = None,
) -> Float[torch.Tensor, "batch *shape"]:
    """Return inputs within the L2 distance ``epsilon`` of ``x`` with a high loss: projected gradient ascent.

    Each step has the length ``step_size``, from ``start`` on or from ``x``. ``epsilon`` may be infinite.
    """
    delta = torch.zeros_like(x) if start is None else start - x
    for _ in range(steps):
        delta = projected(delta + step_size * _direction(losses, x + delta), epsilon)
    return x + delta


def ddn(
    log_probabilities: Callable[[torch.Tensor], Float[torch.Tensor, "batch classes"]],
    x: Float[torch.Tensor, "batch *shape"],
    y: Int[torch.Tensor, " batch"],
    *,
    epsilon: float,
    steps: int,
    gamma: float = 0.05,
) -> Float[torch.Tensor, "batch *shape"]:
    """Return the closest misclassified inputs found, at most ``epsilon`` from ``x``; ``x`` if none is found.

    Decoupled direction and norm (Rony et al. 2019, algorithm 1): the norm begins at ``epsilon`` and is
    multiplied by 1 - ``gamma`` where the input is misclassified, elsewhere by 1 + ``gamma``. The step size
    falls from 1 to 0.01 along a cosine.
    """
    rows = (-1, *[1] * (x.dim() - 1))
    delta, best = torch.zeros_like(x), torch.zeros_like(x)
    norm = torch.full((len(x),), epsilon, device=x.device)
    closest = torch.full((len(x),), math.inf, device=x.device)
    for step in range(steps):
        missed = torch.empty(0)

        def losses(inputs: torch.Tensor) -> torch.Tensor:
            nonlocal missed
            logs = log_probabilities(inputs)
            missed = logs.argmax(1) != y
            return -logs.gather(1, y[:, None])[:, 0]

        direction = _direction(losses, x + delta)
        length = delta.flatten(1).norm(dim=1)
        better = missed & (length < closest)
        closest = torch.where(better, length, closest)
        best = torch.where(better.view(rows), delta, best)
        cosine = (1 + math.cos(math.pi * step / steps)) / 2
        delta = delta + (_DDN_LAST_RATE + (1 - _DDN_LAST_RATE) * cosine) * direction
        norm = norm * torch.where(missed, 1 - gamma, 1 + gamma)
        delta = delta * (norm / delta.flatten(1).norm(dim=1).clamp(min=_SMALLEST_NORM)).view(rows)
    return x + projected(best, epsilon)


def projected(
    delta: Float[torch.Tensor, "batch *shape"], epsilon: float
) -> Float[torch.Tensor, "batch *shape"]:
    """Return the rows, those longer than ``epsilon`` shortened to it."""
    return delta if math.isinf(epsilon) else delta.renorm(p=2, dim=0, maxnorm=epsilon)


def _direction(
    losses: Callable[[torch.Tensor], Float[torch.Tensor, " batch"]], x: Float[torch.Tensor, "batch *shape"]
) -> Float[torch.Tensor, "batch *shape"]:
    """Return the gradient of each row's loss, scaled to length 1; 0 where it vanishes."""
    at = x.detach().requires_grad_()
    with torch.enable_grad():
        gradient: torch.Tensor = torch.autograd.grad(losses(at).sum(), at)[0]
    length: torch.Tensor = gradient.flatten(1).norm(dim=1).clamp(min=_SMALLEST_NORM)
    return gradient / length.view(-1, *[1] * (x.dim() - 1))
