"""Weights from elsewhere: a PyTorch state dict in a file of ``torch.save`` or in a safetensors file.

Nothing in the file is executed: ``torch.load`` is called with ``weights_only=True``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from sfumato.errors import ModelError
from sfumato.models.checkpoint import read_safetensors
from sfumato.user_code import failure_line

_NESTED = ("state_dict", "model_state_dict")
_WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and ``torch.compile`` put before every name."""
_UNFINISHED = "model/"
"""What the state of an unfinished training of ours puts before the names of the network."""
_SHOWN = 3


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors by their names, on the CPU.

    The state dict may be the value of the key ``state_dict``, and all names may begin with ``module.``. Of
    the state of an unfinished training of Sfumato the network's tensors are returned.

    Raises:
        ModelError: no such file, one that cannot be loaded safely, or one that holds no state dict.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    # a safetensors file has its header's length in 8 bytes, then the header's brace
    found = read_safetensors(path)[0] if content[8:9] == b"{" else _loaded(content, path)
    if any(name.startswith(_UNFINISHED) for name in found):
        found = {name: value for name, value in found.items() if name.startswith(_UNFINISHED)}
    for prefix in (_UNFINISHED, *_WRAPPERS):
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def _loaded(content: bytes, path: Path) -> dict[str, torch.Tensor]:
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # it answers a file that it does not know in many ways
        raise ModelError(
            f"{path}: is neither safetensors nor a file of torch.save whose content is only tensors "
            f"({failure_line(error)}); save the network's state_dict()"
        ) from error
    for name in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not found:
        raise ModelError(f"{path}: holds {type(found).__name__}, not a state dict of names and tensors")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            accepted = " or ".join(map(repr, _NESTED))
            raise ModelError(
                f"{path}: {str(name)[:80]!r} is {type(value).__name__}, no tensor; save the network's "
                f"state_dict(), alone or under {accepted}"
            )
    return dict(found)


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], what: str) -> None:
    """Let the model have these weights; ``what`` begins the error.

    Raises:
        ModelError: names or shapes that differ from the model's.
    """
    expected = model.state_dict()
    # files of PyTorch before 0.4.1 lack this counter, which no result depends on
    missing = [n for n in expected if n not in weights and not n.endswith("num_batches_tracked")]
    unknown = [name for name in weights if name not in expected]
    wrong = [
        f"{name} of shape {tuple(value.shape)} instead of {tuple(expected[name].shape)}"
        for name, value in weights.items()
        if name in expected and value.shape != expected[name].shape
    ]
    found = [
        f"{words} {_some(names)}"
        for words, names in (("lacks", missing), ("has the unknown", unknown), ("has", wrong))
        if names
    ]
    if found:
        raise ModelError(f"{what}: {'; '.join(found)}")
    try:
        model.load_state_dict(weights, strict=False)
    except Exception as error:  # a module of the user's own may refuse its state in any way
        raise ModelError(f"{what} ({failure_line(error)})") from error


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
