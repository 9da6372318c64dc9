"""Random crops and flips: one seeded operation on a whole batch, on its device.

As He et al. 2016 (section 4.2) and Cohen et al. 2019 train on CIFAR-10: the image is padded with zeros by
an eighth of its side (4 of 32 pixels), cropped to its size at a random place, and mirrored with probability
1/2. Each epoch draws its crops anew, keyed by (seed, epoch, example), and the same ones on every device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import torch
from jaxtyping import Float, Float64, Int
from torch.nn import functional

from sfumato.datasets.on_demand import OnDemand, read_ahead
from sfumato.noise import Span, Stream, Use

_PADDED_SHARE = 8  # a side of 32 pixels is padded by 4

Batch = tuple[Int[torch.Tensor, " batch"], Float[torch.Tensor, "batch *shape"]]
"""The rows of a batch in the training set, and its examples as training sees them."""


def batches_of(
    x: Float[torch.Tensor, "examples *shape"] | OnDemand,
    batches: Sequence[Int[torch.Tensor, " batch"]],
    device: torch.device,
    augmentation: str,
    seed: int,
    epoch: int,
) -> Iterator[Batch]:
    """Yield each batch on the device, augmented as this epoch of the training sees it.

    ``batches`` are rows of ``x``. Examples that are not in memory are read while the batch before is at work.
    """
    draws = torch.empty(len(x), 3, dtype=torch.float64)
    if augmentation != "none":
        Stream(Use.AUGMENTATION, seed, Span(epoch)).uniform(draws)
        draws = draws.to(device)
    reads = read_ahead(x, (rows.numpy() for rows in batches)) if isinstance(x, OnDemand) else repeat(None)
    for rows, read in zip(batches, reads, strict=False):
        here = rows.to(device)
        images = x[here] if isinstance(x, torch.Tensor) else torch.from_numpy(read).to(device)
        yield here, images if augmentation == "none" else crop_flip(images, draws[here])


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
