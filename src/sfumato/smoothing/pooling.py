"""Max pooling over 2 x 2 as the larger of two slices, which CPUs compute faster with channels innermost.

PyTorch's own kernel takes its maxima one window at a time and keeps where each one was, which only
gradients need. On a CPU with AVX-512, ``torch.maximum`` of neighbouring rows and then of columns takes a
sixth of the time in bfloat16 and a quarter in float32; a pass of ``lenet`` is 1.3 and 1.1 times as fast. A
maximum is exact: no value changes.
"""

from __future__ import annotations

import torch
from torch import nn

from sfumato.smoothing.folding import does_more_than_its_class_says


class SlicedMaxPool2d(nn.MaxPool2d):
    """``nn.MaxPool2d(2)`` by slices."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the largest value of each window; a last odd row or column is left out, as there."""
        height, width = (side // 2 * 2 for side in x.shape[-2:])
        rows = torch.maximum(x[..., 0:height:2, :], x[..., 1:height:2, :])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])


def slice_max_pools(model: nn.Module) -> None:
    """Let every max pooling over 2 x 2 of a private copy be done by slices; its values stay the same."""
    for parent in list(model.modules()):
        for name, module in parent.named_children():
            if type(module) is not nn.MaxPool2d or does_more_than_its_class_says(module):
                continue
            if _is_over_two_by_two(module):
                setattr(parent, name, SlicedMaxPool2d(2).train(module.training))


def _is_over_two_by_two(pool: nn.MaxPool2d) -> bool:
    sizes = (_pair(pool.kernel_size), _pair(pool.stride), _pair(pool.padding), _pair(pool.dilation))
    return sizes == ((2, 2), (2, 2), (0, 0), (1, 1)) and not pool.return_indices and not pool.ceil_mode


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(size)
