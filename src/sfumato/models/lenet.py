"""The LeNet of the published tables on MNIST and Fashion-MNIST (Jeong, Kim & Shin 2023)."""

from __future__ import annotations

from torch import nn

from sfumato.models.image_size import require_side

SMALLEST_SIDE = 16


def build_lenet(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return conv 20 of 5 x 5, maxpool 2, conv 50 of 5 x 5, maxpool 2, fc 500, fc classes, ReLU between.

    Raises:
        ModelError: inputs that are no images, or smaller than 16 x 16.
    """
    channels, height, width = require_side("lenet", input_shape, SMALLEST_SIDE)
    pooled = 50 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 20, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(pooled, 500),
        nn.ReLU(),
        nn.Linear(500, num_classes),
    )
