"""Channel normalisation as the first layer of a model.

Noise is added to what the user calls the input, before this layer; that is why alpha, beta and
radii are in the input's own unit whatever the network behind expects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sfumato.errors import SettingError
from sfumato.frames import numbers_in_order


class Normalize(nn.Module):
    """Maps each channel (or feature) x to (x - mean) / std.

    >>> layer = Normalize([0.5], [0.25])
    >>> layer(torch.ones(1, 1, 2, 2)).flatten()
    tensor([2., 2., 2., 2.])

    Raises:
        SettingError: lists of different length, numbers by name, or a std that is not positive.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # channels of a tensor have no names
        mean, std = numbers_in_order("mean", mean), numbers_in_order("std", std)
        if len(mean) != len(std):
            raise SettingError(
                f"mean has {len(mean)} values but std {len(std)}; give one of each per channel"
            )
        if not all(value > 0 for value in std):
            raise SettingError(f"std must be positive for every channel, got {list(std)}")
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised batch, same shape."""
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return (x - self.mean.view(shape)) / self.std.view(shape)
