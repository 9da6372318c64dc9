"""Noise augmentation: cross-entropy on noisy copies, drawn afresh at every step.

Lecuyer et al. 2019 and Cohen et al. 2019 train so with alpha = beta; Pal & Sulam 2023 study which
alpha is best. alpha = 0 is plain training.
"""

from __future__ import annotations

import torch
from torch import nn

from sfumato.noise import Noise, Stream


def gaussian_loss(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    noise: Noise,
    draws: int,
    stream: Stream,
) -> torch.Tensor:
    """Return the mean cross-entropy over ``draws`` noisy copies of each example of the batch."""
    copies = 1 if noise.standard_deviation == 0 else draws
    noisy = noise.add(x.repeat_interleave(copies, dim=0), stream)
    return nn.functional.cross_entropy(model(noisy).float(), y.repeat_interleave(copies))
