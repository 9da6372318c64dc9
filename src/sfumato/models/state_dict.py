"""Ordinary weights: a state dict in a PyTorch file or in safetensors, read without running any code.

Such a file does not say which network it is for, so the caller hands over the module. Prefixes that wrappers
put in front of every name (``module.`` of ``DataParallel``, ``_orig_mod.`` of ``torch.compile``, ``model.``
of Lightning) are taken off, and what training scripts keep beside the weights is left out.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato.errors import ModelError
from sfumato.models.checkpoint import is_pytorch_file, read_safetensors
from sfumato.user_code import failure_line, told_in_one_line

_KEYS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "_orig_mod.", "model.")
# Of batch norms: no part of what they compute in evaluation mode, and missing in files of old versions.
_MAY_LACK = "num_batches_tracked"


def read_state_dict(path: Path | str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by their names, on the CPU, without common prefixes.

    The file holds a state dict, or a dictionary with one under ``state_dict``, ``model_state_dict``,
    ``model`` or ``net``. It is read with ``weights_only=True``: nothing in it is executed.

    Raises:
        ModelError: no such file, another format, a pickled module, or no state dict in it.
    """
    path = Path(path)
    if not os.path.isfile(path):  # noqa: PTH113  # unlike Path.is_file it takes any name
        raise ModelError(f"{path}: no such file; give a file of weights")
    tensors = _tensors(_loaded(path), path) if is_pytorch_file(path) else read_safetensors(path)[0]
    return {bare: tensors[name] for bare, name in _bare_names(tensors).items()}


def load_into(module: nn.Module, state: Mapping[str, torch.Tensor], source: Path | str) -> None:
    """Copy the weights into the module; ``source`` is what messages call them.

    Names and shapes must be the module's. Floating point weights are converted to its types.

    Raises:
        ModelError: a weight that is missing, left over or of another shape; a module that refuses its state.
    """
    with told_in_one_line(f"{source}: the module does not say what its weights are"):
        expected = module.state_dict()
    own = _bare_names(expected)
    given = _bare_names(state)
    if wrong := _differences(
        {bare: state[name] for bare, name in given.items()},
        {bare: expected[name] for bare, name in own.items()},
    ):
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ModelError(f"{source}: its weights do not fit the network: {wrong[0]}{more}")
    loaded = dict(expected) | {own[bare]: state[name] for bare, name in given.items()}
    with told_in_one_line(f"{source}: its weights do not fit the network"):
        module.load_state_dict(loaded)


def _loaded(path: Path) -> Any:
    if _is_torchscript(path):
        raise ModelError(
            f"{path}: is a TorchScript program, which is code; in Python give torch.jit.load(path)"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: holds Python objects, not only weights, and reading them could run code; save the "
            "weights alone where they come from: torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # a damaged file fails in many ways
        raise ModelError(f"{path}: not a whole file of PyTorch ({failure_line(error)})") from error


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _tensors(found: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict that was read, or the one in the dictionary that was read."""
    if _is_state(found):
        return dict(found)
    if not isinstance(found, Mapping):
        raise ModelError(f"{path}: holds a {type(found).__name__}, not a state dict of names and tensors")
    inside = [key for key in _KEYS if _is_state(found.get(key))]
    if len(inside) == 1:
        return dict(found[inside[0]])
    keys = ", ".join(repr(key) for key in list(found)[:8]) or "nothing"
    if inside:
        raise ModelError(
            f"{path}: holds state dicts under {' and '.join(map(repr, inside))}; save the one you mean"
        )
    raise ModelError(
        f"{path}: holds {keys[:200]}; a state dict of names and tensors is looked for there and under "
        f"{', '.join(_KEYS)}"
    )


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(part, torch.Tensor) for name, part in value.items())
    )


def _bare_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names by what is left of them without the prefixes that all of them have.

    >>> _bare_names(["module.model.bias", "module.model.weight"])
    {'bias': 'module.model.bias', 'weight': 'module.model.weight'}
    """
    bare = {name: name for name in names}
    while bare and (prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in bare)), None)):
        bare = {name.removeprefix(prefix): whole for name, whole in bare.items()}
    return bare


def _differences(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> list[str]:
    """Return in what the weights differ from the module's, a sentence for each."""
    wrong = []
    for name in [*expected, *(name for name in found if name not in expected)]:
        is_, should = (_kind(part.get(name)) for part in (found, expected))
        if is_ != should and not (is_ == "missing" and name.endswith(_MAY_LACK)):
            wrong.append(f"{name!r} is {is_}, expected {should.replace('missing', 'none')}")
    return wrong


def _kind(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return "missing" if value is None else type(value).__name__
    return f"{'floating point' if value.is_floating_point() else str(value.dtype)[6:]} {tuple(value.shape)}"
