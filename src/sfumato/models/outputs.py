"""What a model answers, as logits: understood where it is certain which part of an answer they are.

Certain are a tensor, an array or lists (batch, classes), an answer with ``logits`` (an attribute, as of
Hugging Face models, or a key), and a tuple whose first part and no other has two axes. A vector of whole
numbers is a vector of labels, which are understood where the number of classes is known. Everything else is
left as it is, and refused where votes are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sfumato.errors import ModelError


def understood(answer: Any, classes: int | None = None) -> Any:
    """Return the logits (batch, classes) in a model's answer; the answer itself where it is not certain.

    ``classes`` is how many there are, where that is known: then labels become one-hot logits.

    >>> understood({"logits": torch.zeros(2, 3), "loss": None}).shape
    torch.Size([2, 3])
    >>> understood(torch.tensor([1, 0]), classes=2)
    tensor([[0., 1.],
            [1., 0.]])

    Raises:
        ModelError: labels outside of 0 to classes - 1.
    """
    found = _tensor(answer)
    if not isinstance(found, torch.Tensor):
        found = _logits_of(found)
    labels = isinstance(found, torch.Tensor) and found.dim() == 1 and _is_whole(found)
    return one_hot(found, classes) if labels and classes is not None else found


def one_hot(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return logits (batch, classes), float32: 1 for the label of each input, 0 for all others.

    Raises:
        ModelError: no vector of whole numbers from 0 to classes - 1.
    """
    if labels.dim() != 1 or not _is_whole(labels):
        raise ModelError(f"labels must be whole numbers (batch,), got {labels.dtype} {tuple(labels.shape)}")
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise ModelError(f"labels must be from 0 to {classes - 1} for {classes} classes, got {int(wrong[0])}")
    return torch.nn.functional.one_hot(labels.long(), classes).float()


def _tensor(answer: Any) -> Any:
    """Return an array or lists of numbers as a tensor; a copy, since a callable may fill its array again."""
    listed = isinstance(answer, list) and all(isinstance(row, list | int) for row in answer)
    if isinstance(answer, torch.Tensor) or not (listed or hasattr(answer, "__array__")):
        return answer
    try:
        array = np.array(answer)
    except Exception:  # an array class of anyone's, or rows of several lengths
        return answer
    numbers = array.dtype.kind in "fiu"
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="))) if numbers else answer


def _logits_of(answer: Any) -> Any:
    named = answer.get("logits") if isinstance(answer, Mapping) else getattr(answer, "logits", None)
    if named is not None:
        return _tensor(named)
    if isinstance(answer, tuple | list) and answer:
        parts = [_tensor(part) for part in answer]
        with_two_axes = [isinstance(part, torch.Tensor) and part.dim() == 2 for part in parts]
        if with_two_axes[0] and sum(with_two_axes) == 1:
            return parts[0]
    return answer


def _is_whole(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
