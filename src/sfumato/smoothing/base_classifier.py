"""The base classifier as a fixed function from an input to a class, whatever the batch it comes in.

Arithmetic libraries sum in an order that depends on the shape of the batch, so that two logits which
agree to rounding may change places with the batch size; one such vote in a million is enough to make
a run irreproducible. The class of an input is therefore defined as the arg-max of the network in
float64; float32 logits decide wherever their two best differ by more than rounding can move them, and
only the rest (about one in 10^5) is computed again. Ties of equal float64 logits go to the smaller
class index. A network that cannot run in float64 is evaluated one input at a time instead.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from sfumato.errors import ModelError

INVALID = -1
"""The class of an input for which the model's output is not a number."""

# Float32 rounding moves logits by about 1e-6 of their size; the margin leaves a factor of 100.
ROUNDING_MARGIN = 1e-4

Classifier = Callable[[torch.Tensor], torch.Tensor]


class BaseClassifier:
    """Wraps a model (or any callable from a batch to (batch, classes) logits) on one device.

    A ``torch.nn.Module`` is put into evaluation mode. The first call checks the output on a real
    input.

    Raises:
        ModelError: an output that is not (batch, classes), or NaN without noise.
    """

    def __init__(self, model: Classifier, device: torch.device) -> None:
        self._model = model
        self.device = device
        self._exact: Classifier | None = None
        self.recomputed = 0
        if isinstance(model, nn.Module):
            model.to(device).eval()

    @torch.inference_mode()
    def probe(self, x: torch.Tensor) -> int:
        """Return the number of classes after checking the model's output on the batch ``x``."""
        try:
            logits = self._model(x.to(self.device))
        except RuntimeError as error:
            raise ModelError(
                f"the model does not accept an input of shape {tuple(x.shape[1:])} ({_first_line(error)})"
            ) from error
        if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(x):
            shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise ModelError(f"the model must return (batch, classes) = ({len(x)}, classes), got {shape}")
        if logits.shape[1] < 2:
            raise ModelError(f"the model must return at least 2 classes, got {logits.shape[1]}")
        if torch.isnan(logits).any():
            raise ModelError("the model returns NaN for an input without noise; its logits must be numbers")
        return int(logits.shape[1])

    @torch.inference_mode()
    def classes(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class of each input of the batch (int64), ``INVALID`` where a logit is NaN."""
        logits = self._model(x)
        best, winners = logits.max(dim=1)
        winners[torch.isnan(best)] = INVALID
        scale = logits.abs().amax(dim=1)
        margin = ROUNDING_MARGIN * torch.where(torch.isfinite(scale), scale, best.abs())
        close = (logits >= (best - margin).unsqueeze(1)).sum(dim=1) > 1
        if close.any():
            rows = close.nonzero().squeeze(1)
            winners[rows] = self._exact_classes(x[rows]).to(winners.device)
            self.recomputed += len(rows)
        return winners

    def _exact_classes(self, x: torch.Tensor) -> torch.Tensor:
        if self._exact is None:
            self._exact = self._in_float64(x) or self._one_at_a_time
        logits = self._exact(x)
        # argmax alone may return any of several equal maxima
        ties = logits == logits.amax(dim=1, keepdim=True)
        return ties.to(torch.uint8).argmax(dim=1)

    def _in_float64(self, x: torch.Tensor) -> Classifier | None:
        """Return the float64 twin of the model, or None if it has none that agrees with it."""
        if not isinstance(self._model, nn.Module):
            return None
        try:
            twin = copy.deepcopy(self._model).double().eval()
            exact, plain = twin(x.double()), self._model(x)
        except Exception:  # a model of the user's own may refuse float64 in any way
            return None
        if exact.dtype != torch.float64 or not torch.allclose(exact, plain.double(), rtol=1e-3, atol=1e-3):
            return None
        return lambda inputs: twin(inputs.double())

    def _one_at_a_time(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._model(row.unsqueeze(0)) for row in x])


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
