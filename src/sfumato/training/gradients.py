"""The gradient of a batch, added up over parts of it where memory does not hold the whole batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import nn

from sfumato.errors import SfumatoError, is_lack_of_memory
from sfumato.noise import Stream
from sfumato.user_code import failure_line

LossOfRows = Callable[[Int[torch.Tensor, " rows"], Stream], Float[torch.Tensor, ""]]
"""From rows of the training set, and the stream that their noise comes from, to their mean loss."""


def is_batch_norm(module: nn.Module) -> bool:
    """Return whether the module's output for an image in training depends on the images beside it."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


class Gradients:
    """Takes gradients of whole batches, and of ever smaller parts of them where memory runs out.

    A loss is the mean over the images, so the losses of the parts, weighted by their sizes, add up to that of
    the batch. Noise belongs to the row of its stream, so the parts draw what the whole batch would. The sum
    differs from the gradient of the whole batch by rounding only, except that batch norms take their
    statistics from a part.

    Attributes:
        most: images in one part; None as long as whole batches fit.
    """

    def __init__(self, most: int | None = None, on_split: Callable[[str], None] = lambda line: None) -> None:
        self.most, self._on_split = most, on_split
        self._told = self._fitted = False

    def take(
        self, model: nn.Module, rows: Int[torch.Tensor, " rows"], loss: LossOfRows, stream: Stream
    ) -> tuple[Float[torch.Tensor, ""], Stream]:
        """Set the gradients of the model's parameters; return the loss, and the stream behind these rows.

        Raises:
            SfumatoError: memory does not hold a single image.
        """
        while True:
            parts = torch.tensor_split(rows, -(-len(rows) // min(len(rows), self.most or len(rows))))
            # until a pass has fitted, a failed one must not leave statistics of batch norms behind
            before = None if self._fitted else [buffer.clone() for buffer in model.buffers()]
            left = stream.part(0)
            try:
                found = _summed(model, parts, loss, left)
            except (RuntimeError, MemoryError) as error:
                if not is_lack_of_memory(error):
                    raise
                if len(parts[0]) == 1:
                    raise SfumatoError(
                        f"out of memory with one image at a time ({failure_line(error)}); try a smaller "
                        "network, fewer noisy copies of each image, or a device with more memory"
                    ) from error
            else:
                self._fitted = True
                if self.most is not None and not self._told:
                    self._told = True
                    self._on_split(self._line(model, len(rows)))
                return found, left
            # not within the handler, whose traceback holds the tensors of the failed pass
            self.most, self._fitted = -(-len(parts[0]) // 2), False
            _restore(model, before)
            if rows.is_cuda:
                torch.cuda.empty_cache()

    def _line(self, model: nn.Module, batch: int) -> str:
        effect = (
            "batch norms take their statistics from each part, so the result is not that of whole batches"
            if any(is_batch_norm(module) and module.training for module in model.modules())
            else "the result is the same up to rounding"
        )
        return (
            f"out of memory with a batch of {batch} images: its gradient is added up over parts of at most "
            f"{self.most}; {effect}"
        )


def _summed(
    model: nn.Module, parts: tuple[torch.Tensor, ...], loss: LossOfRows, stream: Stream
) -> Float[torch.Tensor, ""]:
    """Set the gradients to the sum over the parts, and return the sum of their losses."""
    model.zero_grad(set_to_none=True)
    total, images = torch.zeros((), device=parts[0].device), sum(map(len, parts))
    for part in parts:
        value = loss(part, stream) * (len(part) / images)
        torch.autograd.backward(value)
        total += value.detach()
    return total


def _restore(model: nn.Module, buffers: list[torch.Tensor] | None) -> None:
    with torch.no_grad():
        for buffer, value in zip(model.buffers(), buffers or (), strict=buffers is not None):
            buffer.copy_(value)
