"""A copy of the user's module to count votes with, so that the user's own is never touched.

Votes are those of the module in evaluation mode, on the chosen device and in the chosen precision; the
module itself keeps its mode, weights, statistics, device and hooks. A copy shares with it what cannot be
copied, as a lock. A module that refuses to be copied at all, or whose own functions hold on to it, is lent:
called with other tensors in the place of its own, for one forward pass at a time.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from sfumato.errors import ModelError
from sfumato.user_code import PASSED_ON, told_in_one_line

_MODULE_TABLES = ("_modules", "_parameters", "_buffers")
_PLAIN = (bool, int, float, str, bytes, complex, type(None))
_one_at_a_time = threading.RLock()


def require_initialised(model: nn.Module) -> None:
    """Refuse lazy parameters and buffers that no forward pass has given a shape.

    Raises:
        ModelError: there is one.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise ModelError(f"the model's {name} has no values (device meta); load its weights first")
        if nn.parameter.is_lazy(tensor):
            raise ModelError(
                f"the model's {name} has no values yet (a lazy layer); run the model once on a batch first"
            )


class Lent:
    """A module that is called as it is, in evaluation mode, with ``tensors`` in place of its own."""

    def __init__(self, module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
        self._module, self._tensors = module, tensors

    def converted(self, device: torch.device, dtype: torch.dtype) -> Lent:
        """Return it with its tensors on ``device``, the floating point ones as ``dtype``."""
        converted = {
            name: tensor.to(device, dtype if tensor.is_floating_point() else None)
            for name, tensor in self._tensors.items()
        }
        return Lent(self._module, converted)

    def __call__(self, x: torch.Tensor) -> Any:
        """Return the module's answer; its mode is put back before anyone else can call it here."""
        with _one_at_a_time, _evaluating(self._module):
            return functional_call(self._module, self._tensors, (x,))


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def private_copy(model: nn.Module, device: torch.device) -> tuple[nn.Module | Lent, bool]:
    """Return the module's copy on ``device`` in evaluation mode, and whether it shares nothing but code.

    Raises:
        ModelError: parameters without values, or a module of the user's own that fails meanwhile.
    """
    with told_in_one_line(f"the model cannot be used on {device} in evaluation mode"):
        require_initialised(model)
        copied, shares = (None, True) if _holds_on_to_values(model) else _copied(model)
        if copied is None:
            tensors = {name: tensor.detach().clone().to(device) for name, tensor in _tensors(model)}
            return Lent(model, tensors), False
        return copied.to(device).eval(), not shares


def in_precision(network: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Return a copy of a private copy that computes in ``dtype``."""
    if isinstance(network, Lent):
        return network.converted(device, dtype)
    copied, _ = _copied(network)
    if copied is None:
        raise ModelError(f"the model cannot be copied, so it is not computed in {str(dtype)[6:]}")
    return copied.to(dtype)


def _copied(model: nn.Module) -> tuple[nn.Module | None, bool]:
    """Return a deep copy, None where there is none; and whether it shares an object with the original."""
    copied = _deep_copy(model, {})
    if copied is not None:
        return (copied, False) if _is_apart(copied, model) else (None, True)
    memo: dict[int, Any] = {}
    shares = False
    for module in model.modules():
        for name, value in vars(module).items():
            if name not in _MODULE_TABLES:
                shares |= _note_uncopyable(value, memo)
    copied = _deep_copy(model, memo)
    return (copied, shares) if copied is not None and _is_apart(copied, model) else (None, True)


def _deep_copy(value: Any, memo: dict[int, Any]) -> Any:
    """Return a deep copy, None where there is none."""
    try:
        return copy.deepcopy(value, memo)
    except PASSED_ON:
        raise
    except BaseException:  # what a user's attribute raises when it is copied
        return None


def _is_apart(copied: Any, model: nn.Module) -> bool:
    """Return whether it is a module that has no part of the model: a ``__deepcopy__`` may return anything."""
    if not isinstance(copied, nn.Module):
        return False
    parts = {id(part) for part in (*model.modules(), *model.parameters(), *model.buffers())}
    return not any(id(part) in parts for part in (*copied.modules(), *copied.parameters(), *copied.buffers()))


def _note_uncopyable(value: Any, memo: dict[int, Any]) -> bool:
    """Write into ``memo`` what stands for the parts of ``value`` that deepcopy refuses.

    A tensor with a history, as a kept activation, becomes its values; anything else is shared. Returns
    whether something is.
    """
    if value is None or _deep_copy(value, {}) is not None:
        return False
    if isinstance(value, torch.Tensor):
        memo[id(value)] = value.detach().clone()
        return False
    if type(value) in (list, tuple, set, dict):
        parts = list(value.values() if isinstance(value, dict) else value)
        shared = [_note_uncopyable(part, memo) for part in parts]
        return any(shared)
    memo[id(value)] = value
    return True


def _holds_on_to_values(model: nn.Module) -> bool:
    """Return whether a hook or an attribute is a function that captured something else than constants.

    Functions are not copied: one that captured the module would go on using the user's.
    """
    for module in model.modules():
        for value in vars(module).values():
            values = value.values() if isinstance(value, dict) else (value,)
            if any(isinstance(found, FunctionType) and _captures(found) for found in values):
                return True
    return False


def _captures(function: FunctionType) -> bool:
    for cell in function.__closure__ or ():
        try:
            held = cell.cell_contents
        except ValueError:  # a name that was never given a value
            continue
        if isinstance(held, FunctionType):
            if held is not function and _captures(held):
                return True
        elif not isinstance(held, (*_PLAIN, type)):
            return True
    return False


def replica(network: Any) -> Any:
    """Return a copy of a private copy that shares its parameters and nothing else, for one more thread.

    Anything that is not a module is returned unchanged.
    """
    if not isinstance(network, nn.Module):
        return network
    return copy.deepcopy(network, {id(parameter): parameter for parameter in network.parameters()})


class Snapshot:
    """What a module was when it was copied: its tensors' values, its attributes and its hooks."""

    def __init__(self, model: nn.Module, copied: nn.Module | Lent) -> None:
        """Remember the module; the parameters of its copy serve as the values of its own."""
        kept = dict(copied.named_parameters()) if isinstance(copied, nn.Module) else {}
        self._attributes = isinstance(copied, nn.Module)
        self._structure = self._structure_of(model)
        self._values = [
            kept[name] if name in kept else tensor.detach().clone() for name, tensor in _tensors(model)
        ]

    def matches(self, model: nn.Module) -> bool:
        """Return whether the module still is what it was."""
        return self._structure_of(model) == self._structure and all(
            tensor.shape == value.shape
            and tensor.dtype == value.dtype
            and torch.equal(tensor.detach().to(value.device), value)
            for (_, tensor), value in zip(_tensors(model), self._values, strict=True)
        )

    @property
    def tensors(self) -> int:
        """How many parameters and buffers the module has."""
        return len(self._values)

    def _structure_of(self, model: nn.Module) -> list[Any]:
        tensors = [name for name, _ in _tensors(model)]
        modules = [
            (name, id(type(module)), self._attributes_of(module)) for name, module in model.named_modules()
        ]
        return [tensors, modules]

    def _attributes_of(self, module: nn.Module) -> list[Any]:
        if not self._attributes:  # votes by the module itself may change them
            return []
        skipped = ("training", *_MODULE_TABLES)
        return [(name, _mark(value)) for name, value in vars(module).items() if name not in skipped]


def _tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _mark(value: Any) -> Any:
    """Return what changes where the value does: itself if plain, else the object it is, and its parts."""
    if isinstance(value, list | tuple):
        return id(value), [_mark_of_one(part) for part in value]
    if isinstance(value, dict):
        return id(value), [(_mark_of_one(key), _mark_of_one(part)) for key, part in value.items()]
    return _mark_of_one(value)


def _mark_of_one(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, torch.Tensor) and not value.is_inference():
        return id(value), value._version
    return id(value)
