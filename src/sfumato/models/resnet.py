"""Residual networks in their CIFAR form (He et al. 2016, section 4.2): 6n + 2 layers, 16-32-64 channels.

Shortcuts between stages are 1 x 1 convolutions with a norm, the form that the networks of Cohen et al.
2019 use; theirs is batch norm. Any image size works: the last feature map is averaged.
"""

from __future__ import annotations

import torch
from torch import nn

from sfumato.errors import ModelError
from sfumato.models.channel_norm import Norm, channel_norm


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, each with its norm, around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = channel_norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = channel_norm(norm, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), channel_norm(norm, outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's feature map."""
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def build_resnet(
    input_shape: tuple[int, ...], num_classes: int, *, depth: int, norm: Norm = "batch"
) -> nn.Module:
    """Return the network of 20 layers (0.27 million parameters) or 110 (1.7 million; Cohen et al. 2019).

    Raises:
        ModelError: inputs that are no images.
    """
    if len(input_shape) != 3:
        raise ModelError(
            f"resnet{depth} needs images (channels, height, width), got input shape {input_shape}"
        )
    blocks_per_stage = (depth - 2) // 6
    layers: list[nn.Module] = [
        nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False),
        channel_norm(norm, 16),
        nn.ReLU(),
    ]
    channels = 16
    for stage, width in enumerate((16, 32, 64)):
        for block in range(blocks_per_stage):
            layers.append(BasicBlock(channels, width, 2 if stage and not block else 1, norm))
            channels = width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
