"""The base classifier as a fixed function from an input to a class, whatever the batch it comes in.

Arithmetic libraries sum in an order that depends on the shape of the batch and on the memory layout, so
that two logits which agree to rounding may change places; one such vote in a million is enough to make a
run irreproducible. So the logits decide wherever their two best differ by more than rounding can move
them, and the rest, the near ties, are decided by one computation that is always the same:

- float32: the arg-max of the network in float64 (about one vote in 10^4). A network that cannot run
  in float64 is evaluated one input at a time instead.
- bf16: the bfloat16 network in batches of 32, contiguous, filled up with zeros (about one vote in 200).

Ties of equal logits go to the smaller class index.

What makes the network faster must not change it: batch norms are folded into the convolutions before
them, full batches may go through a compiled twin, and either is used only where its logits agree with the
network's own. In bf16 the network is rounded after folding, so that the same one is certified everywhere.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections import Counter

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sfumato.errors import ModelError, SfumatoError
from sfumato.smoothing.compiling import compiled_network
from sfumato.smoothing.configuration import Classifier, require_precision

INVALID = -1
"""The class of an input for which the model's output is not a number."""

# Rounding moves float32 logits by about 1e-6 of the largest, bfloat16 logits by up to 0.0025 between
# layouts (measured); the margins leave a factor of 100 and of 6.
MARGINS = {"float32": 1e-4, "bf16": 2.0**-6}
_CANONICAL_BATCH = 32
_CHANGED_BY_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


class BaseClassifier:
    """Wraps a model (or any callable from a batch to (batch, classes) logits) on one device.

    A ``torch.nn.Module`` is put into evaluation mode. ``probe`` checks it on real inputs. Batches of
    ``compiled_batch`` inputs go through a compiled twin, others do not; 0 compiles nothing.

    Raises:
        ModelError: bf16 asked of a callable that is no module.
        SfumatoError: in all that asks the model, where it fails, as when a device or a service is lost.
    """

    def __init__(
        self,
        model: Classifier,
        device: torch.device,
        *,
        precision: str = "float32",
        channels_last: bool = False,
        compiled_batch: int = 0,
    ) -> None:
        self.device = device
        self.precision = require_precision(precision)
        self._given = model
        self._model = model
        self._lock = threading.Lock()
        self._exact: Classifier | None = None
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._forward = model
        self._compiled: Classifier | None = None
        self._compiled_batch = compiled_batch if isinstance(model, nn.Module) else 0
        if isinstance(model, nn.Module):
            _leave_training(model)
            model.to(device)
            self._forward = _with_folded_batch_norms(model)
            if precision == "bf16":
                self._model = self._forward = copy.deepcopy(self._forward).bfloat16()
            if channels_last:
                # the call is there for its effect on every module; mypy's stubs lack this form
                self._forward = copy.deepcopy(self._forward).to(memory_format=self._layout)  # type: ignore[call-overload]
        elif precision != "float32":
            raise ModelError(f"precision {precision} needs a torch.nn.Module, got {type(model).__name__}")

    @torch.inference_mode()
    def probe(self, x: torch.Tensor) -> int:
        """Return the number of classes after checking the model on the batch ``x``.

        Raises:
            ModelError: an output that is not (batch, classes) for batches of several sizes, that is NaN
                without noise, or that changes when it is computed again.
        """
        x = x.to(self.device)
        batches = [x, torch.cat([x, x[:1]]), x[:1]]
        outputs = [self._checked(batch) for batch in batches]
        classes = int(outputs[0].shape[1])
        shapes = {int(output.shape[1]) for output in outputs}
        if len(shapes) > 1:
            found = " or ".join(map(str, sorted(shapes)))
            raise ModelError(f"the model returns {found} classes depending on the batch size")
        self._require_fixed_function(x, outputs)
        if self._forward is not self._model and not self._agrees(x, outputs[0]):
            self._forward, self._layout = self._model, torch.contiguous_format
        return classes

    def _require_fixed_function(self, x: torch.Tensor, outputs: list[torch.Tensor]) -> None:
        """Refuse a model whose logits change when asked again, or with the company of an input."""
        scale = outputs[0].abs().max().clamp_min(1e-30)
        pairs = [(self._checked(x), outputs[0]), (outputs[1][: len(x)], outputs[0])]
        if self._given is not self._model:
            # tracing for the folding would freeze a random number that Python drew
            given = self._given(x.float())
            pairs.append((self._given(x.float()), given))
        if any(bool((other - first).abs().max() > MARGINS[self.precision] * scale) for other, first in pairs):
            raise ModelError(
                "the model is not deterministic: it gives other logits for the same input "
                "when asked again (state or randomness inside the model)"
            )

    def _agrees(self, x: torch.Tensor, expected: torch.Tensor) -> bool:
        """Return whether the faster form of the network gives the same logits.

        A model that reshapes with ``view``, say, cannot use another memory layout.
        """
        try:
            return self._same_to_rounding(self._through(self._forward, x), expected)
        except RuntimeError:
            return False

    def _same_to_rounding(self, found: torch.Tensor, expected: torch.Tensor) -> bool:
        rounding = MARGINS[self.precision] * float(expected.nan_to_num().abs().max())
        return torch.allclose(found, expected, rtol=0.0, atol=rounding, equal_nan=True)

    def _checked(self, x: torch.Tensor) -> torch.Tensor:
        try:
            logits = self._model(x.to(self._dtype))
        except RuntimeError as error:
            given = f"a batch of {len(x)} inputs of shape {tuple(x.shape[1:])}"
            raise ModelError(f"the model does not accept {given} ({_first_line(error)})") from error
        except OSError as error:  # a model that asks a service
            raise SfumatoError(f"the model does not answer ({_first_line(error)})") from error
        if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(x):
            shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise ModelError(f"the model must return (batch, classes) = ({len(x)}, classes), got {shape}")
        if logits.shape[1] < 2:
            raise ModelError(f"the model must return at least 2 classes, got {logits.shape[1]}")
        if torch.isnan(logits).any():
            raise ModelError("the model returns NaN for an input without noise; its logits must be numbers")
        return logits.float()

    @torch.inference_mode()
    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the model itself answers to the batch: (batch, classes), float32.

        Raises:
            SfumatoError: as ``clear_classes``.
        """
        return self._run(self._model, x.to(device=self.device, dtype=self._dtype)).float()

    @torch.inference_mode()
    def classes(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class of each input of the batch (int64), ``INVALID`` where a logit is NaN."""
        winners, close = self.clear_classes(x)
        if close.any():
            winners[close] = self.near_tie_classes(x[close])
        return winners

    @torch.inference_mode()
    def clear_classes(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the class of each input and which of them are near ties, still to be decided.

        Raises:
            SfumatoError: the forward pass failed, as where a device is lost.
            torch.OutOfMemoryError: as PyTorch does.
        """
        logits = self._run(self._logits, x)
        best, winners = logits.max(dim=1)
        invalid = torch.isnan(best)
        scale = logits.abs().amax(dim=1)
        margin = MARGINS[self.precision] * torch.where(torch.isfinite(scale), scale, best.abs())
        close = (logits >= (best - margin).unsqueeze(1)).sum(dim=1) > 1
        return winners.masked_fill_(invalid, INVALID), close

    @torch.inference_mode()
    def near_tie_classes(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class of each input by the computation that does not depend on the batch.

        Raises:
            SfumatoError: as ``clear_classes``.
        """
        with self._lock:
            if self._exact is None:
                self._exact = self._canonical if self.precision == "bf16" else self._in_float64(x)
        logits = self._run(self._exact, x)
        # argmax alone may return any of several equal maxima
        ties = logits == logits.amax(dim=1, keepdim=True)
        return ties.to(torch.uint8).argmax(dim=1).masked_fill_(logits.isnan().any(dim=1), INVALID)

    def _run(self, forward: Classifier, x: torch.Tensor) -> torch.Tensor:
        try:
            return forward(x)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError) as error:
            raise SfumatoError(
                f"the model failed on {len(x)} noisy copies on {self.device} ({_first_line(error)})"
            ) from error

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) != self._compiled_batch:
            return self._through(self._forward, x)
        if self._compiled is None:
            self._compile(x)
        return self._through(self._forward if self._compiled is None else self._compiled, x)

    def _through(self, forward: Classifier, x: torch.Tensor) -> torch.Tensor:
        return forward(self._laid_out(x)).float()

    def _laid_out(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(dtype=self._dtype, memory_format=self._layout) if x.dim() == 4 else x.to(self._dtype)

    @property
    def compiled(self) -> bool:
        """Whether full batches go through a compiled twin by now."""
        return self._compiled is not None

    def _compile(self, x: torch.Tensor) -> None:
        """Compile the network for batches like ``x`` and for the calling thread's number of threads.

        Where that cannot be, or gives other logits, it is said once and done without.
        """
        with self._lock:
            if self._compiled is None and self._compiled_batch and isinstance(self._forward, nn.Module):
                try:
                    compiled = compiled_network(self._forward, self._laid_out(x))
                    found, expected = self._through(compiled, x), self._through(self._forward, x)
                    agrees = self._same_to_rounding(found, expected)
                    reason = "its logits differ from the network's own"
                except Exception as error:  # a missing C++ compiler, or anything inside the compiler
                    agrees, reason = False, _first_line(error)
                if agrees:
                    self._compiled = compiled
                else:
                    self._compiled_batch = 0
                    warnings.warn(f"the model is not compiled: {reason}", stacklevel=2)

    def _canonical(self, x: torch.Tensor) -> torch.Tensor:
        found = []
        for start in range(0, len(x), _CANONICAL_BATCH):
            part = x[start : start + _CANONICAL_BATCH]
            batch = torch.zeros((_CANONICAL_BATCH, *x.shape[1:]), dtype=self._dtype, device=x.device)
            batch[: len(part)] = part
            found.append(self._model(batch)[: len(part)].float())
        return torch.cat(found)

    def _in_float64(self, x: torch.Tensor) -> Classifier:
        """Return the float64 twin of the model, or single evaluation if it has none that agrees with it."""
        if not isinstance(self._model, nn.Module):
            return self._one_at_a_time
        try:
            twin = copy.deepcopy(self._model).double().eval()
            exact, plain = twin(x.double()), self._model(x)
        except Exception:  # a model of the user's own may refuse float64 in any way
            return self._one_at_a_time
        if exact.dtype != torch.float64 or not torch.allclose(exact, plain.double(), rtol=1e-3, atol=1e-3):
            return self._one_at_a_time
        return lambda inputs: twin(inputs.double())

    def _one_at_a_time(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._model(row.unsqueeze(0)) for row in x])


def _with_folded_batch_norms(model: nn.Module) -> nn.Module:
    """Return the model with every batch norm right behind a convolution made part of it, in a copy.

    In exact arithmetic it is the same function, at one product and one sum per value less. A model without
    batch norms, or that cannot be traced, is returned as it is.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    try:
        traced = fx.symbolic_trace(copy.deepcopy(model))
    except Exception:  # control flow that depends on values, or anything else a user's model may do
        return model
    calls = [node for node in traced.graph.nodes if node.op == "call_module"]
    uses = Counter(id(traced.get_submodule(str(node.target))) for node in calls)
    for node in calls:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        norm = traced.get_submodule(str(node.target))
        convolution = traced.get_submodule(str(before.target))
        if isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d):
            if norm.running_mean is None or uses[id(convolution)] > 1:
                continue
            traced.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _leave_training(model: nn.Module) -> None:
    """Put the model into evaluation mode; say so once where that changes what it computes."""
    if any(module.training and isinstance(module, _CHANGED_BY_TRAINING) for module in model.modules()):
        warnings.warn("the model was in training mode; it is switched to evaluation mode", stacklevel=4)
    model.eval()


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
