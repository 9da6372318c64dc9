"""Is the base classifier a function of one input? Its answers when asked again and in other batches.

The guarantee is about a fixed function. A network that draws random numbers, or whose logits for an input
depend on the other inputs of the batch (batch norm on batch statistics, dynamic quantisation, scaling by the
batch's maximum), is none. In float64 the two are told apart from rounding with certainty; without a float64
twin by how the logits answer to a change of the input in its last bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from sfumato.errors import ModelError

Ask = Callable[[torch.Tensor], torch.Tensor]

# Of the largest logit: less than that is rounding in a network whose terms do not cancel.
RELATIVE = 1e-4
_LAST_BITS = 64.0
_ROUNDINGS = 16.0
_FEW = 7


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference; NaN or infinity in only one of the two counts as infinite."""
    far = (found - expected).abs()
    same = (found == expected) | (found.isnan() & expected.isnan())
    return float(far.masked_fill(same, 0.0).nan_to_num(nan=torch.inf).max())


def scale_of(logits: torch.Tensor) -> float:
    """Return the largest finite absolute value, the scale to which rounding is compared."""
    return float(logits.nan_to_num(0.0, 0.0, 0.0).abs().max())


def companies(count: int) -> list[torch.Tensor]:
    """Return the indices of some of ``count`` inputs, in batches of other sizes and orders than all."""
    few = torch.arange(min(_FEW, count)).flip(0)
    return [few, few[:1], torch.tensor([count - 1])]


def dependence(ask: Ask, rows: torch.Tensor, together: torch.Tensor) -> float:
    """Return how much the logits of some rows change in a batch with other inputs."""
    return max(apart(ask(rows[some]), together[some]) for some in companies(len(rows)))


def require_fixed_function(ask: Ask, rows: torch.Tensor, together: torch.Tensor, model: object) -> None:
    """Refuse a model whose answer changes when it is asked again, or with the other inputs of its batch.

    ``together`` is its answer to all rows; ``model`` is looked at for the layer at fault.

    Raises:
        ModelError: the answers differ by more than rounding.
    """
    rounding = RELATIVE * scale_of(together)
    if apart(ask(rows), together) > rounding:
        raise ModelError(
            "the model is not deterministic: it gives different logits for the same input (state or "
            "randomness inside the model)"
        )
    far = dependence(ask, rows, together)
    if far > rounding + rounding_of(ask, rows):
        raise ModelError(
            f"the model's logits for an input depend on the other inputs of its batch (by {far:.2g}), so "
            f"it is not a fixed function and cannot be certified"
            f"{layer_at_fault(model) or ' (batch statistics, a scale of the batch, dynamic quantisation)'}"
        )


def rounding_of(ask: Ask, rows: torch.Tensor) -> float:
    """Return more than rounding does to the logits of the rows: ``_ROUNDINGS`` times what it does usually.

    That is how far the median row's move when each pixel moves by ``_LAST_BITS`` of its last bit: far enough
    for every sum to be rounded anew, too little for anything else.
    """
    # not keyed noise: directions of roundings, on no image that is voted on
    signs = torch.randint(0, 2, rows.shape, generator=torch.Generator().manual_seed(0)).to(rows) * 2 - 1
    step = _LAST_BITS * torch.finfo(rows.dtype).eps * rows.abs().amax()
    moved = ask(rows + step * signs) - ask(rows)
    return _ROUNDINGS * float(moved.abs().nan_to_num(0.0, 0.0, 0.0).amax(dim=1).median())


def layer_at_fault(model: object) -> str:
    """Return which layer uses the statistics of its batch, as the end of a sentence; empty if none does."""
    for name, module in model.named_modules() if isinstance(model, nn.Module) else ():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            return f": batch norm {name!r} has no running statistics (track_running_stats=False)"
    return ""
