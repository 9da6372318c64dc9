"""The order of the axes of an image array: channels first here, last in many other libraries."""

from __future__ import annotations

import numpy as np

from sfumato.errors import DataError

_MOST_CHANNELS = 4


def channels_first(x: np.ndarray, name: str) -> tuple[np.ndarray, list[str]]:
    """Return ``x`` as (n, channels, height, width) or (n, features), and notes on what was assumed.

    (n, height, width) gets one channel. The last of 4 dimensions is taken for channels where that is
    certain: it is at most 4 and the two before the last are larger. Otherwise channels are first, and where
    that is not certain either, a note says so.

    >>> channels_first(np.zeros((9, 32, 28, 2)), "x")[0].shape
    (9, 2, 32, 28)

    Raises:
        DataError: fewer than 2 or more than 4 dimensions.
    """
    if x.ndim == 2:
        return x, []
    if x.ndim == 3:
        return x[:, None], []
    if x.ndim != 4:
        raise DataError(
            f"{name} must have shape (n, channels, height, width), (n, height, width, channels), (n, height, "
            f"width) or (n, features), got {x.shape}"
        )
    _, first, second, last = x.shape
    if last <= _MOST_CHANNELS and min(first, second) > _MOST_CHANNELS:
        return x.transpose(0, 3, 1, 2), []
    if last <= _MOST_CHANNELS or first > _MOST_CHANNELS:
        return x, [
            f"{name} of shape {x.shape} is read as images of {first} channels and {second} x {last} pixels"
        ]
    return x, []
