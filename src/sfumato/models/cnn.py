"""The MNIST network of Pal & Sulam 2023: two 3 x 3 convolutions, one pooling, two dense layers."""

from __future__ import annotations

from torch import nn

from sfumato.models.image_size import require_side

SMALLEST_SIDE = 6


def build_cnn(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return conv 32-3, conv 64-3, maxpool 2, fc 128, fc classes, ReLU between.

    Raises:
        ModelError: inputs that are no images, or smaller than 6 x 6.
    """
    channels, height, width = require_side("cnn", input_shape, SMALLEST_SIDE)
    pooled = 64 * ((height - 4) // 2) * ((width - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),  # of a quarter of the values, and the same result as in front of the pooling
        nn.Flatten(),
        nn.Linear(pooled, 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )
