"""Images in the unit that their noise is in: the type of an array decides what it holds.

Bytes are pixels of 0..255 and become [0, 1], as they do when they are read from a file. Floating point
numbers are taken as they are, and so are whole numbers in feature vectors and truth values.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch

from sfumato.datasets.units import PIXELS, beyond_pixels
from sfumato.errors import DataError

# Pixels of 0..255 show by their size: noise this many times smaller than the largest is no noise to them.
_BYTES_BEGIN = 64.0
_NO_NOISE = 128.0


def images_in_unit(
    x: torch.Tensor | np.ndarray,
    beta: float,
    *,
    tell: bool = True,
    told: set[str] | None = None,
    expected: str | None = None,
    largest: float | None = None,
) -> torch.Tensor:
    """Return the images (images, *shape) as float32, bytes divided by 255.

    ``tell`` warns where bytes are scaled, and where floating point pixels seem to be in 0..255 while the
    noise is meant for [0, 1] (``largest`` is its largest deviation, where that is not ``beta``), or where
    they are beyond [0, 1] though ``expected``, the unit that the model knows, is that. ``told`` holds
    which of these three was said before; it is not said again.

    Raises:
        DataError: no array of numbers of that shape, masked, NaN or infinite values, or images of wide
            integers, whose unit is not known.
    """
    said = set[str]() if told is None else told

    def warn(what: str, message: str) -> None:
        if tell and what not in said:
            said.add(what)
            warnings.warn(message, stacklevel=6)

    given = _as_tensor(x).detach()
    if given.dim() < 2 or len(given) == 0:
        hint = "; one image needs a batch axis: x[None]" if given.dim() == 1 else ""
        raise DataError(
            f"images must have shape (images, *shape), at least one, got {tuple(given.shape)}{hint}"
        )
    whole = not given.is_floating_point()
    if given.is_complex() or (whole and given.dim() > 2 and given.dtype not in (torch.uint8, torch.bool)):
        raise DataError(
            f"images are {str(given.dtype)[6:]}; accepted are floats in the unit of beta, and uint8"
        )
    images = given.to(torch.float32)
    if not torch.isfinite(images).all():
        raise DataError("images hold NaN or infinite values; pixels must be finite")
    if given.dtype == torch.uint8:
        warn(
            "bytes", f"images are bytes: they are divided by 255, and beta = {beta:g} is in pixels of [0, 1]"
        )
        return images / 255.0
    low, high = (float(value) for value in images.aminmax())
    if low >= 0 and _BYTES_BEGIN < high <= 255 and (largest or beta) * _NO_NOISE <= high:
        pixels = images.dim() > 2 or torch.equal(images, images.round())
        if pixels:
            warn(
                "pixels of bytes",
                f"pixels reach {high:g}, and beta = {beta:g} is in the same unit: almost no noise; "
                "divide pixels of 0..255 by 255",
            )
    elif expected == PIXELS and images.dim() > 2 and beyond_pixels(low, high):
        warn(
            "beyond",
            f"pixels from {low:.4g} to {high:.4g}, and the model is for {PIXELS}: beta = {beta:g} and all "
            "radii are in the unit of these pixels; give pixels in [0, 1], not normalised ones",
        )
    return images


def _as_tensor(x: torch.Tensor | np.ndarray) -> torch.Tensor:
    if isinstance(x, torch.Tensor) and x.layout != torch.strided:
        raise DataError("images are a sparse tensor; give x.to_dense()")
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise DataError("images have masked values, which would be read as numbers; give x.filled(...)")
    if isinstance(x, np.ndarray):
        # torch takes neither another byte order nor negative strides
        x = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))
    try:
        return torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(x, "dtype", type(x).__name__)
        raise DataError(f"images must be an array of numbers, got {kind} ({error})") from error
