"""Residual networks in their CIFAR form (He et al. 2016, section 4.2): 6n + 2 layers, 16-32-64 channels.

Shortcuts between stages are 1 x 1 convolutions with batch norm, the form that the networks of Cohen
et al. 2019 use. Any image size works: the last feature map is averaged.
"""

from __future__ import annotations

import torch
from torch import nn

from sfumato.errors import ModelError


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's feature map."""
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def _build(depth: int, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    if len(input_shape) != 3:
        raise ModelError(
            f"resnet{depth} needs images (channels, height, width), got input shape {input_shape}"
        )
    blocks_per_stage = (depth - 2) // 6
    layers: list[nn.Module] = [
        nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    ]
    channels = 16
    for stage, width in enumerate((16, 32, 64)):
        for block in range(blocks_per_stage):
            layers.append(BasicBlock(channels, width, stride=2 if stage and not block else 1))
            channels = width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def build_resnet20(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return the 20-layer network (0.27 million parameters)."""
    return _build(20, input_shape, num_classes)


def build_resnet110(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return the 110-layer network (1.7 million parameters), the one of Cohen et al. on CIFAR-10."""
    return _build(110, input_shape, num_classes)
