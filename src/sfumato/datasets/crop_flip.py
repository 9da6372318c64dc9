"""Photographs cropped at random and mirrored, in one tensor operation."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch.nn import functional

_PADDED_SHARE = 8  # a side of 32 pixels is padded by 4


def crop_flip(
    images: Float[torch.Tensor, "batch channels height width"], draws: Float64[torch.Tensor, "batch 3"]
) -> Float[torch.Tensor, "batch channels height width"]:
    """Return the images cropped and mirrored, with their channels innermost in memory.

    ``draws`` are uniform numbers between 0 and 1: for the row and the column of the crop, and for the flip.

    >>> image = torch.arange(64.0).reshape(1, 1, 8, 8)
    >>> middle = torch.tensor([[0.5, 0.5, 0.9], [0.5, 0.5, 0.1]], dtype=torch.float64)
    >>> crop_flip(image.expand(2, 1, 8, 8), middle)[:, 0, 0, :3].tolist()
    [[0.0, 1.0, 2.0], [7.0, 6.0, 5.0]]
    """
    height, width = images.shape[2:]
    pad_y, pad_x = (max(1, side // _PADDED_SHARE) for side in (height, width))
    padded = functional.pad(images, (pad_x, pad_x, pad_y, pad_y)).permute(0, 2, 3, 1)
    top, left = ((draws[:, axis] * (2 * pad + 1)).long()[:, None] for axis, pad in enumerate((pad_y, pad_x)))
    column = torch.arange(width, device=images.device)
    columns = left + torch.where(draws[:, 2:] < 0.5, column.flip(0), column)
    rows = top + torch.arange(height, device=images.device)
    each = torch.arange(len(images), device=images.device)
    return padded[each[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
