"""The MNIST network of Pal & Sulam 2023: two 3 x 3 convolutions, one pooling, two dense layers."""

from __future__ import annotations

from torch import nn

from sfumato.errors import ModelError

SMALLEST_SIDE = 6


def build_cnn(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return conv 32-3, conv 64-3, maxpool 2, fc 128, fc classes, ReLU between.

    Raises:
        ModelError: inputs that are no images, or smaller than 6 x 6.
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < SMALLEST_SIDE:
        raise ModelError(
            f"cnn needs images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE}, got input shape {input_shape}"
        )
    channels, height, width = input_shape
    pooled = 64 * ((height - 4) // 2) * ((width - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(pooled, 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )
