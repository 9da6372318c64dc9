"""A denoiser in front of a classifier that was never trained for noise (Salman et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import nn

from sfumato.errors import ModelError, SettingError, require_positive
from sfumato.models.classifier import Classifier, augmentations_of

Denoiser = Callable[[torch.Tensor], torch.Tensor]
"""From noisy inputs to clean ones, of the same shape and in the same unit."""


class _Denoised(nn.Module):
    def __init__(self, denoiser: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.denoiser, self.classifier = denoiser, classifier

    def forward(self, x: torch.Tensor) -> Any:
        return self.classifier(self.denoiser(x))


def denoised(
    classifier: Callable[[torch.Tensor], torch.Tensor] | Classifier, denoiser: Denoiser | Classifier
) -> Classifier:
    """Return the classifier behind the denoiser: a base classifier to smooth and to certify.

    Noise is added to the input; the denoiser is a part of what is certified. Either may be a black box. The
    result is identified by both: by all their weights, or by the fingerprint or the weights of each.

    >>> denoised(nn.Linear(2, 3), nn.Identity()).name
    'Linear behind Identity'

    Raises:
        ModelError: what cannot be called.
    """
    inner = Classifier.of(classifier)
    front = Classifier.of(denoiser)
    name = f"{inner.name} behind {front.name}"
    if isinstance(inner.model, nn.Module) and isinstance(front.model, nn.Module):
        whole, seen = _Denoised(front.model, inner.model).eval(), augmentations_of([inner, front])
        return Classifier(name, whole, augmentations=seen, mean=inner.mean, std=inner.std)
    # a fingerprint that leaves one of the two out would let another one pass for it
    words = [_word(part) for part in (inner, front)]

    def both(x: torch.Tensor) -> torch.Tensor:
        return inner.model(front.model(x))

    fingerprint = " behind ".join(map(str, words)) if all(words) else None
    return Classifier(name, both, fingerprint=fingerprint, mean=inner.mean, std=inner.std)


def _word(part: Classifier) -> str | None:
    """Return what identifies the part: its owner's word and its weights; None if it has neither."""
    known = isinstance(part.model, nn.Module)
    if part.fingerprint is None and not known:
        return None
    return " ".join(filter(None, (part.fingerprint, part.checksum() if known else part.weights_sha256)))


class OneStepDiffusion(nn.Module):
    """A diffusion model as a denoiser, in one step (Carlini et al. 2023, algorithm 1).

    The model predicts the noise in x_t = sqrt(abar_t) x + sqrt(1 - abar_t) e of images x in [-1, 1]. An input
    in [0, 1] with noise beta is 2 x - 1 with noise 2 beta there. It is x_t / sqrt(abar_t) for the t with
    (1 - abar_t) / abar_t = (2 beta)^2, so it is multiplied by sqrt(abar_t), and the image is read off from
    the predicted noise.

    Args:
        predict_noise: from (x_t, t), with t an integer tensor (batch,), to the noise, shaped as x_t; further
            channels, such as a predicted variance, are cut off.
        abar: the model's cumulative products of 1 - beta_t, falling from near 1 towards 0.
        beta: smoothing noise, standard deviation for inputs in [0, 1].

    Attributes:
        step: t*, the step whose noise is nearest to ``beta``.
        step_noise: the noise of that step, for inputs in [0, 1].

    Raises:
        SettingError: a schedule that does not fall within (0, 1), or a beta beyond its noise.
    """

    def __init__(
        self,
        predict_noise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        abar: Float[torch.Tensor, " steps"],
        beta: float,
    ) -> None:
        super().__init__()
        require_positive("beta", beta)
        schedule = torch.as_tensor(abar, dtype=torch.float64)
        if len(schedule) < 2 or not (0 < schedule[-1] <= schedule[0] < 1) or (schedule.diff() >= 0).any():
            raise SettingError("abar must fall strictly, within (0, 1), over at least 2 steps")
        levels = ((1 - schedule) / schedule).sqrt() / 2
        if beta > (largest := float(levels[-1])):
            raise SettingError(f"beta must be at most {largest:.4g}, the last step's noise, got {beta:g}")
        self.step = int((levels - beta).abs().argmin())
        self.step_noise = float(levels[self.step])
        # the scale is that of beta itself: the input's noise is beta, whatever the nearest step's is
        self._abar = 1 / (1 + (2 * beta) ** 2)
        if isinstance(predict_noise, nn.Module):
            self.model = predict_noise
        self._predict_noise = predict_noise

    def forward(self, x: Float[torch.Tensor, "batch *shape"]) -> Float[torch.Tensor, "batch *shape"]:
        """Return the denoised images, in [0, 1]."""
        scaled = math.sqrt(self._abar) * (2 * x - 1)
        steps = torch.full((len(x),), self.step, dtype=torch.int64, device=x.device)
        noise = self._predict_noise(scaled, steps)
        if noise.shape[0] != x.shape[0] or noise.shape[2:] != x.shape[2:] or noise.shape[1] < x.shape[1]:
            raise ModelError(
                f"the diffusion model returned {tuple(noise.shape)} for images {tuple(x.shape)}; its "
                "noise must have their shape"
            )
        clean = (scaled - math.sqrt(1 - self._abar) * noise[:, : x.shape[1]]) / math.sqrt(self._abar)
        return (clean + 1) / 2
