"""A multilayer perceptron with two hidden layers, for images of any shape and for tabular data."""

from __future__ import annotations

import math

from torch import nn

HIDDEN = 512


def build_mlp(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return features-512-512-classes with ReLU."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, num_classes),
    )
