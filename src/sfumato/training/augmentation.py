"""Random crops and flips: one seeded operation on a whole batch, on its device.

As He et al. 2016 (section 4.2) and Cohen et al. 2019 train on CIFAR-10: the image is padded with zeros by
an eighth of its side (4 of 32 pixels), cropped to its size at a random place, and mirrored with probability
1/2. Each epoch draws its crops anew, keyed by (seed, epoch, example), and the same ones on every device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import torch
from jaxtyping import Float, Int

from sfumato.datasets.crop_flip import crop_flip
from sfumato.datasets.on_demand import OnDemand, read_ahead
from sfumato.noise import Span, Stream, Use

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
