"""The normalisation between the layers of our convolutional networks, by its name.

Batch norm measures mean and variance over the images of a training batch and keeps them: they hold the
noise that the network was trained with. Group norm (Wu & He 2018) measures them in each image by itself and
keeps nothing.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

Norm = Literal["batch", "group"]

_CHANNELS_OF_A_GROUP = 8


def channel_norm(norm: Norm, channels: int) -> nn.Module:
    """Return the normalisation of so many channels; a group has 8 of them.

    >>> channel_norm("group", 64).num_groups
    8
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(max(1, channels // _CHANNELS_OF_A_GROUP), channels)
