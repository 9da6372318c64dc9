"""CAT-RS: confidence-aware training (Jeong, Kim & Shin 2023, section 3)."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from sfumato.settings import Count, FilePath
from sfumato.training.methods.base import Method, logits_of_copies, noise_copies

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import nn

    from sfumato.noise import Noise, Stream

_COUNTS, _TARGETS = 2, 3
"""The parts of the stream of noise that the numbers of copies and the targets come from."""


class CatRs(Method):
    """Few copies of images that the network is unsure of, the worst copy of those that it is sure of.

    Of the M = ``draws`` noisy copies of an image a share p is classified correctly. The first loss is the sum
    of the K smallest cross-entropies over M, with K ~ Bin(M, p), at least 1. Where K = M, the second adds
    lambda max KL(target || prediction) over the copies, each moved by an attack on its noise within
    ``epsilon`` that keeps the noise's mean and second moment. Targets are the mean predictions of a network
    that was trained before (``targets``), over fresh copies at ``targets_noise``; without one the label.
    The paper takes them from 10,000 copies, once; here ``targets_draws`` are drawn at every step. In all
    ``draws`` (``steps`` + 2) passes forward and backward, and ``targets_draws`` forward, for each image.
    Published with lambda .5, 1 and 2 at sigma .25, .5 and 1, and targets at noise .25.
    """

    name: ClassVar[str] = "cat-rs"

    draws: Count = Field(default=4, description="noisy copies of each image per step")
    steps: Count = Field(default=4, description="steps of the attack")
    epsilon: float = Field(default=1.0, gt=0, description="L2 size of the attack, input units")
    lbd: float = Field(
        default=1.0, ge=0, description="weight of what the method adds to cross-entropy, lambda"
    )
    targets: FilePath | None = Field(
        default=None, description="checkpoint whose mean predictions are targets"
    )
    targets_noise: float = Field(default=0.25, ge=0, description="noise of the targets, input units")
    targets_draws: Count = Field(default=8, description="noisy copies that a target is made of")

    def identity(self) -> dict[str, Any]:
        """Return all of the method that determines the weights: of the targets' network its checksum.

        Raises:
            ModelError: a checkpoint that is missing or damaged.
        """
        from sfumato.models.checkpoint import read_record

        values = self.model_dump(mode="json")
        sha = None if self.targets is None else read_record(self.targets).weights_sha256
        return values | {"targets": sha}

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

        uniforms = torch.empty(len(x), self.draws, dtype=torch.float64, device=x.device)
        counts, others = stream.part(_COUNTS), stream.part(_TARGETS)
        counts.uniform(uniforms)
        noises = noise_copies(x, self.draws, noise, stream)
        logits = logits_of_copies(model, x, noises)
        targets = self._targets(x, y, logits.shape[2], others)
        right = (logits.argmax(2) == y).double().mean(0)
        kept = (uniforms < right[:, None]).sum(1).clamp(min=1)
        each = functional.cross_entropy(logits.flatten(0, 1), y.repeat(self.draws), reduction="none")
        smallest = each.view(self.draws, -1).sort(0).values
        counted = torch.arange(self.draws, device=x.device)[:, None] < kept
        worst = _divergences(logits_of_copies(model, x, self._attacked(model, x, noises, targets)), targets)
        sure = kept == self.draws
        losses: torch.Tensor = (smallest * counted).mean(0) + self.lbd * sure * worst.max(0).values
        return losses.mean()

    def _targets(
        self, x: torch.Tensor, y: torch.Tensor, classes: int, stream: Stream
    ) -> Float[torch.Tensor, "batch classes"]:
        import torch
        from torch.nn import functional

        from sfumato.noise import Gaussian

        if self.targets is None:
            return functional.one_hot(y, classes).float()
        known = noise_copies(x, self.targets_draws, Gaussian(self.targets_noise), stream)
        with torch.no_grad():
            teacher = _teacher(self.targets, self.targets.stat().st_mtime_ns).to(x.device)
            return logits_of_copies(teacher, x, known).softmax(2).mean(0)

    def _attacked(
        self, model: nn.Module, x: torch.Tensor, noises: torch.Tensor, targets: torch.Tensor
    ) -> Float[torch.Tensor, "draws batch *shape"]:
        """Return the noises, each moved to where the prediction is far from the target."""
        from sfumato.training.methods.adversary import evaluation_mode, pgd

        start = moved = noises.flatten(0, 1).contiguous()

        def losses(flat: torch.Tensor) -> torch.Tensor:
            return _divergences(logits_of_copies(model, x, flat.view(noises.shape)), targets).flatten()

        step = 2 * self.epsilon / self.steps
        with evaluation_mode(model):
            for _ in range(self.steps):
                moved = pgd(losses, moved, epsilon=math.inf, steps=1, step_size=step)
                moved = start + (moved - start).renorm(p=2, dim=0, maxnorm=self.epsilon)
                moved = _with_moments_of(start, moved)
        return moved.view(noises.shape)

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes for each training image and step."""
        own = self.draws * (self.steps + 2)
        return own + (0 if self.targets is None else self.targets_draws), own


def _divergences(
    logits: Float[torch.Tensor, "draws batch classes"], targets: Float[torch.Tensor, "batch classes"]
) -> Float[torch.Tensor, "draws batch"]:
    """Return KL(target || prediction) of each copy."""
    import torch

    each: torch.Tensor = torch.special.xlogy(targets, targets) - targets * logits.log_softmax(2)
    return each.sum(2)


def _with_moments_of(
    start: Float[torch.Tensor, "rows *shape"], moved: Float[torch.Tensor, "rows *shape"]
) -> Float[torch.Tensor, "rows *shape"]:
    """Return ``moved`` less its mean, divided by its root mean square, with those of ``start`` put in."""
    flat, other = start.flatten(1), moved.flatten(1)
    mean, size = flat.mean(1, keepdim=True), flat.square().mean(1, keepdim=True).sqrt()
    size = size / other.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)
    return (mean + (other - other.mean(1, keepdim=True)) * size).view_as(moved)


@functools.lru_cache(maxsize=2)
def _teacher(path: Path, modified: int) -> nn.Module:
    """Return the network of the checkpoint; ``modified`` tells a file that was replaced from before."""
    from sfumato.models.checkpoint import load_model

    model, _ = load_model(path)
    return model.eval().requires_grad_(False)
