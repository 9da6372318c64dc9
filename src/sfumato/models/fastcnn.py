"""A convolutional network for CIFAR-10 that a processor trains in minutes.

The plan of the networks that hold the speed records on CIFAR-10 (Page 2019; Jordan 2024, airbench94): a thin
layer at full resolution, then three stages of two 3 x 3 convolutions. The first of each is pooled before its
norm, so that the costly norms and ReLUs see few pixels. No shortcuts; the last feature map is reduced to its
maxima.
"""

from __future__ import annotations

from torch import nn

from sfumato.models.channel_norm import Norm, channel_norm
from sfumato.models.image_size import require_side

SMALLEST_SIDE = 8

_STEM = 24
_STAGES = (64, 128, 256)


def build_fastcnn(input_shape: tuple[int, ...], num_classes: int, *, norm: Norm = "batch") -> nn.Module:
    """Return the network (1.2 million parameters).

    Raises:
        ModelError: inputs that are no images, or smaller than 8 x 8.
    """
    channels, _, _ = require_side("fastcnn", input_shape, SMALLEST_SIDE)
    layers, width = _layer(channels, _STEM, norm), _STEM
    for outputs in _STAGES:
        layers += _layer(width, outputs, norm, nn.MaxPool2d(2)) + _layer(outputs, outputs, norm)
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))


def _layer(inputs: int, outputs: int, norm: Norm, *pooling: nn.Module) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, *pooling, channel_norm(norm, outputs), nn.ReLU()]
