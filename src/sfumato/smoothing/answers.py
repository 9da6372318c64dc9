"""The answers of a model: checked carefully before any vote, and their form checked in every batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from sfumato.errors import ModelError, SfumatoError, first_line, is_lack_of_memory
from sfumato.models.outputs import understood
from sfumato.smoothing.configuration import Network
from sfumato.smoothing.hanging import model_called
from sfumato.user_code import PASSED_ON


class UncertainAnswerError(ModelError):
    """An answer that may well be a classifier's, of which it is not certain what the logits are."""


def answer_of(network: Callable[[torch.Tensor], Any], x: torch.Tensor) -> Any:
    """Return the network's answer to a batch, unpacked (``models.outputs``), in one watched call."""
    with model_called():
        return understood(network(x))


class Asked:
    """A network that is asked before any vote: its answers are checked, and its inputs are protected from it.

    Attributes:
        answers: the type of its answers, None before the first.
        writes: whether it wrote into its input.
    """

    def __init__(
        self, network: Network, dtype: torch.dtype, layout: torch.memory_format = torch.contiguous_format
    ) -> None:
        self._network, self._dtype, self._layout = network, dtype, layout
        self.answers: torch.dtype | None = None
        self.writes = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, classes), float64 if they are asked for in that, else float32.

        Raises:
            ModelError: the model does not take the inputs, or answers in another form.
            SfumatoError: the model could not be asked.
        """
        layout = self._layout if x.dim() == 4 else torch.preserve_format
        given = x.to(dtype=self._dtype, memory_format=layout, copy=True)
        before = given.clone()
        try:
            logits = answer_of(self._network, given)
        except (MemoryError, torch.OutOfMemoryError, *PASSED_ON):
            raise
        except OSError as error:  # a model that asks a service
            raise SfumatoError(f"the model does not answer ({first_line(error)})") from error
        except BaseException as error:  # whatever a user's forward pass may raise
            if is_lack_of_memory(error):
                raise torch.OutOfMemoryError(first_line(error)) from error
            batch = f"a batch of {len(x)} inputs of shape {tuple(x.shape[1:])}"
            raise ModelError(f"the model does not accept {batch} ({said(error)})") from error
        require_form(logits, len(x), None, self.answers)
        self.answers = logits.dtype
        self.writes = self.writes or not torch.equal(given, before)
        wanted = torch.float64 if self._dtype == torch.float64 else torch.float32
        found: torch.Tensor = logits.to(dtype=wanted, device=x.device)
        return found


def require_form(logits: Any, rows: int, classes: int | None, dtype: torch.dtype | None) -> None:
    """Refuse an answer that is not a tensor of logits (rows, classes), or that has another type than before.

    Raises:
        ModelError: the answer is of another form.
    """
    kind = _no_array(logits)
    if kind or logits.dim() != 2 or len(logits) != rows or classes not in (None, logits.shape[1]):
        wanted, got = f"({rows}, {classes or 'classes'})", kind or tuple(logits.shape)
        refusal = f"the model must return (batch, classes) = {wanted}, got {got}"
        if advice := _advice(logits):
            raise UncertainAnswerError(f"{refusal}; {advice}")
        raise ModelError(refusal)
    if logits.shape[1] < 2:
        raise ModelError(f"the model must return at least 2 classes, got {logits.shape[1]}")
    if logits.dtype != dtype and (dtype is not None or logits.dtype == torch.bool or logits.is_complex()):
        raise ModelError(f"the model must return {dtype or 'floating point logits'}, got {logits.dtype}")


def _advice(answer: Any) -> str:
    """Return which adapter takes an answer like this; empty if none is meant."""
    if isinstance(answer, tuple | list | Mapping):
        keys = list(answer) if isinstance(answer, Mapping) else range(len(answer))
        return f"say which part is the logits: sfumato.take_output(model, KEY), KEY one of {list(keys)[:8]}"
    if isinstance(answer, torch.Tensor) and answer.dim() == 1 and not answer.is_floating_point():
        return "for one label for each input give sfumato.from_labels(model, classes=...)"
    return ""


def _no_array(answer: Any) -> str | None:
    """Return what an answer is that is no array of numbers, with its layout if it is a tensor."""
    if not isinstance(answer, torch.Tensor):
        return type(answer).__name__
    kinds = {"nested": answer.is_nested, "quantized": answer.is_quantized, "meta": answer.is_meta}
    found = [kind for kind, is_one in kinds.items() if is_one]
    if not found and answer.layout == torch.strided:
        return None
    return f"a {' '.join(found) or 'sparse'} tensor"


def said(error: BaseException) -> str:
    """Return ``Type: first line``; without the type if that only says that something failed."""
    name, line = type(error).__name__, first_line(error)
    by_itself = type(error) is RuntimeError or isinstance(error, OSError) or line == name
    return line if by_itself else f"{name}: {line}"


def require_classes(returned: int, needed: int) -> None:
    """Refuse a model without an output for each class of the data; more outputs than classes are allowed.

    Raises:
        ModelError: it has fewer.
    """
    if returned < needed:
        raise ModelError(
            f"the model returns {returned} classes, but the data has {needed}: "
            f"it can never be right about the labels {returned} to {needed - 1}"
        )
